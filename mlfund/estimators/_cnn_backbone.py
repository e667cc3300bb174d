"""What `backbone` and `strategy` of a convolutional net mean, and what is refused."""

from __future__ import annotations

import inspect
from typing import Any

from mlfund._check import DataError
from mlfund.backbones import Backbone
from mlfund.nets.architectures import layers_for
from mlfund.nets.layers import Layer

STRATEGIES = ("full", "feature_extraction")


def check_parameters(estimator: Any) -> None:
    """Raise ValueError unless `backbone` is one, and `strategy` has one to act on."""
    backbone, strategy = estimator.backbone, estimator.strategy
    if backbone is None:
        if strategy is not None:
            raise ValueError(
                f"strategy={strategy!r} says which layers of a backbone are trained, and "
                "backbone=None; give a backbone, or leave strategy out."
            )
        return
    if isinstance(backbone, Backbone):
        return
    name = backbone.__name__ if isinstance(backbone, type) else type(backbone).__name__
    if hasattr(backbone, "export_backbone"):
        raise ValueError(
            f"backbone={name}(...) is an encoder, whose weights clone and searches would drop; fit "
            "it, and give backbone=encoder.export_backbone()."
        )
    raise ValueError(
        f"backbone must be an mlfund.backbones.Backbone, as export_backbone() of a fitted encoder "
        f"returns it, or None; got {name}."
    )


def layers_of(estimator: Any) -> list[Layer]:
    """Return the layers of an estimator's backbone, checked against images and parameters.

    Raises
    ------
    ValueError
        If the images are of another size, or `architecture` asks for other layers.
    """
    backbone, size = estimator.backbone, estimator.image_size_
    if backbone.image_size != size:
        raise DataError(
            f"X has images of {_words(size)}, and the backbone was trained on images of "
            f"{_words(backbone.image_size)}; resize X, or train a backbone on such images."
        )
    height, width, channels = size
    default = inspect.signature(type(estimator)).parameters["architecture"].default
    asked = estimator.architecture
    if asked != default:
        layers = layers_for(
            asked,
            (channels, height, width),
            activation=estimator.activation,
            normalization=estimator.normalization,
        )
        if tuple(layers) != backbone.layers:
            raise ValueError(
                f"architecture={asked!r} and the backbone have other layers; leave architecture "
                "out: the backbone says what they are."
            )
    return list(backbone.layers)


def _words(size: tuple[int, int, int]) -> str:
    height, width, channels = size
    return f"{height} x {width} pixels and {channels} channel{'' if channels == 1 else 's'}"
