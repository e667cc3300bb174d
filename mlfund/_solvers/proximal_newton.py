"""l1 and elastic-net penalties on few columns: Newton's model, solved exactly each time.

Each iteration minimises the second-order model of the loss plus the penalty by an
active-set method, which visits the sign patterns one after the other; then it steps along.
Near the optimum the convergence is quadratic, correlated columns or not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.directions import NewtonCholesky
from mlfund._solvers.metrics import factorise, solve_factorised
from mlfund._solvers.problem import Point, Problem

ARMIJO = 0.25
MAX_HALVINGS = 30
# Rounding of the model's gradient, relative to the largest entry that it started with.
MODEL_TOLERANCE = 1e-13


class ProximalNewton:
    """Steps of the proximal Newton method; parts as in `proximal.ProximalSteps`.

    References
    ----------
    Lee, Sun, Saunders, "Proximal Newton-type methods for minimizing composite functions",
    SIAM J. Optim. 24 (2014).
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        self._curvature = NewtonCholesky(problem)
        self._l1 = np.tile(problem.l1, problem.shape[0])

    def step(self, point: Point) -> Point | None:
        """Return the next point, or None when rounding allows no progress."""
        problem = self.problem
        H = self._curvature.hessian(point)
        H.ravel()[:: len(H) + 1] += np.tile(problem.l2, problem.shape[0])
        v = point.V.ravel()
        target = l1_quadratic(H, point.G.ravel(), v, self._l1).reshape(point.V.shape)
        if len(target) > 1:
            # Softmax is blind to a common part of free coordinates, which would drift.
            free = (problem.l1 == 0) & (problem.l2 == 0)
            target[:, free] -= target[:, free].mean(axis=0)
        D = target - point.V
        if not D.any():
            return None
        return step_towards(problem, point, target, problem.design.margins(D))


def step_towards(problem: Problem, point: Point, target: NDArray, Zp: NDArray) -> Point | None:
    """Halve the step until the objective falls by a part of what the model promised.

    Parameters
    ----------
    target : ndarray of shape (k, p)
        The minimiser of the model at `point`.
    Zp : ndarray of shape (k, n)
        Margins of the way from `point` to it.

    Returns
    -------
    Point or None
        None when the objective does not fall, to rounding.
    """
    D = target - point.V
    before = problem.value(point.V, point.Z)
    change = np.abs(target) - np.abs(point.V)
    promised = float(np.vdot(point.G, D) + np.sum(problem.l1 * change))
    if promised >= 0:
        return None
    rounding = 4 * float(np.finfo(problem.design.dtype).eps) * abs(before)
    t = 1.0
    for _ in range(MAX_HALVINGS):
        V = target if t == 1.0 else point.V + t * D
        Z = problem.design.moved(point.Z, Zp, t)
        if problem.value(V, Z) <= before + ARMIJO * t * promised + rounding:
            return problem.point(V, Z)
        t *= 0.5
    return None


def l1_quadratic(H: NDArray, g: NDArray, v: NDArray, l1: NDArray) -> NDArray:
    """Return the u that minimises g'(u - v) + 1/2 (u - v)'H(u - v) + sum_j l1_j |u_j|.

    An active-set method: the signs of the entries not zero are held while their linear
    system is solved; an entry that would change its sign stops there at zero; entries at
    zero whose gradient exceeds the penalty are let go.

    Parameters
    ----------
    H : ndarray of shape (m, m)
        Positive semi-definite.
    g, v, l1 : ndarray of shape (m,)

    Examples
    --------
    >>> import numpy as np
    >>> l1_quadratic(np.eye(2), np.array([-3.0, 0.5]), np.zeros(2), np.ones(2))
    array([2., 0.])
    """
    u, gradient = v.copy(), g.copy()
    free = l1 == 0
    sign = np.where(free, 0.0, np.sign(u))
    active = free | (u != 0)
    tolerance = MODEL_TOLERANCE * max(float(np.abs(g).max()), float(l1.max()))
    let_go = len(u)
    for _ in range(20 * len(u) + 50):
        blocked = _to_the_face_minimum(H, u, gradient, sign, active, l1)
        if blocked is not None:
            if blocked == 0.0:
                let_go = 1
            continue
        excess = np.where(active, -np.inf, np.abs(gradient) - l1)
        wanted = np.argsort(excess)[::-1][:let_go]
        wanted = wanted[excess[wanted] > tolerance]
        if not len(wanted):
            break
        active[wanted] = True
        sign[wanted] = -np.sign(gradient[wanted])
    return u


def _to_the_face_minimum(H, u, gradient, sign, active, l1) -> float | None:
    """Move u, in place, to the minimum among the active signs, or to the first sign change.

    Returns None when the minimum was reached, else the part of the way that was gone.
    """
    index = np.flatnonzero(active)
    if not len(index):
        return None
    factor, unit = factorise(H[np.ix_(index, index)], np.zeros(len(index)))
    d = -solve_factorised(factor, unit, gradient[index] + l1[index] * sign[index])
    against = sign[index] * d < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(against, -u[index] / d, np.inf)
    first = int(np.argmin(room))
    t = min(1.0, float(room[first]))
    u[index] += t * d
    gradient += H[:, index] @ (t * d)
    if room[first] > 1.0:
        return None
    # Entries let go together may all have to return at once.
    stopped = index[room <= t]
    u[stopped], sign[stopped], active[stopped] = 0.0, 0.0, False
    return t
