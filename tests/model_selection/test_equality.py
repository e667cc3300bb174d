"""A batched search gives what GridSearchCV gives over the same estimators."""

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.base import is_classifier
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import BatchedGridSearchCV, LogisticRegression, MLPClassifier
from tests.model_selection.search_problems import problem

PROBLEMS = [
    *[("logistic", seed) for seed in range(12)],
    *[("linear", seed) for seed in range(8)],
    *[("full batch", seed) for seed in range(5)],
    *[("mini-batch", seed) for seed in range(5)],
]
# A row whose margin is below this may fall on either side.
NEAR = 1e-6


def of_margins(y, raw):
    """Return a number that any change of a margin, as far as it means something, changes."""
    raw = np.asarray(raw).reshape(len(y), -1)
    if raw.shape[1] > 2:  # the softmax does not see what the classes have in common
        raw = raw - raw.mean(axis=1, keepdims=True)
    return float(np.cos(np.arange(raw.size)) @ raw.ravel())


def near(y, raw):
    """Return the share of rows whose class is a matter of rounding."""
    raw = np.asarray(raw)
    if raw.ndim == 2:
        gap = np.diff(np.sort(raw, axis=1))[:, -1]
    else:
        gap = np.minimum(np.abs(raw), np.abs(raw - 0.5))  # of a margin or a probability
    return float((gap < NEAR).mean())


def results(search, one):
    return search.fit(one.X, one.y, **one.fit_params).cv_results_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The scoring:UserWarning")  # without weights, on purpose
@pytest.mark.parametrize(("kind", "seed"), PROBLEMS)
def test_equal_to_the_sequential_search(kind, seed):
    one = problem(kind, seed)
    if is_classifier(one.estimator):
        response = ("decision_function", "predict_proba")
        scoring = {"loss": "neg_log_loss", "right": "accuracy"}
        scoring["near"] = make_scorer(near, response_method=response)
    else:
        response, scoring = "predict", {"r2": "r2"}
    scoring["raw"] = make_scorer(of_margins, response_method=response)
    options = {"cv": one.cv, "scoring": scoring, "refit": False, "return_train_score": True}
    batched = results(BatchedGridSearchCV(one.estimator, one.grid, **options), one)
    expected = results(GridSearchCV(one.estimator, one.grid, **options), one)
    assert batched["batched"].all()
    for name in expected:
        if not name.startswith("split"):
            continue
        metric = name.split("_")[-1]
        if metric in ("loss", "r2", "raw"):
            np.testing.assert_allclose(
                batched[name], expected[name], rtol=one.tolerance, atol=one.tolerance, err_msg=name
            )
        elif metric == "right" and one.tolerance <= NEAR:
            may_differ = expected[name.replace("right", "near")] + 1e-12
            assert (np.abs(batched[name] - expected[name]) <= may_differ).all()


def test_default_tolerance_differs_no_more_than_scikit_learns_own_solvers():
    rng = np.random.default_rng(0)
    own, theirs = [], []
    for _ in range(2):
        X = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 8))
        y = (X[:, 0] + 2 * rng.normal(size=300) > 0).astype(int)
        front = StandardScaler()
        grid, options = {"model__C": [0.01, 1.0, 100.0]}, {"cv": 3, "scoring": "neg_log_loss"}

        def losses(search, model, front=front, grid=grid, options=options, X=X, y=y):
            whole = Pipeline([("scale", front), ("model", model)])
            found = search(whole, grid, refit=False, **options).fit(X, y).cv_results_
            return np.stack([found[f"split{split}_test_score"] for split in range(3)])

        batched = losses(BatchedGridSearchCV, LogisticRegression())
        own.append(np.abs(batched - losses(GridSearchCV, LogisticRegression())))
        solvers = (
            losses(GridSearchCV, linear_model.LogisticRegression(solver=solver))
            for solver in ("lbfgs", "newton-cholesky")
        )
        theirs.append(np.abs(next(solvers) - next(solvers)))
    assert np.max(own) <= np.max(theirs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_dropout_is_equal_on_average():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    y = (X[:, 0] * X[:, 1] + rng.normal(size=120) > 0).astype(int)
    estimator = MLPClassifier((16,), dropout=0.4, max_iter=15, learning_rate_init=0.02)
    options = {
        "param_grid": {"random_state": list(range(20))},
        "cv": ShuffleSplit(1, test_size=0.3, random_state=0),
        "scoring": "neg_log_loss",
        "refit": False,
    }
    batched = BatchedGridSearchCV(estimator, **options).fit(X, y).cv_results_
    expected = GridSearchCV(estimator, **options).fit(X, y).cv_results_
    assert batched["batched"].all()
    scores = np.stack([one["split0_test_score"] for one in (batched, expected)])
    assert not np.allclose(*scores)  # other masks
    difference = scores.mean(axis=1)[0] - scores.mean(axis=1)[1]
    error = np.sqrt((scores.var(axis=1, ddof=1) / 20).sum())
    assert abs(difference) < 3 * error
