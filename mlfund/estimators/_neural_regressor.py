"""What neural regressors share: targets, and predictions from raw scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.validation import validate_data

from mlfund._engine import scores
from mlfund._engine.data import DeviceRows
from mlfund.estimators._neural_base import BaseNeural
from mlfund.losses import GaussianNLL, Loss, loss_for


class BaseNeuralRegressor(RegressorMixin, BaseNeural):
    """A neural net for real targets, one or several."""

    _score_name = "R²"

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
        self.out_activation_ = _link_name(self._loss())
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


def _link_name(loss: Loss) -> str:
    """Return what turns raw scores into predictions: "identity", "exp" or "link"."""
    link, probe = loss.inverse_link, torch.zeros(1, loss.raw_width(1))
    if link is None or link(probe) is probe:
        return "identity"
    return "exp" if link is torch.exp else "link"


def _flat(values: np.ndarray) -> np.ndarray:
    return values.ravel() if values.shape[1] == 1 else values
