"""LogisticRegressionCV against scikit-learn's."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_breast_cancer, load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV as SklearnCV
from sklearn.metrics import get_scorer, make_scorer
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.preprocessing import StandardScaler

from mlfund import LogisticRegression, LogisticRegressionCV

COMMON = {
    "Cs": [0.01, 1.0, 30.0],
    "l1_ratios": (0,),
    "scoring": "neg_log_loss",
    "cv": 3,
    "tol": 1e-10,
    "max_iter": 1000,
    "use_legacy_attributes": False,
}


def problem(n=150, d=5, k=2, seed=0):
    X, y = make_classification(
        n, d, n_informative=4, n_redundant=0, n_classes=k, flip_y=0.1, random_state=seed
    )
    return X * np.logspace(-1, 1, d) + 1.0, y


def both(X, y, *, sample_weight=None, **parameters):
    """Return our model and scikit-learn's, fitted with the same parameters."""
    parameters = {**COMMON, **parameters}
    ours = LogisticRegressionCV(**parameters).fit(X, y, sample_weight=sample_weight)
    theirs = SklearnCV(**{"solver": "newton-cholesky", **parameters})
    return ours, theirs.fit(X, y, sample_weight=sample_weight)


def compare(ours, theirs, atol=1e-5):
    unit = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=atol * unit)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=10 * atol * max(unit, 1))
    np.testing.assert_allclose(ours.C_, theirs.C_, rtol=1e-12)
    np.testing.assert_array_equal(ours.Cs_, theirs.Cs_)
    np.testing.assert_array_equal(ours.l1_ratios_, theirs.l1_ratios_)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    if isinstance(theirs.scores_, dict):
        assert list(ours.scores_) == list(theirs.scores_)
        assert list(ours.coefs_paths_) == list(theirs.coefs_paths_)
        for label, scores in theirs.scores_.items():
            np.testing.assert_allclose(ours.scores_[label], scores, atol=1e-5)
            paths = theirs.coefs_paths_[label]
            unit = np.abs(paths).max()
            np.testing.assert_allclose(ours.coefs_paths_[label], paths, atol=atol * unit)
    else:
        np.testing.assert_allclose(ours.scores_, theirs.scores_, atol=1e-5)
        unit = np.abs(theirs.coefs_paths_).max()
        np.testing.assert_allclose(ours.coefs_paths_, theirs.coefs_paths_, atol=atol * unit)
    assert ours.n_iter_.shape == theirs.n_iter_.shape
    assert np.shape(ours.l1_ratio_) == np.shape(theirs.l1_ratio_)


@pytest.mark.parametrize("seed", range(8))
def test_random_problems_agree(seed):
    """Parameters, weights, classes and splitters drawn at random."""
    rng = np.random.RandomState(seed)
    k = int(rng.choice([2, 3, 4]))
    n, d = int(rng.randint(60, 200)), int(rng.randint(4, 9))
    X, y = problem(n, d, k, seed)
    splitters = [
        4,
        KFold(3, shuffle=True, random_state=seed),
        RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=seed),
        ShuffleSplit(3, test_size=0.3, random_state=seed),
    ]
    parameters = {
        "Cs": np.logspace(-2, 2, rng.randint(1, 5)),
        "cv": splitters[seed % 4],
        "fit_intercept": bool(rng.randint(2)),
        "refit": bool(rng.randint(2)),
        "class_weight": [None, "balanced", {0: 2.0}][rng.randint(3)],
        "scoring": [None, "accuracy", "neg_log_loss", "neg_brier_score"][rng.randint(4)],
        "use_legacy_attributes": bool(rng.randint(2)),
    }
    weights = rng.uniform(0.1, 3, n) if rng.randint(2) else None
    compare(*both(X, y, sample_weight=weights, **parameters))


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("ratios", [None, (0,), (0.0, 0.5, 1.0)])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.filterwarnings("ignore:'l1_ratios=None':FutureWarning")
def test_shapes_of_attributes(legacy, ratios, k):
    X, y = problem(90, k=k)
    parameters = {
        "Cs": [0.5, 2.0],
        "cv": 2,
        "l1_ratios": ratios,
        "use_legacy_attributes": legacy,
        "solver": "saga" if ratios and len(ratios) > 1 else "lbfgs",
        "tol": 1e-7,
        "max_iter": 20_000,
    }
    ours, theirs = both((X - X.mean(0)) / X.std(0), y, **parameters)
    compare(ours, theirs, atol=2e-3)
    np.testing.assert_array_equal(ours.l1_ratio_, theirs.l1_ratio_)


