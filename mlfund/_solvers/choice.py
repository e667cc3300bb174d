"""Which solver suits the data."""

from __future__ import annotations

# Newton's method for at most this many unknowns.
NEWTON_UNKNOWNS = 400
# Two classes: up to so many entries of X (100,000 x 10 take 79 ms, with a sampled Hessian
# 38), and up to so many columns or so much work for one Hessian.
NEWTON_ENTRIES = 300_000
NEWTON_COLUMNS = 40
NEWTON_FLOP = 3e7
# Several classes: on seven real tables between 1e8 and 4e9 (pendigits, letter, ...) Newton's
# method took 1.4 to 10 times as long, and 0.6 on one (shuttle); on six below 6e7, 0.5 to 1.2.
CLASSES_FLOP = 5e7
# Beyond this many columns the sampled Hessian costs more than the passes it saves.
SAMPLED_COLUMNS = 1500

# Up to this many unknowns and work, l1 problems are solved in Newton's model.
PROXIMAL_UNKNOWNS = 500
PROXIMAL_FLOP = 3e9
# With two classes and more columns than these a working set pays.
COORDINATE_COLUMNS = 40

NEWTON = "newton"
PRECONDITIONED = "preconditioned-lbfgs"
PLAIN = "plain-lbfgs"
GRADIENT_DESCENT = "gradient-descent"
NESTEROV = "nesterov"
PROXIMAL = "proximal"
PROXIMAL_NEWTON = "proximal-newton"
COORDINATE = "coordinate"
DUAL_COORDINATE = "dual-coordinate"


def choose(n: int, p: int, k: int, *, l1: bool, kernels: bool = False) -> str:
    """Return the name of the solver for n rows, p columns and k outputs.

    `kernels` tells whether the compiled loops are there and take these data.

    Examples
    --------
    >>> choose(1_000, 11, 1, l1=False)
    'newton'
    >>> choose(100_000, 101, 1, l1=False)
    'preconditioned-lbfgs'
    >>> choose(20_000, 50_000, 1, l1=False)
    'plain-lbfgs'
    """
    pairs = k * (k + 1) / 2 if k > 1 else 1
    hessian_flop = 2.0 * n * p * p * pairs
    if l1:
        small = k * p <= PROXIMAL_UNKNOWNS and hessian_flop <= PROXIMAL_FLOP
        if small and (k > 1 or p <= COORDINATE_COLUMNS):
            return PROXIMAL_NEWTON
        if kernels and k == 1:
            return COORDINATE
        return PROXIMAL_NEWTON if small else PROXIMAL
    if k * p <= NEWTON_UNKNOWNS and _newton_pays(n, p, k, hessian_flop):
        return NEWTON
    # With fewer rows than columns the Hessian on a sample has no full rank to offer.
    if p <= SAMPLED_COLUMNS and n >= 2 * p:
        return PRECONDITIONED
    return PLAIN


def _newton_pays(n: int, p: int, k: int, hessian_flop: float) -> bool:
    """Whether some eight Hessians cost less than the iterations of L-BFGS."""
    if k == 1:
        return n * p <= NEWTON_ENTRIES and (p <= NEWTON_COLUMNS or hessian_flop <= NEWTON_FLOP)
    return hessian_flop <= CLASSES_FLOP
