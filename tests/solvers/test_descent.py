import numpy as np
import pytest
from scipy.optimize import minimize

from mlfund._solvers.descent import minimise
from mlfund._solvers.directions import LBFGS, NewtonCholesky
from mlfund._solvers.metrics import DiagonalHessian, SampledHessian
from mlfund._solvers.stopping import Stopping
from tests.solvers.problems import problem_for

DIRECTIONS = {
    "newton": NewtonCholesky,
    "sampled": lambda problem: LBFGS(SampledHessian(problem, np.random.RandomState(0), 30)),
    "diagonal": lambda problem: LBFGS(DiagonalHessian(problem)),
}


def run(problem, name, tol=1e-10, max_iter=500, **options):
    stopping = Stopping(problem, tol, max_iter)
    start = np.zeros(problem.shape)
    return minimise(problem, start, DIRECTIONS[name](problem), stopping, **options)


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("of_intercept", [None, 2.0])
def test_reaches_the_optimum_that_scipy_finds(name, k, sparse, of_intercept):
    problem = problem_for(k, sparse=sparse, weighted=True, of_intercept=of_intercept)
    outcome = run(problem, name)
    assert outcome.status == "converged"
    assert outcome.gradient <= 1e-10

    def both(v):
        point = problem.point(v.reshape(problem.shape))
        return problem.value(point.V, point.Z), point.G.ravel()

    options = {"maxiter": 5000, "gtol": 1e-9, "ftol": 1e-16, "maxcor": 30}
    start = np.zeros(problem.shape).ravel()
    expected = minimize(both, start, jac=True, method="L-BFGS-B", options=options)
    assert problem.value(outcome.V, outcome.Z) <= expected.fun + 1e-13
    np.testing.assert_allclose(outcome.Z, problem.design.margins(outcome.V), atol=1e-12)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_iteration_goes_down(name):
    problem = problem_for(3)
    values = [problem.value(np.zeros(problem.shape), problem.loss.start_margins())]
    run(problem, name, after_iteration=lambda p: values.append(problem.value(p.V, p.Z)))
    assert len(values) > 2
    assert (np.diff(values) <= 1e-14).all()


def test_stops_where_told():
    problem = problem_for()
    outcome = run(problem, "newton", max_iter=2)
    assert (outcome.status, outcome.n_iter) == ("max_iter", 2)
    outcome = run(problem, "newton", after_iteration=lambda point: True)
    assert (outcome.status, outcome.n_iter) == ("stopped", 1)
    outcome = run(problem, "newton", max_iter=0)
    assert (outcome.status, outcome.V.any()) == ("max_iter", False)


def test_tolerance_zero_ends_at_rounding():
    outcome = run(problem_for(), "newton", tol=0.0)
    assert outcome.status == "rounding"
    assert outcome.gradient < 1e-14


def test_last_step_improves_on_the_tolerance():
    problem = problem_for()
    outcome = run(problem, "diagonal", tol=1e-3)
    final = Stopping(problem, 1e-3, 1).measure(problem.point(outcome.V).G)
    assert final < outcome.gradient <= 1e-3


def test_not_finite_is_said():
    problem = problem_for()
    problem.design.X[3, 0] = np.inf
    with pytest.raises(FloatingPointError, match="rescale"), np.errstate(invalid="ignore"):
        run(problem, "diagonal")


@pytest.mark.parametrize("tol", [1e-4, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_last_step_keeps_what_float32_reached(k, tol, seed):
    # Without penalty the softmax does not see what the classes have in common: rounding
    # there is divided by next to nothing, and must not lead the last step.
    problem = problem_for(k, l2=0.0, seed=seed).astype(np.float32)
    outcome = run(problem, "newton", tol)
    assert outcome.status in ("converged", "rounding")
    exact = problem.astype(np.float64)
    size = Stopping(exact, tol, 1).measure(exact.point(outcome.V).G)
    # float32 measures a gradient this small to one digit.
    assert size <= max(1.2 * outcome.gradient, tol)