@pytest.mark.parametrize("l1_ratio", [0, 1])
def test_liblinear_penalises_the_intercept(l1_ratio):
    X, y = problem()
    terms = {"solver": "liblinear", "l1_ratios": (l1_ratio,), "tol": 1e-8, "max_iter": 5000}
    compare(*both(X, y, **terms), atol=1e-3)


def test_liblinears_refit_counts_the_intercept_scaling():
    X, y = problem()
    terms = {"solver": "liblinear", "intercept_scaling": 10.0}
    model = LogisticRegressionCV(**{**COMMON, **terms, "Cs": [0.05]}).fit(X, y)
    alone = LogisticRegression(C=0.05, tol=1e-10, **terms).fit(X, y)
    np.testing.assert_allclose(model.coef_, alone.coef_, atol=1e-6)


@pytest.mark.parametrize("solver", ["newton", "plain-lbfgs", "auto", "saga", "newton-cg"])
def test_solvers_agree(solver):
    X, y = problem(k=3)
    exact = SklearnCV(**COMMON, solver="newton-cholesky").fit(X, y)
    model = LogisticRegressionCV(**COMMON, solver=solver).fit(X, y)
    compare(model, exact)
    assert model.solver_ == (solver if solver in ("newton", "plain-lbfgs") else "stacked")


@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_matrix, pd.DataFrame, np.float32])
def test_containers(container):
    X, y = problem(k=3)
    X = X.astype(np.float32)
    ours = LogisticRegressionCV(**COMMON).fit(container(X), np.array(["a", "b", "c"])[y])
    exact = LogisticRegressionCV(**COMMON).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(ours.scores_, exact.scores_, atol=1e-6)
    np.testing.assert_allclose(ours.coef_, exact.coef_, atol=1e-5)
    assert set(ours.predict(container(X))) == {"a", "b", "c"}
    assert ours.coef_.dtype == (np.float64 if container is np.float64 else np.float32)


def accuracy_of_estimator(estimator, X, y):
    return float((estimator.predict(X) == y).mean())


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss"])
def test_scores_from_margins_are_the_scorers(k, name):
    """The two scores computed for all models at once equal the scorer's own, weighted or not."""
    X, y = problem(k=k)
    for weights in (None, np.random.RandomState(0).uniform(0, 2, len(y))):
        direct = LogisticRegressionCV(**{**COMMON, "scoring": name})
        general = LogisticRegressionCV(**{**COMMON, "scoring": get_scorer(name)})
        direct.fit(X, y, sample_weight=weights)
        general.fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(direct.scores_, general.scores_, rtol=1e-12)


def test_callable_scoring_sees_estimators():
    X, y = problem(k=3)
    seen = []

    def scorer(estimator, X, y):
        C = getattr(estimator, "C", None)
        seen.append((C, estimator.coef_.shape, estimator.predict_proba(X[:2]).shape))
        return accuracy_of_estimator(estimator, X, y)

    model = LogisticRegressionCV(**{**COMMON, "scoring": scorer}).fit(X, y)
    plain = LogisticRegressionCV(**{**COMMON, "scoring": "accuracy"}).fit(X, y)
    np.testing.assert_allclose(model.scores_, plain.scores_)
    assert seen[:3] == [(C, (3, 5), (2, 3)) for C in COMMON["Cs"]]
    assert model.score(X, y) == plain.score(X, y)


def test_score_uses_scoring_and_weights():
    X, y = problem()
    weights = np.random.RandomState(0).uniform(0, 2, len(y))
    ours, theirs = both(X, y)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-7)
    expected = theirs.score(X, y, sample_weight=weights)
    assert ours.score(X, y, sample_weight=weights) == pytest.approx(expected, abs=1e-7)


