"""Augmentation: training rows changed at random, a whole batch at once.

An entry turns the rows of a batch into others of the same shape and draws all that is
random from the generator it is given, so that a seed gives the same rows again. Nothing
is changed in place, and nothing of it happens when a model predicts.

Examples
--------
>>> import torch
>>> from mlfund.augmentation import LabelSmoothing, Rows
>>> rows = Rows(torch.zeros(2, 3), torch.tensor([[1.0], [0.0]]))
>>> LabelSmoothing(0.1).apply(rows, None, "binary").y
tensor([[0.9500],
        [0.0500]])
"""

from __future__ import annotations

from typing import Any

from mlfund._entries import publish, resolve
from mlfund.augmentation._alternating import AlternatingFlip
from mlfund.augmentation._base import Augmentation, Rows, Transform, transforms_of
from mlfund.augmentation._crops import RandomGrayscale, RandomResizedCrop
from mlfund.augmentation._elastic import RandomElastic
from mlfund.augmentation._images import (
    ColorJitter,
    Cutout,
    RandomAffine,
    RandomErasing,
    RandomFlip,
    RandomShift,
)
from mlfund.augmentation._mixing import CutMix, Mixup
from mlfund.augmentation._rows import GaussianNoise, LabelSmoothing

__all__ = [
    "AUGMENTATIONS",
    "AlternatingFlip",
    "Augmentation",
    "ColorJitter",
    "CutMix",
    "Cutout",
    "GaussianNoise",
    "LabelSmoothing",
    "Mixup",
    "RandomAffine",
    "RandomElastic",
    "RandomErasing",
    "RandomFlip",
    "RandomGrayscale",
    "RandomResizedCrop",
    "RandomShift",
    "Rows",
    "Transform",
    "get_augmentation",
    "transforms_of",
]


def get_augmentation(augmentation: str | Augmentation, **options: Any) -> Augmentation:
    """Return the augmentation of that name, or the instance given, with `options` set.

    Parameters
    ----------
    augmentation : str or Augmentation
        A name of `AUGMENTATIONS` or an instance.
    **options : object
        Fields to set, such as ``alpha`` of "mixup".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_augmentation("mixup", alpha=1.0)
    Mixup(alpha=1.0)
    """
    return resolve("augmentation", augmentation, AUGMENTATIONS, options)


AUGMENTATIONS: dict[str, Augmentation] = {
    "mixup": Mixup(),
    "cutmix": CutMix(),
    "gaussian_noise": GaussianNoise(),
    "label_smoothing": LabelSmoothing(),
    "flip": RandomFlip(),
    "alternating_flip": AlternatingFlip(),
    "shift": RandomShift(),
    "affine": RandomAffine(),
    "elastic": RandomElastic(),
    "color_jitter": ColorJitter(),
    "grayscale": RandomGrayscale(),
    "resized_crop": RandomResizedCrop(),
    "cutout": Cutout(),
    "erasing": RandomErasing(),
}


_FUNCTIONS = ("AUGMENTATIONS", "Transform", "get_augmentation", "transforms_of")
publish(__name__, globals(), (name for name in __all__ if name not in _FUNCTIONS))
