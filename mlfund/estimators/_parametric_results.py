"""What a fitted curve answers: predictions, limits, tables, pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mlfund._check import check_choice, check_fraction
from mlfund.estimators import _parametric_report as report
from mlfund.estimators._parametric_covariance import quantile_of_t
from mlfund.estimators._parametric_function import ParametricFunction
from mlfund.estimators._parametric_plot import draw


class FittedCurveMixin(RegressorMixin):
    """Predictions and reports from the state that `ParametricRegressor.fit` leaves.

    Expects `function`, `loss`, `covariance_`, `residual_std_`, `degrees_of_freedom_`,
    `parameters_`, and in flat order `_theta`, `_labels`, `_at_bound`.
    """

    def predict(self, X):
        """Return the function's values at the fitted parameters.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        y : ndarray of shape (n,)
        """
        check_is_fitted(self)
        return self._curve(validate_data(self, X, dtype=np.float64, reset=False))

    def predict_interval(self, X, level=0.95, *, of="mean"):
        """Return confidence limits of the curve, or prediction limits of new rows.

        By the delta method: the covariance of the parameters through the derivatives of the
        function, and Student's t.

        Parameters
        ----------
        X : array-like of shape (n, d)
        level : float, default=0.95
            Confidence, strictly between 0 and 1.
        of : {"mean", "observation"}, default="mean"
            Whether the limits are for the curve, or for a new y with its noise of
            `residual_std_`.

        Returns
        -------
        low, high : ndarray of shape (n,)
            NaN where a free parameter is not determined.
        """
        check_is_fitted(self)
        check_fraction("level", level)
        check_choice("of", of, ["mean", "observation"])
        return self._limits(validate_data(self, X, dtype=np.float64, reset=False), level, of)

    def _curve(self, X: np.ndarray) -> np.ndarray:
        """Return the function's values at checked X."""
        function, x, theta = self._at(X)
        with torch.no_grad():
            return function(x, theta).numpy().copy()

    def _limits(self, X: np.ndarray, level: float, of: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the limits at checked X."""
        function, x, theta = self._at(X)
        free = ~self._at_bound
        middle = self._curve(X)
        slopes = function.jacobian(x, theta).numpy()[:, free]
        covariance = self.covariance_[np.ix_(free, free)]
        variance = np.einsum("ni,ij,nj->n", slopes, covariance, slopes)
        if of == "observation":
            variance = variance + self.residual_std_**2
        reach = quantile_of_t(level, self.degrees_of_freedom_) * np.sqrt(variance)
        return middle - reach, middle + reach

    def _at(self, X: np.ndarray) -> tuple[ParametricFunction, torch.Tensor, torch.Tensor]:
        """Return the function, X as a tensor and the fitted parameters."""
        function = ParametricFunction(self.function, self.parameters_)
        return function, torch.from_numpy(np.array(columns(X))), torch.from_numpy(self._theta)

    @property
    def parameter_table_(self) -> pd.DataFrame:
        """A row a parameter: value, standard error, 95 % interval, whether at a bound."""
        check_is_fitted(self)
        return report.parameter_table(
            self._labels, self._theta, self.covariance_, self.degrees_of_freedom_, self._at_bound
        )

    @property
    def restarts_(self) -> pd.DataFrame:
        """A row a start: its values, loss, iterations, convergence, whether it is the best."""
        check_is_fitted(self)
        starts = pd.DataFrame(self._starts, columns=[f"start_{name}" for name in self._labels])
        return starts.join(pd.DataFrame(self._descents))

    @property
    def _function_name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def _loss_name(self) -> str:
        return self.loss if isinstance(self.loss, str) else self.loss.name

    def summary(self):
        """Return the fit as a text to print: how it ended, and a line a parameter.

        Returns
        -------
        summary : str
        """
        check_is_fitted(self)
        return report.summary_text(self)

    def plot(self, X, y, *, level=0.95, axes=None):
        """Draw data, fit and confidence band, and beside them the loss curve.

        With several columns the first panel shows observed over predicted values.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
        level : float, default=0.95
            Confidence of the bands.
        axes : sequence of two matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        axes : sequence of two matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed: ``pip install 'mlfund[plot]'``.
        """
        check_is_fitted(self)
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, reset=False)
        return draw(self, X, y, level, axes)

    def _html_repr(self):
        """Return scikit-learn's diagram, with the parameter table below once fitted."""
        diagram = super()._html_repr()
        return diagram + report.table_html(self) if hasattr(self, "_theta") else diagram

    def __sklearn_is_fitted__(self):
        """Whether a fit has ended with parameters."""
        return hasattr(self, "_theta")


def columns(X: np.ndarray) -> np.ndarray:
    """Return X as the function sees it: one column as a vector."""
    return X[:, 0] if X.shape[1] == 1 else X
