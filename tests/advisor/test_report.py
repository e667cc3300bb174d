"""The report: complete, self-contained, escaped, accessible, and true to its numbers."""

import copy
import itertools
import re
from html.parser import HTMLParser

import pytest

from mlfund.advisor._html import Markup, join, tag
from mlfund.advisor._placing import spread_apart
from mlfund.advisor._plots import score_plot
from mlfund.advisor._style import STYLE
from mlfund.advisor._svg import Scale, padded, shortened, tick_labels
from mlfund.advisor._view import metric_of, model_rows, score_interval
from mlfund.advisor.report import render_report
from tests.advisor.sample import sample_advice_dict

VOID = {"meta", "br", "hr", "link", "img"}
EVIL = "<script>alert('x')</script> & \"quoted\""


class Page(HTMLParser):
    """Collects elements, attributes and text, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def named(self, name):
        return [attributes for element, attributes in self.elements if element == name]


def page_of(**changes):
    return Page(render_report(sample_advice_dict() | changes))


def test_every_part_is_there():
    text = page_of().text
    for part in (
        "Use gradient boosted trees (XGBoost)",
        "This is a clear result.",
        "confidence 99.8 %",
        "It has the best log-loss of 4 candidates.",
        "A limit of 1 ms a row would exclude it.",
        "It can be read as a table of weights",
        "Traditional machine learning: no neural network finished.",
        "Scores",
        "Difference to the best",
        "Score against the cost of predicting",
        "Score against the cost of fitting",
        "Would more rows help?",
        "What the model looks at",
        "failed: MemoryError: cannot allocate 3 GiB",
        "Column 'fnlwgt_id' has a different value in every row.",
        "Leave it out with --ignore fnlwgt_id",
        "2 rows without a target were dropped.",
        "mostly Private (74 %)",
        "import mlfund",
        "Nadeau and Bengio (2003)",
        "numpy 2.4.6",
        "48,842, 48,840 used",
    ):
        assert part in text, part


def test_the_page_is_self_contained():
    page = page_of()
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "base", "form"}
    for name, attributes in page.elements:
        assert not {"src", "href", "srcset", "action"} & set(attributes), name
        assert not any(key.startswith("on") for key in attributes), name
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert not re.search(r"https?://", render_report(sample_advice_dict()))


def evil_everywhere(value):
    """Put hostile text into every string that does not steer the report."""
    steering = {"status", "family", "verdict", "metric", "task", "severity"}
    if isinstance(value, dict):
        return {
            f"{key}": item if key in steering else evil_everywhere(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [evil_everywhere(item) for item in value]
    return EVIL if isinstance(value, str) else value


def test_every_text_of_the_user_is_escaped():
    advice = evil_everywhere(sample_advice_dict())
    advice["protocol"]["metric"] = EVIL
    for row in advice["leaderboard"]:
        row["verdict"] = row["family"] = EVIL
        row["status"] = EVIL if row["score_mean"] is None else "ok"
        row["metrics"] = {EVIL: 0.5}
    advice["profile"]["kinds"] = {EVIL: 3}
    advice["environment"] = {EVIL: EVIL, "versions": {EVIL: EVIL}}
    text = render_report(advice)
    page = Page(text)
    assert page.named("script") == []
    assert "<script" not in text
    assert EVIL in page.text
    for _, attributes in page.elements:
        assert set(attributes) <= {
            *("charset", "name", "content", "lang", "class", "id", "role", "style", "scope"),
            *("tabindex", "colspan", "aria-label", "aria-labelledby", "aria-hidden", "viewbox"),
            *("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "width", "height"),
            *("points", "text-anchor"),
        }


def test_pictures_have_titles_and_descriptions_of_their_own():
    page = page_of()
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = page.named("svg")
    assert len(pictures) == 6
    for picture in pictures:
        assert picture["role"] == "img"
        assert set(picture["aria-labelledby"].split()) <= set(ids)


def test_the_page_names_its_language_and_title():
    page = page_of()
    assert page.named("html") == [{"lang": "en"}]
    assert "Which model for income? - mlfund advice" in page.text
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in (
        page.named("meta")
    )


def contrast(one, other):
    """Return the contrast ratio of WCAG 2 between two colours."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(scheme):
    light, dark = STYLE.split("@media screen and (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([a-z_-]+): (#[0-9a-f]{6})", light if scheme == "light" else
                              dark.split("* {")[0]))  # fmt: skip
    for text in ("ink", "soft", "accent"):
        for ground in ("card", "page"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["ink"], colours["warn-soft"]) >= 4.5
    assert contrast(colours["ink"], colours["accent-soft"]) >= 4.5
    for family in ("baseline", "linear", "tree_ensemble", "gradient_boosting", "neural_network"):
        # WCAG 1.4.11: graphical objects
        assert contrast(colours[family], colours["card"]) >= 3.0, family


def test_an_incomplete_run_says_so():
    assert "This run was stopped before it ended" not in page_of().text
    assert "This run was stopped before it ended" in page_of(status="incomplete").text


def test_without_a_recommendation():
    page = page_of(recommendation=None, leaderboard=[], importance=[], learning_curves=[], code="")
    assert "No recommendation yet" in page.text
    assert page.named("svg") == []


def test_with_one_model_there_is_no_probability():
    advice = sample_advice_dict()
    advice["leaderboard"] = advice["leaderboard"][:1]
    advice["recommendation"]["confidence"] = None
    assert "Only one model was compared" in Page(render_report(advice)).text


