"""The peer: what one writes by hand in forty lines of torch, without mlfund.

Three convolutions with batch norm, channels-last, bfloat16 autocast where the processor has
instructions for it, fused AdamW along one cycle of the learning rate, images in memory and sliced
by a permutation; the wide one moves each batch by up to two pixels and softens its targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

BATCH = 128
PEAK_RATE = 0.01


@dataclass(frozen=True)
class Script:
    """One such script."""

    epochs: int
    is_wide: bool = False

    @property
    def settings(self) -> dict[str, str]:
        """What it does, for the record."""
        return {"epochs": str(self.epochs), "wide": str(self.is_wide), "bf16": str(_has_bf16())}

    def net(self, n_channels: int, side: int, n_classes: int) -> nn.Module:
        """Return an untrained net for square images."""
        if self.is_wide:
            layers = [*_stage(n_channels, 32, 5), *_stage(32, 64, 3), *_stage(64, 128, 3)[:-1]]
            head = [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(128, n_classes)]
        else:
            layers = [*_stage(n_channels, 16, 3), *_stage(16, 32, 3), *_stage(32, 64, 3)[:-1]]
            head = [nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, n_classes)]
        return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)


SCRIPTS = {
    "script, 1 epoch": Script(1),
    "script, 2 epochs": Script(2),
    "wide script, 6 epochs": Script(6, is_wide=True),
    "wide script, 10 epochs": Script(10, is_wide=True),
}


def fit_script(
    name: str, seed: int, parts: dict[str, np.ndarray], *, quick: bool = False
) -> dict[str, Any]:
    """Train once; return accuracy on the test images, and seconds up to the end of training.

    `quick` is of no account: few images are quick.
    """
    script = SCRIPTS[name]
    torch.manual_seed(seed)
    start = perf_counter()
    X, statistics = _standardised(parts["x_train"])
    y = torch.from_numpy(parts["y_train"].ravel().astype(np.int64))
    net = script.net(X.shape[1], X.shape[2], int(y.max()) + 1)
    _train(net, X, y, script)
    seconds = perf_counter() - start
    T, _ = _standardised(parts["x_test"], statistics)
    net.eval()
    with torch.no_grad():
        guessed = torch.cat([net(block).argmax(1) for block in T.split(1000)])
    accuracy = float((guessed.numpy() == parts["y_test"].ravel()).mean())
    return {
        "seed": seed,
        "accuracy": accuracy,
        "seconds": seconds,
        "epochs": script.epochs,
        "settings": script.settings,
    }


def _train(net: nn.Module, X: torch.Tensor, y: torch.Tensor, script: Script) -> None:
    size = min(BATCH, len(X))
    per_epoch = len(X) // size
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=script.epochs * per_epoch + 1
    )
    for _ in range(script.epochs):
        for rows in torch.randperm(len(X))[: per_epoch * size].split(size):
            images = X[rows]
            if script.is_wide:
                images = images.roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3))
            with torch.autocast("cpu", torch.bfloat16, enabled=_has_bf16()):
                raw = net(images)
            softened = 0.05 if script.is_wide else 0.0
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(raw.float(), y[rows], label_smoothing=softened).backward()
            optimizer.step()
            schedule.step()


def _stage(n_in: int, n_out: int, kernel: int) -> list[nn.Module]:
    convolution = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]


def _standardised(
    images: np.ndarray, statistics: tuple[torch.Tensor, torch.Tensor] | None = None
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    X = torch.from_numpy(images).float().div_(255)
    X = X[:, None] if X.ndim == 3 else X.permute(0, 3, 1, 2)
    if statistics is None:
        statistics = X.mean((0, 2, 3), keepdim=True), X.std((0, 2, 3), keepdim=True)
    X = X.sub_(statistics[0]).div_(statistics[1])
    return X.contiguous(memory_format=torch.channels_last), statistics


def _has_bf16() -> bool:
    """Whether the processor multiplies in bfloat16 by itself."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
