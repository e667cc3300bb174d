"""What a fitted convolutional net sees: feature maps, class activation maps, losses of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils import check_consistent_length
from torch import Tensor, nn

from mlfund._check import check_positive, nearest
from mlfund.estimators._neural_module import tensor_of
from mlfund.nets.layers import Drop, Pool
from mlfund.nets.raw_scores import RawScores

# Images in one pass: their feature maps are kept, unlike those of `predict`.
ROWS_AT_ONCE = 256


class TopLosses(NamedTuple):
    """The images with the largest losses, the largest first.

    Attributes
    ----------
    indices : ndarray of shape (k,)
        Their places in X.
    losses : ndarray of shape (k,)
        Loss of each, without penalty, weights and label smoothing.
    predicted : ndarray of shape (k,) or (k, n_outputs)
        What `predict` says of them.
    """

    indices: np.ndarray
    losses: np.ndarray
    predicted: np.ndarray


def layer_of_maps(estimator: Any, layer: int | None) -> int:
    """Return the place of a layer whose output are images.

    Parameters
    ----------
    estimator : fitted CNNClassifier or CNNRegressor
    layer : int or None
        A row of ``summary()``, from 0, or from the end if negative. None takes the last
        feature maps before they are pooled.

    Raises
    ------
    ValueError
        If there is no such layer, or its output are no images.
    """
    layers = estimator._recipe.options["layers"]
    rows = estimator.summary().rows[: len(layers)]
    of_images = [place for place, row in enumerate(rows) if len(row.shape) == 3]
    if layer is None:
        # Selvaraju et al. take the rectified maps of the last convolution, before the pool.
        sharp = [place for place in of_images if not isinstance(layers[place], Pool | Drop)]
        if not sharp:
            raise ValueError(
                "The net has no feature maps: none of its layers before the last one gives images."
            )
        return sharp[-1]
    place = layer + len(rows) if layer < 0 else layer
    if place not in of_images:
        what = f"{layers[place]} gives {rows[place].shape[0]} values" if place < len(rows) else ""
        allowed = f"0 to {of_images[-1]}" if of_images else "none"
        raise ValueError(
            f"layer={layer} has no feature maps{f': {what}' if what and place >= 0 else ''}; give "
            f"the number of a layer in summary() that gives images ({allowed})."
        )
    return place


@contextmanager
def _catching(module: nn.Module) -> Iterator[list[Tensor]]:
    """Keep the output of a module as a leaf of the graph that follows it."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        leaf = output.detach().requires_grad_()
        caught[:] = [leaf]
        # A copy: what follows may write to its input.
        return leaf.clone()

    handle = module.register_forward_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()


def _passes(estimator: Any, rows: np.ndarray, layer: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield which images, their maps (a leaf), and raw scores that can be differentiated."""
    module, recipe = estimator.module_, estimator._recipe
    net = RawScores(module, output=recipe.output, kind=recipe.kind).eval()
    device = next(module.parameters()).device
    with torch.enable_grad(), _catching(module.body[layer]) as caught:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            raw = net(tensor_of(rows, part, device))
            yield part, caught[0], raw


def feature_maps(estimator: Any, rows: np.ndarray, layer: int) -> np.ndarray:
    """Return the output of a layer, (n, height, width, channels)."""
    found = [
        maps.detach().permute(0, 2, 3, 1).cpu().numpy()
        for _, maps, _ in _passes(estimator, rows, layer)
    ]
    return np.concatenate(found)


def grad_cam(estimator: Any, rows: np.ndarray, target: Any, layer: int) -> np.ndarray:
    """Return Grad-CAM of images, (n, h, w), from 0 to 1.

    Parameters
    ----------
    estimator : fitted CNNClassifier or CNNRegressor
    rows : ndarray of shape (n, values)
    target : object
        As for `ImagePlots.grad_cam`.
    layer : int
        Whose maps are weighed.
    """
    size = estimator.image_size_[:2]
    found = []
    for part, maps, raw in _passes(estimator, rows, layer):
        score = _score(estimator, raw, target, part, len(rows))
        (gradient,) = torch.autograd.grad(score.sum(), maps)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        heat = (weights * maps.detach()).sum(dim=1, keepdim=True).relu()
        heat = F.interpolate(heat, size=size, mode="bilinear", align_corners=False)[:, 0]
        most = heat.amax(dim=(1, 2), keepdim=True)
        heat = torch.where(most > 0, heat / most, torch.zeros_like(heat))
        found.append(heat.cpu().numpy())
    return np.concatenate(found)


def _score(estimator: Any, raw: Tensor, target: Any, part: slice, n: int) -> Tensor:
    """Return the score of each image that is explained, (rows,)."""
    codes = _codes(estimator, raw, target, n)[part] if target is not None else _default(raw)
    chosen = torch.as_tensor(codes, device=raw.device)
    if estimator._recipe.kind == "binary":
        # One score speaks for the second class, and as much against the first.
        if target is None:
            return raw[:, 0].abs()
        return torch.where(chosen == 1, raw[:, 0], -raw[:, 0])
    if estimator._recipe.kind == "real" and target is None:
        return raw[:, 0]
    return raw.gather(1, chosen[:, None])[:, 0]


def _default(raw: Tensor) -> np.ndarray:
    return raw.detach().argmax(dim=1).cpu().numpy()


def _codes(estimator: Any, raw: Tensor, target: Any, n: int) -> np.ndarray:
    """Return the number of the class or output that each image is asked about."""
    wanted = np.asarray(target)
    if wanted.ndim == 0:
        wanted = np.repeat(wanted, n)
    if wanted.shape != (n,):
        raise ValueError(
            f"target must be one class for all images, or one for each of the {n}; got shape "
            f"{wanted.shape}."
        )
    known = getattr(estimator, "classes_", np.arange(raw.shape[1]))
    places = {label: place for place, label in enumerate(known.tolist())}
    unknown = [label for label in wanted.tolist() if label not in places]
    if unknown:
        close = nearest(unknown[0], places)
        what = "class" if hasattr(estimator, "classes_") else "output"
        hint = f"Did you mean {close!r}?" if close else f"There is {_some(list(places))}."
        raise ValueError(f"target={unknown[0]!r} is no {what} of the net. {hint}")
    return np.array([places[label] for label in wanted.tolist()])


def _some(labels: list[Any]) -> str:
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    return ", ".join(map(repr, labels[:8])) + more


def top_losses(estimator: Any, X: Any, y: Any, k: int) -> TopLosses:
    """Return the k images with the largest losses; see `ImagePlots.top_losses`."""
    check_positive("k", k, integer=True)
    check_consistent_length(X, y)
    loss = estimator._loss()
    if loss.reduction == "batch":
        raise ValueError(
            f"loss={loss.name!r} compares whole batches, so that single images have no loss; rank "
            "them by predict_proba instead."
        )
    _, y = estimator._validate(X, y, reset=False)
    raw = estimator._raw(X)
    target = estimator._encode_target(y, raw.dtype, first=False, incremental=True)
    loss.check_target(target)
    with torch.no_grad():
        losses = loss.value(torch.from_numpy(raw), torch.from_numpy(target)).numpy()
    order = np.argsort(-losses, kind="stable")[:k]
    return TopLosses(order, losses[order], estimator.predict(X)[order])
