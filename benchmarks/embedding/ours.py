"""mlfund: what its transformers and estimators call, without the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlfund.backbones import get_backbone
from mlfund.preprocessing._embedding import embed as embed_rows


def embed(images: Any) -> np.ndarray:
    """Return embeddings of files or pixels."""
    return embed_rows(get_backbone("efficientnet_lite0"), images, cache=False)
