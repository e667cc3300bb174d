"""scikit-learn callbacks after each iteration of a parametric fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlfund.estimators._parametric_function import ParametricFunction


class IterationReport:
    """Ends one task of the fit after each iteration.

    Parameters
    ----------
    estimator : ParametricRegressor
    function : ParametricFunction
    context : sklearn.callback.CallbackContext
        Of the whole fit.
    data : dict
        X, y and metadata, as callbacks get them.
    """

    def __init__(self, estimator: Any, function: ParametricFunction, context: Any, data: dict):
        self.estimator, self.function, self.context, self.data = estimator, function, context, data

    def __call__(self, theta: np.ndarray, loss: float) -> bool:
        """Return whether a callback asks to stop."""
        task = self.context.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        fitted = {
            "_theta": theta.copy(),
            "_at_bound": np.zeros(len(theta), dtype=bool),
            "parameters_": self.function.unpack(theta.copy()),
        }
        return bool(
            task.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes=fitted, **self.data
            )
        )
