"""Small problems for the solver tests."""

import numpy as np
import scipy.sparse as sp

from mlfund._solvers.linear import Penalty, make_problem
from mlfund._solvers.losses import BinaryLoss, MultinomialLoss


def data(n=60, d=5, k=2, *, seed=0, weighted=False):
    """Return X with columns of different centre and scale, class codes, row weights."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d)) * np.logspace(-1, 1, d) + rng.standard_normal(d)
    code = np.concatenate([np.arange(k), rng.randint(k, size=n - k)])
    weights = 1.0 / n
    if weighted:
        weights = rng.uniform(0.1, 3, n)
        weights /= weights.sum()
    return X, code, weights


def loss_for(code, k, weights, dtype=np.float64):
    if k == 2:
        return BinaryLoss(code.astype(dtype), weights)
    return MultinomialLoss(code, k, weights, dtype)


def problem_for(
    k=2, *, sparse=False, weighted=False, l2=0.05, l1=0.0, of_intercept=None, intercept=True, **kw
):
    X, code, weights = data(k=k, weighted=weighted, **kw)
    X = sp.csr_array(X) if sparse else X
    penalty = Penalty(l2, l1, of_intercept)
    return make_problem(X, loss_for(code, k, weights), penalty, intercept=intercept)
