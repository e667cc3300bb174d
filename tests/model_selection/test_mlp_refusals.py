"""MLPs that are fitted by themselves, fits that fail or warn, and what the stack may see."""

import weakref

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from skorch.callbacks import EpochScoring

from mlfund import BatchedGridSearchCV, MLPClassifier, MLPRegressor
from mlfund.losses import BinaryDice
from mlfund.model_selection._contract import Affine
from mlfund.model_selection._mlp_family import MLPFamily
from tests.mlp_data import X2, XR, Y2, YR, X, Y
from tests.model_selection.mlp_stacks import SHORT, alone, assert_as_alone, rows_of, stacked

REFUSED = {
    "lbfgs": {"solver": "lbfgs"},
    "callbacks": {"callbacks": [EpochScoring("accuracy")]},
    "checkpoint_dir": {"checkpoint_dir": "kept"},
    "verbose": {"verbose": True},
    "track_norms": {"track_norms": True},
    "averaged": {"averaging": "ema"},
    "mixup": {"mixup": 0.2},
    "input_noise": {"input_noise": 0.1},
    "accumulation_steps": {"accumulation_steps": 2},
    "normalised": {"normalization": "batch"},
    "learned slopes": {"activation": "prelu"},
    "fit_device": {"batch_size": "fit_device"},
    "bfloat16": {"precision": "bf16"},
    "scoring": {"scoring": "f1", "early_stopping": True},
    "splitter": {"validation_split": [(np.arange(9), np.arange(9, 12))]},
    "optimizer": {"optimizer": "muon"},
    "NAdam": {"optimizer": torch.optim.NAdam},
    "whole batch": {"loss": "dice"},
    "one's own": {"loss": lambda raw, y: (raw[:, 0] - y[:, 0]) ** 2},
}


@pytest.mark.parametrize("word", REFUSED)
def test_reasons_name_what_stands_in_the_way(word):
    assert word in MLPFamily().refusal(MLPClassifier(**REFUSED[word]), rows_of(X2, Y2))


@pytest.mark.parametrize("accepted", [{}, {"validation_split": KFold(3)}, {"track_norms": False}])
def test_what_is_left_is_stacked(accepted):
    assert MLPFamily().refusal(MLPClassifier(**accepted), rows_of(X2, Y2)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": -1},
        {"learning_rate_init": "fast"},
        {"hidden_layer_sizes": (3, 0)},
        {"dropout": [0.1, 0.2]},
        {"solver": "sgd", "optimizer": "adam"},
        {"scoring": "loss"},
        {"loss": "poisson"},
        {"optimizer": "none such"},
        {"schedule": "none such"},
        {"device": "cuda:99"},
        {"device": "none such"},
    ],
)
def test_parameters_that_fit_refuses_are_left_to_fit(wrong):
    candidate = MLPClassifier(**wrong)
    with pytest.raises((ValueError, TypeError)) as raised:
        candidate.fit(X2, Y2)
    reason = MLPFamily().refusal(candidate, rows_of(X2, Y2))
    assert reason == f"fit refuses its parameters: {raised.value}"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_device_that_is_not_here_fails_its_candidates_alone():
    search = BatchedGridSearchCV(MLPClassifier(**SHORT), {"device": ["cpu", "cuda:99"]}, cv=2)
    with pytest.warns(FitFailedWarning, match="cuda:99"):
        results = search.set_params(refit=False).fit(X2, Y2).cv_results_
    assert list(np.isnan(results["mean_test_score"])) == [False, True]
    assert list(results["batched"]) == [True, False]


def test_rows_that_fit_refuses_are_left_to_fit():
    hole = X.copy()
    hole[3, 2] = np.nan
    family = MLPFamily()
    reason = family.refusal(MLPClassifier(), rows_of(hole, Y))
    assert reason == "fit refuses some of the rows: Input X contains NaN."
    assert family.refusal(MLPClassifier(), rows_of(X, Y)) is None


