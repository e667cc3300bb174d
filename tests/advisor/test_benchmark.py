import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict

from mlfund.advisor import runners
from mlfund.advisor._child import describe
from mlfund.advisor.benchmark import Benchmark, Measured
from mlfund.advisor.budget import Budget, Unlimited
from mlfund.advisor.candidates import CANDIDATES, Setting, get_candidate
from mlfund.advisor.importance import permutation_importance
from mlfund.advisor.leaderboard import make_leaderboard
from mlfund.advisor.progress import Progress
from mlfund.advisor.scores import METRICS
from mlfund.advisor.work import Data, Work, perform
from mlfund.folds import FoldPlan

SETTING = Setting("classification", 569)


@pytest.fixture(scope="module")
def data():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return Data(X, y.to_numpy(), "classification", np.array([0, 1]))


@pytest.fixture(scope="module")
def plan(data):
    return FoldPlan.make(data.y, task="classification", n_folds=3, random_state=0)


class Scripted:
    """A runner that plays events instead of fitting."""

    isolated = True

    def __init__(self, script):
        self.script, self.asked = script, []

    def run(self, work, budget):
        self.asked.append(work.candidate)
        yield from (dict(event) for event in self.script[work.candidate])

    def close(self):
        pass


def fold(score, seconds=0.1):
    return {"event": "fold", "fit_seconds": seconds, "metrics": {"log_loss": score}}


def run_script(data, plan, script, budget=None):
    budget = budget or Unlimited()
    runner = Scripted(script)
    candidates = [one for one in CANDIDATES["classification"] if one.name in script]
    progress = Progress(99, None, budget.start)
    benchmark = Benchmark(data, plan, SETTING, runner, budget, progress)
    finished = []
    benchmark.run(candidates, lambda: finished.append(len(benchmark.measured)))
    return {one.candidate.name: one for one in benchmark.measured}, runner, finished


def test_failures_stops_and_successes_become_rows(data, plan):
    script = {
        "prior": [fold(0.6), fold(0.6), fold(0.6), {"event": "costs", "model_bytes": 5}],
        "logistic_regression": [fold(0.3), {"event": "failed", "message": "ValueError: no"}],
        "xgboost": [fold(0.2), fold(0.2), {"event": "stopped"}],
        "mlp": [{"event": "stopped"}],
    }
    rows, _, finished = run_script(data, plan, script, Budget(60))
    assert rows["prior"].status == "ok"
    assert rows["prior"].costs == {"model_bytes": 5}
    assert rows["logistic_regression"].status == "failed: ValueError: no"
    assert (
        rows["xgboost"].status == "partial: 2 of 3 folds, then the time budget of 60 s was used up"
    )
    assert rows["mlp"].status.startswith("skipped: the time budget of 60 s was used up before")
    assert finished == [1, 2, 3, 4]


def test_without_time_only_the_baseline_runs(data, plan):
    script = {name: [fold(0.5)] * 3 for name in ("prior", "logistic_regression", "mlp")}
    rows, runner, _ = run_script(data, plan, script, Budget(1e-9))
    assert runner.asked == ["prior"]
    assert rows["prior"].status == "ok"
    assert rows["mlp"].status == "skipped: the time budget of 1e-09 s was used up"


def test_time_for_the_last_fit_is_kept_back(data, plan):
    budget = Budget(1000)
    script = {
        "prior": [fold(0.6, seconds=0.1)] * 3,
        "xgboost": [fold(0.2, seconds=10.0)] * 3,
        "mlp": [fold(0.4, seconds=50.0), {"event": "stopped"}],
    }
    run_script(data, plan, script, budget)
    # 1.5 x the slowest candidate that can still be recommended
    assert budget.reserved_seconds == pytest.approx(15.5)


