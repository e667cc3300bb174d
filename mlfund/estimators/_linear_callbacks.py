"""What happens after each iteration of a fit: callbacks and verbose lines."""

from __future__ import annotations

import sys

import numpy as np


class IterationReport:
    """Runs scikit-learn callbacks and prints progress after each iteration.

    Parameters
    ----------
    estimator : estimator
    context : sklearn.callback.CallbackContext
        Of the whole fit.
    data : dict
        X, y and metadata, as callbacks get them.
    dtype : numpy dtype
        Of the published weights.
    """

    def __init__(self, estimator, context, data: dict, dtype):
        self.estimator, self.context, self.data, self.dtype = estimator, context, data, dtype
        self._iteration = 0

    def __call__(self, W, b, objective: float | None = None) -> bool:
        """End the task of this iteration; return whether a callback asks to stop."""
        self._iteration += 1
        if self.estimator.verbose:
            value = "" if objective is None else f"objective {objective:.8g}, "
            sys.stdout.write(
                f"{type(self.estimator).__name__} iteration {self._iteration}: {value}"
                f"largest coefficient {np.abs(W).max():.6g}\n"
            )
        task = self.context.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        fitted = {"coef_": W.astype(self.dtype), "intercept_": b.astype(self.dtype)}
        return bool(
            task.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes=fitted, **self.data
            )
        )
