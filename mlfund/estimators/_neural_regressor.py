"""What neural regressors share: targets, and predictions from raw scores."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from mlfund._engine import scores
from mlfund._engine.data import DeviceRows
from mlfund.estimators._neural_base import BaseNeural
from mlfund.losses import GaussianNLL, Loss, loss_for


class BaseNeuralRegressor(RegressorMixin, BaseNeural):
    """A neural net for real targets, one or several."""

    _score_name = "R²"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> Self:
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d), or array-like of shape (n, ...)
            Features; rows of another shape than (d,) are for modules that take them.
        y : array-like of shape (n,) or (n, k)
            Targets.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, at least 0.
        X_val, y_val : array-like, optional
            Rows to validate on after each epoch, shaped as X and y. With
            `early_stopping` they take the place of rows held out of X. In a pipeline,
            ``Pipeline(..., transform_input=["X_val"])`` transforms X_val as it does X.
        sample_weight_val : array-like of shape (n_val,), optional
            Their weights, at least 0.
        groups : array-like of shape (n,), optional
            Where rows are held out, all rows of a group are, or none of it.

        Returns
        -------
        estimator
            The estimator itself.

        Raises
        ------
        ValueError
            If parameters contradict each other, the data do not fit, a module of one's own
            cannot be built or returns something else than the targets need, or the
            training diverged in its first epoch.
        """
        validation = (X_val, y_val, sample_weight_val)
        return self._fit(
            X, y, sample_weight, incremental=False, validation=validation, groups=groups
        )

    @available_if(lambda estimator: estimator._has_partial_fit())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one epoch on X and y, from where the last call left off.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        estimator
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return predictions, shape (n,), or (n, k) for several outputs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
            Features.
        return_std : bool, default=False
            Whether to return the standard deviation of the target around the prediction,
            too, as an array of the same shape. Needs a loss that estimates it, such as
            "gaussian_nll".

        Raises
        ------
        ValueError
            If the loss estimates no standard deviation.
        """
        raw = self._raw(X)
        if not return_std:
            return _flat(self._mean(raw))
        loss = self._loss()
        if not isinstance(loss, GaussianNLL):
            raise ValueError(
                f"return_std=True needs a loss that estimates it, and loss={self.loss!r} does "
                "not; fit with loss='gaussian_nll'."
            )
        std = loss.variance(torch.from_numpy(raw)).sqrt().numpy()
        return _flat(self._mean(raw)), _flat(std)

    def _mean(self, raw: np.ndarray) -> np.ndarray:
        """Return predictions of shape (n, k) from raw scores, which may be overwritten."""
        if self.out_activation_ == "identity":
            return raw
        if self.out_activation_ == "exp":
            return np.exp(raw, out=raw)
        link = self._loss().inverse_link
        assert link is not None
        return np.asarray(link(torch.from_numpy(raw)))

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=self._input_dtypes,
            reset=reset,
        )
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _encode_target(self, y: Any, dtype: Any, *, first: bool, incremental: bool) -> np.ndarray:
        self.out_activation_ = link_name(self._loss())
        return y.astype(dtype).reshape(len(y), -1)

    def _loss(self) -> Loss:
        return loss_for(self.loss, "real")

    def _n_outputs(self, target: np.ndarray) -> int:
        return int(target.shape[1])

    def _task(self) -> str:
        return "regression"

    def _validation_score(self, raw: torch.Tensor, rows: DeviceRows) -> float:
        link = self._loss().inverse_link
        return scores.r2(raw if link is None else link(raw), rows)


def link_name(loss: Loss) -> str:
    """Return what turns raw scores into predictions: "identity", "exp" or "link"."""
    link, probe = loss.inverse_link, torch.zeros(1, loss.raw_width(1))
    if link is None or link(probe) is probe:
        return "identity"
    return "exp" if link is torch.exp else "link"


def _flat(values: np.ndarray) -> np.ndarray:
    return values.ravel() if values.shape[1] == 1 else values
