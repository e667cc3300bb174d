"""What the encoders that learn from unlabelled rows share: rows, layers, embeddings, export."""

from __future__ import annotations

import copy
import dataclasses
import math
from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from mlfund._check import DataError, check_positive, seed_from
from mlfund._engine.data import DeviceRows
from mlfund.augmentation import Augmentation
from mlfund.backbones import Backbone
from mlfund.estimators import _image_checks as checks
from mlfund.estimators import _neural_own_probe as probe
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._neural_module import BuiltModule, ProbedScores, tensor_of
from mlfund.estimators._neural_own_build import Recipe, export_weights
from mlfund.nets.architectures import layers_for
from mlfund.nets.convnet import ReadPixels
from mlfund.nets.decoders import dense_layers
from mlfund.nets.encoders import EncoderNet
from mlfund.nets.layer_summary import NetSummary, summarise
from mlfund.nets.layers import Layer
from mlfund.preprocessing import ImageScaler
from mlfund.preprocessing._image_rows import (
    PIXEL_DTYPES,
    ImageForm,
    as_pixels,
    flattened,
    is_flattened,
    shape_of_size,
)

_SHARED = (
    "learning_rate_init",
    "max_iter",
    "random_state",
    "verbose",
    "warm_start",
    "optimizer",
    "schedule",
    "clip_norm",
    "averaging",
    "weight_decay",
    "device",
    "precision",
    "callbacks",
    "checkpoint_dir",
    "checkpoint_every",
)
CONSTRAINTS: dict[str, list[Any]] = {
    "architecture": [str, list, tuple, nn.Module],
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "channels": [StrOptions({"last", "first"})],
    "image_shape": [StrOptions({"row"}), list, tuple, None],
    "activation": [str],
    "normalization": [StrOptions({"batch", "layer", "group", "instance"})],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
    **{name: spec.CONSTRAINTS[name] for name in _SHARED},
}
# Of a share of columns or patches.
SHARE = [Interval(Real, 0, 1, closed="neither")]


class BaseEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BuiltModule):
    """A transformer that learns embeddings of rows without labels; see the subclasses."""

    image_size_: tuple[int, int, int] | None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS
    _score_name = "score"
    # The torch module that is trained: called with layers, pixels and `_net_options`.
    _net: ClassVar[type[EncoderNet]]

    # Training parameters that other neural estimators have, at what they are without them.
    alpha, l1_ratio, max_norm, clip_value = 0.0, None, None, None
    lr_scaling, base_batch_size, accumulation_steps = None, None, None
    shuffle, tol, n_iter_no_change, track_norms = True, 1e-4, math.inf, None
    early_stopping, validation_fraction, validation_split, scoring = False, 0.1, None, None

    @abstractmethod
    def _net_options(self) -> dict[str, Any]:
        """Return what the module is called with beside layers and pixels."""

    @abstractmethod
    def _task_augmentations(self) -> list[Augmentation]:
        """Return what makes a task of standardised images (n, channels, height, width)."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows without labels.

        Parameters
        ----------
        X : array-like of shape (n, d), (n, height, width) or (n, height, width, channels)
            Rows of a table, or images: uint8, float32 or float64; pixels of other numbers
            become float32. With ``channels="first"`` images are (n, channels, height, width);
            with `image_shape` they may be flattened.
        y : None
            Ignored.

        Returns
        -------
        estimator
            The estimator itself.

        Raises
        ------
        ValueError
            If parameters contradict each other, X is no table and no images of one size, or
            the training diverged in its first epoch.
        """
        return self._fit(X, None, None, incremental=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows for one epoch, from where the last call left off.

        Parameters
        ----------
        X : array-like
            As for `fit`. Means and spreads stay those of the first call.
        y : None
            Ignored.

        Returns
        -------
        estimator
            The estimator itself.
        """
        return self._fit(X, None, None, incremental=True)

    def transform(self, X: Any) -> np.ndarray:
        """Return embeddings of rows.

        Parameters
        ----------
        X : array-like
            Rows as `fit` takes them.

        Returns
        -------
        embeddings : ndarray of shape (n, n_features_out)
            The same for a row whatever the other rows are.
        """
        check_is_fitted(self)
        return self._in_blocks(self.module_.embed, self._checked_rows(X))

    def export_backbone(self) -> Backbone:
        """Return layers, weights and pixel statistics as a value that other estimators take.

        Returns
        -------
        backbone : Backbone
            For `backbone` of `CNNClassifier` and `CNNRegressor`.

        Raises
        ------
        ValueError
            If the encoder was fitted on a table.
        """
        check_is_fitted(self)
        if self.image_size_ is None:
            raise ValueError(
                f"A backbone is an encoder of images, and this {type(self).__name__} was fitted on "
                "rows of a table: put it into a Pipeline before an estimator of its embeddings, or "
                "give image_shape if the rows are flattened images."
            )
        net = self.module_
        return Backbone(net.layers, net.pixels, export_weights(net.body), type(self).__name__)

    def summary(self) -> NetSummary:
        """Return the layers of the encoder: shapes, parameters, work, receptive fields.

        Returns
        -------
        summary : NetSummary
            Printed, a table, and below it what was trained beside the encoder and has no part in
            `transform`; `rows` holds its numbers. A row of a table is an image of one pixel.
        """
        check_is_fitted(self)
        net = self.module_
        rows = tuple(summarise(net.embedding_layers, net.shape))
        found = NetSummary(net.shape, rows)
        beside = sum(p.numel() for p in net.parameters()) - found.n_parameters
        note = f"trained beside these layers, and not part of transform: {beside:,} parameters"
        return dataclasses.replace(found, note=note)

    @property
    def _n_features_out(self) -> int:
        return self._embedding_size

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, size = self._read(X, reset=reset)
        if reset:
            self.image_size_ = size
        return X, np.zeros(len(X))

    def _checked_rows(self, X: Any) -> np.ndarray:
        if self.image_size_ is not None:
            checks.refuse_one_image(X, self.image_size_)
        X, size = self._read(X, reset=False)
        if size is not None:
            checks.warn_of_another_unit(X, self.module_.pixels)
        return X if X.dtype == np.uint8 else X.astype(self._recipe.dtype, copy=False)

    def _read(self, X: Any, *, reset: bool) -> tuple[np.ndarray, tuple[int, int, int] | None]:
        """Return rows, and the size of images, None for those of a table."""
        checks.refuse_paths(X, type(self).__name__)
        form, shape = None, self.image_shape
        if not is_flattened(X):
            X, form = flattened(X, self.channels, shape)
            if not reset:
                # Images of another size are told as such, not by their number of values.
                self._check_size(form)
        elif not reset and self.image_size_ is not None and shape is None:
            shape = shape_of_size(self.image_size_, self.channels)
        images = form is not None or shape is not None
        if images:
            X = as_pixels(X)
        dtypes = PIXEL_DTYPES if images else (np.float64, np.float32)
        X = validate_data(self, X, reset=reset, dtype=dtypes, ensure_min_samples=2 if reset else 1)
        if form is None and shape is not None:
            X, form = flattened(X, self.channels, shape)
            if not reset:
                self._check_size(form)
        if reset:
            self._form = form
        return X, None if form is None else form.size

    def _check_size(self, form: ImageForm) -> None:
        if form.size != self.image_size_:
            seen = "rows of a table"
            if self.image_size_ is not None:
                seen = f"images of {ImageForm(*self.image_size_, self.channels, 4)}"
            raise DataError(
                f"X has images of {form}, and {type(self).__name__} was fitted on {seen}."
            )

    def _as_input(self, X: Any) -> tuple[Any, np.dtype[Any]]:
        if X.dtype == np.uint8:
            return X, spec.compute_dtype(self.precision, np.dtype(np.float32))
        return super()._as_input(X)

    def _encode_target(self, y: Any, dtype: Any, *, first: bool, incremental: bool) -> np.ndarray:
        # Batches make their own targets.
        return y.astype(dtype).reshape(-1, 1)

    def _task(self) -> str:
        return "regression"

    def _validation_score(self, raw: torch.Tensor, rows: DeviceRows) -> float:
        # No rows are set aside.
        return math.nan

    def _runs_all_epochs(self) -> bool:
        # The schedule is laid out for them.
        return True

    def _augmentations(self) -> list[Augmentation]:
        return [self._pixels, *self._task_augmentations()]

    def _make_module(
        self,
        X: Any,
        width: int,
        device: torch.device,
        random_state: np.random.RandomState,
        *,
        first: bool,
    ) -> nn.Module:
        seed, dtype = seed_from(random_state), self._as_input(X)[1]
        if first:
            recipe = self._recipe_for(X, seed, dtype)
            module = recipe.build()
        else:
            self._check_same_net()
            recipe = dataclasses.replace(self._recipe, dtype=dtype.name)
            module = copy.deepcopy(self.module_).to(getattr(torch, dtype.name))
            module.pixels = dataclasses.replace(module.pixels, dtype=dtype.name)
        self._pixels: ReadPixels = module.pixels
        module.to(device)
        torch.manual_seed((seed + (0 if first else self.t_)) % 2**63)
        rows = tensor_of(X, slice(0, probe.PROBED_ROWS), device)
        seen = probe.first_pass(module, rows, type(self).__name__)
        with torch.no_grad():
            self._embedding_size = int(module.embed(rows).shape[1])
        return ProbedScores(module, recipe, seen)

    def _recipe_for(self, X: Any, seed: int, dtype: np.dtype[Any]) -> Recipe:
        size, scaler = self.image_size_, ImageScaler(image_shape=self.image_size_)
        if size is None:
            # A row of a table is an image of one pixel, its columns the channels.
            size, scaler = (1, 1, X.shape[1]), StandardScaler()
        scaler.fit(X if self.image_size_ is None else X.reshape(len(X), *size))
        pixels = ReadPixels(size, tuple(scaler.mean_), tuple(scaler.scale_), dtype.name)
        return Recipe(
            source=self._net,
            options={"layers": self._layers(), "pixels": pixels, **self._net_options()},
            seed=seed,
            dtype=dtype.name,
            output="raw",
            kind="real",
            integers=False,
        )

    def _layers(self) -> list[Layer]:
        """Return the layers of the encoder, checked against the size of the images."""
        if self.image_size_ is None:
            widths = layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
            return dense_layers(widths, self.activation, self.normalization)
        height, width, channels = self.image_size_
        return layers_for(
            self.architecture,
            (channels, height, width),
            activation=self.activation,
            normalization=self.normalization,
        )

    def _check_same_net(self) -> None:
        """Raise ValueError if a training that goes on would need another net."""
        asked = {"layers": self._layers(), **self._net_options()}
        if any(value != self._recipe.options[name] for name, value in asked.items()):
            raise ValueError(
                "A training goes on with the net it has, and the parameters now ask for another; "
                "call fit with warm_start=False to start anew."
            )

    def _forget(self) -> None:
        super()._forget()
        for name in ("_pixels", "_embedding_size", "_form"):
            self.__dict__.pop(name, None)

    def __sklearn_tags__(self) -> Any:
        """Say that X may have three axes, and that floats keep their precision."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def layer_sizes(name: str, given: int | Sequence[int]) -> list[int]:
    """Return the units of layers, at least one of them.

    Raises
    ------
    ValueError
        If there is none, or one is no positive integer.
    """
    sizes = [given] if isinstance(given, Integral) else list(given)
    if not sizes:
        raise ValueError(f"{name} is empty; give the units of at least one layer.")
    return [int(check_positive(f"a layer of {name}", size, integer=True)) for size in sizes]
