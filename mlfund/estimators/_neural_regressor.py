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
from mlfund.losses import Loss, get_loss


class BaseNeuralRegressor(RegressorMixin, BaseNeural):
    """A neural net for real targets, one or several."""

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions, shape (n,), or (n, k) for several outputs."""
        mean = self._raw(X)
        if self.out_activation_ == "exp":
            np.exp(mean, out=mean)
        return mean.ravel() if mean.shape[1] == 1 else mean

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
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        return y.astype(dtype).reshape(len(y), -1)

    def _loss(self) -> Loss:
        return get_loss(self.loss)

    def _n_outputs(self, target: np.ndarray) -> int:
        return int(target.shape[1])

    def _task(self) -> str:
        return "regression"

    def _validation_score(self, raw: torch.Tensor, rows: DeviceRows) -> float:
        mean = torch.exp(raw) if self.loss == "poisson" else raw
        return scores.r2(mean, rows)
