"""Pictures of a convolutional net: filters, feature maps, Grad-CAM, errors, augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.utils.validation import check_consistent_length, check_is_fitted
from torch import nn

from mlfund._check import require
from mlfund.estimators import _cnn_maps as maps
from mlfund.estimators import _cnn_presets as presets
from mlfund.estimators import _image_pictures as pictures
from mlfund.estimators import augmentation_plot

# Classes up to which a confusion matrix has room for its counts.
MOST_COUNTS = 20


class ImagePlots:
    """Methods of `CNNClassifier` and `CNNRegressor` that show what they learned.

    All of them need matplotlib (``pip install 'mlfund[plot]'``); those that return numbers do not.
    """

    def plot_filters(self, *, ax: Any = None) -> Any:
        """Draw the kernels of the first convolution.

        Kernels over three channels are colours, all on one scale around grey; those over
        other numbers of channels are drawn channel by channel, blue below zero and red above.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure is made without it.

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ValueError
            If the net has no convolution.
        """
        check_is_fitted(self)
        convs = (one for one in self.module_.modules() if isinstance(one, nn.Conv2d))
        first = next(convs, None)
        if first is None:
            raise ValueError("The net has no convolution, and so no filters to draw.")
        weight = first.weight.detach().cpu().float().numpy()
        n, channels = weight.shape[:2]
        most = max(float(np.abs(weight).max()), 1e-12)
        scaled = 0.5 + weight / (2 * most)
        if channels == 3:
            columns, tiles, options = min(n, 8), scaled.transpose(0, 2, 3, 1), {}
        else:
            tiles = scaled.reshape(-1, *weight.shape[2:])
            columns, options = min(n, 8) if channels == 1 else channels, {"cmap": "RdBu_r"}
        sheet = pictures.montage(tiles, columns, fill=1.0 if channels == 3 else np.nan)
        rows = -(-len(tiles) // columns)
        axis = pictures.one_axis(ax, (0.5 * columns + 0.4, 0.5 * rows + 0.5))
        pictures.show(axis, sheet, **options)
        axis.set_title(f"{n} filters, {weight.shape[2]} x {weight.shape[3]} pixels")
        return axis

    def feature_maps(self, X: Any, *, layer: int | None = None) -> np.ndarray:
        """Return what a layer makes of images.

        Parameters
        ----------
        X : array-like
            Images, as `predict` takes them.
        layer : int, optional
            A row of ``summary()``, from 0, or from the end if negative; the last feature
            maps before they are pooled without it.

        Returns
        -------
        maps : ndarray of shape (n, height, width, n_channels)
            In the pixels of that layer.

        Raises
        ------
        ValueError
            If the output of the layer are no images.
        """
        rows = self._rows_to_see(X)
        return maps.feature_maps(self, rows, maps.layer_of_maps(self, layer))

    def plot_activations(self, X: Any, *, layer: int | None = None, axes: Any = None) -> np.ndarray:
        """Draw the feature maps of images: one chart an image, one tile a channel.

        Parameters
        ----------
        X : array-like
            At most 64 images, as `predict` takes them.
        layer : int, optional
            As for `feature_maps`.
        axes : array-like of matplotlib.axes.Axes, optional
            Where to draw, one axis for each image; a new figure is made without it.

        Returns
        -------
        axes : ndarray of matplotlib.axes.Axes

        Raises
        ------
        ValueError
            If the output of the layer are no images, or X has too many.
        """
        rows = self._rows_to_see(X, few=True)
        place = maps.layer_of_maps(self, layer)
        found = maps.feature_maps(self, rows, place).transpose(0, 3, 1, 2)
        axes = pictures.image_axes(axes, len(rows), inches=3.0, most_columns=4)
        columns = int(np.ceil(np.sqrt(found.shape[1])))
        layers = self._recipe.options["layers"]
        for axis, channels in zip(axes, found, strict=True):
            low, high = float(channels.min()), float(channels.max())
            shown = (channels - low) / max(high - low, 1e-12)
            pictures.show(axis, pictures.montage(shown, columns, fill=np.nan), cmap="magma")
        pictures.title(axes[0], [f"layer {place}: {layers[place]}"])
        return axes

    def grad_cam(self, X: Any, *, target: Any = None, layer: int | None = None) -> np.ndarray:
        """Return where an image speaks for a class: gradient-weighted class activation maps.

        The feature maps of a layer are weighed by the mean gradient of a raw score in each,
        summed, cut off below zero, and brought to the size of the image.

        Parameters
        ----------
        X : array-like
            Images, as `predict` takes them.
        target : label or array-like of shape (n,), optional
            The class asked about, for all images or for each; what is predicted without it
            (of several labels the one with the highest score). For a regressor the number of
            an output, 0 without it.
        layer : int, optional
            As for `feature_maps`.

        Returns
        -------
        heat : ndarray of shape (n, height, width)
            From 0 to 1, the largest value of each image; all 0 where nothing in the maps
            speaks for the target.

        Raises
        ------
        ValueError
            If the target is not known, or the output of the layer are no images.

        References
        ----------
        Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, Grad-CAM: visual explanations
        from deep networks via gradient-based localization, ICCV 2017, arXiv 1610.02391.
        """
        rows = self._rows_to_see(X)
        return maps.grad_cam(self, rows, target, maps.layer_of_maps(self, layer))

    def plot_grad_cam(
        self, X: Any, *, target: Any = None, layer: int | None = None, axes: Any = None
    ) -> np.ndarray:
        """Draw `grad_cam` over images.

        Parameters
        ----------
        X : array-like
            At most 64 images, as `predict` takes them.
        target, layer
            As for `grad_cam`.
        axes : array-like of matplotlib.axes.Axes, optional
            Where to draw, one axis for each image; a new figure is made without it.

        Returns
        -------
        axes : ndarray of matplotlib.axes.Axes

        Raises
        ------
        ValueError
            As `grad_cam` does, or if X has too many images.
        """
        rows = self._rows_to_see(X, few=True)
        heat = maps.grad_cam(self, rows, target, maps.layer_of_maps(self, layer))
        axes = pictures.image_axes(axes, len(rows))
        about = self._about(X, target, len(rows))
        shown = pictures.as_colours(self._as_images(rows))
        for axis, image, hot, text in zip(axes, shown, heat, about, strict=True):
            pictures.show(axis, image)
            axis.imshow(hot, cmap="jet", alpha=0.45, vmin=0, vmax=1)
            pictures.title(axis, [text])
        return axes

    def top_losses(self, X: Any, y: Any, k: int = 9) -> maps.TopLosses:
        """Return the images with the largest losses: the hardest, or those with wrong labels.

        Parameters
        ----------
        X, y : array-like
            Images and their targets, as `score` takes them.
        k : int, default=9
            How many; all where there are fewer.

        Returns
        -------
        found : TopLosses
            `indices` into X, `losses` and what is `predicted`, the largest loss first.

        Raises
        ------
        ValueError
            If single images have no loss, as under losses that compare whole batches.
        """
        check_is_fitted(self)
        return maps.top_losses(self, X, y, k)

    def plot_top_losses(self, X: Any, y: Any, k: int = 9, *, axes: Any = None) -> np.ndarray:
        """Draw the images with the largest losses, with what is predicted and what is so.

        Parameters
        ----------
        X, y, k
            As for `top_losses`; at most 64.
        axes : array-like of matplotlib.axes.Axes, optional
            Where to draw, one axis for each image; a new figure is made without it.

        Returns
        -------
        axes : ndarray of matplotlib.axes.Axes
        """
        found = self.top_losses(X, y, k)
        pictures.check_few(len(found.indices), "k")
        images = self._as_images(self._rows_to_see(X)[found.indices])
        axes = pictures.image_axes(axes, len(images), most_columns=5)
        truth = np.asarray(y)[found.indices]
        shown = pictures.as_colours(images)
        for axis, image, loss, said, true in zip(
            axes, shown, found.losses, found.predicted, truth, strict=True
        ):
            pictures.show(axis, image)
            lines = [_written(said), f"is {_written(true)}", f"loss {loss:.3g}"]
            pictures.title(axis, lines)
        return axes

    def plot_augmentation(
        self,
        X: Any,
        *,
        n_images: int = 4,
        n_draws: int = 6,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
    ) -> Any:
        """Draw images as training sees them: each several times under the augmentation.

        Works before `fit` too, when mean and spread of the pixels come from X.

        Parameters
        ----------
        X : array-like
            Images, as `fit` takes them. The first `n_images` are drawn; those that follow are
            partners for "mixup" and "cutmix".
        n_images, n_draws : int, default=4, 6
            Rows of the picture, and columns beside the image itself.
        random_state : int, RandomState instance or None, default=0
            Source of the draws.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure is made without it.

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ValueError
            If the estimator has no augmentation.

        See Also
        --------
        mlfund.plot_augmentation : For any augmentation, without an estimator.
        """
        if self.__sklearn_is_fitted__():
            rows, pixels = self._rows_to_see(X), self.module_.pixels
        else:
            rows, pixels = augmentation_plot.read(X, self.channels, self.image_shape)
        with presets.resolved(self, len(rows)):
            entries = self._all_augmentations(pixels.size)
        return augmentation_plot.draw(rows, pixels, entries, n_images, n_draws, random_state, ax)

    def _rows_to_see(self, X: Any, *, few: bool = False) -> np.ndarray:
        """Return images as the module takes them; `few` refuses more than a picture shows."""
        check_is_fitted(self)
        rows = self._checked_rows(X)
        if few:
            pictures.check_few(rows.shape[0])
        return rows

    def _as_images(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(len(rows), *self.image_size_)

    def _about(self, X: Any, target: Any, n: int) -> list[str]:
        """Return what each map is asked about, in words."""
        if target is not None:
            given = [target] * n if np.ndim(target) == 0 else list(target)
            # A regressor is asked about the place of an output.
            word = "" if is_classifier(self) else "output "
            return [f"{word}{_written(one)}" for one in given]
        return [_written(one) for one in self.predict(X)]


class ConfusionPlot:
    """`plot_confusion` of a classifier."""

    def plot_confusion(
        self, X: Any, y: Any, *, normalize: str | None = None, ax: Any = None
    ) -> Any:
        """Draw how often each class is taken for each other.

        Parameters
        ----------
        X, y : array-like
            Images and their labels, as `score` takes them.
        normalize : {"true", "pred", "all"} or None, default=None
            Whether counts become shares of the rows, the columns or everything.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure is made without it.

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ValueError
            If rows have several labels, or a label is none of those that `fit` saw.

        See Also
        --------
        sklearn.metrics.ConfusionMatrixDisplay : What draws it.
        """
        check_is_fitted(self)
        require("matplotlib.pyplot", "plot")
        if self._target_kind == "multilabel":
            raise ValueError(
                "Rows with several labels have one confusion matrix a label; see "
                "sklearn.metrics.multilabel_confusion_matrix."
            )
        y = self._known_labels(X, y)
        names = [str(label) for label in self.classes_.tolist()]
        inches = min(3.0 + 0.35 * len(names), 12.0)
        axis = pictures.one_axis(ax, (inches, inches))
        shown = ConfusionMatrixDisplay.from_predictions(
            y,
            self.predict(X),
            labels=self.classes_,
            display_labels=names,
            normalize=normalize,
            include_values=len(names) <= MOST_COUNTS,
            values_format=None if normalize is None else ".2f",
            xticks_rotation="vertical" if max(map(len, names)) > 3 else "horizontal",
            cmap="Blues",
            colorbar=False,
            ax=axis,
        )
        return shown.ax_

    def _known_labels(self, X: Any, y: Any) -> np.ndarray:
        """Return the labels of images, refused as `top_losses` does: the matrix would skip some."""
        check_consistent_length(X, y)
        _, y = self._validate(X, y, reset=False)
        self._encode_target(y, self._recipe.dtype, first=False, incremental=True)
        return y


def _written(value: Any) -> str:
    """Write a label, a number, or the labels that a row of indicators has."""
    if np.ndim(value) == 1:
        row = np.asarray(value)
        if row.dtype.kind in "biu":
            return " + ".join(map(str, np.flatnonzero(row))) or "none"
        return ", ".join(f"{one:.3g}" for one in row)
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)
