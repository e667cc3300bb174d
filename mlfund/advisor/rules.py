"""The recommendation in plain words.

A rule is one small function from a `Choice` to a sentence, or None where it does not apply. All
stand in `RULES`, in the order a reader wants them; a new rule is a function and a record there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlfund.advisor._words import percent
from mlfund.advisor.advice import LeaderboardRow, Recommendation
from mlfund.advisor.candidates import CANDIDATES, IMAGE_CANDIDATES
from mlfund.advisor.choice import INTERPRETABLE_FAMILIES, Choice, cost_key, within
from mlfund.advisor.statistics import corrected_posterior

TITLES = {
    one.name: one.title
    for tables in (CANDIDATES, IMAGE_CANDIDATES)
    for table in tables.values()
    for one in table
}
# Below this probability a difference is not said to look like one.
_LIKELY = 0.8
_DEEP_FAMILIES = ("neural_network", "pretrained")

Sentence = Callable[[Choice], str | None]


@dataclass(frozen=True)
class Rule:
    """One sentence of the recommendation.

    Attributes
    ----------
    code : str
        Its name.
    part : str
        "reason" or "would_change": where the sentence goes.
    say : callable
        Returns the sentence, or None where the rule does not apply.
    """

    code: str
    part: str
    say: Sentence


def recommend(choice: Choice) -> Recommendation:
    """Put the recommendation into words."""
    said = {
        part: tuple(
            sentence
            for rule in RULES
            if rule.part == part and (sentence := rule.say(choice)) is not None
        )
        for part in ("reason", "would_change")
    }
    row = choice.row
    return Recommendation(
        name=row.name,
        family=row.family,
        estimator=title(row),
        confidence=choice.confidence,
        summary=summary(choice),
        reasons=said["reason"],
        cost=cost(choice),
        deep_learning=deep_learning(choice),
        would_change=said["would_change"],
        alternatives=alternatives(choice),
    )


def title(row: LeaderboardRow) -> str:
    """Return the name of a candidate for running text."""
    return TITLES.get(row.name, row.name)


def summary(choice: Choice) -> str:
    """Say what to use and how sure that is, in one or two sentences."""
    row, metric = choice.row, choice.board.metric
    text = (
        f"Use {title(row)}: {metric.label} {number(row.score_mean)} "
        f"over {len(row.fold_scores)} folds."
    )
    measured = [one for one in choice.board.rows if one.name in choice.board.scores]
    if all(one.family == "baseline" for one in measured):
        return (
            f"Only {title(row)} could be measured ({metric.label} {number(row.score_mean)}); "
            "give the other candidates more time, or see in the leaderboard why they failed."
        )
    if row.family == "baseline":
        text = (
            f"No model was found to beat {title(row)} ({metric.label} {number(row.score_mean)}): "
            "the columns tell nothing about the target that these candidates could learn."
        )
    if choice.confidence is None:
        return text
    return (
        f"{text} With {percent(choice.confidence)} probability no other candidate is better by "
        f"more than {number(choice.board.equivalence)}."
    )


def best_score(choice: Choice) -> str | None:
    """Say that it has the best score."""
    if choice.row.name != choice.best.name:
        return None
    n, label = len(choice.board.scores), choice.board.metric.label
    return f"It has the best {label} of {n} candidates." if n > 1 else None


def chosen_for_cost(choice: Choice) -> str | None:
    """Say that another has a slightly better score and costs more."""
    if choice.row.name == choice.leader.name:
        return None
    gap = abs(_mean(choice.row) - _mean(choice.leader))
    return (
        f"{_start(title(choice.leader))} scores {number(gap)} better, which is practically equal "
        f"(within {number(choice.board.equivalence)}), and {_dearer(choice)}."
    )


def nearest_rival(choice: Choice) -> str | None:
    """Compare with the best of the other candidates."""
    scores = choice.board.scores
    others = [name for name in scores if name != choice.row.name]
    if not others or choice.row.name != choice.leader.name:
        return None
    rival = max(others, key=lambda name: float(scores[name].mean()))
    advantage = corrected_posterior(
        scores[choice.row.name] - scores[rival], choice.board.test_to_train
    )
    low, high = advantage.interval()
    word = "better" if advantage.mean >= 0 else "worse"
    sign = 1.0 if advantage.mean >= 0 else -1.0
    ends = sorted((sign * low, sign * high))
    sure = "" if low > 0 or high < 0 else "; the interval holds 0, so this may be chance"
    return (
        f"It is {number(abs(advantage.mean))} {word} than {TITLES.get(rival, rival)} "
        f"(95 % interval {number(ends[0])} to {number(ends[1])}{sure})."
    )


def beats_the_prior(choice: Choice) -> str | None:
    """Say how much the columns are worth at all."""
    baseline = [row for row in choice.board.rows if row.family == "baseline"]
    if not baseline or baseline[0].score_mean is None or choice.row.family == "baseline":
        return None
    return (
        f"Without any column the {choice.board.metric.label} would be "
        f"{number(baseline[0].score_mean)}."
    )


def readable(choice: Choice) -> str | None:
    """Say that the model can be read, where that was asked."""
    if not choice.limits.interpretable or choice.row.family not in INTERPRETABLE_FAMILIES:
        return None
    return "It can be read as a table of weights, as you asked."


def limits_missed(choice: Choice) -> str | None:
    """Say that no candidate keeps to the limits."""
    if choice.limits_met:
        return None
    limit = choice.limits.max_latency_ms
    what = "can be read" if limit is None else f"answers 95 % of single rows within {limit:g} ms"
    return f"No candidate {what}; this one comes nearest."


def limits_kept(choice: Choice) -> str | None:
    """Say what the limits cost in score."""
    if not choice.limits_met or choice.leader.name == choice.best.name:
        return None
    gap = abs(_mean(choice.best) - _mean(choice.leader))
    return f"{_start(title(choice.best))} scores {number(gap)} better but is outside your limits."


def more_data(choice: Choice) -> str | None:
    """Say that the comparison is not settled."""
    undecided = [
        title(row)
        for row in choice.board.rows
        if row.verdict == "undecided" and row.name not in (choice.row.name, choice.best.name)
    ]
    if not undecided:
        return None
    names = ", ".join(undecided)
    return f"More rows, folds or repeats could change it: the gap to {names} is not settled."


def other_limits(choice: Choice) -> str | None:
    """Name the latency at which the advice would flip."""
    p95 = choice.row.latency_ms_p95
    # a fifth below, because latencies vary by that much from run to run
    limit = None if p95 is None else 0.8 * p95
    faster = [
        row
        for row in choice.board.rows
        if row.name in choice.board.scores
        and row.family != "baseline"
        and row.latency_ms_p95 is not None
        and limit is not None
        and row.latency_ms_p95 < limit
    ]
    if not faster or limit is None:
        return None
    best = min(faster, key=lambda row: choice.board.rows.index(row))
    return (
        f"A limit below {limit:.2g} ms a row would make it {title(best)} "
        f"({choice.board.metric.label} {number(best.score_mean)})."
    )


def unfinished(choice: Choice) -> str | None:
    """Name the candidates that could not be compared."""
    missing = [row for row in choice.board.rows if row.name not in choice.board.scores]
    if not missing:
        return None
    names = ", ".join(map(title, missing))
    return f"Not compared: {names}; more time, or a cure for what failed, could change it."


def tuning(choice: Choice) -> str | None:
    """Remind that defaults were compared."""
    if choice.row.family == "baseline":
        return None
    return (
        "All candidates ran with fixed settings; tuning helps some families more than others, "
        "most of all neural networks."
    )


def cost(choice: Choice) -> str:
    """Say what the recommended model costs."""
    row = choice.row
    parts = []
    if row.fit_seconds is not None:
        memory = "" if row.peak_memory_bytes is None else f" and {size(row.peak_memory_bytes)}"
        parts.append(f"one fit takes {duration(row.fit_seconds)}{memory}")
    if row.latency_ms_p50 is not None and row.latency_ms_p95 is not None:
        parts.append(
            f"one row takes {row.latency_ms_p50:.2g} ms (95 % within {row.latency_ms_p95:.2g} ms)"
        )
    if row.model_bytes is not None:
        parts.append(f"the model has {size(row.model_bytes)}")
    return f"{_start('; '.join(parts))}." if parts else "Its cost was not measured."


def deep_learning(choice: Choice) -> str:
    """Answer whether the data want deep learning or traditional machine learning."""
    board = choice.board
    scored = [row for row in board.rows if row.name in board.scores]
    deep = [row for row in scored if row.family in _DEEP_FAMILIES]
    usual = [row for row in scored if row.family not in (*_DEEP_FAMILIES, "baseline")]
    if not deep or not usual:
        missing = "neural network" if not deep else "traditional model"
        return f"Deep learning against traditional machine learning is open: no {missing} finished."
    net, other = deep[0], usual[0]
    advantage = corrected_posterior(
        board.scores[net.name] - board.scores[other.name], board.test_to_train
    )
    below, within_rope, above = advantage.split(board.equivalence)
    gap = number(abs(advantage.mean))
    label = board.metric.label
    if within_rope >= max(below, above):
        return (
            f"Deep learning and traditional machine learning are about equal here: {title(net)} "
            f"and {title(other)} differ by {gap} in {label}, "
            f"practically equal with {percent(within_rope)} probability."
        )
    better, worse, sure = (net, other, above) if above > below else (other, net, below)
    kind = "Deep learning" if better is net else "Traditional machine learning"
    if sure < _LIKELY:
        return (
            "Deep learning against traditional machine learning is not settled here: "
            f"{title(better)} has a {label} {gap} better than {title(worse)}, "
            f"but relevantly better only with {percent(sure)} probability."
        )
    certainty = "is the better choice here" if sure >= 0.95 else "looks better here"
    return (
        f"{kind} {certainty}: {title(better)} has a {label} {gap} better than {title(worse)}, "
        f"relevantly better with {percent(sure)} probability."
    )


def alternatives(choice: Choice) -> tuple[dict[str, str], ...]:
    """Name other candidates worth a look, with the reason."""
    found: dict[str, tuple[LeaderboardRow, str]] = {}
    board, row = choice.board, choice.row
    scored = [one for one in board.rows if one.name in board.scores]
    others = [one for one in scored if one.name != row.name and one.family != "baseline"]
    for one in others:
        gap = number(abs(_mean(one) - _mean(row)))
        better = _is_better(choice, one)
        word = "better" if better else "worse"
        if one in choice.equals:
            found[one.name] = (one, f"Practically equal in {board.metric.label}.")
        elif better:
            outside = "" if within(one, choice.limits) else ", but outside your limits"
            found[one.name] = (one, f"Scores {gap} better{outside}.")
        elif one.family == "linear":
            found[one.name] = (one, f"Can be read as a table of weights; scores {gap} {word}.")
        elif one.latency_ms_p50 is not None and cost_key(one) < cost_key(row):
            found[one.name] = (one, f"Answers faster; scores {gap} {word}.")
        elif one.verdict == "undecided":
            found[one.name] = (one, f"Scores {gap} {word}, which may be chance.")
    return tuple(
        {"name": one.name, "family": one.family, "reason": reason} for one, reason in found.values()
    )


def _is_better(choice: Choice, row: LeaderboardRow) -> bool:
    scores = choice.board.scores
    return bool(scores[row.name].mean() > scores[choice.row.name].mean())


def _dearer(choice: Choice) -> str:
    leader, row = choice.leader, choice.row
    if leader.latency_ms_p50 is not None and row.latency_ms_p50 is not None:
        return f"needs {leader.latency_ms_p50:.2g} ms a row instead of {row.latency_ms_p50:.2g} ms"
    return (
        f"takes {duration(leader.fit_seconds or 0.0)} a fit instead of "
        f"{duration(row.fit_seconds or 0.0)}"
    )


def _mean(row: LeaderboardRow) -> float:
    return float("nan") if row.score_mean is None else row.score_mean


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def number(value: float | None) -> str:
    """Return a score with three significant digits."""
    return "unknown" if value is None else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return seconds in a unit that reads well."""
    if seconds < 1:
        return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def size(n_bytes: int) -> str:
    """Return bytes in a unit that reads well."""
    value = float(n_bytes)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return (
                f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
            )
        value /= 1000
    return f"{value:.1f} GB"


RULES: tuple[Rule, ...] = (
    Rule("limits_missed", "reason", limits_missed),
    Rule("best_score", "reason", best_score),
    Rule("chosen_for_cost", "reason", chosen_for_cost),
    Rule("nearest_rival", "reason", nearest_rival),
    Rule("beats_the_prior", "reason", beats_the_prior),
    Rule("readable", "reason", readable),
    Rule("limits_kept", "reason", limits_kept),
    Rule("more_data", "would_change", more_data),
    Rule("other_limits", "would_change", other_limits),
    Rule("unfinished", "would_change", unfinished),
    Rule("tuning", "would_change", tuning),
)
