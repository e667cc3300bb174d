"""Loops written by hand: with the images in memory, and with torch's DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.vision.problem import Case, Images

LEARNING_RATE = 1e-3

Batches = Iterator[tuple[Tensor, Tensor]]


def resident(case: Case, images: Images) -> float:
    """Slice bytes in memory by a permutation; return the seconds of the last epoch."""
    X, y = torch.from_numpy(images.X), torch.from_numpy(images.y)
    mean, std = images.mean, images.std

    def batches() -> Batches:
        order = torch.randperm(len(X))
        for start in range(0, len(X), case.batch_size):
            index = order[start : start + case.batch_size]
            pixels = X[index].to(torch.float32).sub_(mean).div_(std)
            # One channel, which stands first in memory as well as last: say that it is last.
            yield pixels.unsqueeze(-1).permute(0, 3, 1, 2), y[index]

    net = case.make_net().to(memory_format=torch.channels_last)
    return _train(case, net, batches)


def with_loader(case: Case, images: Images) -> float:
    """Read standardised images from a DataLoader, as tutorials do; channels come first."""
    X = torch.from_numpy(images.X).to(torch.float32).sub_(images.mean).div_(images.std)
    rows = TensorDataset(X[:, None], torch.from_numpy(images.y))
    loader = DataLoader(rows, batch_size=case.batch_size, shuffle=True)
    return _train(case, case.make_net(), lambda: iter(loader))


def with_channels_last_loader(case: Case, images: Images) -> float:
    """Read the same from a DataLoader, with channels last."""
    X = torch.from_numpy(images.X).to(torch.float32).sub_(images.mean).div_(images.std)
    rows = TensorDataset(X.unsqueeze(-1), torch.from_numpy(images.y))
    loader = DataLoader(rows, batch_size=case.batch_size, shuffle=True)
    net = case.make_net().to(memory_format=torch.channels_last)
    return _train(case, net, lambda: ((X.permute(0, 3, 1, 2), y) for X, y in loader))


def _train(case: Case, net: nn.Module, batches: Callable[[], Batches]) -> float:
    """Train two epochs, so that the second finds everything set up."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, fused=True)
    seconds = 0.0
    for _ in range(2):
        start = perf_counter()
        for X, y in batches():
            with case.autocast:
                raw = net(X)
            loss = F.cross_entropy(raw.float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        seconds = perf_counter() - start
    return seconds