def test_a_bare_advice_with_nothing_measured_but_scores():
    advice = sample_advice_dict()
    keep = {"name", "family", "status", "score_mean", "fold_scores"}
    for row in advice["leaderboard"]:
        row.update({key: None for key in row if key not in keep})
        row["metrics"] = {}
    for key in ("profile", "environment", "budget"):
        advice[key] = {}
    text = Page(render_report(advice)).text
    assert "Leaderboard" in text
    assert "None" not in text
    assert "nan" not in text


@pytest.mark.parametrize("n_folds_used", [0, 1, 2])
def test_partial_fold_scores(n_folds_used):
    advice = sample_advice_dict()
    for row in advice["leaderboard"]:
        row["fold_scores"] = row["fold_scores"][:n_folds_used]
    Page(render_report(advice))


def test_a_long_table_is_cut_and_says_so():
    advice = sample_advice_dict()
    feature = advice["profile"]["features"][0]
    advice["profile"]["features"] = [feature | {"name": f"x{i}"} for i in range(300)]
    label = {"label": "a", "rows": 10, "share": 0.01}
    advice["profile"]["target"] = {"classes": [label] * 100}
    advice["importance"] = [{"feature": f"x{i}", "mean": 0.1, "std": 0.0} for i in range(300)]
    page = Page(render_report(advice))
    assert "and 240 more columns, all in advice.json" in page.text
    assert "and 80 more classes" in page.text
    assert "and 285 more columns" in page.text
    assert len(render_report(advice)) < 200_000


def test_a_regression_without_classes():
    advice = sample_advice_dict()
    advice["protocol"] |= {"metric": "r2", "greater_is_better": True}
    advice["profile"]["target"] = {"mean": 3.25, "std": 1.5, "min": -1.0, "max": 9.0}
    text = Page(render_report(advice)).text
    assert "R2 (higher is better)" in text
    assert "mean 3.25" in text


def test_score_intervals_follow_nadeau_and_bengio():
    from scipy import stats

    scores = (0.9, 0.92, 0.91, 0.93, 0.89)
    low, high = score_interval(scores, 5)
    spread = 0.00025 * (1 / 5 + 1 / 4)
    half = stats.t.ppf(0.975, 4) * spread**0.5
    assert low == pytest.approx(0.91 - half, rel=1e-12)
    assert high == pytest.approx(0.91 + half, rel=1e-12)
    assert score_interval((0.9,), 5) is None


def circles(svg, kind):
    found = [attributes for attributes in Page(svg).named("circle") if attributes["class"] == kind]
    return [float(attributes["cx"]) for attributes in found]


def test_scores_are_drawn_in_proportion():
    advice = sample_advice_dict()
    rows = model_rows(advice)[:3]
    x = circles(score_plot(rows, metric_of(advice), 3), "mean")
    expected = (0.305 - 0.277) / (0.316 - 0.277)
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(expected, abs=1e-3)


def test_a_far_off_model_does_not_squeeze_the_others():
    advice = sample_advice_dict()
    rows, metric = model_rows(advice), metric_of(advice)
    svg = score_plot(rows, metric, 3)
    assert "off the scale" in svg
    x = circles(svg, "mean")
    assert len(x) == 3
    assert max(x) - min(x) > 100


def test_two_models_are_never_off_the_scale():
    advice = sample_advice_dict()
    rows = [model_rows(advice)[0], model_rows(advice)[3]]
    assert "off the scale" not in score_plot(rows, metric_of(advice), 3)


def test_equal_scores_can_be_drawn():
    advice = copy.deepcopy(sample_advice_dict())
    for row in advice["leaderboard"][:4]:
        row |= {"score_mean": 0.5, "fold_scores": [0.5] * 5, "diff_to_best": 0.0}
        row["diff_ci95"] = [0.0, 0.0]
    Page(render_report(advice))


def test_html_is_escaped_unless_it_is_markup():
    assert tag("p", "<b>", Markup("<i>x</i>"), class_='"') == (
        '<p class="&quot;">&lt;b&gt;<i>x</i></p>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert tag("td", None, 3, hidden=True, title=None) == "<td hidden>3</td>"
    assert join(["<", Markup(">")], "&") == "&lt;&amp;>"


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 1.0), (-3.0, 11.0), (0.9271, 0.9313), (1e-9, 3e-9)],
)
def test_ticks_are_round_and_inside(low, high):
    ticks = Scale(low, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    labels = tick_labels(ticks)
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 8


@pytest.mark.parametrize(("low", "high"), [(0.004, 120.0), (1.0, 9.0), (3e-4, 1e6)])
def test_logarithmic_ticks(low, high):
    scale = Scale(*padded([low, high], log=True), 0, 100, log=True)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 6
    assert all(scale.holds(tick) for tick in ticks)
    assert scale((low * high) ** 0.5) == pytest.approx(50)


def test_labels_are_moved_apart_and_kept_inside():
    placed = spread_apart([250.0, 251.0, 252.0, 60.0], 16, 34, 262)
    assert placed[3] == 60.0
    assert sorted(placed) == sorted(placed, key=float)
    in_order = sorted(placed)
    assert all(b - a >= 16 for a, b in itertools.pairwise(in_order))
    assert in_order[-1] <= 262


def test_long_names_are_cut():
    assert shortened("a" * 100, 60).endswith("…")
    assert len(shortened("a" * 100, 60)) < 12
    assert shortened("age", 60) == "age"
