"""The methods: strategies of transfer learning, and models that start from nothing.

Those from nothing get the photographs at the size that suits them: a CNN at 64 x 64 pixels; an MLP
and XGBoost, to which neighbouring pixels are no neighbours, at 32 x 32, with pixels in 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CNN_SIDE, ROWS_SIDE = 64, 32


@dataclass(frozen=True)
class Method:
    """One line of the result.

    Attributes
    ----------
    make : callable
        From a seed and a device to an estimator.
    side : int or None, default=None
        Pixels of a side; None where the estimator reads the files itself.
    flat : bool, default=False
        Whether an image is a row of numbers.
    is_slow : bool, default=False
        Whether all layers of the backbone are trained.
    seconds, seconds_each : float
        Of a cell, and of it for a training photograph, on two cores, roughly: for `--list`.
    """

    make: Callable[[int, str | None], Any]
    side: int | None = None
    flat: bool = False
    is_slow: bool = False
    seconds: float = 0.0
    seconds_each: float = 0.0


def transfer(strategy: str, **options: Any) -> Callable[[int, str | None], Any]:
    """Return a maker of `ImageTransferClassifier` as it comes, but for the strategy."""

    def make(seed: int, device: str | None) -> Any:
        from mlfund import ImageTransferClassifier

        return ImageTransferClassifier(
            strategy=strategy, random_state=seed, device=device, **options
        )

    return make


def cnn(**options: Any) -> Callable[[int, str | None], Any]:
    """Return a maker of a `CNNClassifier`, smaller than "best"; flowers may be mirrored."""

    def make(seed: int, device: str | None) -> Any:
        from mlfund import CNNClassifier

        settings = {
            "preset": "best",
            "architecture": "strided_wide",
            "augmentation": ["flip", "shift"],
            **options,
        }
        return CNNClassifier(random_state=seed, device=device, **settings)

    return make


def mlp(**options: Any) -> Callable[[int, str | None], Any]:
    """Return a maker of an MLP that ends by itself, as the rows are too few to hold some out."""

    def make(seed: int, device: str | None) -> Any:
        from mlfund import MLPClassifier

        settings = {"alpha": 1e-2, "max_iter": 300, **options}
        return MLPClassifier((256, 128), random_state=seed, device=device, **settings)

    return make


def xgboost(**options: Any) -> Callable[[int, str | None], Any]:
    """Return a maker of XGBoost's own classifier, a tenth of the columns for each tree."""

    def make(seed: int, device: str | None) -> Any:
        from xgboost import XGBClassifier

        settings = {"n_estimators": 500, "learning_rate": 0.05, "max_depth": 5, **options}
        return XGBClassifier(
            subsample=0.8,
            colsample_bytree=0.1,
            random_state=seed,
            device=device or "cpu",
            **settings,
        )

    return make


METHODS = {
    "auto": Method(transfer("auto"), seconds=5, seconds_each=0.04),
    "feature_extraction": Method(transfer("feature_extraction"), seconds=5, seconds_each=0.04),
    "fine_tune_top": Method(transfer("fine_tune_top"), seconds=35, seconds_each=0.4),
    **{
        strategy: Method(transfer(strategy), is_slow=True, seconds=35, seconds_each=1.6)
        for strategy in ("linear_probe_then_fine_tune", "full", "gradual")
    },
    "CNN from scratch": Method(cnn(), CNN_SIDE, seconds=10, seconds_each=0.1),
    "MLP": Method(mlp(), ROWS_SIDE, flat=True, seconds=1, seconds_each=0.012),
    "XGBoost": Method(xgboost(), ROWS_SIDE, flat=True, seconds=8, seconds_each=0.04),
}
# Does it run?
QUICK = {
    "feature_extraction": Method(transfer("feature_extraction", image_size=32)),
    "full": Method(transfer("full", image_size=32, max_iter=1)),
    "CNN from scratch": Method(cnn(preset="fast", max_iter=1), ROWS_SIDE),
    "MLP": Method(mlp(max_iter=2), ROWS_SIDE, flat=True),
    "XGBoost": Method(xgboost(n_estimators=3), ROWS_SIDE, flat=True),
}
