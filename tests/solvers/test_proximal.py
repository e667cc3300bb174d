import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlfund._solvers.proximal import (
    ProximalSteps,
    largest_eigenvalue,
    least_subgradient,
    minimise_nonsmooth,
    soft_threshold,
)
from mlfund._solvers.proximal_newton import ProximalNewton, l1_quadratic
from mlfund._solvers.stopping import Stopping
from tests.solvers.problems import problem_for

BOTH = [ProximalSteps, ProximalNewton]


def run(problem, steps, tol=1e-9, max_iter=3000):
    stopping = Stopping(problem, tol, max_iter)
    return minimise_nonsmooth(problem, np.zeros(problem.shape), steps(problem), stopping)


def test_soft_threshold_is_the_proximal_operator():
    V, grid = np.array([-2.0, -0.3, 0.0, 0.4, 3.0]), np.linspace(-4, 4, 80_001)
    for v, out in zip(V, soft_threshold(V, np.array(0.5)), strict=True):
        best = grid[np.argmin(0.5 * (grid - v) ** 2 + 0.5 * np.abs(grid))]
        assert out == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("steps", BOTH)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("l1", [0.002, 0.05])
@pytest.mark.parametrize("of_intercept", [None, 1.0])
def test_ends_where_the_subgradient_vanishes(steps, k, l1, of_intercept):
    problem = problem_for(
        k, l1=l1, l2=0.01, sparse=k == 2, weighted=True, of_intercept=of_intercept
    )
    outcome = run(problem, steps)
    point = problem.point(outcome.V)
    assert outcome.status == "converged"
    assert np.abs(least_subgradient(point.G, point.V, problem.l1)).max() < 1e-8


@pytest.mark.parametrize("steps", BOTH)
def test_correlated_and_doubled_columns(steps):
    """Accelerated steps alone need thousands of iterations here."""
    problem = problem_for(l1=0.003, l2=0.0, d=6)
    X = problem.design.X
    X[:, 4], X[:, 5] = X[:, 0] + 1e-3 * X[:, 1], X[:, 2]
    assert run(problem, steps, tol=1e-6).status == "converged"


@pytest.mark.parametrize("steps", BOTH)
def test_strong_penalty_leaves_only_the_intercept(steps):
    problem = problem_for(l1=10.0)
    outcome = run(problem, steps)
    assert not outcome.V[:, :-1].any()
    positive = problem.loss.target.mean()
    assert outcome.V[0, -1] == pytest.approx(np.log(positive / (1 - positive)))


def test_largest_eigenvalue():
    problem = problem_for(weighted=True)
    A = problem.design.rows(slice(None))
    exact = np.linalg.eigvalsh((A * problem.design.row_weights[:, None]).T @ A).max()
    assert largest_eigenvalue(problem.design) == pytest.approx(exact, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.booleans(), st.booleans())
def test_quadratic_model_is_solved_exactly(seed, m, singular, warm):
    rng = np.random.RandomState(seed)
    A = rng.standard_normal((m if not singular else max(1, m // 2), m))
    H, g = A.T @ A, A.T @ rng.standard_normal(len(A))
    l1 = rng.uniform(0.05, 0.5, m) * (rng.uniform(size=m) < 0.8 if not singular else 1)
    v = rng.standard_normal(m) * (rng.uniform(size=m) < 0.5) * warm
    if not singular:
        H += 0.01 * np.eye(m)
    u = l1_quadratic(H, g, v, l1)
    subgradient = least_subgradient(g + H @ (u - v), u, l1)
    assert np.abs(subgradient).max() < 1e-6 * (1 + np.abs(H).max() * (1 + np.abs(v).max()))
