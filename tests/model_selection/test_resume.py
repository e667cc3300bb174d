"""A search that was killed trains only what was in flight, and ends as if nothing had happened."""

import json
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedRandomizedSearchCV,
    LogisticRegression,
)

X, Y = make_classification(160, 6, n_informative=4, random_state=0)
MODEL = Pipeline([("scaler", StandardScaler()), ("model", LogisticRegression(tol=1e-10))])
# Trained in stacks, and one by one.
GRID = [
    {"model__C": [0.1, 1.0, 10.0]},
    {"model": [KNeighborsClassifier()], "model__n_neighbors": [1, 5]},
]
N_MODELS, N_STACKED, N_SPLITS = 5 * 2, 3, 2


class Killed(BaseException):
    """Stands for kill -9: nothing in a search expects it."""


class Scoring:
    """Two scores; counts models in memory or in a file, takes its time, and may kill."""

    seen = 0
    kill_at = None

    def __init__(self, log=None, seconds=0.0):
        self.log = log
        self.seconds = seconds

    def __call__(self, model, rows, labels):
        Scoring.seen += 1
        if Scoring.seen == Scoring.kill_at:
            raise Killed
        time.sleep(self.seconds)
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write("1\n")
        return {
            "accuracy": accuracy_score(labels, model.predict(rows)),
            "neg_log_loss": -log_loss(labels, model.predict_proba(rows)),
        }


@pytest.fixture(autouse=True)
def _nobody_is_killed():
    Scoring.seen, Scoring.kill_at = 0, None
    yield
    Scoring.seen, Scoring.kill_at = 0, None


def make_search(folder=None, scoring=None, **options):
    options = {"cv": N_SPLITS, "refit": "accuracy", "return_train_score": False, **options}
    scoring = Scoring() if scoring is None else scoring
    return BatchedGridSearchCV(MODEL, GRID, scoring=scoring, checkpoint_dir=folder, **options)


def table(search):
    """All of the table but times, as plain numbers."""
    return {
        name: np.asarray(values).tolist()
        for name, values in search.cv_results_.items()
        if "_time" not in name and not name.startswith("param")
    }


def assert_same(table, expected):
    assert table.keys() == expected.keys()
    for name, values in expected.items():
        # a stack that lacks what was finished rounds otherwise
        np.testing.assert_allclose(table[name], values, rtol=0, atol=1e-7, err_msg=name)


@pytest.fixture(scope="module")
def whole():
    return table(make_search().fit(X, Y))


def fit_killed(search, at):
    Scoring.seen, Scoring.kill_at = 0, at
    with pytest.raises(Killed):
        search.fit(X, Y)
    Scoring.seen, Scoring.kill_at = 0, None


# --- kill -9 ----------------------------------------------------------------------------


def search_and_save(folder, log, target):
    search = make_search(folder, Scoring(log, seconds=0.03)).fit(X, Y)
    target.write_text(json.dumps(table(search)))


def process_of(*arguments):
    context = multiprocessing.get_context("forkserver")
    # What a child would else import anew each time.
    context.set_forkserver_preload(
        ["pytest", "mlfund.model_selection.search", "mlfund.model_selection._stored_scores"]
    )
    process = context.Process(target=search_and_save, args=arguments)
    process.start()
    return process


def n_scored(log):
    return len(log.read_text().splitlines()) if log.exists() else 0


# More take longer: MLFUND_KILLS=10 pytest tests/model_selection/test_resume.py
N_KILLS = int(os.environ.get("MLFUND_KILLS", "2"))


