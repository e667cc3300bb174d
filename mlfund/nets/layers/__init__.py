"""Layers of a convolutional net as values: what they are, before any weight exists.

A net is a sequence of these. Each says the shape it makes of a shape, so that a net that
does not fit its images is refused before it is built, with the arithmetic that fails; and
each builds its torch module. Shapes are (channels, height, width), or (units,) once flat.

Examples
--------
>>> from mlfund.nets.layers import Activate, Conv, Dense, Norm, Pool
>>> net = [Conv(16), Norm(), Activate(), Pool(), Dense(10)]
>>> shape = (1, 28, 28)
>>> for layer in net:
...     shape = layer.output(shape)
>>> shape
(10,)
"""

from __future__ import annotations

from mlfund._entries import publish
from mlfund.nets.layers._base import Layer, Shape
from mlfund.nets.layers._blocks import Residual, build, compose
from mlfund.nets.layers._images import Conv, GlobalPool, Pool
from mlfund.nets.layers._own import FromTorch, contents
from mlfund.nets.layers._plain import Activate, Dense, Drop, Flatten, Norm
from mlfund.nets.layers._whitening import Whiten, Whitening, whitening_filters

__all__ = [
    "Activate",
    "Conv",
    "Dense",
    "Drop",
    "Flatten",
    "FromTorch",
    "GlobalPool",
    "Layer",
    "Norm",
    "Pool",
    "Residual",
    "Shape",
    "Whiten",
    "Whitening",
    "build",
    "compose",
    "contents",
    "whitening_filters",
]

publish(
    __name__, globals(), ["Layer", *(name for name in __all__ if name not in ("Shape", "Layer"))]
)
