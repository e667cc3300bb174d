from dataclasses import replace

import pytest

from mlfund.advisor import rules
from mlfund.advisor._words import percent
from mlfund.advisor.benchmark import Measured
from mlfund.advisor.candidates import get_candidate
from mlfund.advisor.choice import Limits, choose
from mlfund.advisor.leaderboard import make_leaderboard
from mlfund.advisor.scores import METRICS

NOISE = (0.000, 0.002, -0.001, 0.001, -0.002)
# log-loss, milliseconds a row
STANDARD = {
    "prior": (0.60, 0.1),
    "logistic_regression": (0.35, 1.0),
    "random_forest": (0.303, 20.0),
    "mlp": (0.32, 2.0),
    "xgboost": (0.30, 5.0),
}


def measured(name, mean, latency, n_folds=5, noise=NOISE):
    one = Measured(get_candidate(name, "classification"))
    one.metrics = [{"log_loss": mean + shift} for shift in noise[:n_folds]]
    one.fit_seconds = [0.5] * n_folds
    if latency is not None:
        one.costs = {
            "latency_ms_p50": latency,
            "latency_ms_p95": 2 * latency,
            "model_bytes": 12_345,
        }
    return one


def choice_of(table=None, limits=None, extra=(), **changed):
    table = (STANDARD if table is None else table) | changed
    rows = [measured(name, *known) for name, known in table.items()]
    board = make_leaderboard([*rows, *extra], METRICS["log_loss"], 0.005, 0.2)
    return choose(board, limits or Limits())


def test_the_best_score_is_chosen():
    choice = choice_of(random_forest=(0.33, 20.0))
    assert choice.row.name == "xgboost"
    assert choice.confidence > 0.99
    assert rules.best_score(choice) == "It has the best log-loss of 5 candidates."


def test_of_practically_equal_ones_the_cheapest_is_chosen():
    choice = choice_of(mlp=(0.302, 2.0))
    assert {row.name for row in choice.equals} == {"xgboost", "random_forest", "mlp"}
    assert choice.row.name == "mlp"
    sentence = rules.chosen_for_cost(choice)
    assert sentence.startswith("Gradient boosted trees (XGBoost) scores 0.002 better")
    assert "practically equal (within 0.005)" in sentence
    assert "needs 5 ms a row instead of 2 ms" in sentence
    assert rules.best_score(choice) is None
    assert rules.nearest_rival(choice) is None


def test_without_latencies_the_quicker_fit_breaks_the_tie():
    fast = measured("xgboost", 0.301, None)
    fast.fit_seconds = [0.1] * 5
    slow = measured("random_forest", 0.300, None)
    board = make_leaderboard([fast, slow], METRICS["log_loss"], 0.005, 0.2)
    choice = choose(board, Limits())
    assert choice.row.name == "xgboost"
    assert "takes 500 ms a fit instead of 100 ms" in rules.chosen_for_cost(choice)


def test_undecided_is_no_tie():
    rival = measured("mlp", 0.301, 0.5, noise=(0.02, -0.03, 0.01, 0.03, -0.02))
    board = make_leaderboard(
        [measured("xgboost", 0.30, 5.0), rival], METRICS["log_loss"], 0.005, 0.2
    )
    choice = choose(board, Limits())
    assert choice.row.name == "xgboost"
    assert 0.4 < choice.confidence < 0.95
    assert "so this may be chance" in rules.nearest_rival(choice)
    assert "the gap to a neural network (multi-layer perceptron) is not settled" in rules.more_data(
        choice
    )


def test_a_latency_limit_is_honoured_and_its_price_told():
    choice = choice_of(limits=Limits(max_latency_ms=5.0))
    assert choice.row.name == "mlp"
    assert choice.limits_met
    assert rules.limits_missed(choice) is None
    assert rules.limits_kept(choice) == (
        "Gradient boosted trees (XGBoost) scores 0.02 better but is outside your limits."
    )
    # confidence is among the candidates that keep to the limit
    assert choice.confidence > 0.99


def test_a_limit_nobody_keeps_is_told():
    choice = choice_of(limits=Limits(max_latency_ms=0.01))
    assert not choice.limits_met
    assert choice.row.name == "logistic_regression"
    assert rules.limits_missed(choice) == (
        "No candidate answers 95 % of single rows within 0.01 ms; this one comes nearest."
    )


def test_interpretable_means_linear():
    choice = choice_of(limits=Limits(interpretable=True))
    assert choice.row.name == "logistic_regression"
    assert "as you asked" in rules.readable(choice)
    assert rules.readable(choice_of()) is None


def test_nothing_readable_is_told():
    table = {"xgboost": (0.3, 5.0), "mlp": (0.32, 2.0)}
    choice = choice_of(table, Limits(interpretable=True))
    assert rules.limits_missed(choice) == "No candidate can be read; this one comes nearest."


def test_the_prior_can_win():
    table = {name: (0.60 + i / 100, 1.0 + i) for i, name in enumerate(STANDARD)}
    choice = choice_of(table)
    assert choice.row.family == "baseline"
    assert rules.summary(choice).startswith("No model was found to beat the prior alone")
    assert rules.beats_the_prior(choice) is None
    assert rules.tuning(choice) is None


