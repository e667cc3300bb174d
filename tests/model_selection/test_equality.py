"""A batched search gives what GridSearchCV gives over the same estimators."""

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV

from mlfund import BatchedGridSearchCV
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
