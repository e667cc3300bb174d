"""Claim: what a convolutional net learns in one place it knows in every place.

A CNN and an MLP are trained on the same MNIST digits as they come, centred and upright, and
asked for test digits that were shifted by 0 to 6 pixels or rotated by 0 to 45 degrees. Neither
has seen such images. Convolutions answer a shifted image with shifted feature maps, and a global
pool forgets where they are; nothing of the kind holds for rotations.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.exceptions import ConvergenceWarning

from benchmarks._harness import table
from benchmarks._mnist import load_digits, pixel_rows
from mlfund import CNNClassifier, MLPClassifier

SHIFTS = tuple(range(7))
DEGREES = tuple(range(0, 46, 5))
# Eight directions: a shift by s goes s pixels along an axis, or along both.
DIRECTIONS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
SEEDS = (0, 1)
N_TRAIN, N_TEST, EPOCHS = 10_000, 5_000, 4
QUICK_ROWS, QUICK_EPOCHS = 400, 1


def shifted(images: np.ndarray, pixels: int, seed: int = 0) -> np.ndarray:
    """Move each image by so many pixels in one of eight directions, drawn; zeros come in."""
    steps = np.random.default_rng(seed).choice(DIRECTIONS, len(images)) * pixels
    n, height, width = images.shape
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels)))
    rows = np.arange(height) + pixels - steps[:, :1]
    columns = np.arange(width) + pixels - steps[:, 1:]
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def rotated(images: np.ndarray, degrees: float, seed: int = 0) -> np.ndarray:
    """Turn half of the images, drawn, one way around their centre and half the other way."""
    turned = images.copy()
    left = np.random.default_rng(seed).random(len(images)) < 0.5
    for rows, angle in ((left, degrees), (~left, -degrees)):
        # Bilinear, and what comes in from outside is black.
        turned[rows] = ndimage.rotate(images[rows], angle, axes=(2, 1), reshape=False, order=1)
    return turned


def _models(seed: int, epochs: int) -> dict[str, Any]:
    """Return two nets of about as many weights, trained on bytes by the same steps."""
    training = {
        "max_iter": epochs,
        "learning_rate_init": 0.005,
        "batch_size": 200,
        "schedule": "one_cycle",
        "optimizer": "adamw",
        "random_state": seed,
        "precision": "mixed",
    }
    # The images as they are, in training and in prediction: moved ones are the question.
    plain = {"augmentation": None, "test_time_augmentation": None}
    cnn = CNNClassifier("simple", **plain, **training)
    return {"CNN": cnn, "MLP": MLPClassifier((128,), n_iter_no_change=np.inf, **training)}


def _as_rows(name: str, images: np.ndarray) -> np.ndarray:
    """Return images as the model takes them: the MLP has no scaler of its own."""
    if name == "CNN":
        return images
    return pixel_rows(images)


def _size(name: str, model: Any) -> dict[str, int]:
    """Return trained weights, and floating-point operations of products for one image."""
    if name == "CNN":
        summary = model.summary()
        return {"n_parameters": summary.n_parameters, "flop": summary.flop}
    weights = sum(coef.size for coef in model.coefs_)
    biases = sum(intercept.size for intercept in model.intercepts_)
    return {"n_parameters": weights + biases, "flop": 2 * weights}


def run(quick: bool = False) -> dict[str, Any]:
    """Train both nets with every seed and score them on moved and turned test digits."""
    (images, labels), (test, test_labels) = load_digits()
    drawn = np.random.default_rng(0).permutation(len(images))[:N_TRAIN]
    images, labels = images[drawn], labels[drawn]
    test, test_labels = test[:N_TEST], test_labels[:N_TEST]
    seeds, epochs = SEEDS, EPOCHS
    if quick:
        images, labels, test, test_labels = (
            part[:QUICK_ROWS] for part in (images, labels, test, test_labels)
        )
        seeds, epochs = SEEDS[:1], QUICK_EPOCHS
    changed = {
        "shift": [shifted(test, pixels) for pixels in SHIFTS],
        "rotation": [rotated(test, degrees) for degrees in DEGREES],
    }
    found: dict[str, Any] = {}
    for seed in seeds:
        for name, model in _models(seed, epochs).items():
            with warnings.catch_warnings():
                # The number of epochs is meant: the schedule ends with the last.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(_as_rows(name, images), labels)
            entry = found.setdefault(name, {**_size(name, model), "shift": [], "rotation": []})
            for kind, versions in changed.items():
                scores = [model.score(_as_rows(name, one), test_labels) for one in versions]
                entry[kind].append(scores)
    return {
        "repeats": len(seeds),
        "n_train": len(labels),
        "n_test": len(test_labels),
        "epochs": epochs,
        "shifts": list(SHIFTS),
        "degrees": list(DEGREES),
        "models": found,
    }


def report(result: dict[str, Any]) -> str:
    """Format mean accuracies over the seeds, and the size of both nets."""
    lines = [
        f"{result['n_train']} digits to train on, {result['n_test']} to test on, "
        f"{result['epochs']} epochs, {result['repeats']} seeds. Accuracies in percent."
    ]
    models = result["models"]
    sizes = [
        {"net": name, "parameters": one["n_parameters"], "flop_per_image": one["flop"]}
        for name, one in models.items()
    ]
    lines.append(table(sizes))
    for kind, steps in (("shift", result["shifts"]), ("rotation", result["degrees"])):
        means = {name: np.mean(one[kind], axis=0) for name, one in models.items()}
        unit = "pixels" if kind == "shift" else "degrees"
        rows = [
            {unit: step, **{name: f"{100 * mean[i]:.2f}" for name, mean in means.items()}}
            for i, step in enumerate(steps)
        ]
        lines.append(table(rows))
    return "\n\n".join(lines)
