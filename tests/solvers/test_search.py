import numpy as np
import pytest

from mlfund._solvers.search import SLOPE_FRACTION, Line, exact_search
from tests.solvers.problems import problem_for


def a_line(k, scale, seed=0):
    problem = problem_for(k, l2=0.01)
    point = problem.point(np.random.RandomState(seed).standard_normal(problem.shape))
    return problem, point, Line(problem, point, -scale * point.G)


@pytest.mark.parametrize("k", [2, 4])
def test_slope_and_curvature_are_derivatives_along_the_line(k):
    problem, point, line = a_line(k, 0.3)

    def value(t):
        V = point.V + t * line.D
        return problem.value(V, problem.design.margins(V))

    slope, curvature, Z, _ = line.at(0.7)
    assert slope == pytest.approx((value(0.7 + 1e-5) - value(0.7 - 1e-5)) / 2e-5, rel=1e-5)
    around = line.at(0.7 + 1e-5)[0] - line.at(0.7 - 1e-5)[0]
    assert curvature == pytest.approx(around / 2e-5, rel=1e-5)
    assert line.at(0.0)[0] == pytest.approx(line.slope_at_zero)
    np.testing.assert_allclose(Z, problem.design.margins(point.V + 0.7 * line.D))


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("seed", range(3))
def test_the_step_is_near_the_minimum_and_goes_down(k, scale, seed):
    problem, point, line = a_line(k, scale, seed)
    with np.errstate(over="ignore"):
        t, Z, _ = exact_search(line)
    assert abs(line.at(t)[0]) <= SLOPE_FRACTION * -line.slope_at_zero
    assert problem.value(point.V + t * line.D, Z) < problem.value(point.V, point.Z)


def test_no_step_uphill():
    problem, point, _ = a_line(2, 1.0)
    assert exact_search(Line(problem, point, point.G)) is None
    assert exact_search(Line(problem, point, np.zeros_like(point.V))) is None
