"""What `CNNClassifier` and `CNNRegressor` share: images, layers, a module made of them."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from mlfund._check import DataError, check_choice, seed_from
from mlfund.augmentation import Augmentation, get_augmentation
from mlfund.estimators import _cnn_backbone as pretrained
from mlfund.estimators import _cnn_presets as presets
from mlfund.estimators import _image_checks as checks
from mlfund.estimators import _neural_own_probe as probe
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._cnn_plots import ImagePlots
from mlfund.estimators._neural_module import BuiltModule, ProbedScores, tensor_of
from mlfund.estimators._neural_own_build import Recipe
from mlfund.estimators._neural_rows import HostRows
from mlfund.estimators._neural_training import Outcome
from mlfund.initializers import Initializer
from mlfund.nets.architectures import layers_for
from mlfund.nets.convnet import ConvNet, ReadPixels
from mlfund.nets.layer_summary import NetSummary, summarise
from mlfund.nets.layers import Dense, Layer
from mlfund.nets.views import VIEWS, AveragedViews
from mlfund.preprocessing import ImageScaler
from mlfund.preprocessing._image_rows import (
    PIXEL_DTYPES,
    ImageForm,
    as_pixels,
    flattened,
    is_flattened,
    shape_of_size,
)

# Images from which the filters of `Whiten` are learned, at most.
WHITENED_ROWS = 5000

CONSTRAINTS: dict[str, list[Any]] = {
    "architecture": [str, list, tuple, nn.Module],
    "channels": [StrOptions({"last", "first"})],
    "image_shape": [StrOptions({"row"}), list, tuple, None],
    "activation": [str],
    "normalization": [StrOptions({"batch", "layer", "group", "instance"})],
    "initializer": [str, Initializer, callable, None],
    "augmentation": [str, Augmentation, list, tuple, None],
    "preset": [str],
    "test_time_augmentation": [StrOptions({presets.AUTO, *VIEWS}), None],
    # Whoever gives an encoder is told what to give.
    "backbone": "no_validation",
    "strategy": [StrOptions(set(pretrained.STRATEGIES)), None],
    **spec.CONSTRAINTS,
    **{
        name: [*spec.CONSTRAINTS[name], StrOptions({presets.AUTO})]
        for name in ("learning_rate_init", "max_iter")
    },
}


class BaseCNN(ImagePlots, BuiltModule):
    """A convolutional net behind scikit-learn's interface; see the subclasses."""

    image_size_: tuple[int, int, int]
    settings_: dict[str, Any]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS
    expected_failed_checks: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            "check_sample_weight_equivalence_on_dense_data",
            "check_sample_weight_equivalence_on_sparse_data",
        ),
        "mean and spread of pixels and the statistics of batch normalisation count rows, not "
        "their weights",
    ) | {
        "check_class_weight_classifiers": "the steps of AdamW do not shrink with the gradient, so "
        "that in 1000 epochs rows of a ten millionth of the weight are fitted too"
    }
    # Bytes stay bytes until they are in a batch.
    _input_dtypes: Any = PIXEL_DTYPES

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        checks.refuse_one_labelled_image(X, y)
        checks.refuse_paths(X, type(self).__name__)
        form = None
        if not is_flattened(X):
            X, form = flattened(X, self.channels, self.image_shape)
            if not reset:
                # Images of another size are told as such, not by their number of values.
                self._check_size(form)
        X, y = super()._validate(as_pixels(X), y, reset=reset)
        if form is None:
            X, form = self._read_rows(X, reset=reset)
        if reset:
            self.image_size_ = form.size
        else:
            self._check_size(form)
        return X, y

    def _read_rows(self, X: Any, *, reset: bool) -> tuple[np.ndarray, ImageForm]:
        shape = self.image_shape
        if shape is None and not reset:
            # Their number of values has been checked.
            shape = shape_of_size(self.image_size_, self.channels)
        return flattened(X.toarray() if sp.issparse(X) else X, self.channels, shape)

    def _check_size(self, form: ImageForm) -> None:
        if form.size != self.image_size_:
            fitted = ImageForm(*self.image_size_, self.channels, 4)
            raise DataError(
                f"X has images of {form}, and {type(self).__name__} was fitted on images of "
                f"{fitted}."
            )

    def _checked_rows(self, X: Any) -> np.ndarray:
        checks.refuse_one_image(X, self.image_size_)
        checks.refuse_paths(X, type(self).__name__)
        form = None
        if not is_flattened(X):
            X, form = flattened(X, self.channels, self.image_shape)
            # Images of another size are told as such, not by their number of values.
            self._check_size(form)
        X = validate_data(
            self, as_pixels(X), accept_sparse=["csr", "csc"], reset=False, dtype=self._input_dtypes
        )
        if form is None:
            X, form = self._read_rows(X, reset=False)
            self._check_size(form)
        self._warn_of_another_unit(X, self.module_.pixels)
        return X if X.dtype == np.uint8 else X.astype(self._recipe.dtype, copy=False)

    def _warn_of_another_unit(self, X: np.ndarray, pixels: ReadPixels) -> None:
        who = "fit" if self.backbone is None else "the backbone"
        checks.warn_of_another_unit(X, pixels, who=who)

    def _as_input(self, X: Any) -> tuple[Any, np.dtype[Any]]:
        if X.dtype == np.uint8:
            return X, spec.compute_dtype(self.precision, np.dtype(np.float32))
        return super()._as_input(X)

    def _fit(self, X: Any, *args: Any, incremental: bool, **options: Any) -> Self:
        with presets.in_training(self, X, incremental=incremental):
            return super()._fit(X, *args, incremental=incremental, **options)

    def _as_given(self, X: Any) -> Any:
        high, wide, channels = self.image_size_
        images = X.reshape(-1, high, wide, channels)
        if self.channels == "first":
            images = images.transpose(0, 3, 1, 2)
        # Whoever names a shape may mean flattened rows.
        return images if self.image_shape is None else images.reshape(len(X), -1)

    def _reporter(self) -> Self:
        reporter = super()._reporter()
        # Validation is quick: it looks at the images alone.
        reporter.test_time_augmentation = None
        return reporter

    def _spelled_out(self, n_rows: int) -> Self:
        spelled: Self = clone(self)
        return spelled.set_params(**presets.but_batch_size(presets.chosen_by(self, n_rows)))

    def _auto_batch_size(self) -> int:
        return presets.PRESETS[self.preset].batch_size

    def _predictor(self) -> nn.Module:
        views = self.test_time_augmentation
        if presets.is_auto(views):
            views = presets.views_of(self)
        if views is None:
            return self.module_
        check_choice("test_time_augmentation", views, VIEWS)
        return AveragedViews(self.module_, VIEWS[views])

    def _check_parameters(self) -> None:
        super()._check_parameters()
        pretrained.check_parameters(self)

    def _runs_all_epochs(self) -> bool:
        # The schedule is laid out for them.
        return True

    def _augmentations(self) -> list[Augmentation]:
        """Return reading, then what changes images, then what all networks have."""
        listed = self._all_augmentations(self.image_size_)
        # Nothing else reads bytes; where nothing changes images, the module does.
        changed = any(one.changes_X for one in listed)
        return [self._pixels, *listed] if changed else listed

    def _all_augmentations(self, size: tuple[int, int, int]) -> list[Augmentation]:
        """Return what changes images of such a size, then what all networks have."""
        given = self.augmentation
        if presets.is_auto(given):
            given = presets.augmentations_of(self, size)
        elif given is None:
            given = []
        elif isinstance(given, str | Augmentation):
            given = [given]
        return [get_augmentation(one) for one in given] + super()._augmentations()

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
            recipe = self._recipe_for(X, width, seed, dtype)
            module = recipe.build()
            if self.backbone is not None:
                self.backbone.load_into(module.body)
        else:
            self._check_same_net(width)
            self._warn_of_another_unit(X, self.module_.pixels)
            recipe = dataclasses.replace(self._recipe, dtype=dtype.name)
            module = copy.deepcopy(self.module_).to(getattr(torch, dtype.name))
            module.pixels = dataclasses.replace(module.pixels, dtype=dtype.name)
        self._pixels: ReadPixels = module.pixels
        module.to(device)
        module.freeze_body(self.strategy == "feature_extraction")
        if self.backbone is None:
            self._whiten(module, X, device, first=first)
        # Dropout draws from here on, other masks in each call of `partial_fit`.
        torch.manual_seed((seed + (0 if first else self.t_)) % 2**63)
        rows = tensor_of(X, slice(0, probe.PROBED_ROWS), device)
        return ProbedScores(module, recipe, probe.first_pass(module, rows, type(self).__name__))

    def _train(
        self,
        module: Any,
        objective: Any,
        rows: HostRows,
        held_out: HostRows | None,
        *args: Any,
        **options: Any,
    ) -> Outcome:
        if held_out is not None:
            self._warn_of_another_unit(held_out.X, self._pixels)
        return super()._train(module, objective, rows, held_out, *args, **options)

    def _whiten(self, module: ConvNet, X: Any, device: torch.device, *, first: bool) -> None:
        """Set filters that follow from images and are not trained, or keep them so."""
        if first:
            # Spread over all rows, which may be sorted by class.
            some = slice(0, None, -(-len(X) // WHITENED_ROWS))
            module.whiten(tensor_of(X, some, device))
        else:
            module.keep_whitening()

    def _recipe_for(self, X: Any, width: int, seed: int, dtype: np.dtype[Any]) -> Recipe:
        pixels = self._read_pixels(X, dtype)
        options = {
            "layers": self._layers(),
            "pixels": pixels,
            "n_outputs": width,
            "initializer": self.initializer,
            "activation": self.activation,
        }
        return Recipe(
            source=ConvNet,
            options=options,
            seed=seed,
            dtype=dtype.name,
            output="raw",
            kind=getattr(self, "_target_kind", "real"),
            integers=False,
        )

    def _read_pixels(self, X: Any, dtype: np.dtype[Any]) -> ReadPixels:
        """Return how pixels are read: as the backbone does, or as these images ask for."""
        if self.backbone is not None:
            self._warn_of_another_unit(X, self.backbone.pixels)
            return dataclasses.replace(self.backbone.pixels, dtype=dtype.name)
        scaler = ImageScaler(image_shape=self.image_size_).fit(X.reshape(len(X), *self.image_size_))
        return ReadPixels(self.image_size_, tuple(scaler.mean_), tuple(scaler.scale_), dtype.name)

    def _layers(self) -> list[Layer]:
        """Return the layers before the last one, checked against the size of the images."""
        if self.backbone is not None:
            return pretrained.layers_of(self)
        height, width, channels = self.image_size_
        return layers_for(
            self.architecture,
            (channels, height, width),
            activation=self.activation,
            normalization=self.normalization,
        )

    def _check_same_net(self, width: int) -> None:
        """Raise ValueError if a training that goes on would need another net."""
        options = self._recipe.options
        if self._layers() != options["layers"] or width != options["n_outputs"]:
            raise ValueError(
                "A training goes on with the net it has, and the parameters now ask for other "
                "layers or outputs; call fit with warm_start=False to start anew."
            )

    def summary(self) -> NetSummary:
        """Return the layers of the net: shapes, parameters, work, receptive fields.

        Returns
        -------
        summary : NetSummary
            Printed, a table, and what `preset` stood for; `rows` holds its numbers.

        """
        check_is_fitted(self)
        height, width, channels = self.image_size_
        shape = (channels, height, width)
        layers = [*self._recipe.options["layers"], Dense(self._recipe.options["n_outputs"])]
        note = presets.described(self.preset, self.settings_)
        return NetSummary(shape, tuple(summarise(layers, shape)), note)

    def _forget(self) -> None:
        super()._forget()
        self.__dict__.pop("_pixels", None)

    def __sklearn_tags__(self) -> Any:
        """Say that X may have three axes or be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        return tags
