import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV, HalvingRandomSearchCV

from mlfund import BatchedHalvingGridSearchCV, BatchedHalvingRandomSearchCV, LogisticRegression
from tests.model_selection.test_search import assert_same_table

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
Y = np.where(X @ [2.0, -1.0, 0.0, 0.5] + RNG.normal(size=300) > 0, "yes", "no")
GRID = {"C": [0.001, 0.01, 0.1, 1.0, 10.0]}
MODEL = LogisticRegression(tol=1e-8, max_iter=1000)


def test_the_rounds_are_scikit_learns():
    settings = {"scoring": "neg_log_loss", "random_state": 0}

    ours = BatchedHalvingGridSearchCV(MODEL, GRID, **settings).fit(X, Y)
    theirs = HalvingGridSearchCV(MODEL, GRID, **settings).fit(X, Y)

    assert_same_table(ours.cv_results_, theirs.cv_results_, atol=1e-6)
    assert ours.cv_results_["batched"].all()
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-6)
    assert (ours.n_candidates_, ours.n_resources_) == (theirs.n_candidates_, theirs.n_resources_)


def test_random_candidates_are_scikit_learns():
    settings = {
        "scoring": "neg_log_loss",
        "n_candidates": 4,
        "min_resources": 100,
        "random_state": 1,
    }

    ours = BatchedHalvingRandomSearchCV(MODEL, GRID, **settings).fit(X, Y)
    theirs = HalvingRandomSearchCV(MODEL, GRID, **settings).fit(X, Y)

    assert_same_table(ours.cv_results_, theirs.cv_results_, atol=1e-6)
    assert ours.cv_results_["batched"].all()


def test_another_resource_than_rows():
    settings = {
        "resource": "max_iter",
        "max_resources": 1000,
        "min_resources": 250,
        "scoring": "neg_log_loss",
    }

    ours = BatchedHalvingGridSearchCV(MODEL, GRID, **settings).fit(X, Y)
    theirs = HalvingGridSearchCV(MODEL, GRID, **settings).fit(X, Y)

    assert ours.n_resources_ == [250, 750]
    assert_same_table(ours.cv_results_, theirs.cv_results_, atol=1e-6)


def test_too_few_rows_are_explained():
    search = BatchedHalvingGridSearchCV(MODEL, GRID, min_resources="smallest")

    with pytest.raises(ValueError, match=r"n_samples = 12; set min_resources"):
        search.fit(X[:12], Y[:12])


def test_checkpoints_need_rounds_that_can_be_drawn_again(tmp_path):
    search = BatchedHalvingGridSearchCV(MODEL, GRID, checkpoint_dir=tmp_path)

    with pytest.raises(ValueError, match="random_state"):
        search.fit(X, Y)


def test_checkpoints_of_all_rounds_are_removed(tmp_path):
    BatchedHalvingGridSearchCV(MODEL, GRID, checkpoint_dir=tmp_path, random_state=0).fit(X, Y)

    assert list(tmp_path.iterdir()) == []
