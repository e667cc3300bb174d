"""Stacks of MLPs are what fits of clones are: row orders, weights, losses, scores."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.preprocessing import StandardScaler

from mlfund import MLPClassifier, MLPRegressor
from mlfund.losses import Huber
from mlfund.model_selection._contract import Affine
from tests.mlp_data import X2, XL, XR, Y2, YL, YR, X, Y
from tests.model_selection.mlp_stacks import SHORT, assert_as_alone, rows_of

GRID = [{"learning_rate_init": 1e-3, "alpha": 0.1}, {"learning_rate_init": 2e-2, "alpha": 0.0}]

SETTINGS = {
    "adam": [{}, {"beta_1": 0.8}, {"beta_2": 0.9, "epsilon": 1e-5}],
    "momentum": [
        {"solver": "sgd", "nesterovs_momentum": False, "momentum": m} for m in (0.0, 0.5, 0.95)
    ],
    "nesterov": [{"solver": "sgd", "momentum": m} for m in (0.0, 0.5, 0.95)],
    "invscaling": [
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": p} for p in (0.1, 0.5)
    ],
    "adaptive": [
        {"solver": "sgd", "learning_rate": "adaptive", "tol": tol, "n_iter_no_change": 1}
        for tol in (1e-3, 0.5)
    ],
    "rates apart": [
        {"solver": "sgd", "learning_rate": rate, "learning_rate_init": 0.05}
        for rate in ("constant", "invscaling", "adaptive")
    ],
    "adamw": [{"optimizer": "adamw", "weight_decay": decay} for decay in (0.01, 0.5)],
    "rmsprop": [{"optimizer": "rmsprop", "weight_decay": decay} for decay in (None, 0.1)],
    "adagrad": [{"optimizer": "adagrad", "learning_rate_init": lr} for lr in (0.01, 0.1)],
    "plain": [{"optimizer": "sgd", "learning_rate_init": lr} for lr in (0.01, 0.3)],
    "lion": [{"optimizer": "lion", "learning_rate_init": lr} for lr in (1e-4, 1e-3)],
    "optimizers apart": [{"optimizer": name} for name in ("sgd", "adam", "rmsprop")],
    "elastic net": [{"alpha": 0.3, "l1_ratio": share} for share in (None, 0.5, 1.0)],
    "bounds": [{"clip_norm": 0.1}, {"clip_value": 0.01}, {"max_norm": 0.5}, {}],
    "smoothing": [{"label_smoothing": amount} for amount in (None, 0.1, 0.3)],
    "schedules": [
        {"schedule": name, "learning_rate_init": 0.01}
        for name in (None, "cosine", "one_cycle", "adaptive", "plateau")
    ],
    "seeds": [{"random_state": seed} for seed in (0, 1, np.random.RandomState(5))],
    "in order": [{"shuffle": False, "alpha": a} for a in (0.0, 1.0)],
    "class weights": [
        {"class_weight": weight} for weight in (None, "balanced", {0: 1.0, 1: 3.0, 2: 0.0})
    ],
    "lengths": [{"max_iter": n} for n in (1, 3, 10)],
    "stopping": [{"tol": tol, "n_iter_no_change": 2} for tol in (1e-4, 0.1, 10.0)],
    "initial weights": [
        {"initializer": one, "last_layer_initializer": last}
        for one, last in ((None, "zeros"), ("he_normal", None))
    ],
    "scaled rates": [{"lr_scaling": how} for how in (None, "linear", "sqrt")],
}


def classifiers(settings, **shared):
    return [MLPClassifier(**{**SHORT, **shared, **one}) for one in settings]


def regressors(settings, **shared):
    return [MLPRegressor(**{**SHORT, **shared, **one}) for one in settings]


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name):
    assert_as_alone(classifiers(SETTINGS[name], batch_size=32), rows_of(X, Y))


@pytest.mark.parametrize(
    ("activation", "hidden"),
    [
        ("relu", ()),
        ("relu", (5, 4, 3)),
        ("tanh", (6,)),
        ("logistic", (5, 4)),
        ("identity", (6,)),
        ("gelu", (5, 4)),
    ],
)
def test_layers(activation, hidden):
    candidates = classifiers(GRID, activation=activation, hidden_layer_sizes=hidden)
    assert_as_alone(candidates, rows_of(X2, Y2))


@pytest.mark.parametrize("batch_size", ["auto", 13, 50, 1000])
@pytest.mark.filterwarnings("ignore:batch_size")
def test_batch_sizes(batch_size):
    """Also those that leave one split a step more than another, and more rows than there are."""
    assert_as_alone(classifiers(GRID, batch_size=batch_size), rows_of(X[:101], Y[:101], 3))


def test_splits_of_any_sizes():
    rng = np.random.RandomState(0)
    orders = [rng.permutation(120) for _ in range(3)]
    splits = [(order[:n], order[n:]) for order, n in zip(orders, (40, 61, 110), strict=True)]
    assert_as_alone(classifiers(GRID, batch_size=30), rows_of(X, Y, splits=splits))


def test_two_classes_of_text():
    assert_as_alone(classifiers(GRID), rows_of(X2, np.array(["no", "yes"])[Y2]))


def test_several_labels():
    assert_as_alone(classifiers(GRID), rows_of(XL, YL))


@pytest.mark.parametrize("loss", [None, "focal", "hinge"])
@pytest.mark.parametrize("target", [Y, Y2])
def test_losses_of_classes(loss, target):
    assert_as_alone(classifiers(GRID, loss=loss), rows_of(X, target))


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", Huber(0.5), "quantile", "gaussian_nll"]
)
@pytest.mark.parametrize("outputs", [1, 2])
def test_losses_of_values(loss, outputs):
    y = YR if outputs == 1 else np.column_stack([YR, YR**2])
    assert_as_alone(regressors(GRID, loss=loss, batch_size=20), rows_of(XR, y))


def test_counts():
    y = np.random.RandomState(0).poisson(3 * np.exp(XR[:, 0] / 2)) / 2
    assert_as_alone(regressors(GRID, loss="poisson"), rows_of(XR, y))


def test_row_weights():
    weight = np.random.RandomState(0).uniform(0, 2, len(X))
    weight[::7] = 0
    rows = rows_of(X, Y, fit_params={"sample_weight": weight})
    assert_as_alone(classifiers([*GRID, {"class_weight": "balanced"}], batch_size=40), rows)


@pytest.mark.parametrize(
    "setting", [{}, {"validation_fraction": 0.3}, {"scoring": "loss"}, {"batch_size": 30}]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_ends_in_the_same_epoch(setting, weighted):
    grid = [
        {"learning_rate_init": lr, "random_state": seed, "n_iter_no_change": patience}
        for lr, seed, patience in ((0.001, 0, 2), (0.01, 1, 3), (0.1, 1, 5))
    ]
    candidates = classifiers(grid, early_stopping=True, max_iter=40, **setting)
    weight = np.random.RandomState(1).uniform(0.5, 2, len(X))
    fit_params = {"sample_weight": weight} if weighted else {}
    found = assert_as_alone(candidates, rows_of(X, Y, fit_params=fit_params))
    assert len({models.estimator(i).n_iter_ for models in found.values() for i in range(3)}) > 2


@pytest.mark.parametrize("outputs", [1, 2])
def test_early_stopping_on_r2(outputs):
    y = YR if outputs == 1 else np.column_stack([YR, YR**2])
    assert_as_alone(regressors(GRID, early_stopping=True, max_iter=30), rows_of(XR, y))


def test_validation_rows_that_stop_nothing():
    found = assert_as_alone(classifiers(GRID, validation_split=4), rows_of(X, Y))
    assert found[0].estimator(0).history_["valid_loss"].notna().all()


def test_groups_are_held_out_whole():
    rows = rows_of(X, Y, fit_params={"groups": np.arange(len(X)) // 10})
    assert_as_alone(classifiers(GRID, early_stopping=True), rows)


def test_float32():
    X32 = X.astype(np.float32)
    assert_as_alone(classifiers(GRID), rows_of(X32, Y), rtol=2e-4)


def test_precision_that_differs_from_that_of_the_rows():
    assert_as_alone(classifiers(GRID, precision="float64"), rows_of(X.astype(np.float32), Y))


def test_scaler_in_front():
    shifted = X * 30 + 100
    rows = rows_of(shifted, Y)
    scalers = [StandardScaler().fit(shifted[train]) for train, _ in rows.splits]
    affine = Affine(
        np.array([one.mean_ for one in scalers]), np.array([one.scale_ for one in scalers])
    )
    splits = rows.splits
    assert_as_alone(
        classifiers(GRID, early_stopping=True), rows_of(shifted, Y, splits=splits, affine=affine)
    )


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_array])
def test_sparse_rows_behind_a_scaler(kind):
    sparse = kind(np.where(abs(X) > 0.7, X, 0.0))
    rows = rows_of(sparse, Y)
    scale = np.array([[2.0] * 10, np.arange(1.0, 11.0)])
    affine = Affine(np.zeros_like(scale), scale)
    rows = rows_of(sparse, Y, splits=rows.splits, affine=affine)
    assert_as_alone(classifiers(GRID, batch_size=25), rows)
