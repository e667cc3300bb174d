"""Backbones: trained encoders as immutable values that estimators start from."""

from __future__ import annotations

from mlfund._entries import publish
from mlfund.backbones._backbone import Backbone

__all__ = ["Backbone"]

publish(__name__, globals(), __all__)