def test_a_search_killed_at_random_moments_loses_what_was_in_flight(tmp_path, whole):
    chance = random.Random(3)
    folder, log, target = tmp_path / "kept", tmp_path / "log", tmp_path / "table.json"
    for kill in range(N_KILLS):
        process = process_of(folder, log, target)
        # the last models are left to the run that ends
        until = n_scored(log) + chance.randint(1, max(1, (N_MODELS - 4) // N_KILLS))
        while n_scored(log) < until and process.is_alive():
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, kill
    process = process_of(folder, log, target)
    process.join()
    assert process.exitcode == 0
    assert_same(json.loads(target.read_text()), whole)
    assert not list(folder.iterdir())
    # a stack of a split is kept as a whole
    assert n_scored(log) <= N_MODELS + N_KILLS * N_STACKED


def test_two_runs_of_one_search_do_not_disturb_each_other(tmp_path, whole):
    folder, targets = tmp_path / "kept", [tmp_path / "one.json", tmp_path / "two.json"]
    processes = [process_of(folder, tmp_path / "log", target) for target in targets]
    for process, target in zip(processes, targets, strict=True):
        process.join()
        assert process.exitcode == 0
        assert_same(json.loads(target.read_text()), whole)
    assert not list(folder.iterdir())


# --- kills that need no process ------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, N_MODELS + 1, 3))
def test_a_kill_at_any_model_costs_that_model_or_its_stack(tmp_path, whole, at):
    fit_killed(make_search(tmp_path), at)
    resumed = make_search(tmp_path).fit(X, Y)
    assert_same(table(resumed), whole)
    kept = N_MODELS - Scoring.seen
    finished = at - 1
    in_flight = finished % N_STACKED if finished < N_STACKED * N_SPLITS else 0
    assert kept == finished - in_flight
    assert not list(tmp_path.iterdir())


def test_a_kill_in_the_refit_costs_no_scores(tmp_path, whole, monkeypatch):
    def killed(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(BatchedGridSearchCV, "_refit", killed)
        fit_killed(make_search(tmp_path), None)
    Scoring.seen = 0
    assert_same(table(make_search(tmp_path).fit(X, Y)), whole)
    assert Scoring.seen == 0


def test_an_ended_search_is_not_resumed(tmp_path):
    make_search(tmp_path).fit(X, Y)
    make_search(tmp_path).fit(X, Y)
    assert Scoring.seen == 2 * N_MODELS


def moved(array):
    other = array.copy()
    other[0, 0] += 1e-9
    return other


@pytest.mark.parametrize(
    ("options", "X", "Y"),
    [
        ({}, moved(X), Y),
        ({}, X, 1 - Y),
        ({"cv": KFold(2)}, X, Y),
        ({"cv": StratifiedKFold(2, shuffle=True, random_state=0)}, X, Y),
        ({"return_train_score": True}, X, Y),
        ({"error_score": 0.0}, X, Y),
        ({"scoring": Scoring(seconds=1e-6)}, X, Y),
    ],
    ids=["X", "y", "cv", "shuffled cv", "train scores", "error_score", "scoring"],
)
def test_a_changed_search_begins_anew(tmp_path, options, X, Y):
    fit_killed(make_search(tmp_path), N_MODELS - 1)
    make_search(tmp_path, **options).fit(X, Y)
    n_scores = 2 if "return_train_score" in options else 1
    assert Scoring.seen == N_MODELS * n_scores


def test_a_changed_parameter_of_the_estimator_begins_anew(tmp_path):
    fit_killed(make_search(tmp_path), N_MODELS - 1)
    search = make_search(tmp_path)
    search.set_params(estimator__model__tol=1e-9).fit(X, Y)
    assert Scoring.seen == N_MODELS


def test_changed_weights_begin_anew(tmp_path):
    grid = {"model__C": [0.1, 1.0]}
    search = make_search(tmp_path).set_params(param_grid=grid, refit=False)
    weights = np.linspace(0.5, 1.5, 160)
    Scoring.kill_at = 4
    with pytest.raises(Killed):
        search.fit(X, Y, model__sample_weight=weights)
    Scoring.seen, Scoring.kill_at = 0, None
    search.fit(X, Y, model__sample_weight=weights[::-1])
    assert Scoring.seen == 4


def test_what_n_jobs_and_verbose_say_does_not_count(tmp_path, whole, capsys):
    fit_killed(make_search(tmp_path), N_MODELS)
    search = make_search(tmp_path, n_jobs=2, verbose=1).fit(X, Y)
    assert_same(table(search), whole)
    assert f"{N_MODELS}/{N_MODELS} models done ({N_MODELS - 1} of them before)" in (
        capsys.readouterr().out
    )


def test_halving_goes_on_in_the_round_it_was_in(tmp_path):
    def halving(folder):
        return BatchedHalvingGridSearchCV(
            MODEL,
            GRID,
            scoring=last_score,
            cv=N_SPLITS,
            random_state=0,
            min_resources=50,
            checkpoint_dir=folder,
        )

    expected = table(halving(None).fit(X, Y))
    total = Scoring.seen
    # in the second round; halving scores training rows too
    fit_killed(halving(tmp_path), 2 * N_MODELS + 2)
    resumed = halving(tmp_path).fit(X, Y)
    assert_same(table(resumed), expected)
    assert Scoring.seen <= total - 2 * N_MODELS
    assert not list(tmp_path.iterdir())


def last_score(model, rows, labels):
    return Scoring()(model, rows, labels)["neg_log_loss"]


def test_drawn_candidates_need_a_seed(tmp_path):
    def drawn(seed):
        return BatchedRandomizedSearchCV(
            MODEL, GRID[0], n_iter=2, cv=2, random_state=seed, checkpoint_dir=tmp_path
        )

    with pytest.raises(ValueError, match="same candidates"):
        drawn(None).fit(X, Y)
    with pytest.raises(ValueError, match="same splits"):
        make_search(tmp_path, cv=KFold(2, shuffle=True)).fit(X, Y)
    drawn(0).fit(X, Y)
