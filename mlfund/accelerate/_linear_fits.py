"""mlfund's linear estimators, made to say when their result is not scikit-learn's optimum.

Apart from `_linear`, so that installing an acceleration imports no estimator of mlfund.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlfund.accelerate._replacement import NotEquivalentError
from mlfund.estimators.linear import LogisticRegression
from mlfund.estimators.linear_cv import LogisticRegressionCV

_UNFINISHED = "max_iter={} was reached, where results depend on the path of the solver"


class Converged(LogisticRegression):
    """Raises `NotEquivalentError` where the fit is not the optimum."""

    def _warn(self, fit: Any, objective: Any) -> None:
        if fit.status == "max_iter":
            raise NotEquivalentError(_UNFINISHED.format(self.max_iter))
        if np.isinf(objective.C) and fit.separated:
            raise NotEquivalentError("classes are separable without a penalty: no optimum exists")


class ConvergedCV(LogisticRegressionCV):
    """Raises `NotEquivalentError` where a fit is not the optimum.

    Attributes
    ----------
    n_models_ : int
        Models of the grid, over all folds.
    """

    def _warn_of_max_iter(self, n: int, of: int) -> None:
        raise NotEquivalentError(_UNFINISHED.format(self.max_iter))

    def _fit_grid(self, *args: Any) -> Any:
        grid = super()._fit_grid(*args)
        self.n_models_ = int(grid.converged.size)
        return grid