def test_groups_are_routed_to_the_splitter_and_metadata_to_the_scorer():
    X, y = problem()
    groups = np.arange(len(y)) // 10
    weights = np.linspace(0, 2, len(y))

    def weighted(y_true, y_predicted, costs=None):
        return float(np.average(y_true == y_predicted, weights=costs))

    with config_context(enable_metadata_routing=True):
        scoring = make_scorer(weighted).set_score_request(costs=True)
        terms = {**COMMON, "cv": GroupKFold(3), "scoring": scoring}
        ours = LogisticRegressionCV(**terms).fit(X, y, groups=groups, costs=weights)
        theirs = SklearnCV(**terms).fit(X, y, groups=groups, costs=weights)
        np.testing.assert_allclose(ours.scores_, theirs.scores_)
        listed = LogisticRegressionCV(**terms).fit(X, y, groups=groups, costs=pd.Series(weights))
        np.testing.assert_allclose(listed.scores_, ours.scores_)
        with pytest.raises(TypeError, match="unexpected argument"):
            ours.score(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="only supported if enable_metadata_routing=True"):
        LogisticRegressionCV(**COMMON).fit(X, y, groups=groups)


def test_leave_one_out():
    X, y = problem(25)
    compare(*both(X, y, Cs=[1.0], cv=LeaveOneOut(), scoring="accuracy"))


def test_folds_without_a_class():
    y = np.array(["a", "a", "b", "b", "c", "c"])
    X = np.arange(6.0)[:, None]
    model = LogisticRegressionCV(**{**COMMON, "cv": KFold(3), "scoring": "accuracy"}).fit(X, y)
    assert not model.scores_.any()
    assert np.isfinite(model.coefs_paths_).all()


def test_methods_pickle_clone_and_names():
    X, y = problem(k=3)
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = LogisticRegressionCV(**COMMON).fit(frame, y)
    assert list(model.feature_names_in_) == list("abcde")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(frame)), model.predict_proba(frame))
    assert clone(model).get_params() == model.get_params()
    expected = model.decision_function(frame)
    np.testing.assert_allclose(model.sparsify().decision_function(frame), expected)
    assert isinstance(model.densify().coef_, np.ndarray)
    assert "LogisticRegressionCV" in model._repr_html_()


def test_refit_is_the_single_model():
    X, y = problem(k=3)
    model = LogisticRegressionCV(**COMMON).fit(X, y)
    alone = LogisticRegression(C=model.C_, tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(model.coef_, alone.coef_, atol=1e-7)


def test_fits_repeat_and_leave_the_random_state_alone():
    X, y = problem()
    state = np.random.get_state()[1].copy()
    one, two = (LogisticRegressionCV(**COMMON).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.coefs_paths_, two.coefs_paths_)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_held_out_rows_do_not_reach_the_models():
    """Changing a fold's held-out rows, not their scale, leaves the fold's models as they were."""
    X, y = problem()
    train, test = next(StratifiedKFold(3).split(X, y))
    other = X.copy()
    other[test] += np.random.RandomState(0).standard_normal((len(test), X.shape[1]))
    terms = {**COMMON, "cv": [(train, test)], "refit": False}
    one = LogisticRegressionCV(**terms).fit(X, y)
    two = LogisticRegressionCV(**terms).fit(other, y)
    np.testing.assert_allclose(one.coefs_paths_, two.coefs_paths_, atol=1e-8)
    assert (one.scores_ != two.scores_).all()


def test_verbose_tells_grid_and_refit(capsys):
    X, y = problem()
    LogisticRegressionCV(**COMMON, verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert "9 models (3 folds), solver stacked" in lines[0]
    assert "refitted on all rows" in lines[1]


def test_callbacks_watch_the_refit():
    X, y = problem()
    monitor = ScoringMonitor(scoring="neg_log_loss")
    model = LogisticRegressionCV(**COMMON).set_callbacks(monitor).fit(X, y)
    scores = monitor.get_logs().data_as_pandas["neg_log_loss"]
    assert len(scores) >= 1
    assert scores.iloc[-1] == pytest.approx(model.score(X, y), abs=1e-3)


# --- errors and warnings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Cs": 0}, "Cs must be an integer of at least 1"),
        ({"Cs": [1, -1]}, "Cs must be greater than 0"),
        ({"Cs": "many"}, "Cs must be an integer, or a list"),
        ({"Cs": []}, "Cs must be an integer, or a list"),
        ({"l1_ratios": (0, 2), "solver": "saga"}, "l1_ratios must be an array-like of numbers"),
        ({"l1_ratios": 0.5, "solver": "saga"}, "l1_ratios must be an array-like"),
        ({"l1_ratios": (0.5,)}, "supports only 'l2'"),
        ({"solver": "lbfg"}, "Did you mean 'lbfgs'"),
        ({"tol": -1}, "tol must be"),
        ({"max_iter": 1.5}, "max_iter must be an integer"),
        ({"refit": "yes"}, "refit must be True or False"),
        ({"use_legacy_attributes": 3}, "use_legacy_attributes must be True or False"),
        ({"class_weight": {7: 1}}, "class_weight dict must have the class labels as keys"),
        ({"class_weight": "equal"}, "class_weight must be"),
        ({"dual": True}, "supports only dual=False"),
        ({"intercept_scaling": 0}, "intercept_scaling must be"),
    ],
)
def test_arguments_are_refused_with_a_sentence(parameters, message):
    X, y = problem(30)
    with pytest.raises(ValueError, match=message):
        LogisticRegressionCV(**{**COMMON, **parameters}).fit(X, y)


