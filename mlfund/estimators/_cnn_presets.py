"""Presets of the convolutional nets: an architecture and how it is trained, in one word.

=========== ============================================================================
fast        "tiny", 1 epoch
default     "strided", 3 epochs, images moved by a 28th of their side: a good first answer
accurate    "strided_wide", 6 epochs, images moved by a 14th of their side
best        "deep", 16 epochs, the same moves, softer targets, an average of the weights
=========== ============================================================================

All of them train by AdamW along one cycle of the learning rate, in bfloat16 where that pays.
Classifiers average predictions over three views of an image, unless it is small.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sklearn.base import is_classifier
from sklearn.utils.validation import _num_samples

from mlfund._check import check_choice
from mlfund.augmentation import Augmentation, RandomShift
from mlfund.losses import LOSSES

AUTO = "auto"
# The schedule that every preset trains by, and the default of its parameter.
CYCLE = "one_cycle"
# Images whose shorter side is less are not moved: a pixel may be all there is to see.
LEAST_SHIFTED_SIDE = 8
# Nor are images with a shorter side than this at predictions, where every one is moved by a pixel.
LEAST_VIEWED_SIDE = 14


@dataclass(frozen=True)
class Preset:
    """What parameters that are "auto" stand for.

    Attributes
    ----------
    architecture : str
    shift : float
        Most that training images are moved, as a share of their shorter side.
    batch_size : int
        At most the number of images.
    learning_rate_init : float
        The largest of the cycle.
    max_iter, least_steps : int
        Epochs; more of them on few images, until there are so many steps.
    label_smoothing : float or None
        Classifiers only.
    averaging : str or None
    test_time_augmentation : str or None
        Classifiers only, and not for small images.
    """

    architecture: str
    max_iter: int
    least_steps: int = 300
    shift: float = 0.0
    batch_size: int = 128
    learning_rate_init: float = 0.01
    label_smoothing: float | None = None
    averaging: str | None = None
    test_time_augmentation: str | None = None

    def settings(self, n_rows: int) -> dict[str, Any]:
        """Return what "auto" stands for with so many images, by the name of the parameter."""
        batch_size = min(self.batch_size, max(n_rows, 1))
        steps = max(math.ceil(n_rows / batch_size), 1)
        found = dataclasses.asdict(self)
        least = found.pop("least_steps")
        # These depend on the size of the images.
        del found["shift"], found["test_time_augmentation"]
        return {
            **found,
            "batch_size": batch_size,
            "max_iter": max(self.max_iter, math.ceil(least / steps)),
        }

    def augmentation(
        self, image_size: tuple[int, int, int], *, classifies: bool
    ) -> list[Augmentation]:
        """Return what changes training images of so many pixels in height and width.

        Regressors take images as they are: a number may tell where something is.
        """
        side = min(image_size[:2])
        pixels = round(self.shift * side)
        moves = classifies and pixels and side >= LEAST_SHIFTED_SIDE
        return [RandomShift(pixels)] if moves else []

    def views(self, image_size: tuple[int, int, int], *, classifies: bool) -> str | None:
        """Return the views over which predictions for images of so many pixels average."""
        if classifies and min(image_size[:2]) >= LEAST_VIEWED_SIDE:
            return self.test_time_augmentation
        return None


# Trained on 50,000 digits of MNIST for 3 epochs, "strided" misses 0.85 percent of 10,000 others
# with hard targets, 0.67 with these and 0.72 with 0.05 (one seed).
SOFTENED = 0.02

PRESETS: dict[str, Preset] = {
    "fast": Preset("tiny", max_iter=1, label_smoothing=SOFTENED, test_time_augmentation="shift"),
    "default": Preset(
        "strided",
        max_iter=3,
        shift=1 / 28,
        label_smoothing=SOFTENED,
        test_time_augmentation="shift",
    ),
    "accurate": Preset(
        "strided_wide",
        max_iter=6,
        shift=1 / 14,
        label_smoothing=SOFTENED,
        test_time_augmentation="shift",
    ),
    # In 12 epochs "deep" misses 6.3 percent of held-out garments where "strided_wide" misses 6.9,
    # and as few digits; a step takes 1.8 times as long.
    "best": Preset(
        "deep",
        max_iter=16,
        shift=1 / 14,
        label_smoothing=0.05,
        averaging="ema",
        test_time_augmentation="shift",
    ),
}


def chosen_by(estimator: Any, n_rows: int, *, incremental: bool = False) -> dict[str, Any]:
    """Return what the parameters that are "auto" stand for, by name.

    Parameters
    ----------
    estimator : CNNClassifier or CNNRegressor
        A `backbone` says itself what "auto" layers are.
    n_rows : int
        Images to train on.
    incremental : bool, default=False
        Whether they are one part of a stream: unless `max_iter` says how many there will be, the
        cycle of the learning rate has no length, and it stays as it is.
    """
    preset = PRESETS[check_choice("preset", estimator.preset, PRESETS)]
    settings = preset.settings(n_rows)
    if estimator.backbone is not None:
        del settings["architecture"]
    if settings["label_smoothing"] is not None and not _takes_soft_targets(estimator):
        settings["label_smoothing"] = None
    chosen = {
        name: value for name, value in settings.items() if is_auto(getattr(estimator, name, None))
    }
    if incremental and is_auto(estimator.max_iter) and estimator.schedule == CYCLE:
        chosen["schedule"] = None
    return chosen


def _takes_soft_targets(estimator: Any) -> bool:
    """Whether the loss of a classifier takes probabilities as targets."""
    loss = getattr(estimator, "loss", None)
    if isinstance(loss, str):
        # A name, or that of a family with one loss for each kind of target.
        loss = LOSSES.get(loss, LOSSES.get(f"{loss}_binary"))
    # None stands for the cross-entropy; functions of one's own are given classes.
    return loss is None or bool(getattr(loss, "soft_targets", False))


def but_batch_size(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without the size of a batch: how many rows remain is not known yet.

    Rows that validate and those without weight are taken off later; `_auto_batch_size` then
    says what "auto" stands for.
    """
    return {name: value for name, value in settings.items() if name != "batch_size"}


