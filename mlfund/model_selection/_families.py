"""The families of estimators that can be trained as stacks."""

from __future__ import annotations

import importlib
from typing import Any

from sklearn.pipeline import Pipeline

from mlfund.model_selection._contract import Family

# Class -> module with the object FAMILY. Classes are compared exactly: a subclass may train
# otherwise. Modules are imported when a search meets the class.
FAMILIES: dict[str, str] = {
    "mlfund.estimators.linear.LogisticRegression": "mlfund.model_selection._linear_family",
    "mlfund.estimators.linear_regressor.LinearRegressor": "mlfund.model_selection._linear_family",
    "mlfund.estimators.mlp_classifier.MLPClassifier": "mlfund.model_selection._mlp_family",
    "mlfund.estimators.mlp_regressor.MLPRegressor": "mlfund.model_selection._mlp_family",
    "mlfund.estimators.neural_classifier.NeuralClassifier": "mlfund.model_selection._mlp_family",
    "mlfund.estimators.neural_regressor.NeuralRegressor": "mlfund.model_selection._mlp_family",
}


class UnstackableError(Exception):
    """Raised by `Family.train` before its first models if only the data shows that it cannot.

    The message is the reason; the search then fits these candidates one by one.
    """


def family_of(estimator: Any) -> Family | None:
    """Return the family of an estimator, or None for one that is always fitted by itself."""
    kind = type(estimator)
    module = FAMILIES.get(f"{kind.__module__}.{kind.__qualname__}")
    return None if module is None else importlib.import_module(module).FAMILY


# scikit-learn's estimators, and the one of a family that takes their place.
_DROP_INS = {
    "LogisticRegression": "mlfund.LogisticRegression",
    "MLPClassifier": "mlfund.MLPClassifier",
    "MLPRegressor": "mlfund.MLPRegressor",
}
# Those that have other parameters.
_RELATIVES = dict.fromkeys(
    ("ElasticNet", "HuberRegressor", "Lasso", "LinearRegression", "PoissonRegressor", "Ridge"),
    "mlfund.LinearRegressor",
)


def outside_reason(estimator: Any) -> str:
    """Return why an estimator that is of no family is fitted by itself, and what is not."""
    if isinstance(estimator, Pipeline):
        if estimator.steps[-1][1] in (None, "passthrough"):
            return "a pipeline without a model at its end has nothing to stack"
        return "a pipeline inside a pipeline is never stacked; put its steps into the outer one"
    kind = type(estimator)
    package = kind.__module__.partition(".")[0]
    reason = f"{package}.{kind.__name__} is never stacked"
    if package == "sklearn" and kind.__name__ in _DROP_INS:
        return f"{reason}; {_DROP_INS[kind.__name__]} takes its place and is"
    if package == "sklearn" and kind.__name__ in _RELATIVES:
        return f"{reason}; {_RELATIVES[kind.__name__]} fits such models and is"
    return reason
