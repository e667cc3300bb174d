import numpy as np
import pytest
from scipy.optimize import approx_fprime

from mlfund._solvers.directions import NewtonCholesky
from mlfund._solvers.metrics import DiagonalHessian, SampledHessian, factorise, inverse_of
from tests.solvers.problems import problem_for

CASES = [
    {"k": k, "sparse": sparse, "weighted": weighted}
    for k in (2, 3)
    for sparse in (False, True)
    for weighted in (False, True)
]


def at(problem, seed=0):
    return problem.point(np.random.RandomState(seed).standard_normal(problem.shape))


def numerical_gradient(problem, V):
    def value(v):
        W = v.reshape(V.shape)
        return problem.value(W, problem.design.margins(W))

    return approx_fprime(V.ravel(), value, 1e-7).reshape(V.shape)


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_the_derivative_of_the_value(case):
    problem = problem_for(**case)
    point = at(problem)
    np.testing.assert_allclose(point.G, numerical_gradient(problem, point.V), atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_hessian_product_is_the_derivative_of_the_gradient(case):
    problem = problem_for(**case)
    point = at(problem)
    D = np.random.RandomState(5).standard_normal(problem.shape)
    ahead, behind = problem.point(point.V + 1e-5 * D), problem.point(point.V - 1e-5 * D)
    expected = (ahead.G - behind.G) / 2e-5
    np.testing.assert_allclose(problem.hessian_product(point, D), expected, atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_full_hessian_agrees_with_its_product(case):
    problem = problem_for(**case)
    point = at(problem)
    D = np.random.RandomState(6).standard_normal(problem.shape)
    H = NewtonCholesky(problem).hessian(point)
    expected = problem.hessian_product(point, D) - problem.l2 * D
    np.testing.assert_allclose((H @ D.ravel()).reshape(D.shape), expected, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_sampled_hessian_on_all_rows_is_the_inverse_hessian(weighted):
    problem = problem_for(weighted=weighted)
    point = at(problem)
    metric = SampledHessian(problem, np.random.RandomState(0))
    metric.refresh(point)
    G = np.ones(problem.shape)
    np.testing.assert_allclose(problem.hessian_product(point, metric.solve(G)), G, rtol=1e-9)


def test_diagonal_hessian_is_the_diagonal():
    problem = problem_for(sparse=True)
    point = at(problem)
    metric = DiagonalHessian(problem)
    metric.refresh(point)
    H = NewtonCholesky(problem).hessian(point) + np.diag(problem.l2)
    np.testing.assert_allclose(1 / metric.solve(np.ones((1, 6)))[0], np.diag(H))


def test_factorisation_stands_singular_and_badly_scaled_matrices():
    rng = np.random.RandomState(0)
    A = rng.standard_normal((20, 4))
    A = np.column_stack([A, A[:, 0], np.zeros(20)]) * np.logspace(-8, 8, 6)
    inverse = inverse_of(A.T @ A, np.zeros(6))
    assert np.isfinite(inverse).all()
    right = A.T @ A @ np.ones(6)
    np.testing.assert_allclose(A @ (inverse @ right), A @ np.ones(6), rtol=1e-5, atol=1e-5)


def test_factorisation_of_a_good_matrix_is_exact():
    H = np.array([[4.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(inverse_of(H, np.ones(2)), np.linalg.inv(H + np.eye(2)))
    factorise(H, np.zeros(2))
    np.testing.assert_array_equal(H, [[4.0, 1.0], [1.0, 3.0]])  # left as it was


def test_without_any_curvature_steps_stay_numbers():
    step = 1e3 * np.ones((1, 2)) @ inverse_of(np.zeros((2, 2)), np.zeros(2))
    assert 0 < np.vdot(step, step) < np.inf
