"""The same bare loop on numpy: its products, and its elementwise passes over the weights."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from benchmarks.search_mlp.problems import BATCH_SIZE, Search, orders, start, width

EPSILON, BETA_1, BETA_2 = 1e-8, 0.9, 0.999


def train(search: Search) -> list[list[np.ndarray]]:
    """Train all candidates, one fold at a time; weights as `bare_torch.train` returns them."""
    done = []
    for train_rows, _ in search.folds:
        done += _train_fold(search, train_rows)
    return done


def _train_fold(search: Search, rows: np.ndarray) -> list[list[np.ndarray]]:
    d, h, n_classes = search.problem.sizes
    k, R, n = width(n_classes), len(search.grid), len(rows)
    random_state = np.random.RandomState(0)
    first = start(search.problem.sizes, random_state)
    shapes = [(h, d), (h,), (k, h), (k,)]
    ends = np.cumsum([R * int(np.prod(shape)) for shape in shapes])
    flat = np.empty(ends[-1], np.float32)
    grad, mean, square = (np.zeros_like(flat) for _ in range(3))
    move, root = np.empty_like(flat), np.empty_like(flat)
    W1, b1, W2, b2 = _views(flat, ends, R, shapes)
    gW1, gb1, gW2, gb2 = _views(grad, ends, R, shapes)
    for view, value in zip((W1, b1, W2, b2), first, strict=True):
        view[...] = value
    rates, decays = (np.array(column, np.float32) for column in zip(*search.grid, strict=True))
    lr, l2 = np.empty_like(flat), np.empty_like(flat)
    for view in _views(lr, ends, R, shapes):
        view[...] = rates.reshape(-1, *[1] * (view.ndim - 1))
    for view in _views(l2, ends, R, shapes):
        # Alpha is for weights, not for biases.
        view[...] = decays.reshape(-1, 1, 1) if view.ndim == 3 else 0.0
    Z, D = np.empty((R, h, BATCH_SIZE), np.float32), np.empty((R, h, BATCH_SIZE), np.float32)
    step = 0
    for order in orders(n, random_state, search.problem.n_epochs):
        block, codes = search.X[rows[order]], search.y[rows[order]]
        targets = codes[None] if k == 1 else np.eye(k, dtype=np.float32)[codes].T
        for begin in range(0, n, BATCH_SIZE):
            x = block[begin : begin + BATCH_SIZE]
            m = len(x)
            z = Z.reshape(-1)[: R * h * m].reshape(R, h, m)
            delta = D.reshape(-1)[: R * h * m].reshape(R, h, m)
            np.matmul(W1.reshape(-1, d), x.T, out=z.reshape(-1, m))
            z += b1[:, :, None]
            np.maximum(z, 0, out=z)
            raw = W2 @ z
            raw += b2[:, :, None]
            q = expit(raw) if k == 1 else softmax(raw, axis=1)
            q -= targets[:, begin : begin + m]
            q *= np.float32(1 / m)
            np.matmul(q, z.transpose(0, 2, 1), out=gW2)
            q.sum(axis=2, out=gb2)
            np.matmul(W2.transpose(0, 2, 1), q, out=delta)
            delta *= z > 0
            delta.sum(axis=2, out=gb1)
            np.matmul(delta.reshape(-1, m), x, out=gW1.reshape(-1, d))
            step += 1
            np.multiply(flat, l2, out=move)
            move *= np.float32(1 / m)
            grad += move
            _adam(flat, grad, mean, square, lr, step, move, root)
    return [[layer[r] for layer in (W1, b1, W2, b2)] for r in range(R)]


def _adam(flat, grad, mean, square, lr, step, move, root):
    """Take a step; `move` and `root` are scratch memory."""
    mean *= BETA_1
    np.multiply(grad, 1 - BETA_1, out=move)
    mean += move
    square *= BETA_2
    np.multiply(grad, grad, out=move)
    move *= 1 - BETA_2
    square += move
    np.sqrt(square, out=root)
    root *= 1 / np.sqrt(1 - BETA_2**step)
    root += EPSILON
    np.divide(mean, root, out=move)
    move *= lr
    move *= 1 / (1 - BETA_1**step)
    flat -= move


def _views(flat, ends, n_replicas, shapes):
    parts = np.split(flat, ends[:-1])
    return [p.reshape(n_replicas, *shape) for p, shape in zip(parts, shapes, strict=True)]
