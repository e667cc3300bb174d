"""The best candidate of a search is that of the optima, where tolerances leave it open."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import BatchedGridSearchCV, LogisticRegression
from mlfund._solvers import stacked_grid
from mlfund._solvers.stacked_rows import FoldedDesign
from mlfund.model_selection import _linear_logistic
from mlfund.model_selection._near_ties import MOST, NearTies

X, Y = load_breast_cancer(return_X_y=True)


# The rule: scores that are off by an error, and a `train on` that takes the error away.


def contest(exact, error, bound, *, elsewhere=-np.inf):
    """Run a contest; return the means at its end and the models that were trained on."""
    ties = NearTies(len(exact), exact.shape[1], bound, "score", {None: elsewhere})
    scores = exact + error
    for (model, split), score in np.ndenumerate(scores):
        ties.note(model, split, score)
    rounds = []
    while numbers := ties.undecided():
        rounds.append(numbers)
        for model in numbers:
            scores[model] = exact[model]
            for split in range(exact.shape[1]):
                ties.note(model, split, exact[model, split])
    return scores.mean(axis=1), rounds


@settings(deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0.0, 1e-7, 1e-6, 3e-6, 1e-3, 0.1]), min_size=2, max_size=8),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1e-8, 1e-6]),
)
def test_the_best_is_that_of_the_exact_scores_or_as_good(gaps, seed, size):
    rng = np.random.RandomState(seed)
    exact = -0.3 - np.array(gaps)[:, None] + np.zeros((1, 5))
    # All are off by between half the size and the whole.
    error = size * rng.choice([-1, 1], exact.shape) * rng.uniform(0.5, 1, exact.shape)
    found, rounds = contest(exact, error, bound=1e-4)
    assert exact.mean(axis=1)[found.argmax()] == exact.mean(axis=1).max()
    asked = [number for numbers in rounds for number in numbers]
    assert len(set(asked)) == len(asked)


def test_a_clear_best_costs_nothing():
    exact = np.array([[0.9, 0.8], [0.5, 0.6], [0.7, 0.8]])
    assert contest(exact, 0.0, bound=1e-3)[1] == []


def test_two_decide_where_their_changes_show_that_the_others_are_behind():
    exact = -np.array([[0.300001], [0.3], [0.30001], [0.3001]])
    error = np.array([[2e-6], [0.0], [0.0], [0.0]])
    found, rounds = contest(exact, error, bound=1e-3)
    assert rounds == [[0, 1]]
    assert found.argmax() == 1


def test_the_number_of_models_is_bounded():
    exact = np.full((30, 3), 0.5)
    _, rounds = contest(exact, 0.0, bound=1e-3)
    assert sum(map(len, rounds)) == MOST


def test_models_behind_another_group_are_left_alone():
    exact = np.array([[0.9, 0.8], [0.9, 0.8]])
    assert contest(exact, 0.0, bound=1e-3, elsewhere=0.95)[1] == []
    assert contest(exact, 0.0, bound=1e-3, elsewhere=0.85)[1] == [[0, 1]]


def test_models_without_a_score_do_not_take_part():
    exact = np.array([[np.nan, 0.8], [0.85, 0.85], [np.nan, np.nan]])
    assert contest(exact, 0.0, bound=1e-3)[1] == []
    assert contest(np.full((2, 2), np.nan), 0.0, bound=1e-3)[1] == []


def test_each_of_several_scores_decides_where_none_is_named():
    ties = NearTies(3, 1, 1e-3, "other", {})
    for model, scores in enumerate([(0.5, 0.1), (0.5, 0.9), (0.1, 0.9)]):
        ties.note(model, 0, {"one": scores[0], "two": scores[1]})
    assert ties.undecided() == [0, 1]
    assert ties.undecided() == [2]
    assert ties.undecided() == []
    assert ties.best() == {"one": 0.5, "two": 0.9}


# In a search: the loose tolerance leaves the order open.


def search(model, grid, **options):
    return BatchedGridSearchCV(model, grid, **{"cv": 3, "refit": False, **options}).fit(X, Y)


def mean_scores(found):
    return found.cv_results_["mean_test_score"]


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 10**6), dtype=st.sampled_from([np.float32, np.float64]))
def test_near_ties_are_told_apart_whatever_the_tolerance(seed, dtype):
    """Values of C one part in a hundred apart, around the best one."""
    rng = np.random.RandomState(seed)
    columns, rows = rng.choice(30, 8, replace=False), rng.choice(len(X), 300, replace=False)
    given, y = X[rows][:, columns], Y[rows]
    Cs = 0.5 * 1.01 ** np.arange(-3, 4)
    rng.shuffle(Cs)
    scoring, cv = "neg_log_loss", 3

    def fitted(kind, tol):
        model = make_pipeline(StandardScaler(), LogisticRegression(tol=tol, max_iter=10_000))
        grid = {"logisticregression__C": Cs}
        return kind(model, grid, scoring=scoring, cv=cv, refit=False).fit(given, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacked_grid, "FLOAT32_WORK", 0 if dtype == np.float32 else np.inf)
        ours = fitted(BatchedGridSearchCV, 1e-3)
    exact = fitted(GridSearchCV, 1e-10)
    assert ours.best_params_ == exact.best_params_
    np.testing.assert_allclose(ours.best_score_, exact.best_score_, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("middle", "tol"), [(0.03, 1e-3), (3.0, 1e-4)])
def test_a_wrong_order_is_set_right(monkeypatch, middle, tol):
    """Without the contest these searches take another C."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=tol))
    grid = {"logisticregression__C": middle * 1.001 ** np.arange(-4, 4)}
    exact = clone(model).set_params(logisticregression__tol=1e-11)

    def best(model):
        found = BatchedGridSearchCV(model, grid, cv=3, scoring="roc_auc", refit=False)
        return found.fit(X[:, :10], Y).best_index_

    assert best(model) == best(exact)
    monkeypatch.setattr(_linear_logistic, "FINEST", np.inf)
    assert best(model) != best(exact)