@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (np.zeros(30), None, "only one class: 0.0"),
        (np.arange(30) % 2, -np.ones(30), "must not be negative"),
        (np.arange(30) % 2, np.ones(29), "one weight a row"),
        (np.arange(30) % 2, np.r_[np.ones(10), np.zeros(20)], "fold 0 have weight zero"),
    ],
)
def test_data_are_refused_with_a_sentence(y, weights, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegressionCV(**{**COMMON, "cv": KFold(3)}).fit(
            problem(30)[0], y, sample_weight=weights
        )


def test_deprecations_are_scikit_learns():
    X, y = problem(30)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LogisticRegressionCV(Cs=2).fit(X, y)
    said = " ".join(str(w.message) for w in caught if w.category is FutureWarning)
    for words in ("value for l1_ratios will", "parameter 'scoring' will", "be simplified in"):
        assert words in said
    with (
        pytest.warns(FutureWarning, match="'penalty' was deprecated"),
        pytest.warns(FutureWarning, match="default value for l1_ratios"),
    ):
        LogisticRegressionCV(**{**COMMON, "penalty": "l2", "l1_ratios": "warn"}).fit(X, y)
    with (
        pytest.warns(FutureWarning, match="'penalty' was deprecated"),
        pytest.warns(UserWarning, match="l1_ratios parameter is only used"),
    ):
        LogisticRegressionCV(**{**COMMON, "penalty": "l2"}).fit(X, y)


def test_max_iter_warns_for_grid_and_refit():
    X, y = problem(400)
    terms = {**COMMON, "max_iter": 1, "tol": 1e-13}
    with (
        pytest.warns(ConvergenceWarning, match="9 of the grid's 9 models failed"),
        pytest.warns(ConvergenceWarning, match="refitted model failed to converge"),
    ):
        LogisticRegressionCV(**terms).fit(X, y)


def test_few_rows_a_class_take_fewer_folds():
    X, y = problem(8)
    y = np.arange(8) % 2
    with pytest.warns(UserWarning, match="there are 4 folds"):
        model = LogisticRegressionCV(**{**COMMON, "cv": None}).fit(X, y)
    assert len(model.scores_) == 4


def test_iris_example():
    X, y = load_iris(return_X_y=True)
    model = LogisticRegressionCV(
        Cs=4, l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False
    ).fit(X, y)
    assert model.score(X, y) > -0.1


def test_the_default_grid_ends_where_hardly_any_penalty_holds_the_weights():
    # Strengths up to 1e4, and rows that are nearly separable: a warning would be an error.
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    options = {"l1_ratios": (0,), "scoring": "neg_log_loss", "use_legacy_attributes": False}
    model = LogisticRegressionCV(**options).fit(X, y)
    assert model.n_iter_.max() < 100