def is_auto(value: Any) -> bool:
    """Say whether a parameter is left to the preset."""
    return isinstance(value, str) and value == AUTO


@contextmanager
def resolved(estimator: Any, n_rows: int, *, incremental: bool = False) -> Iterator[dict[str, Any]]:
    """Put what "auto" stands for into an estimator's parameters, and "auto" back afterwards.

    Yields
    ------
    settings : dict
        What was chosen, by the name of the parameter.
    """
    chosen = chosen_by(estimator, n_rows, incremental=incremental)
    given = {name: getattr(estimator, name) for name in chosen}
    vars(estimator).update(but_batch_size(chosen))
    try:
        yield chosen
    finally:
        vars(estimator).update(given)


@contextmanager
def in_training(estimator: Any, X: Any, *, incremental: bool) -> Iterator[None]:
    """Do so while an estimator trains on X; keep what was chosen as `settings_`."""
    try:
        n_rows = _num_samples(X)
    except TypeError:
        # Validation says what is wrong with it.
        n_rows = 0
    with resolved(estimator, n_rows, incremental=incremental) as chosen:
        if estimator.verbose:
            sys.stdout.write(f"{described(estimator.preset, chosen)}\n")
        yield
        if is_auto(estimator.augmentation):
            chosen["augmentation"] = augmentations_of(estimator, estimator.image_size_)
        if is_auto(estimator.test_time_augmentation):
            chosen["test_time_augmentation"] = views_of(estimator)
        estimator.settings_ = chosen


def augmentations_of(estimator: Any, image_size: tuple[int, int, int]) -> list[Augmentation]:
    """Return what an estimator's preset does to training images of such a size."""
    classifies = is_classifier(estimator)
    return PRESETS[estimator.preset].augmentation(image_size, classifies=classifies)


def views_of(estimator: Any) -> str | None:
    """Return the views that a fitted estimator's preset asks for."""
    preset = PRESETS[check_choice("preset", estimator.preset, PRESETS)]
    return preset.views(estimator.image_size_, classifies=is_classifier(estimator))


def described(preset: str, settings: dict[str, Any]) -> str:
    """Return a line that says what a preset stood for."""
    chosen = ", ".join(f"{name}={value!r}" for name, value in sorted(settings.items()))
    return f"preset={preset!r}: {chosen or 'every parameter was given'}"
