"""Claim: with 1 % of the labels, contrastive pretraining beats training from scratch.

On the digits of MNIST and on the photographs of CIFAR-10 (the JPEG copies of the benchmark
data). An encoder sees all training images without labels; then a few labels are drawn, as many
of each class, and test accuracy is that of

- `probe`: logistic regression on the frozen embeddings,
- `kNN`: nearest neighbours among the embeddings,
- `fine-tuned`: a `CNNClassifier` that starts from the encoder,
- `scratch`: the same net, augmentation and epochs from random weights,

for several seeds of encoder, labels and training. `python -m benchmarks.self_supervised --help`
runs single data sets and encoders, and smaller ones. No setting was chosen by test accuracy.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlfund
from benchmarks._harness import table
from benchmarks.self_supervised.images import DATA, Images, load

SEEDS = 5
SHARES = (0.01, 0.1, 1.0)
# Rows that nearest neighbours and logistic regression are given at most.
MOST_PROBED = 10_000
N_NEIGHBOURS = 5
# Passes over the labelled images: fewer labels, more of them.
EPOCHS = {0.01: 100, 0.1: 30, 1.0: 10}
# Where all labels are known there is little to win; once shows how little.
FEWER_SEEDS = {1.0: 1}
# Learning rates of the nets, fine-tuned and from scratch: the best of 0.001, 0.002, 0.004 and 0.01
# on 5,000 training images, trained on other 1 % of the labels than here.
RATES = {
    "mnist": {"fine-tuned": 0.01, "scratch": 0.01},
    "cifar10": {"fine-tuned": 0.002, "scratch": 0.002},
}
WAYS = ("probe", "kNN", "fine-tuned", "scratch")
# What is no change of meaning: letters and digits are other ones in a mirror.
AUGMENTATION = {"mnist": ["affine", "shift"], "cifar10": ["flip", "shift"]}


@dataclass(frozen=True)
class Setting:
    """One encoder on one data set.

    Attributes
    ----------
    data : {"mnist", "cifar10"}
    encoder : str
        Name of a public class.
    architecture : str
    epochs, batch_size : int
        Passes of the encoder over the unlabelled images, and how many are compared.
    temperature : float
        Of contrastive learning.
    n_images : int or None
        Training images in use, all of them with None.
    shares : tuple of float
        Of the training images that have labels.
    n_epochs : int or None
        Passes over the labelled images; None is `EPOCHS`.
    device : str
        Where all nets are trained; "auto" takes a GPU where there is one.
    """

    data: str
    encoder: str = "ContrastiveEncoder"
    architecture: str = "strided"
    epochs: int = 6
    batch_size: int = 256
    temperature: float = 0.5
    n_images: int | None = None
    shares: tuple[float, ...] = SHARES
    n_epochs: int | None = None
    device: str = "auto"


def run(
    quick: bool = False, settings: Sequence[Setting] | None = None, seeds: int = SEEDS
) -> dict[str, Any]:
    """Return test accuracies by setting, share of labels, way and seed."""
    if quick:
        settings, seeds = [Setting("mnist", epochs=1, n_images=400, shares=(0.1,), n_epochs=1)], 1
    settings = [Setting(data) for data in DATA] if settings is None else settings
    return {"repeats": seeds, "settings": [_one(setting, seeds) for setting in settings]}


def _one(setting: Setting, seeds: int) -> dict[str, Any]:
    images = load(setting.data, setting.n_images)
    runs = [_accuracies(setting, images, seed) for seed in range(seeds)]
    accuracy = {
        share: {way: [run[share][way] for run, _ in runs if share in run] for way in WAYS}
        for share in setting.shares
    }
    seconds = [taken for _, taken in runs]
    return {"setting": setting, "accuracy": accuracy, "pretraining_seconds": seconds}


def _accuracies(
    setting: Setting, images: Images, seed: int
) -> tuple[dict[float, dict[str, float]], float]:
    start = perf_counter()
    own = {"temperature": setting.temperature} if setting.encoder == "ContrastiveEncoder" else {}
    encoder = getattr(mlfund, setting.encoder)(
        setting.architecture,
        max_iter=setting.epochs,
        batch_size=min(setting.batch_size, len(images.X)),
        random_state=seed,
        precision="auto",
        device=setting.device,
        **own,
    ).fit(images.X)
    taken = perf_counter() - start
    embedded, unseen = encoder.transform(images.X), encoder.transform(images.X_test)
    backbone = encoder.export_backbone()
    found = {}
    for share in setting.shares:
        if seed >= FEWER_SEEDS.get(share, math.inf):
            continue
        rows = labelled(images.y, share, seed)
        probed = rows[:MOST_PROBED]
        found[share] = {
            "probe": _score(_probe(), embedded, unseen, probed, images),
            "kNN": _score(_neighbours(), embedded, unseen, probed, images),
            "fine-tuned": _net(setting, images, rows, share, seed, backbone),
            "scratch": _net(setting, images, rows, share, seed, None),
        }
    return found, taken


def labelled(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return rows that have labels, in random order, as many of each class."""
    rng = np.random.default_rng(seed)
    classes = np.unique(y)
    each = max(2, round(share * len(y) / len(classes)))
    rows = [rng.permutation(np.flatnonzero(y == label))[:each] for label in classes]
    return rng.permutation(np.concatenate(rows))


