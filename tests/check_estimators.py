"""Run scikit-learn's check_estimator on every public estimator and print the counts.

    python -m tests.check_estimators [CLASS ...]

A check that an estimator declares in its class attribute ``expected_failed_checks``
({check: reason}) counts as expected when it fails, and is printed with its reason.
The exit status is 1 if any other check fails.
"""

import sys
import warnings
from collections import Counter

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import check_estimator

import mlfund
from tests.own_modules import Perceptron

NO_SLOPES = np.zeros(32)


def linear_function(x, slopes=NO_SLOPES, offset=0.0):
    """A function for `ParametricRegressor` that takes any number of columns up to 32."""
    columns = x.reshape(len(x), -1)
    return columns @ slopes[: columns.shape[1]] + offset


SEARCH = {"estimator": mlfund.LogisticRegression(), "cv": 2, "error_score": "raise"}
GRID = {**SEARCH, "param_grid": {"C": [0.1, 1.0]}}
DRAWN = {**SEARCH, "param_distributions": {"C": [0.1, 1.0]}, "random_state": 0}

# Arguments of estimators that cannot be made without. The first round of a halving gets as few
# rows as still hold two of every class of the checks.
ARGUMENTS = {
    "Autoencoder": {"max_iter": 2},
    "BatchedGridSearchCV": GRID,
    "BatchedHalvingGridSearchCV": {**GRID, "min_resources": 8, "random_state": 0},
    "BatchedHalvingRandomSearchCV": {**DRAWN, "min_resources": 8, "n_candidates": 2},
    "BatchedRandomizedSearchCV": {**DRAWN, "n_iter": 2},
    "CNNClassifier": {"image_shape": "row", "max_iter": 60},
    "CNNRegressor": {"image_shape": "row", "max_iter": 60},
    "ContrastiveEncoder": {"max_iter": 2},
    "ImageScaler": {"image_shape": "row"},
    "ImageTransferClassifier": {"backbone": "precomputed"},
    "ImageTransferRegressor": {"backbone": "precomputed"},
    "PixelRows": {"image_shape": "row"},
    "MaskedAutoencoder": {"max_iter": 2},
    "NeuralClassifier": {"module": Perceptron, "learning_rate_init": 0.01, "max_iter": 60},
    "NeuralRegressor": {"module": Perceptron, "learning_rate_init": 0.01, "max_iter": 60},
    "ParametricRegressor": {"function": linear_function},
    "TextTransferClassifier": {"backbone": "precomputed"},
    "TextTransferRegressor": {"backbone": "precomputed"},
}

# These take images or texts, and scikit-learn's checks know numbers in two dimensions alone: what
# can be checked without X is in the tests of their own.
WITHOUT_TABLES = {"BackboneFeatures", "ZeroShotImageClassifier"}


def public_estimators():
    """Every public estimator class that takes tables, by name."""
    things = {name: getattr(mlfund, name) for name in mlfund.__all__}
    return {
        name: thing
        for name, thing in things.items()
        if isinstance(thing, type)
        and issubclass(thing, BaseEstimator)
        and name not in WITHOUT_TABLES
    }


def make(name):
    """Return an instance of a public estimator."""
    return getattr(mlfund, name)(**ARGUMENTS.get(name, {}))


def expected_failures(estimator):
    """{check: reason} that the class of `estimator` declares."""
    return getattr(type(estimator), "expected_failed_checks", {})


def run(estimator):
    """[{check_name, status, exception, ...}] of one estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return check_estimator(
            estimator,
            expected_failed_checks=expected_failures(estimator),
            on_skip=None,
            on_fail=None,
        )


def main(names):
    """Print a line an estimator; return the number of failed checks."""
    estimators = public_estimators()
    n_failed = 0
    for name in names or estimators:
        results = run(make(name))
        counts = Counter(result["status"] for result in results)
        n_failed += counts["failed"]
        print(
            f"{name:28} {len(results):3d} checks: {counts['passed']:3d} passed, "
            f"{counts['failed']} failed, {counts['xfail']} expected failures, "
            f"{counts['skipped']} skipped",
            flush=True,
        )
        for result in results:
            if result["status"] == "failed":
                print(f"    FAILED {result['check_name']}: {result['exception']!r}")
            elif result["status"] == "xfail":
                print(f"    expected {result['check_name']}: {result['expected_to_fail_reason']}")
    return n_failed


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
