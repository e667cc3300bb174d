"""The families of estimators that can be trained as stacks."""

from __future__ import annotations

import importlib
from typing import Any

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
