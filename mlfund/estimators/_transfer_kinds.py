"""What estimators of transfer learning read: images, or texts."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from mlfund._check import DataError
from mlfund.augmentation import (
    AlternatingFlip,
    Augmentation,
    RandomFlip,
    RandomResizedCrop,
    get_augmentation,
)
from mlfund.backbones import BackboneSource, HuggingFaceText
from mlfund.backbones._names import NAMED
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators import _transfer_strategy as strategies
from mlfund.estimators._transfer_base import PASSED_ON, BaseTransfer, View
from mlfund.estimators._transfer_growing import GrowingImages
from mlfund.preprocessing._embedding import embed
from mlfund.preprocessing._image_files import image_sides
from mlfund.preprocessing.image_inputs import GivenImages, given_images
from mlfund.preprocessing.text_inputs import text_rows

# Least part of an image that a training crop keeps; smaller ones show other things than the
# whole does, and there are few epochs to get used to them.
SMALLEST_CROP = 0.5
# Share of the epochs that have smaller images, with `progressive_resizing`.
GROWING = 0.7

# Uppermost layers whose states are an embedding, side by side: the last one serves similarity
# and has dropped some of what classes ask for, 2 % of accuracy on film reviews.
TEXT_LAYERS = 3
# Characters of a text that a message shows.
SHOWN = 40

CONSTRAINTS: dict[str, list[Any] | str] = {
    "backbone": "no_validation",
    "head": "no_validation",
    "strategy": [str],
    "n_unfrozen_groups": [Interval(Integral, 1, None, closed="left")],
    "backbone_lr": [Interval(Real, 0, None, closed="left")],
    "head_lr": [Interval(Real, 0, None, closed="neither")],
    "layer_decay": [Interval(Real, 0, 1, closed="right")],
    "cache": "no_validation",
    "download": ["boolean"],
    "n_jobs": [Integral, None],
    **{name: spec.CONSTRAINTS[name] for name in PASSED_ON},
    "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
}


class _CheckedEmbeddings(BaseTransfer):
    """Tells of strings where backbone='precomputed' asks for embeddings."""

    # A backbone that reads what is refused.
    _named: ClassVar[str]

    def _validated(self, X: Any, y: Any) -> tuple[Any, Any]:
        with self._strings_refused(X):
            return super()._validated(X, y)

    def _model_and_rows(self, X: Any) -> tuple[Any, np.ndarray]:
        if not self._is_precomputed():
            return super()._model_and_rows(X)
        check_is_fitted(self, "strategy_")
        with self._strings_refused(X):
            return super()._model_and_rows(X)

    @contextlib.contextmanager
    def _strings_refused(self, X: Any) -> Iterator[None]:
        """Say of X that made a check fail that it holds strings, if it does."""
        try:
            yield
        except ValueError:
            text = _first_string(X)
            if text is None:
                raise
            shown = repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
            raise DataError(
                f"X holds strings ({shown} for one), and backbone='precomputed' takes embeddings, "
                f"numbers of shape (n, d); for {self._kind}s, leave backbone out or give one that "
                f"reads them, such as {self._named!r}."
            ) from None  # the error of scikit-learn shows the text in full


def _first_string(X: Any) -> str | None:
    """Return the first row or cell that is a string, None without any."""
    cells = X if isinstance(X, list | tuple) else np.asarray(X, dtype=object).ravel().tolist()
    return next((str(cell) for cell in cells if isinstance(cell, str)), None)


class ImageTransfer(_CheckedEmbeddings):
    """Images through a backbone of images."""

    _kind: ClassVar[str] = "image"
    _named: ClassVar[str] = "efficientnet_lite0"
    _strategies: ClassVar[tuple[str, ...]] = strategies.IMAGE_STRATEGIES
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONSTRAINTS,
        "channels": [StrOptions({"last", "first"})],
        "image_size": [Interval(Integral, 1, None, closed="left"), list, tuple, None],
        "augmentation": [str, Augmentation, list, tuple, None],
        "progressive_resizing": ["boolean"],
        "test_time_augmentation": [StrOptions({"auto", "flip", "flip_zoom"}), None],
    }

    def _given(self, X: Any) -> GivenImages:
        if getattr(X, "ndim", 0) == 2 and getattr(X, "dtype", np.dtype(object)).kind in "biuf":
            raise DataError(
                f"X has shape {tuple(X.shape)}, and images are (n, height, width) or (n, height, "
                "width, channels): reshape flattened ones, and set backbone='precomputed' if rows "
                "are embeddings."
            )
        return given_images(X, channels=self.channels)

    def _embed(self, given: Any, view: View) -> np.ndarray:
        mirrored, zoom = view
        return embed(
            self.backbone_,
            given,
            cache=self.cache,
            device=self.device,
            image_size=self._size(),
            mirrored=mirrored,
            zoom=zoom,
            n_jobs=self.n_jobs,
            verbose=int(self.verbose),
        )

    def _net_rows(self, given: Any, encoder: Any) -> np.ndarray:
        height, width, _ = encoder.pixels.size
        rows: np.ndarray = given.rows(
            (height, width), interpolation=encoder.interpolation, n_jobs=self.n_jobs
        )
        return rows

    def _size(self) -> tuple[int, int] | None:
        if self.image_size is None:
            return None
        return image_sides(self.image_size, "image_size")

    def _views(self) -> str | None:
        views: str | None = self.test_time_augmentation
        return views

    def _net_views(self) -> str | None:
        views: str | None = self.test_time_augmentation
        if views == "auto":
            # What the probe found out holds for the net that begins with it. Without one, a net
            # that was never shown mirror images is not asked about them.
            mirrored = any(_mirrors(one) for one in self._augmentations())
            views = self.views_ if hasattr(self, "views_") else "flip" if mirrored else None
        return None if views is None else "flip"

    def _mirror_tells(self) -> bool:
        """Whether a probe did better without mirror images: left and right may tell classes."""
        compared = self.test_time_augmentation == "auto" and hasattr(self, "views_")
        return compared and self.views_ is None

    def _augmentations(self) -> tuple[Augmentation, ...]:
        given = self.augmentation
        if isinstance(given, str) and given == "auto":
            given = [RandomResizedCrop(SMALLEST_CROP)]
            if not self._mirror_tells():
                given.append(RandomFlip())
        elif given is None:
            given = []
        elif isinstance(given, str | Augmentation):
            given = [given]
        listed = tuple(get_augmentation(one) for one in given)
        if not self.progressive_resizing:
            return listed
        n_epochs = math.floor(GROWING * self.settings_["max_iter"])
        return (GrowingImages(epochs=max(1, n_epochs)), *listed)


def _mirrors(augmentation: Augmentation) -> bool:
    """Whether an augmentation swaps left and right."""
    if isinstance(augmentation, RandomFlip):
        return augmentation.axis != "vertical" and augmentation.probability > 0
    return isinstance(augmentation, AlternatingFlip)


class TextTransfer(_CheckedEmbeddings):
    """Texts through a backbone of texts."""

    _kind: ClassVar[str] = "text"
    _named: ClassVar[str] = "all-MiniLM-L6-v2"
    _strategies: ClassVar[tuple[str, ...]] = strategies.TEXT_STRATEGIES
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONSTRAINTS,
        "lora_rank": [Interval(Integral, 1, None, closed="left")],
    }

    def _source(self) -> BackboneSource:
        source = super()._source()
        # The named ones, as they are; whoever gives a source says how it is read.
        named = isinstance(self.backbone, str) and self.backbone in NAMED
        if named and isinstance(source, HuggingFaceText):
            return dataclasses.replace(source, layers=TEXT_LAYERS)
        return source

    def _given(self, X: Any) -> list[str]:
        return text_rows(X)

    def _embed(self, given: Any, view: View) -> np.ndarray:
        return embed(
            self.backbone_,
            given,
            cache=self.cache,
            device=self.device,
            verbose=int(self.verbose),
        )

    def _net_rows(self, given: Any, encoder: Any) -> np.ndarray:
        tokens: np.ndarray = encoder.tokenise(given)
        return tokens

    def _lora_rank(self) -> int | None:
        rank: int | None = self.lora_rank
        return rank
