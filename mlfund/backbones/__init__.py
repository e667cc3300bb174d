"""Backbones: trained encoders as immutable values that estimators start from."""

from __future__ import annotations

from mlfund._entries import publish
from mlfund.backbones._backbone import Backbone
from mlfund.backbones._cache import EmbeddingCache
from mlfund.backbones._encoder import Encoder, ImageEncoder, TextEncoder
from mlfund.backbones._hugging_face import HuggingFaceText, StandaloneText
from mlfund.backbones._image_source import StandaloneBackbone
from mlfund.backbones._image_text import ImageTextBackbone
from mlfund.backbones._names import get_backbone
from mlfund.backbones._own import OwnBackbone
from mlfund.backbones._source import BackboneSource, shared_encoder
from mlfund.backbones._timm import TimmBackbone
from mlfund.backbones._torch_modules import TorchBackbone
from mlfund.backbones._torchvision import TorchvisionBackbone
from mlfund.backbones.efficientnet_lite import EfficientNetLite0

__all__ = [
    "Backbone",
    "BackboneSource",
    "EfficientNetLite0",
    "EmbeddingCache",
    "Encoder",
    "HuggingFaceText",
    "ImageEncoder",
    "ImageTextBackbone",
    "OwnBackbone",
    "StandaloneBackbone",
    "StandaloneText",
    "TextEncoder",
    "TimmBackbone",
    "TorchBackbone",
    "TorchvisionBackbone",
    "get_backbone",
    "shared_encoder",
]

publish(__name__, globals(), __all__)
