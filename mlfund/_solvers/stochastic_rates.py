"""A learning rate that suits standardised columns, from the curvature of the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlfund import losses, optimizers

# Adam, AdamW, RMSProp, AdaGrad and Lion move every weight by about the learning rate, whatever
# the gradient: in standardised columns weights are of the order of 1.
OF_ADAPTIVE_STEPS: dict[str, float] = {
    "adagrad": 0.1,
    "rmsprop": 0.05,
    "adam": 0.1,
    "adamw": 0.1,
    "lion": 0.02,
}
# Largest second derivative by the raw score; the others have none, or none that is bounded.
CURVATURE: dict[type, float] = {
    losses.BinaryLogLoss: 0.25,
    losses.MultinomialLogLoss: 0.5,
}
SAMPLE_ROWS = 1024
POWER_ITERATIONS = 10


def base_learning_rate(training: Any, rows: Any, batch_size: int) -> float:
    """Return `learning_rate_init`, or the default for the optimizer and the data.

    Plain steps are stable up to 2 / L, with L the largest curvature a batch shows. Its
    expectation over batches of b rows is at most ``c (lambda + |x|^2 / b)``, where c is
    the curvature of the loss by the raw score, lambda the largest eigenvalue of X'X / n and
    |x|^2 the mean squared length of a row (after Gower et al. 2019). The default is 1 / L,
    less by ``1 - momentum`` where steps accumulate.

    Parameters
    ----------
    training : Training
    rows : Rows
        A sample of them shows the curvature.
    batch_size : int

    References
    ----------
    Gower, Loizou, Qian, Sailanbayev, Shulgin, Richtarik, "SGD: general analysis and
    improved rates", ICML 2019.
    """
    settings = training.settings
    if settings.learning_rate_init is not None:
        return float(settings.learning_rate_init)
    entry = settings.optimizer
    if entry.name in OF_ADAPTIVE_STEPS:
        return OF_ADAPTIVE_STEPS[entry.name]
    sample = rows.sample(SAMPLE_ROWS)
    length = float(np.einsum("ij,ij->", sample, sample)) / len(sample)
    largest = _largest_eigenvalue(sample)
    curvature = CURVATURE.get(type(training.loss), 1.0)
    penalty = 0.0 if training._l2 is None else float(training._l2.max())
    smoothness = curvature * (largest + length / batch_size) + penalty
    damping = 1.0 - entry.momentum if isinstance(entry, optimizers.Momentum) else 1.0
    return max(damping, 0.01) / smoothness


def _largest_eigenvalue(sample: np.ndarray) -> float:
    """Return the largest eigenvalue of Z'Z / n, by power iteration."""
    v = np.random.RandomState(0).standard_normal(sample.shape[1])
    size = 1.0
    for _ in range(POWER_ITERATIONS):
        v /= max(float(np.linalg.norm(v)), np.finfo(float).tiny)
        v = sample.T @ (sample @ v) / len(sample)
        size = float(np.linalg.norm(v))
    return max(size, np.finfo(float).tiny)
