"""LogisticRegression against scikit-learn's: the same optimum, arguments and manners."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from mlfund import LogisticRegression, TablePreprocessor

TABLES = (
    "adult",
    "bank_marketing",
    "spambase",
    "satimage",
    "splice",
    "kr_vs_kp",
    "credit_g",
    "segment",
    "churn",
    "sick",
)
OWN = ["newton", "preconditioned-lbfgs", "plain-lbfgs", "proximal", "proximal-newton"]


def problem(n=200, d=6, k=2, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    Z = 2 * X @ rng.standard_normal((d, k)) + rng.gumbel(size=(n, k)) * 2
    return X, np.concatenate([np.arange(k), Z.argmax(axis=1)[k:]])


def objective(model, X, y, weights, *, penalised_intercept=False):
    """What is minimised, computed from the published attributes."""
    scores = np.asarray(X @ model.coef_.T.astype(float)) + model.intercept_.astype(float)
    code = np.searchsorted(model.classes_, y)
    if scores.shape[1] == 1:
        loss = np.logaddexp(0, np.where(code == 1, -scores[:, 0], scores[:, 0]))
    else:
        loss = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(code)), code]
    W, C, ratio = model.coef_.astype(float), model.C, model.l1_ratio
    value = float(loss @ weights)
    if np.isinf(C):
        return value
    if penalised_intercept:
        W = np.append(W, model.intercept_ / model.intercept_scaling)
    return value + (ratio * np.abs(W).sum() + (1 - ratio) / 2 * (W**2).sum()) / C


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(30, 300),
    d=st.integers(1, 12),
    k=st.integers(2, 4),
    density=st.sampled_from([None, 0.1, 0.6]),
    C=st.sampled_from([1e-3, 0.1, 1.0, 30.0]),
    l1_ratio=st.sampled_from([0.0, 0.0, 0.4, 1.0]),
    weighted=st.booleans(),
    scales=st.booleans(),
    fit_intercept=st.booleans(),
    own=st.sampled_from([None, *OWN]),
)
def test_objective_is_never_worse_than_scikit_learns(
    seed, n, d, k, density, C, l1_ratio, weighted, scales, fit_intercept, own
):
    X, y = problem(n, d, k, seed)
    rng = np.random.RandomState(seed)
    if density is not None:
        X = sp.csr_array(X * (rng.uniform(size=X.shape) < density))
    if scales and l1_ratio == 0:  # saga does not converge on unequal columns
        X = X * (10.0 ** rng.uniform(-1.5, 1.5, d))
        X = sp.csr_array(X) if sp.issparse(X) else X
    weights = rng.uniform(0.1, 3, n) if weighted else np.ones(n)
    common = {"C": C, "l1_ratio": l1_ratio, "tol": 1e-8, "fit_intercept": fit_intercept}
    solver = own or ("saga" if l1_ratio else "lbfgs")
    if l1_ratio and not solver.startswith(("saga", "proximal")):
        solver = "auto"
    ours = LogisticRegression(solver=solver, max_iter=3000, **common)
    ours.fit(X, y, sample_weight=weights if weighted else None)
    reference = "saga" if l1_ratio else "newton-cholesky"
    theirs = SklearnLogisticRegression(solver=reference, max_iter=5000, **common)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y, sample_weight=weights if weighted else None)
    mine, other = objective(ours, X, y, weights), objective(theirs, X, y, weights)
    assert mine <= other * (1 + 1e-9)
    assert own is None or own == ours.solver_ or solver == "auto"


@pytest.mark.parametrize("l1_ratio", [0, 1])
@pytest.mark.parametrize("intercept_scaling", [1, 10.0])
def test_liblinear_penalises_the_intercept(l1_ratio, intercept_scaling):
    X, y = problem()
    common = {
        "solver": "liblinear",
        "l1_ratio": l1_ratio,
        "intercept_scaling": intercept_scaling,
        "C": 0.05,
        "tol": 1e-9,
        "max_iter": 5000,
    }
    ours = LogisticRegression(**common).fit(X + 1, y)
    theirs = SklearnLogisticRegression(**common).fit(X + 1, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-4)
    weights = np.ones(len(y))
    mine, other = (
        objective(model, X + 1, y, weights, penalised_intercept=True) for model in (ours, theirs)
    )
    assert mine <= other * (1 + 1e-10)


@pytest.mark.parametrize("name", TABLES)
def test_agrees_on_real_tables(shared_table, name):
    """A subsample; benchmarks/linear_agreement does the whole tables."""
    X, y, _ = shared_table(name)
    X = X.sample(min(len(X), 1000), random_state=0)
    encoded = TablePreprocessor(sparse_output=False).fit_transform(X)
    X, y = StandardScaler().fit_transform(np.asarray(encoded, dtype=float)), y[X.index].astype(str)
    ours = LogisticRegression(tol=1e-10, max_iter=1000).fit(X, y)
    theirs = SklearnLogisticRegression(tol=1e-10, solver="newton-cholesky").fit(X, y)
    largest = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-6 * largest)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-6 * largest)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("k", [2, 3])
def test_float32_stays_float32_and_tight_tolerances_are_honoured(container, k):
    X, y = problem(k=k)
    X = X.astype(np.float32)
    ours = LogisticRegression(tol=1e-10).fit(container(X), y)
    exact = LogisticRegression(tol=1e-12).fit(X.astype(np.float64), y)
    assert ours.coef_.dtype == ours.intercept_.dtype == np.float32
    assert ours.predict_proba(container(X)).dtype == np.float32
    np.testing.assert_allclose(ours.coef_, exact.coef_, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("solver", OWN)
@pytest.mark.parametrize("k", [2, 3])
def test_own_solvers_run_and_agree(solver, k):
    X, y = problem(k=k)
    model = LogisticRegression(solver=solver, tol=1e-9, max_iter=2000).fit(X, y)
    exact = SklearnLogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X, y)
    assert model.solver_ == solver
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("k", [2, 3])
def test_weights_are_repetitions_and_zero_leaves_out(l1_ratio, k):
    X, y = problem(k=k)
    weights = np.random.RandomState(0).randint(0, 4, len(y))
    model = LogisticRegression(solver="saga", l1_ratio=l1_ratio, tol=1e-10)
    weighted = clone(model).fit(X, y, sample_weight=weights)
    repeated = clone(model).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)
    scaled = clone(model).set_params(C=1e-3).fit(X, y, sample_weight=weights * 1e3)
    np.testing.assert_allclose(scaled.coef_, weighted.coef_, atol=1e-7)


def test_class_weights_multiply_sample_weights():
    X, y = problem(k=3)
    weights = np.random.RandomState(0).uniform(0.5, 2, len(y))
    both = LogisticRegression(class_weight={0: 1, 1: 3, 2: 0.5}, tol=1e-10)
    both.fit(X, y, sample_weight=weights)
    product = weights * np.array([1, 3, 0.5])[y]
    one = LogisticRegression(tol=1e-10).fit(X, y, sample_weight=product)
    np.testing.assert_allclose(both.coef_, one.coef_, atol=1e-9)
    ours = LogisticRegression(class_weight="balanced", tol=1e-10).fit(X, y, weights)
    theirs = SklearnLogisticRegression(class_weight="balanced", tol=1e-10).fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)


def test_methods_agree_with_scikit_learn():
    X, y = load_iris(return_X_y=True)
    for labels in (y, y == 2):
        ours = LogisticRegression(tol=1e-10).fit(X, labels)
        theirs = SklearnLogisticRegression(tol=1e-10, solver="newton-cholesky").fit(X, labels)
        for method in ("decision_function", "predict_proba", "predict_log_proba"):
            expected = getattr(theirs, method)(X)
            np.testing.assert_allclose(getattr(ours, method)(X), expected, atol=1e-5)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        assert ours.score(X, labels) == theirs.score(X, labels)


def test_log_probabilities_stay_finite():
    X, y = np.array([[-1.0], [1.0]]), [0, 1]
    model = LogisticRegression().fit(X, y)
    model.coef_ = np.array([[1e4]])
    np.testing.assert_allclose(model.predict_log_proba([[1.0]]), [[-1e4, 0]], atol=1)


def test_warm_start_continues_and_checks_shapes():
    X, y = problem(k=3)
    model = LogisticRegression(warm_start=True, tol=1e-8).fit(X, y)
    assert model.n_iter_[0] > 0
    assert model.fit(X, y).n_iter_[0] == 0
    with pytest.raises(ValueError, match="warm_start=True starts from coef_ of shape"):
        model.fit(X[:, :3], y)


def test_sparsify_and_densify():
    X, y = problem()
    model = LogisticRegression(l1_ratio=1, C=0.05, solver="saga", warm_start=True).fit(X, y)
    expected = model.decision_function(X)
    assert sp.issparse(model.sparsify().coef_)
    np.testing.assert_allclose(model.decision_function(X), expected)
    assert model.fit(X, y).n_iter_[0] <= 1
    assert isinstance(model.sparsify().densify().coef_, np.ndarray)


def test_strings_frames_grid_search_and_pickle():
    X, y = problem()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    labels = np.array(["no", "yes"])[y]
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=3).fit(frame, labels)
    model = search.best_estimator_
    assert list(model.feature_names_in_) == list("abcdef")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert set(model.predict(frame)) == {"no", "yes"}


def test_fits_repeat_bit_for_bit_and_leave_the_random_state_alone():
    X, y = problem(5000, 40)
    state = np.random.get_state()[1].copy()
    one, two = (LogisticRegression(solver="preconditioned-lbfgs").fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.coef_, two.coef_)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_callbacks_watch_each_iteration_and_may_stop():
    X, y = problem()
    monitor = ScoringMonitor(scoring="neg_log_loss")
    model = LogisticRegression().set_callbacks(monitor).fit(X, y)
    scores = monitor.get_logs().data_as_pandas["neg_log_loss"]
    assert len(scores) >= model.n_iter_[0]

    class Stop:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            return True

    stopped = LogisticRegression(tol=1e-10).set_callbacks(Stop()).fit(X, y)
    assert stopped.n_iter_[0] == 1


def test_verbose_prints_a_line_an_iteration(capsys):
    X, y = problem()
    model = LogisticRegression(verbose=1).fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == model.n_iter_[0]


# --- errors and warnings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "lbfg"}, "Did you mean 'lbfgs'"),
        ({"C": 0}, "C must be a number greater than 0"),
        ({"C": np.nan}, "C must be"),
        ({"tol": -1}, "tol must be"),
        ({"max_iter": 2.5}, "max_iter must be an integer"),
        ({"l1_ratio": 2, "solver": "saga"}, "l1_ratio must be a number from 0 to 1"),
        ({"intercept_scaling": 0}, "intercept_scaling must be"),
        ({"fit_intercept": "yes"}, "fit_intercept must be True or False"),
        ({"class_weight": "equal"}, "class_weight must be"),
        ({"l1_ratio": 1}, "supports only 'l2'"),
        ({"dual": True}, "supports only dual=False"),
        ({"solver": "liblinear", "l1_ratio": 0.5}, "Only 'saga' solver supports elasticnet"),
        ({"solver": "liblinear", "C": np.inf}, "not supported for the liblinear solver"),
        ({"solver": "liblinear", "l1_ratio": 1, "dual": True}, "with the l2 penalty only"),
    ],
)
def test_arguments_are_refused_with_a_sentence(parameters, message):
    X, y = problem(20)
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**parameters).fit(X, y)


@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (np.zeros(20), None, "only one class: 0.0"),
        (np.arange(20) % 2, np.zeros(20), "at least one non-zero"),
        (np.arange(20) % 2, -np.ones(20), "must not be negative"),
        (np.arange(20) % 2, np.ones(19), "one weight a row"),
    ],
)
def test_data_are_refused_with_a_sentence(y, weights, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(problem(20)[0], y, sample_weight=weights)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_is_refused(value):
    X, y = problem(20)
    X[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        LogisticRegression().fit(X, y)


def test_deprecations_are_scikit_learns():
    X, y = problem(20)
    with pytest.warns(FutureWarning, match="'penalty' was deprecated"):
        LogisticRegression(penalty="l2").fit(X, y)
    with pytest.warns(FutureWarning, match="'l1_ratio=None' was deprecated"):
        LogisticRegression(l1_ratio=None).fit(X, y)
    with pytest.warns(FutureWarning, match="'n_jobs' has no effect"):
        LogisticRegression(n_jobs=2).fit(X, y)


@pytest.mark.parametrize("solver", ["lbfgs", "plain-lbfgs", "proximal"])
def test_convergence_warning_says_what_to_do(solver):
    X, y = problem()
    message = rf"{solver} failed to converge after 1 iteration.*max_iter=1\), or loosen tol"
    with pytest.warns(ConvergenceWarning, match=message):
        LogisticRegression(solver=solver, max_iter=1, tol=1e-8).fit(X, y)


# --- hard data ---------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["newton", "preconditioned-lbfgs", "plain-lbfgs"])
@pytest.mark.parametrize("tol", [1e-4, 1e-12])
@pytest.mark.parametrize("k", [2, 3])
def test_separable_data_without_penalty_end_with_a_warning(solver, tol, k):
    X = np.random.RandomState(0).standard_normal((150, 4))
    y = (X @ np.random.RandomState(1).standard_normal((4, k))).argmax(axis=1)
    model = LogisticRegression(C=np.inf, solver=solver, tol=tol)
    with pytest.warns(ConvergenceWarning, match="perfectly separated"):
        model.fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) == 1.0


@pytest.mark.parametrize("solver", ["newton", "preconditioned-lbfgs", "plain-lbfgs"])
@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("scale", [1e-12, 1e12, None])
def test_extreme_scales(solver, C, scale):
    X, y = problem(300, 6)
    scale = np.array([1e-12, 1e12, 1, 1e6, 1e-6, 1e3]) if scale is None else np.full(6, scale)
    model = LogisticRegression(solver=solver, C=C).fit(X * scale, y)
    if np.isinf(C):  # then the scale of a column is of no meaning
        plain = LogisticRegression(C=C, tol=1e-8).fit(X, y)
        np.testing.assert_allclose(model.coef_ * scale, plain.coef_, atol=2e-3)
    else:  # penalised in their units, tiny columns are out and huge ones are free
        kept = scale > 1e-3
        free = LogisticRegression(C=1 if (scale == 1).any() else C, tol=1e-10)
        alone = clone(free).fit(np.where(kept, X * np.minimum(scale, 1e4), 0), y)
        ours = X * scale @ model.coef_[0] + model.intercept_
        expected = np.where(kept, X * np.minimum(scale, 1e4), 0) @ alone.coef_[0]
        np.testing.assert_allclose(ours, expected + alone.intercept_, atol=2e-3)


@pytest.mark.parametrize("parameters", [{}, {"C": np.inf}, {"l1_ratio": 1, "solver": "saga"}])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_constant_and_doubled_columns(parameters, container):
    X, y = problem()
    more = np.column_stack([X, np.full(200, 7.0), X[:, 0], np.zeros(200)])
    model = LogisticRegression(tol=1e-8, **parameters).fit(container(more), y)
    assert model.coef_[0, 6] == 0
    assert model.coef_[0, 8] == 0
    if not parameters:
        np.testing.assert_allclose(model.coef_[0, 0], model.coef_[0, 7])
    if parameters.get("C") == np.inf:
        plain = LogisticRegression(tol=1e-10, C=np.inf).fit(X, y)
        probabilities = model.predict_proba(container(more))
        np.testing.assert_allclose(probabilities, plain.predict_proba(X), atol=1e-6)


def test_columns_far_from_zero():
    X, y = problem()
    plain = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    far = LogisticRegression(C=np.inf, tol=1e-10).fit(X + 1e8, y)
    np.testing.assert_allclose(far.coef_, plain.coef_, atol=1e-5)


@pytest.mark.parametrize("parameters", [{"C": 1e-300}, {"C": 1e300}, {"max_iter": 0}])
def test_extreme_parameters_end_finite(parameters):
    X, y = problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(**parameters).fit(X, y)
    assert np.isfinite(model.coef_).all()


def test_more_classes_than_rows_would_allow():
    X = problem(4)[0]
    assert LogisticRegression(C=10).fit(X, list("abcd")).score(X, list("abcd")) == 1.0


def test_sparse_with_double_entries_is_left_as_it_was():
    X, y = problem()
    coo = sp.coo_array(X)
    doubled = sp.csr_array(
        (np.tile(coo.data / 2, 2), (np.tile(coo.row, 2), np.tile(coo.col, 2))), X.shape
    )
    doubled.has_canonical_format = False
    data = doubled.data.copy()
    model = LogisticRegression(solver="plain-lbfgs", tol=1e-9).fit(doubled, y)
    np.testing.assert_array_equal(doubled.data, data)
    np.testing.assert_allclose(model.coef_, LogisticRegression(tol=1e-9).fit(X, y).coef_, atol=1e-6)


def test_wide_data():
    X, y = make_classification(60, 800, random_state=0)
    ours = LogisticRegression(tol=1e-9, max_iter=1000).fit(X, y)
    theirs = SklearnLogisticRegression(tol=1e-9, max_iter=5000).fit(X, y)
    weights = np.ones(60)
    assert objective(ours, X, y, weights) <= objective(theirs, X, y, weights) * (1 + 1e-10)
