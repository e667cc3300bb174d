"""Backbones of a few weights that remember what they computed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from mlfund.backbones import BackboneSource, TextEncoder, TorchBackbone

SIDE = 8


class CountingBody(nn.Module):
    """A convolution, and in `batches` the size of every batch that any copy of it saw."""

    batches: ClassVar[list[int]] = []

    def __init__(self, seed=0, width=6):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, images):
        # What is all zeros is a trial, to learn of shapes.
        if images.any():
            self.batches.append(len(images))
        return self.conv(images).relu().mean((2, 3))


def image_source(seed=0):
    """A backbone of images of 8 x 8 pixels with 6 features."""
    return TorchBackbone(CountingBody(seed), image_size=(SIDE, SIDE))


def images(n=20, size=(SIDE, SIDE), seed=0):
    """Coloured images of bytes, all different."""
    return np.random.default_rng(seed).integers(0, 256, (n, *size, 3), dtype=np.uint8)


class LetterEncoder(TextEncoder):
    """Means of the embeddings of letters."""

    texts: ClassVar[list[str]] = []
    max_length, pad_id, n_features = 16, 0, 4

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.letters = nn.Embedding(128, self.n_features)

    def groups(self):
        return [self.letters]

    def tokenise(self, texts):
        self.texts.extend(texts)
        rows = [[ord(letter) % 127 + 1 for letter in text[: self.max_length]] for text in texts]
        tokens = np.zeros((len(rows), max(map(len, rows))), dtype=np.int32)
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = row
        return tokens

    def forward(self, tokens):
        mask = (tokens != self.pad_id).unsqueeze(-1)
        return (self.letters(tokens) * mask).sum(1) / mask.sum(1)


@dataclass(frozen=True)
class Letters(BackboneSource):
    """A backbone of texts with 4 features; `LetterEncoder.texts` are those it computed."""

    kind: ClassVar[str] = "text"
    seed: int = 0

    @property
    def fingerprint(self):
        return f"letters-{self.seed}"

    def build(self):
        return LetterEncoder(self.seed)
