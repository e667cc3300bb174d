"""The page of text and the progress display."""

import io
from pathlib import Path

import pytest

from mlfund.advisor._words import duration, how_sure, milliseconds, number, percent, signed, size
from mlfund.advisor.progress import ProgressEvent
from mlfund.advisor.terminal import ProgressDisplay, print_advice
from tests.advisor.sample import sample_advice_dict


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def printed(advice, **files):
    stream = io.StringIO()
    print_advice(advice, files, stream)
    return stream.getvalue()


def test_the_page():
    text = printed(sample_advice_dict(), model=Path("out/model.skops"))
    order = ["Use gradient", "Why", "Alternatives", "Leaderboard", "> XGBoost", "Look at this",
             "Warnings", "Files", "Next", "mlfund predict out/model.skops"]  # fmt: skip
    positions = [text.index(part) for part in order]
    assert positions == sorted(positions)
    assert all(line == line.rstrip() for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text


def test_texts_are_no_markup():
    advice = sample_advice_dict()
    advice["warnings"] = ["The column '[red]x[/]' is odd.", ":smile:"]
    advice["leaderboard"][0]["name"] = "[bold]x"
    text = printed(advice)
    assert "'[red]x[/]'" in text
    assert ":smile:" in text
    assert "[bold]x" in text


def test_letters_that_the_terminal_lacks():
    advice = sample_advice_dict()
    advice["warnings"] = ["The column '年齢' is odd."]
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_advice(advice, {}, stream)
    stream.flush()
    assert b"The column '??' is odd." in raw.getvalue()


def test_without_recommendation_model_and_scores():
    text = printed(sample_advice_dict() | {"recommendation": None, "leaderboard": []})
    assert "No recommendation yet" in text
    assert "Next" not in text


def test_a_narrow_terminal_keeps_paths_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    stream = Terminal()
    path = Path("a-rather-long-folder-name/below/another/model.skops")
    print_advice(sample_advice_dict(), {"model": path}, stream)
    assert f"mlfund predict {path} new.csv --out predictions.csv" in stream.getvalue()


EVENT = ProgressEvent(2, 30, "xgboost, fold 3 of 5 [x]", 12.3, 88.0)


def test_progress_lines():
    stream = io.StringIO()
    with ProgressDisplay(stream) as display:
        display(EVENT)
        display(EVENT)
    assert stream.getvalue() == (
        "[ 2/30] xgboost, fold 3 of 5 [x] (12.3 s so far, about 1 min 28 s left)\n"
    )


def test_progress_without_an_estimate():
    stream = io.StringIO()
    ProgressDisplay(stream)(ProgressEvent(0, 3, "profile", 0.2, None))
    assert stream.getvalue() == "[0/3] profile (200 ms so far)\n"


def test_progress_at_the_end():
    stream = io.StringIO()
    ProgressDisplay(stream)(ProgressEvent(3, 3, "done", 47.0, 0.0))
    assert stream.getvalue() == "[3/3] done (47.0 s so far)\n"


def test_quiet_progress():
    stream = Terminal()
    with ProgressDisplay(stream, quiet=True) as display:
        display(EVENT)
    assert stream.getvalue() == ""


def test_progress_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    stream = Terminal()
    with ProgressDisplay(stream) as display:
        display(EVENT)
    text = stream.getvalue()
    assert "2/30" in text
    assert "xgboost, fold 3 of 5 [x]" in text
    assert "about 1 min 28 s left" in text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0123, "12 ms"), (59.97, "1 min 0 s"), (7260, "2 h 1 min")]
)
def test_durations(value, text):
    assert duration(value) == text


def test_numbers_of_any_size():
    nan = float("nan")
    assert [number(v) for v in (nan, 0.0, -0.5, 1234.5, 1e9)] == [
        *("-", "0.000", "-0.500", "1,234", "1e+09"),
    ]
    assert signed(-1e-9) == "-1e-09"
    assert signed(-0.0) == "0.0000"
    assert [size(v) for v in (None, 999, 999_600, 2.5e9)] == ["-", "999 B", "1.0 MB", "2.5 GB"]
    assert milliseconds(1234.0) == "1,234 ms"
    assert percent(0.5) == "50 %"


@pytest.mark.parametrize(
    ("confidence", "start"),
    [(0.99, "This is a clear"), (0.9, "This is a likely"), (0.4, "This is an open race")],
)
def test_confidence_in_words(confidence, start):
    assert how_sure(confidence).startswith(start)