def test_a_limit_stops_the_running_child_within_seconds(data, plan):
    runner = runners.Isolated(data, 1)
    budget = Budget(1.0)
    work = Work("prior", SETTING, list(plan) * 10_000)
    start = time.monotonic()
    try:
        events = list(runner.run(work, budget))
    finally:
        runner.close()
    assert events[-1] == {"event": "stopped"}
    assert time.monotonic() - start < 5


def test_a_child_does_the_same_as_this_process(data, plan):
    work = Work("logistic_regression", SETTING, list(plan), costs=True)
    runner = runners.Isolated(data, 1)
    try:
        events = list(runner.run(work, Unlimited()))
    finally:
        runner.close()
    here = list(perform(work, data))
    assert [one["event"] for one in events] == ["ready", "fold", "fold", "fold", "costs"]
    for there, mine in zip(events[1:4], here[:3], strict=True):
        assert there["metrics"] == mine["metrics"]
        assert there["peak_memory_bytes"] >= 0
    costs = events[-1]
    assert 0 < costs["latency_ms_p50"] <= costs["latency_ms_p95"]
    assert costs["model_bytes"] > 1000


class Killer:
    """An object that kills the process that unpickles it, as the system does for want of memory."""

    def __reduce__(self):
        return eval, ("__import__('os').kill(__import__('os').getpid(), 9)",)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_child_is_a_failure_and_not_the_end(data):
    runner = runners.Isolated(Data(Killer(), data.y, data.task, data.classes), 1)
    try:
        events = list(runner.run(Work("prior", SETTING, []), Unlimited()))
    finally:
        runner.close()
    assert events[-1]["event"] == "failed"
    assert "want of memory" in events[-1]["message"]


def test_an_error_of_a_candidate_is_told_in_one_line(data, plan):
    setting = Setting("classification", 569, device="cuda:99")
    for runner in (runners.InProcess(data), runners.Isolated(data, 1)):
        events = list(runner.run(Work("xgboost", setting, list(plan)), Unlimited()))
        runner.close()
        assert events[-1]["event"] == "failed"
        assert events[-1]["message"].startswith("ValueError: device='cuda:99'")
    assert describe(ValueError("x" * 500)).endswith("...")
    assert len(describe(ValueError("x" * 500))) == 200
    assert describe(MemoryError()) == "MemoryError"


