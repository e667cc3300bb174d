"""Plain and accelerated gradient descent."""

import numpy as np
import pytest

from mlfund._solvers.descent import minimise
from mlfund._solvers.gradient import SteepestDescent
from mlfund._solvers.nesterov import NesterovSteps
from mlfund._solvers.proximal import minimise_nonsmooth
from mlfund._solvers.stopping import Stopping
from tests.solvers.problems import problem_for


def steepest(problem, tol, max_iter, **options):
    part = SteepestDescent(problem)
    start = options.pop("start", np.zeros(problem.shape))
    return minimise(problem, start, part, Stopping(problem, tol, max_iter), **options)


def nesterov(problem, tol, max_iter, **options):
    part = NesterovSteps(problem)
    start = options.pop("start", np.zeros(problem.shape))
    return minimise_nonsmooth(problem, start, part, Stopping(problem, tol, max_iter), **options)


BOTH = [steepest, nesterov]


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("of_intercept", [None, 2.0])
def test_ends_where_the_gradient_vanishes(method, k, sparse, of_intercept):
    problem = problem_for(k, sparse=sparse, weighted=True, of_intercept=of_intercept)
    outcome = method(problem, 1e-8, 20_000)
    assert outcome.status == "converged"
    assert np.abs(problem.point(outcome.V).G).max() < 1e-8


@pytest.mark.parametrize("method", BOTH)
def test_a_warm_start_at_the_optimum_ends_at_once(method):
    problem = problem_for()
    optimum = method(problem, 1e-9, 20_000).V
    assert method(problem, 1e-8, 100, start=optimum).n_iter == 0


@pytest.mark.parametrize("method", BOTH)
def test_a_callback_can_stop(method):
    outcome = method(problem_for(), 1e-12, 100, after_iteration=lambda point: True)
    assert (outcome.status, outcome.n_iter) == ("stopped", 1)


def test_acceleration_pays_on_an_ill_conditioned_problem():
    X = problem_for(n=300, d=8, l2=1e-5).design.X
    X[:, 1] = X[:, 0] + 0.2 * X[:, 1]
    problem = problem_for(n=300, d=8, l2=1e-5)
    problem.design.X[:] = X
    plain = steepest(problem, 1e-5, 50_000).n_iter
    assert nesterov(problem, 1e-5, 50_000).n_iter < plain / 2


def test_a_curvature_estimated_too_low_is_mended():
    problem = problem_for(3)
    steps = NesterovSteps(problem)
    steps._curvature *= 1e-6
    outcome = minimise_nonsmooth(
        problem, np.zeros(problem.shape), steps, Stopping(problem, 1e-8, 5000)
    )
    assert outcome.status == "converged"


def test_exact_steps_never_go_up():
    curve = steepest(problem_for(3), 1e-8, 5000).loss_curve
    assert (np.diff(curve) <= 1e-15).all()
