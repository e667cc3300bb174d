"""The same training behind scikit-learn's interface: mlfund and skorch."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks.vision.loops import LEARNING_RATE
from benchmarks.vision.problem import Case, Images


def mlfund(case: Case, images: Images) -> float:
    """Fit a CNNClassifier on the bytes; return the seconds of its second epoch."""
    from mlfund import CNNClassifier

    net = CNNClassifier(
        case.net,
        batch_size=case.batch_size,
        precision=case.precision,
        learning_rate_init=LEARNING_RATE,
        max_iter=2,
        random_state=0,
        **PLAIN,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(images.X, images.y)
    return float(net.history_["seconds"].iloc[-1])


# What the others do not do either.
PLAIN = {
    "augmentation": None,
    "label_smoothing": None,
    "averaging": None,
    "test_time_augmentation": None,
}


def skorch(case: Case, images: Images) -> float:
    """Fit skorch with its defaults, but for `train_split=None`: nobody else holds rows out."""
    X = (images.X[:, None].astype(np.float32) - np.float32(images.mean)) / np.float32(images.std)
    net = NeuralNetClassifier(
        _InPrecision,
        module__case=case,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=LEARNING_RATE,
        max_epochs=2,
        batch_size=case.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    net.fit(X, images.y)
    return float(net.history[-1, "dur"])


class _InPrecision(nn.Module):
    """The net of a case, its forward pass in the precision of the case."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.net, self.case = case.make_net(), case

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return raw scores."""
        with self.case.autocast:
            raw = self.net(X)
        return raw.float()