def test_a_child_ends_with_its_parent(data, tmp_path):
    runner = runners.Isolated(data, 1)
    plan = [(np.arange(500), np.arange(500, 569))] * 100_000
    runner._write("work.pickle", Work("prior", SETTING, plan))
    child = subprocess.Popen(
        [sys.executable, "-m", "mlfund.advisor._child", runner._folder.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=runner._environment,
    )
    assert b"ready" in child.stdout.readline()
    child.stdin.close()
    child.stdout.read()
    assert child.wait(timeout=20) == 1
    child.stdout.close()
    runner.close()


def test_threads_of_a_child_are_limited(data):
    runner = runners.Isolated(data, 3)
    assert runner._environment["OMP_NUM_THREADS"] == "3"
    assert runner._environment["OMP_WAIT_POLICY"] == os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
    runner.close()


def measured(name, scores, status="ok"):
    one = Measured(get_candidate(name, "classification"), status)
    one.metrics = [{"log_loss": score} for score in scores]
    one.fit_seconds = [1.0] * len(scores)
    return one


def test_leaderboard_orders_compares_and_crowns():
    board = make_leaderboard(
        [
            measured("prior", [0.60, 0.61, 0.62, 0.60, 0.61]),
            measured("mlp", [], "failed: MemoryError"),
            measured("xgboost", [0.20, 0.21, 0.22, 0.20, 0.21]),
            measured("random_forest", [0.201, 0.211, 0.221, 0.201, 0.210]),
            measured("logistic_regression", [0.19, 0.20], "partial: 2 of 5 folds, then ..."),
        ],
        METRICS["log_loss"],
        0.01,
        0.2,
    )
    assert [row.name for row in board.rows] == [
        "xgboost",
        "random_forest",
        "prior",
        "logistic_regression",
        "mlp",
    ]
    rows = {row.name: row for row in board.rows}
    assert rows["xgboost"].diff_to_best == 0.0
    assert rows["xgboost"].verdict == "practically_equal"  # the forest keeps up
    assert rows["random_forest"].verdict == "practically_equal"
    assert rows["prior"].verdict == "worse"
    assert rows["prior"].diff_to_best == pytest.approx(0.4)
    low, high = rows["prior"].diff_ci95
    assert low <= 0.4 <= high
    assert rows["logistic_regression"].diff_to_best == pytest.approx(-0.01)
    assert rows["mlp"].verdict is None
    assert set(board.scores) == {"xgboost", "random_forest", "prior"}


def test_partial_candidates_count_while_nothing_better_is_complete():
    board = make_leaderboard(
        [
            measured("prior", [0.60, 0.61, 0.62]),
            measured("xgboost", [0.20, 0.21], "partial: 2 of 3 folds"),
        ],
        METRICS["log_loss"],
        0.01,
        1 / 3,
    )
    assert board.rows[0].name == "xgboost"
    assert {name: len(scores) for name, scores in board.scores.items()} == {
        "prior": 2,
        "xgboost": 2,
    }


def test_differences_keep_the_sign_of_the_metric():
    a, b = measured("xgboost", [0]), measured("mlp", [0])
    a.metrics = [{"roc_auc": score} for score in (0.9, 0.91, 0.92)]
    b.metrics = [{"roc_auc": score} for score in (0.8, 0.81, 0.83)]
    board = make_leaderboard([a, b], METRICS["roc_auc"], 0.01, 1 / 3)
    row = board.row("mlp")
    assert row.diff_to_best == pytest.approx(-0.29 / 3)
    assert row.diff_ci95[0] < row.diff_to_best < row.diff_ci95[1] < 0


def test_permuting_a_column_costs_what_the_model_makes_of_it():
    generator = np.random.default_rng(0)
    X = pd.DataFrame(generator.normal(size=(2000, 3)), columns=["strong", "weak", "none"])
    y = (3 * X["strong"] + X["weak"]).to_numpy()
    data = Data(X, y, "regression", None)
    model = LinearRegression().fit(X[:1000], y[:1000])
    columns = permutation_importance(model, data, np.arange(1000, 2000), "rmse", 0)
    assert [column["feature"] for column in columns] == ["strong", "weak", "none"]
    # permuting x_j makes the error beta_j (x_j - x_j'), of variance 2 beta_j^2
    assert columns[0]["mean"] == pytest.approx(3 * 2**0.5, rel=0.05)
    assert columns[1]["mean"] == pytest.approx(2**0.5, rel=0.05)
    assert columns[2]["mean"] == pytest.approx(0, abs=1e-6)


def test_scores_are_those_of_cross_validation(data, plan):
    """The benchmark's folds give what scikit-learn's cross-validation gives."""
    work = Work("logistic_regression", SETTING, list(plan))
    right = [event["metrics"]["accuracy"] for event in perform(work, data)]
    model = get_candidate("logistic_regression", "classification").build(SETTING)
    predicted = cross_val_predict(model, data.X, data.y, cv=list(plan))
    expected = [np.mean(predicted[test] == data.y[test]) for _, test in plan]
    np.testing.assert_allclose(right, expected)


def test_progress_estimates_from_the_pace_and_the_budget():
    events = []
    now = time.monotonic()
    progress = Progress(4, events.append, now - 10.0, now + 5.0)
    progress.now("first")
    progress.step()
    progress.now("second")
    progress.step(10)
    progress.now("last")
    assert events[0].seconds_left_estimate is None
    assert events[1].seconds_left_estimate == pytest.approx(5.0, abs=0.5)
    assert (events[2].done, events[2].seconds_left_estimate) == (4, 0.0)
