"""Logistic regressions: scikit-learn's optimum and attributes, or scikit-learn's own fit."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import _logistic
from sklearn.metrics import make_scorer, precision_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import scale

DATA = {"two": load_breast_cancer(return_X_y=True), "three": load_iris(return_X_y=True)}
DATA = {name: (scale(X), y) for name, (X, y) in DATA.items()}
SOLVERS = ["lbfgs", "newton-cg", "newton-cholesky", "sag", "saga", "liblinear"]
WEIGHTS = np.random.default_rng(0).uniform(0.2, 2, 569)


@pytest.fixture
def names(record):
    import sklearn.linear_model as exported

    return exported


def fitted_attributes(model):
    return {
        name: (type(value), getattr(value, "shape", None), getattr(value, "dtype", None))
        for name, value in vars(model).items()
        if name.endswith("_")
    }


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("table", DATA)
def test_optimum_and_attributes_are_scikit_learns(record, names, solver, table):
    X, y = DATA[table]
    if solver == "liblinear" and table == "three":
        y = y > 0
    exact = {"solver": solver, "tol": 1e-7, "max_iter": 20_000, "random_state": 0, "C": 0.5}
    ours = names.LogisticRegression(**exact).fit(X, y)
    theirs = _logistic.LogisticRegression(**exact).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    assert fitted_attributes(ours) == fitted_attributes(theirs)
    assert record.fits["LogisticRegression"].calls == {"mlfund": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"l1_ratio": 1, "solver": "liblinear", "C": 0.1},
        {"l1_ratio": 1, "solver": "saga", "C": 0.1},
        {"l1_ratio": 0.5, "solver": "saga", "C": 0.1},
        {"C": np.inf, "solver": "newton-cholesky", "class_weight": "balanced"},
        {"class_weight": {0: 1, 1: 5}, "fit_intercept": False},
        {"solver": "liblinear", "intercept_scaling": 10},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, np.float32])
def test_penalties_weights_and_kinds_of_rows(record, names, given, kind):
    X, y = DATA["two"]
    X = kind(X[:, :10])
    exact = {"tol": 1e-6, "max_iter": 20_000, "random_state": 0}
    ours = names.LogisticRegression(**exact, **given).fit(X, y, sample_weight=WEIGHTS)
    theirs = _logistic.LogisticRegression(**exact, **given).fit(X, y, sample_weight=WEIGHTS)
    # on sparse rows saga moves the intercept in steps of a hundredth, and stops early
    atol = 5e-3 if sp.issparse(X) and theirs.solver == "saga" else 1e-3
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=atol)
    assert fitted_attributes(ours) == fitted_attributes(theirs)
    assert record.fits["LogisticRegression"].calls["mlfund"] == 1


def test_names_of_columns_are_kept_and_forgotten(names):
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = names.LogisticRegression(max_iter=1000).fit(X, y)
    assert list(model.feature_names_in_) == list(X.columns)
    assert not hasattr(model.fit(X.to_numpy(), y), "feature_names_in_")


def test_a_warm_start_goes_on_from_the_last_optimum(record, names):
    X, y = DATA["two"]
    path = names.LogisticRegression(warm_start=True, solver="liblinear", l1_ratio=1, tol=1e-6)
    for C in (0.01, 0.1, 1.0):
        path.set_params(C=C, max_iter=10_000).fit(X, y)
    once = _logistic.LogisticRegression(
        solver="liblinear", l1_ratio=1, tol=1e-6, max_iter=10_000
    ).fit(X, y)
    np.testing.assert_allclose(path.predict_proba(X), once.predict_proba(X), atol=1e-3)
    assert record.fits["LogisticRegression"].calls == {"mlfund": 3}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"dual": True, "solver": "liblinear"}, "dual"),
        ({"verbose": 1, "solver": "liblinear"}, "verbose"),
        ({"max_iter": 3}, "max_iter=3 was reached"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"C": np.inf, "max_iter": 20}, "separable"),
    ],
    ids=str,
)
def test_what_is_not_equivalent_is_scikit_learns_own(record, names, given, reason, capfd):
    X, y = DATA["three"]
    y = y > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours = names.LogisticRegression(random_state=0, **given).fit(X, y)
        theirs = _logistic.LogisticRegression(random_state=0, **given).fit(X, y)
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)
    fits = record.fits["LogisticRegression"]
    assert fits.calls == {"scikit-learn": 1}
    assert [reason in why for why in fits.reasons] == [True]


def test_callbacks_are_told_by_scikit_learn(record, names):
    pytest.importorskip("rich")
    X, y = DATA["three"]
    model = names.LogisticRegression().set_callbacks(ProgressBar())
    model.fit(X, y)
    assert record.fits["LogisticRegression"].reasons == {"callbacks are set": 1}


@pytest.mark.parametrize(
    ("given", "y"),
    [
        ({"C": -1.0}, None),
        ({"solver": "auto"}, None),
        ({"solver": "lbfgs", "l1_ratio": 1}, None),
        ({}, np.zeros(150)),
        ({}, np.zeros(3)),
        ({"solver": "liblinear"}, None),
    ],
    ids=["C", "solver", "l1", "one class", "rows", "three classes"],
)
def test_errors_are_scikit_learns(names, given, y):
    X, labels = DATA["three"]
    y = labels if y is None else y
    with pytest.raises(ValueError, match=r".") as theirs:
        _logistic.LogisticRegression(**given).fit(X, y)
    model = names.LogisticRegression(**given)
    with pytest.raises(type(theirs.value)) as ours:
        model.fit(X, y)
    assert str(ours.value) == str(theirs.value)
    assert ours.value.__context__ is None
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("solver", ["lbfgs", "liblinear", "sag", "saga"])
@pytest.mark.parametrize("shared", [False, True])
def test_random_streams_move_as_with_scikit_learn(names, solver, shared):
    X, y = DATA["two"]

    def drawn_after(kind, **given):
        np.random.seed(3)
        stream = np.random.RandomState(4) if shared else None
        kind(solver=solver, random_state=stream, max_iter=5000, tol=1e-2, **given).fit(X, y)
        return (stream or np.random).randint(1_000_000)

    ours = drawn_after(names.LogisticRegression)
    assert ours == drawn_after(_logistic.LogisticRegression)
    grid = {"Cs": 2, "cv": 3, "l1_ratios": (0,), "use_legacy_attributes": False}
    grid["scoring"] = "accuracy"
    ours = drawn_after(names.LogisticRegressionCV, **grid)
    assert ours == drawn_after(_logistic.LogisticRegressionCV, **grid)


def test_a_failed_attempt_leaves_no_trace_in_the_stream(record, names):
    X, y = DATA["three"]

    def drawn_after(kind):
        stream = np.random.RandomState(4)
        with pytest.warns(ConvergenceWarning):
            kind(solver="saga", random_state=stream, max_iter=1).fit(X, y)
        return stream.randint(1_000_000)

    assert drawn_after(names.LogisticRegression) == drawn_after(_logistic.LogisticRegression)
    assert "mlfund" not in record.fits["LogisticRegression"].calls


@pytest.mark.parametrize("table", DATA)
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("refit", [False, True])
def test_cross_validated_grids_have_scikit_learns_attributes(record, names, table, legacy, refit):
    X, y = DATA[table]
    given = {
        "Cs": [0.01, 0.1, 1],
        "cv": 3,
        "tol": 1e-6,
        "max_iter": 1000,
        "l1_ratios": (0,),
        "scoring": "neg_log_loss",
        "use_legacy_attributes": legacy,
        "refit": refit,
    }
    ours = names.LogisticRegressionCV(**given).fit(X.astype(np.float32), y)
    theirs = _logistic.LogisticRegressionCV(**given).fit(X.astype(np.float32), y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)
    np.testing.assert_array_equal(ours.C_, theirs.C_)
    ratios = {"l1_ratio_"} if legacy and refit else set()  # scikit-learn's has the type of the grid
    of_ours, of_theirs = fitted_attributes(ours), fitted_attributes(theirs)
    assert {k: v for k, v in of_ours.items() if k not in ratios} == {
        k: v for k, v in of_theirs.items() if k not in ratios
    }
    if legacy:
        assert list(ours.scores_) == list(theirs.scores_)
        for label in theirs.scores_:
            np.testing.assert_allclose(ours.scores_[label], theirs.scores_[label], atol=1e-3)
            assert ours.coefs_paths_[label].shape == theirs.coefs_paths_[label].shape
    else:
        np.testing.assert_allclose(ours.scores_, theirs.scores_, atol=1e-3)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-3)
    assert record.fits["LogisticRegressionCV"].calls == {"mlfund": 1}


def test_grids_take_weights_groups_and_scorers(names):
    X, y = DATA["two"]
    given = {"Cs": [0.1, 1], "l1_ratios": (0,), "use_legacy_attributes": False, "tol": 1e-7}
    given |= {
        "max_iter": 1000,
        "scoring": make_scorer(precision_score),
        "cv": [(np.r_[:300], np.r_[300:569])],
    }
    ours = names.LogisticRegressionCV(**given).fit(X, y, sample_weight=WEIGHTS)
    theirs = _logistic.LogisticRegressionCV(**given).fit(X, y, sample_weight=WEIGHTS)
    np.testing.assert_allclose(ours.scores_, theirs.scores_, atol=1e-3)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"scoring": lambda model, X, y: model.score(X, y)}, "function"),
        ({"solver": "liblinear", "intercept_scaling": 2}, "intercept_scaling"),
        ({"max_iter": 2}, "max_iter=2 was reached"),
    ],
    ids=["function", "intercept_scaling", "max_iter"],
)
def test_grids_that_are_not_equivalent(record, names, given, reason):
    X, y = DATA["two"]
    grid = {"Cs": 2, "cv": 2, "l1_ratios": (0,), "use_legacy_attributes": False}
    given = {**grid, "scoring": "accuracy", "random_state": 0, **given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours = names.LogisticRegressionCV(**given).fit(X, y)
        theirs = _logistic.LogisticRegressionCV(**given).fit(X, y)
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)
    assert [reason in why for why in record.fits["LogisticRegressionCV"].reasons] == [True]


def test_too_few_rows_of_a_class_is_scikit_learns_error(names):
    X, y = DATA["three"]
    given = {"l1_ratios": (0,), "use_legacy_attributes": False, "scoring": "accuracy"}
    with pytest.raises(ValueError, match="n_splits=5"):
        names.LogisticRegressionCV(**given).fit(X[[0, 1, 2, 148, 149]], y[[0, 1, 2, 148, 149]])


def test_groups_are_routed_to_the_splitter(names):
    import sklearn

    X, y = DATA["two"]
    groups = np.arange(len(y)) // 10
    given = {"l1_ratios": (0,), "use_legacy_attributes": False, "scoring": "accuracy"}
    given["Cs"] = [0.1, 1]
    with sklearn.config_context(enable_metadata_routing=True):
        model = names.LogisticRegressionCV(cv=GroupKFold(4), **given).fit(X, y, groups=groups)
    assert len(model.scores_) == 4


def test_deprecated_parameters_warn(names):
    X, y = DATA["two"]
    with pytest.warns(FutureWarning, match="'penalty' was deprecated"):
        names.LogisticRegression(penalty="l2").fit(X, y)
    with pytest.warns(FutureWarning, match="n_jobs"):
        names.LogisticRegression(n_jobs=2).fit(X, y)