@pytest.mark.parametrize("wrong", [np.nan, "text"])
def test_rows_that_fit_refuses_are_not_kept(wrong):
    X_wrong = X.astype(object)
    X_wrong[3, 2] = wrong
    family, rows = MLPFamily(), rows_of(X_wrong, Y)
    held = weakref.ref(rows)
    assert "some of the rows" in family.refusal(MLPClassifier(), rows)
    del rows
    # Not even until the next collection of garbage.
    assert held() is None


def test_other_rows_are_refused():
    family = MLPFamily()
    rows = rows_of(X, Y, fit_params={"X_val": X[:5], "y_val": Y[:5]})
    assert "X_val, y_val" in family.refusal(MLPClassifier(), rows)
    affine = Affine(np.zeros((3, 10)), np.ones((3, 10)))
    rows = rows_of(X, Y, affine=affine)
    assert "precision" in family.refusal(MLPClassifier(precision="float32"), rows)


@pytest.mark.parametrize("shape", [(len(Y) // 2,), (2 * len(Y),), (1, len(Y))])
def test_weights_of_other_lengths_fail_as_alone(shape):
    weight, errors = np.ones(shape), []
    for search in (GridSearchCV, BatchedGridSearchCV):
        with pytest.raises(ValueError, match="All the 4 fits failed") as raised:
            search(MLPClassifier(**SHORT), {"alpha": [0.1, 1.0]}, cv=2).fit(
                X, Y, sample_weight=weight
            )
        errors.append(str(raised.value).splitlines()[-1])
    assert errors[0] == errors[1]


def test_one_weight_for_all_rows_is_left_to_fit():
    reason = MLPFamily().refusal(MLPClassifier(), rows_of(X, Y, fit_params={"sample_weight": 2.0}))
    assert reason == f"sample_weight is no column of {len(Y)} values, one a row"


def test_a_loss_for_another_target_fails_as_in_fit():
    candidates = [MLPClassifier(**SHORT, loss=BinaryDice(0.01))]
    assert "whole batch" in MLPFamily().refusal(candidates[0], rows_of(X, Y))
    rows = rows_of(XR, YR)
    found = stacked([MLPRegressor(**SHORT, loss="poisson")], rows)
    for place, models in found.items():
        with pytest.raises(ValueError, match="poisson") as raised:
            alone(MLPRegressor(**SHORT, loss="poisson"), rows, place)
        assert str(models.failures[0]) == str(raised.value)


def test_some_fits_fail_and_the_others_do_not():
    """Holding out one of few rows is refused; other candidates of the stack train."""
    candidates = [
        MLPClassifier(**SHORT, early_stopping=True, validation_fraction=share)
        for share in (0.001, 0.2)
    ]
    models = stacked(candidates, rows_of(X, Y))[0]
    assert list(models.failures) == [0]
    assert "validation set is too small" in str(models.failures[0])
    assert models.raw(np.arange(4)).shape == (2, 4, 3)
    assert np.isfinite(models.raw(np.arange(4))[1]).all()


def test_splits_that_know_other_classes():
    order = np.argsort(Y, kind="stable")
    assert_as_alone(
        [MLPClassifier(**SHORT), MLPClassifier(**SHORT, alpha=1.0)],
        rows_of(X, Y, splits=[(order[:130], order[:130]), *KFold(2).split(X)]),
    )


@pytest.mark.parametrize("scoring", ["accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_splits_of_one_class_score_as_alone(scoring):
    first, second = np.flatnonzero(np.unique(Y2)[0] == Y2), np.flatnonzero(np.unique(Y2)[1] == Y2)
    rest = np.r_[first[30:], second]
    splits = [(first[:30], first[30:]), (first[:30], rest), (second, first), *KFold(2).split(X2)]
    found = [
        search(MLPClassifier(**SHORT), {"alpha": [1e-4, 1.0]}, cv=splits, scoring=scoring)
        .fit(X2, Y2)
        .cv_results_
        for search in (GridSearchCV, BatchedGridSearchCV)
    ]
    assert found[1]["batched"].all()
    for split in range(len(splits)):
        expected, own = (results[f"split{split}_test_score"] for results in found)
        np.testing.assert_allclose(own, expected, rtol=1e-9)


def test_diverged_trainings_end_as_alone():
    """One goes back to its last good epoch, one fails in its first, one does well."""
    shared = {"hidden_layer_sizes": (5,), "solver": "sgd", "max_iter": 6, "random_state": 0}
    shared |= {"batch_size": 10}
    candidates = [
        MLPRegressor(**shared, learning_rate_init=lr, activation="identity")
        for lr in (1e-3, 0.05, 1e60)
    ]
    rows = rows_of(XR, YR * 10)
    models = stacked(candidates, rows)[0]
    with pytest.raises(ValueError, match="diverged in epoch 1") as raised:
        alone(candidates[2], rows, 0)
    assert str(models.failures[2]) == str(raised.value)
    for position in (0, 1):
        expected = alone(candidates[position], rows, 0)
        np.testing.assert_allclose(models.estimator(position).coefs_[0], expected.coefs_[0])


def test_running_out_of_epochs_is_told():
    candidates = [MLPClassifier(max_iter=n, tol=0.5, n_iter_no_change=1) for n in (1, 30)]
    models = stacked(candidates, rows_of(X, Y))[0]
    assert len(models.warnings) == 1
    assert models.warnings[0].category is ConvergenceWarning
    assert "Maximum iterations (1) reached" in str(models.warnings[0].message)


def test_fits_without_a_seed_share_one_a_split():
    candidates = [MLPClassifier(max_iter=2, learning_rate_init=lr) for lr in (1e-3, 1e-9)]
    first = stacked(candidates, rows_of(X, Y))[0]
    again = stacked(candidates, rows_of(X, Y))[0]
    weights = [first.estimator(1).coefs_[0], again.estimator(1).coefs_[0]]
    assert abs(weights[0] - weights[1]).max() > 0.01
    assert first.estimator(1).random_state is None
    np.testing.assert_allclose(weights[0], first.estimator(0).coefs_[0], atol=0.05)


def test_dropout_scores_as_alone_on_the_mean():
    """Masks differ from those of the fits: over seeds the scores agree within their errors."""
    candidates = [
        MLPClassifier((16,), dropout=0.3, max_iter=15, learning_rate_init=0.01, random_state=seed)
        for seed in range(20)
    ]
    rows = rows_of(X, Y, splits=ShuffleSplit(1, test_size=0.5, random_state=0).split(X))
    _, test = rows.splits[0]
    models = stacked(candidates, rows)[0]
    ours = (models.predict(models.raw(test)) == Y[test]).mean(axis=1)
    theirs = np.array([alone(one, rows, 0).score(X[test], Y[test]) for one in candidates])
    error = np.sqrt((ours.var() + theirs.var()) / len(ours))
    assert abs(ours.mean() - theirs.mean()) < 3 * error
    # and it is no training without dropout
    plain = stacked([clone(candidates[0]).set_params(dropout=None)], rows)[0]
    assert models.estimator(0).loss_ > 1.1 * plain.estimator(0).loss_


def test_models_are_complete_estimators():
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    candidate = MLPClassifier(**SHORT)
    rows = rows_of(frame, Y)
    own, expected = stacked([candidate], rows)[0].estimator(0), alone(candidate, rows, 0)
    missing = set(vars(expected)) - set(vars(own))
    assert not missing
    assert list(own.feature_names_in_) == list(frame.columns)
    assert set(own.history_.columns) <= set(expected.history_.columns)
    own.partial_fit(frame, Y)
    assert own.n_iter_ == 1
    assert repr(clone(own)) == repr(candidate)
