"""Backbones: trained encoders as immutable values that estimators start from."""

from __future__ import annotations

from mlfund._entries import publish
from mlfund.backbones._backbone import Backbone
from mlfund.backbones._encoder import Encoder, ImageEncoder, TextEncoder
from mlfund.backbones._names import get_backbone
from mlfund.backbones._source import BackboneSource, shared_encoder

__all__ = [
    "Backbone",
    "BackboneSource",
    "Encoder",
    "ImageEncoder",
    "TextEncoder",
    "get_backbone",
    "shared_encoder",
]

publish(__name__, globals(), __all__)
