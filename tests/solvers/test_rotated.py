import numpy as np
import pytest

from mlfund._solvers.directions import NewtonCholesky
from mlfund._solvers.metrics import SampledHessian
from mlfund._solvers.rotated import RotatedHessian
from tests.solvers.problems import problem_for


def at(problem, size=1.0):
    V = size * np.random.RandomState(0).standard_normal(problem.shape)
    return problem.point(V - V.mean(axis=0))


def test_at_equal_probabilities_it_is_the_shared_matrix():
    problem = problem_for(4, n=200)
    point = problem.point(np.zeros(problem.shape))
    G = np.random.RandomState(1).standard_normal(problem.shape)
    rotated, shared = (
        metric(problem, np.random.RandomState(0)) for metric in (RotatedHessian, SampledHessian)
    )
    rotated.refresh(point)
    shared.refresh(point)
    np.testing.assert_allclose(rotated.solve(G), shared.solve(G))


def test_it_is_nearer_to_the_hessian_than_the_shared_matrix():
    """Condition number of the preconditioned Hessian, among the contrasts of the classes."""
    problem = problem_for(4, n=400, d=4, l2=0.01)
    X = problem.design.X
    X[:, 0] *= 0.2  # two classes, seldom told apart
    point = at(problem, 0.7)
    k, p = problem.shape
    H = NewtonCholesky(problem).hessian(point) + np.diag(np.tile(problem.l2, k))
    contrasts = np.kron(np.linalg.svd(np.eye(k) - 1 / k)[0][:, : k - 1], np.eye(p))
    condition = {}
    for metric in (RotatedHessian, SampledHessian):
        part = metric(problem, np.random.RandomState(0))
        part.refresh(point)
        M = np.stack([part.solve(e.reshape(k, p)).ravel() for e in np.eye(k * p)])
        values = np.linalg.eigvals(contrasts.T @ M @ H @ contrasts).real
        condition[metric] = values.max() / values.min()
    assert condition[RotatedHessian] < condition[SampledHessian]


def test_it_is_symmetric_and_positive():
    problem = problem_for(3, n=100, weighted=True)
    metric = RotatedHessian(problem, np.random.RandomState(0), 30)
    metric.refresh(at(problem))
    metric.refresh(at(problem))
    M = np.stack([metric.solve(e.reshape(problem.shape)).ravel() for e in np.eye(18)])
    np.testing.assert_allclose(M, M.T, rtol=1e-5, atol=1e-5 * np.abs(M).max())
    assert np.linalg.eigvalsh(0.5 * (M + M.T)).min() > 0


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_drawn_by_curvature_estimate_the_hessian_without_bias(k, weighted):
    problem = problem_for(k, n=3000, d=3, weighted=weighted)
    point = at(problem, 1.5 if k > 2 else 0.0)
    if k == 2:
        point = problem.point(np.array([[2.0, -1.0, 0.5, 0.3]]))
    exact = SampledHessian(problem, np.random.RandomState(0), 10_000)

    def curvature(index):
        return problem.loss.mean_curvature(point.P, index)

    def gram(metric):
        return metric._grams([curvature], metric._sample(point))[0][0]

    expected = gram(exact)
    drawn = SampledHessian(problem, np.random.RandomState(0), 60)
    drawn._refreshed = 1
    mean = np.mean([gram(drawn) for _ in range(400)], axis=0)
    np.testing.assert_allclose(mean, expected, atol=0.03 * np.abs(expected).max())