def test_near_ties_with_an_l1_part_and_of_several_classes():
    labels = np.digitize(X[:, 0], [12, 15])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(solver="saga", tol=1e-2, max_iter=10_000)
    )
    grid = {
        "logisticregression__C": 0.3 * 1.01 ** np.arange(-2, 2),
        "logisticregression__l1_ratio": [0.0, 0.5],
    }
    exact = clone(model).set_params(logisticregression__tol=1e-9)
    for y in (Y, labels):
        ours, theirs = (
            BatchedGridSearchCV(one, grid, cv=3, scoring="neg_log_loss", refit=False).fit(
                X[:, 1:6], y
            )
            for one in (model, exact)
        )
        assert ours.best_params_ == theirs.best_params_
        np.testing.assert_allclose(ours.best_score_, theirs.best_score_, rtol=0, atol=1e-7)


def test_of_genuine_ties_the_first_is_best():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    found = search(model, {"logisticregression__C": [1.0, 1.0, 1.0000001, 1.0]})
    assert found.best_index_ == 0
    assert found.cv_results_["rank_test_score"][[0, 1, 3]].tolist() == [1, 1, 1]
    assert len(set(mean_scores(found)[[0, 1, 3]])) == 1


def test_all_that_is_told_of_a_model_is_of_where_it_ends():
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-2))
    scoring = {
        "stacked": "neg_log_loss",
        "seen": make_scorer(lambda y, p: -np.mean(np.abs(y - p)), response_method="predict_proba"),
    }
    grid = {"logisticregression__C": [0.3, 0.301, 30.0]}
    options = {"scoring": scoring, "return_train_score": True, "refit": "stacked"}
    loose = search(model, grid, **options).cv_results_
    tight = clone(model).set_params(logisticregression__tol=1e-10)
    exact = search(tight, grid, **options).cv_results_
    for kind in ("train", "test"):
        for name in scoring:
            column = f"mean_{kind}_{name}"
            np.testing.assert_allclose(loose[column][:2], exact[column][:2], rtol=0, atol=1e-7)
            assert abs(loose[column][2] - exact[column][2]) > 1e-7
    assert (loose["mean_fit_time"] > 0).all()
    assert loose["batched"].all()


def test_models_behind_steps_that_are_fitted_per_fold_stay_where_they_end():
    model = make_pipeline(PCA(5), LogisticRegression(tol=1e-2, max_iter=1000))
    found = search(model, {"logisticregression__C": [0.3, 0.301]}, scoring="neg_log_loss")
    assert found.cv_results_["batched"].all()


@pytest.mark.parametrize("limit", [None, "1MB", "20kB"])
def test_a_memory_limit_changes_where_they_are_finished_not_the_best(limit):
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3))
    grid = {"logisticregression__C": np.logspace(-2, 2, 9)}
    found = search(model, grid, scoring="neg_log_loss", memory_limit=limit)
    assert found.best_params_ == {"logisticregression__C": 0.31622776601683794}


def test_of_many_pieces_the_weights_alone_wait(monkeypatch):
    """Each piece has the rows in an order of its own: too much to hold for all of them."""

    def held():
        gc.collect()
        return sum(type(one) is FoldedDesign for one in gc.get_objects())

    before, waiting, asked = held(), [], []
    undecided = NearTies.undecided

    def watched(ties):
        waiting.append(held() - before)
        asked.append(undecided(ties))
        return asked[-1]

    monkeypatch.setattr(NearTies, "undecided", watched)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(solver="saga", tol=1e-2, max_iter=10_000)
    )
    pairs = [(0.3, 0.0), (0.3, 0.0001), (0.3, 0.0002), (0.01, 0.5)]
    grid = [{"logisticregression__C": [C], "logisticregression__l1_ratio": [r]} for C, r in pairs]
    found = search(model, grid, scoring="neg_log_loss")
    assert asked[0]
    assert waiting == [0] * len(asked)
    exact = clone(model).set_params(logisticregression__tol=1e-9)
    assert found.best_index_ == search(exact, grid, scoring="neg_log_loss").best_index_