def _probe() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))


def _neighbours() -> Any:
    # Angles are what the contrastive loss knows of embeddings.
    return KNeighborsClassifier(N_NEIGHBOURS, metric="cosine")


def _score(
    model: Any, embedded: np.ndarray, unseen: np.ndarray, rows: np.ndarray, images: Images
) -> float:
    return float(model.fit(embedded[rows], images.y[rows]).score(unseen, images.y_test))


def _net(
    setting: Setting, images: Images, rows: np.ndarray, share: float, seed: int, backbone: Any
) -> float:
    net = mlfund.CNNClassifier(
        setting.architecture,
        backbone=backbone,
        augmentation=AUGMENTATION[setting.data],
        batch_size=min(128, len(rows)),
        max_iter=setting.n_epochs or EPOCHS.get(share, 30),
        learning_rate_init=RATES[setting.data]["scratch" if backbone is None else "fine-tuned"],
        random_state=seed,
        precision="auto",
        device=setting.device,
    )
    return float(net.fit(images.X[rows], images.y[rows]).score(images.X_test, images.y_test))


def report(result: dict[str, Any]) -> str:
    """Return one table a setting: mean accuracy and spread over seeds, in percent."""
    return "\n\n".join(_table(one) for one in result["settings"])


def _table(one: dict[str, Any]) -> str:
    setting = one["setting"]
    lines = []
    for share, ways in one["accuracy"].items():
        line = {"labels": f"{share:.0%}"}
        line |= {way: _mean_and_spread(values) for way, values in ways.items()}
        gains = [a - b for a, b in zip(ways["fine-tuned"], ways["scratch"], strict=True)]
        beaten = min(ways["fine-tuned"]) > max(ways["scratch"])
        line["fine-tuned - scratch, same labels"] = _mean_and_spread(gains)
        lines.append(line | {"worst fine-tuned beats best scratch": "yes" if beaten else "no"})
    seconds = statistics.median(one["pretraining_seconds"])
    return (
        f"{setting.encoder} ({setting.architecture}) on {setting.data}: {setting.epochs} epochs, "
        f"{setting.n_images or 'all'} training images, {seconds:.0f} s of pretraining\n\n"
        + table(lines)
    )


def _mean_and_spread(values: Sequence[float]) -> str:
    low, high = 100 * min(values), 100 * max(values)
    if len(values) == 1:
        return f"{low:.2f}"
    return f"{100 * statistics.fmean(values):.2f} ({low:.2f} to {high:.2f})"
