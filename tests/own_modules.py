"""Modules as users write them, at the top level of a file: saved models find them here."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class Perceptron(nn.Module):
    """Takes rows of any shape; names the sizes that mlfund deduces."""

    def __init__(self, n_features, n_outputs, hidden=16, depth=1):
        super().__init__()
        sizes = [n_features, *[hidden] * depth]
        layers = [nn.Flatten()]
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], n_outputs))

    def forward(self, X):
        return self.layers(X)


class Proba(Perceptron):
    def forward(self, X):
        out = super().forward(X)
        return torch.sigmoid(out) if out.shape[1] == 1 else F.softmax(out, dim=1)


class LogProba(Perceptron):
    def forward(self, X):
        return F.log_softmax(super().forward(X), dim=1)


class Flat(Perceptron):
    """Returns (n,), as those do who call squeeze."""

    def forward(self, X):
        return super().forward(X).squeeze(1)


class Tuple(Perceptron):
    def forward(self, X):
        return super().forward(X), X


class Noisy(nn.Module):
    """Dropout of its own, batch statistics, a buffer and a frozen layer."""

    def __init__(self, n_features, n_outputs, rate=0.5):
        super().__init__()
        self.frozen = nn.Linear(n_features, n_features).requires_grad_(False)
        self.body = nn.Sequential(
            nn.Linear(n_features, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(rate)
        )
        self.head = nn.Linear(12, n_outputs)
        self.register_buffer("shift", torch.arange(float(n_features)))

    def forward(self, X):
        return self.head(self.body(self.frozen(X) + 0.01 * self.shift))


class ConvNet(nn.Module):
    """A small residual net for images (channels, height, width)."""

    def __init__(self, input_shape, n_outputs, channels=8):
        super().__init__()
        self.stem = nn.Conv2d(input_shape[0], channels, 3, padding=1)
        self.block = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.head = nn.Linear(channels, n_outputs)

    def forward(self, X):
        hidden = self.stem(X)
        return self.head((hidden + self.block(hidden)).mean(dim=(2, 3)))


class Words(nn.Module):
    """Looks up integers in an embedding and takes their mean."""

    def __init__(self, n_outputs, n_words=20, width=4):
        super().__init__()
        self.embedding = nn.Embedding(n_words, width)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X):
        return self.head(self.embedding(X).mean(dim=1))


class Lazy(nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.layers = nn.Sequential(nn.LazyLinear(hidden), nn.ReLU(), nn.LazyLinear(3))

    def forward(self, X):
        return self.layers(X)


def factory(n_features, n_outputs, hidden=8):
    """A function in place of a class."""
    return nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_outputs))