def test_a_baseline_without_rivals_proves_nothing():
    skipped = Measured(get_candidate("mlp", "classification"), "skipped: no time")
    choice = choice_of({"prior": (0.6, 0.1)}, extra=[skipped])
    assert rules.summary(choice).startswith("Only the prior alone, without any column could be")


def test_nearest_rival_gives_gap_and_interval():
    choice = choice_of(random_forest=(0.33, 20.0))
    assert rules.nearest_rival(choice) == (
        "It is 0.02 better than a neural network (multi-layer perceptron) "
        "(95 % interval 0.02 to 0.02)."
    )


def test_the_worth_of_the_columns_is_told():
    assert rules.beats_the_prior(choice_of()) == "Without any column the log-loss would be 0.6."


@pytest.mark.parametrize(
    ("mlp", "said"),
    [
        (0.32, "Traditional machine learning is the better choice here: gradient boosted trees"),
        (0.28, "Deep learning is the better choice here: a neural network"),
        (0.301, "Deep learning and traditional machine learning are about equal here"),
    ],
)
def test_deep_learning_is_judged(mlp, said):
    assert rules.deep_learning(choice_of(mlp=(mlp, 2.0))).startswith(said)


def test_an_unsettled_difference_is_not_called_a_winner():
    noisy = measured("mlp", 0.32, 2.0, noise=(0.06, -0.05, 0.03, 0.05, -0.06))
    table = {name: known for name, known in STANDARD.items() if name != "mlp"}
    said = rules.deep_learning(choice_of(table, extra=[noisy]))
    assert said.startswith("Deep learning against traditional machine learning is not settled")


def test_deep_learning_stays_open_without_a_network():
    table = {name: known for name, known in STANDARD.items() if name != "mlp"}
    said = rules.deep_learning(choice_of(table))
    assert said.endswith("no neural network finished.")
    assert rules.deep_learning(choice_of({"mlp": (0.3, 1.0)})).endswith(
        "no traditional model finished."
    )


def test_what_was_not_compared_is_told():
    failed = Measured(get_candidate("mlp", "classification"), "failed: MemoryError")
    table = {name: known for name, known in STANDARD.items() if name != "mlp"}
    choice = choice_of(table, extra=[failed])
    assert rules.unfinished(choice).startswith("Not compared: a neural network")
    assert rules.unfinished(choice_of()) is None


def test_the_latency_at_which_the_advice_flips_is_told():
    choice = choice_of(random_forest=(0.33, 20.0))
    assert rules.other_limits(choice) == (
        "A limit below 8 ms a row would make it a neural network (multi-layer perceptron) "
        "(log-loss 0.32)."
    )


def test_cost_in_words():
    choice = choice_of(random_forest=(0.33, 20.0))
    assert rules.cost(choice) == (
        "One fit takes 500 ms; one row takes 5 ms (95 % within 10 ms); the model has 12 kB."
    )
    unknown = replace(choice, row=replace(choice.row, fit_seconds=None, latency_ms_p50=None))
    assert rules.cost(replace(unknown, row=replace(unknown.row, model_bytes=None))) == (
        "Its cost was not measured."
    )


def test_alternatives_have_reasons():
    choice = choice_of()
    found = {one["name"]: one["reason"] for one in rules.alternatives(choice)}
    assert found["random_forest"] == "Practically equal in log-loss."
    assert found["logistic_regression"] == "Can be read as a table of weights; scores 0.05 worse."
    assert found["mlp"] == "Answers faster; scores 0.02 worse."
    assert "prior" not in found
    limited = choice_of(limits=Limits(max_latency_ms=5.0))
    found = {one["name"]: one["reason"] for one in rules.alternatives(limited)}
    assert found["xgboost"] == "Scores 0.02 better, but outside your limits."


def test_one_candidate_has_no_confidence():
    choice = choice_of({"xgboost": (0.3, 5.0)})
    assert choice.confidence is None
    assert rules.summary(choice).endswith("over 5 folds.")
    assert rules.best_score(choice) is None


def test_no_candidate_no_choice():
    board = make_leaderboard([], METRICS["log_loss"], 0.005, 0.2)
    assert choose(board, Limits()) is None


def test_every_rule_is_listed_once_and_recommend_uses_them():
    codes = [rule.code for rule in rules.RULES]
    assert len(set(codes)) == len(codes)
    said = rules.recommend(choice_of(random_forest=(0.33, 20.0)))
    assert said.name == "xgboost"
    assert len(said.reasons) == 3
    assert all(sentence.endswith(".") for sentence in (*said.reasons, *said.would_change))


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "over 99.9 %"), (0.0, "under 0.1 %"), (0.5, "50 %"), (0.987, "98.7 %")],
)
def test_no_probability_is_certainty(probability, text):
    assert percent(probability) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(999, "999 bytes"), (1500, "1.5 kB"), (3e9, "3.0 GB"), (5e7, "50 MB")]
)
def test_sizes_read_well(n_bytes, text):
    assert rules.size(int(n_bytes)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12 ms"), (0.5, "500 ms"), (3.14, "3.1 s"), (75.2, "75 s")]
)
def test_durations_read_well(seconds, text):
    assert rules.duration(seconds) == text
