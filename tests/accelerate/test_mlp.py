"""MLPs: scikit-learn's training number by number, or scikit-learn's own."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.neural_network import _multilayer_perceptron as theirs
from sklearn.preprocessing import scale

from mlfund.accelerate import _mlp
from tests.mlp_data import XL, YL

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X, Y = scale(X), np.array(["a", "b", "c"])[Y]
XR, YR = (scale(a) for a in load_diabetes(return_X_y=True))
SHORT = {"hidden_layer_sizes": (7, 5), "random_state": 0, "max_iter": 12, "batch_size": 40}
SETTINGS = [
    {},
    {"activation": "tanh", "alpha": 0.1, "shuffle": False},
    {"solver": "sgd", "learning_rate_init": 0.05},
    {"solver": "sgd", "learning_rate": "invscaling", "nesterovs_momentum": False},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "lbfgs"},
]


@pytest.fixture
def names(record, monkeypatch):
    monkeypatch.setattr(_mlp, "LEAST_WORK", 0)
    import sklearn.neural_network as exported

    return exported


def fitted(model):
    """What fit has set, apart from arrays that only lbfgs's inner loop uses."""
    return {name for name in set(vars(model)) - set(model.get_params()) if "indptr" not in name}


def assert_same(ours, reference, rows):
    for mine, expected in zip(
        ours.coefs_ + ours.intercepts_, reference.coefs_ + reference.intercepts_, strict=True
    ):
        np.testing.assert_allclose(mine, expected, rtol=1e-8, atol=1e-8)
    assert fitted(ours) == fitted(reference)
    assert ours.n_iter_ == reference.n_iter_
    assert ours.loss_ == pytest.approx(reference.loss_, rel=1e-8)
    np.testing.assert_allclose(
        getattr(ours, "loss_curve_", []), getattr(reference, "loss_curve_", []), rtol=1e-8
    )


@pytest.mark.parametrize("given", SETTINGS, ids=str)
@pytest.mark.parametrize("task", ["classes", "labels", "values", "several values"])
def test_training_is_scikit_learns(record, names, given, task):
    kind = "MLPClassifier" if task in ("classes", "labels") else "MLPRegressor"
    rows, y = {
        "classes": (X, Y),
        "labels": (XL, YL),
        "values": (XR, YR),
        "several values": (XR, np.c_[YR, YR**2]),
    }[task]
    given = SHORT | given
    ours = getattr(names, kind)(**given).fit(rows, y)
    reference = getattr(theirs, kind)(**given).fit(rows, y)
    assert_same(ours, reference, rows)
    several = given.get("solver") == "lbfgs" and np.ndim(y) > 1
    assert set(record.fits[kind].calls) == {"scikit-learn" if several else "mlfund"}
    if hasattr(reference, "classes_"):
        np.testing.assert_array_equal(ours.predict(rows), reference.predict(rows))
        np.testing.assert_allclose(ours.predict_proba(rows), reference.predict_proba(rows))
    if given.get("solver") != "lbfgs":
        for _ in range(2):
            ours.partial_fit(rows[:100], y[:100])
            reference.partial_fit(rows[:100], y[:100])
        assert_same(ours, reference, rows)


def test_poisson_regression_and_weights(record, names):
    given = SHORT | {"loss": "poisson"}
    weight = np.random.default_rng(0).uniform(0.5, 2, len(YR))
    ours = names.MLPRegressor(**given).fit(XR, np.exp(YR), sample_weight=weight)
    reference = theirs.MLPRegressor(**given).fit(XR, np.exp(YR), sample_weight=weight)
    assert_same(ours, reference, XR)
    np.testing.assert_allclose(ours.predict(XR), reference.predict(XR))
    assert ours.out_activation_ == "exp"
    assert record.fits["MLPRegressor"].calls == {"mlfund": 1}


@pytest.mark.parametrize("state", ["global", "shared"])
def test_random_streams_move_as_with_scikit_learn(names, state):
    def drawn_after(kind):
        np.random.seed(5)
        stream = np.random.RandomState(6) if state == "shared" else None
        model = kind(**SHORT | {"random_state": stream}).fit(X, Y)
        return model.loss_, (stream or np.random).randint(1_000_000)

    ours, reference = drawn_after(names.MLPClassifier), drawn_after(theirs.MLPClassifier)
    assert ours == pytest.approx(reference, rel=1e-8)


@pytest.mark.parametrize(
    ("given", "weight", "reason"),
    [
        ({"early_stopping": True}, None, "early_stopping"),
        ({"verbose": True}, None, "verbose"),
        ({}, np.r_[0.0, np.ones(149)], "weight zero"),
    ],
    ids=["early stopping", "verbose", "weights"],
)
def test_what_is_not_equivalent_is_scikit_learns_own(record, names, given, weight, reason, capsys):
    ours = names.MLPClassifier(**SHORT | given).fit(X, Y, sample_weight=weight)
    reference = theirs.MLPClassifier(**SHORT | given).fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(ours.coefs_[0], reference.coefs_[0])
    assert [reason in why for why in record.fits["MLPClassifier"].reasons] == [True]


def test_a_warm_start_goes_on_as_with_scikit_learn(record, names):
    ours = names.MLPClassifier(**SHORT, warm_start=True).fit(X, Y).fit(X, Y)
    reference = theirs.MLPClassifier(**SHORT, warm_start=True).fit(X, Y).fit(X, Y)
    assert_same(ours, reference, X)
    assert record.fits["MLPClassifier"].calls == {"mlfund": 1, "scikit-learn": 1}


def test_small_trainings_import_no_torch(record):
    from sklearn.neural_network import MLPClassifier

    MLPClassifier(**SHORT).fit(X, Y)
    assert record.fits["MLPClassifier"].reasons == {"so small a training gains nothing": 1}


def test_errors_are_scikit_learns(names):
    wrong = [({"alpha": -1}, X, Y), ({"activation": "gelu"}, X, Y), ({}, X, Y[:3]), ({}, Y, Y)]
    for given, rows, y in [*wrong, ({}, X, None)]:
        with pytest.raises(ValueError, match=r".") as expected:
            theirs.MLPClassifier(**SHORT | given).fit(rows, y)
        with pytest.raises(type(expected.value)) as ours:
            names.MLPClassifier(**SHORT | given).fit(rows, y)
        assert str(ours.value) == str(expected.value)


def test_a_file_goes_on_where_the_training_ended(names):
    model = names.MLPClassifier(**SHORT).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is theirs.MLPClassifier
    np.testing.assert_array_equal(
        again.partial_fit(X, Y).coefs_[0], model.partial_fit(X, Y).coefs_[0]
    )
