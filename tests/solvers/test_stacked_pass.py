"""The compiled passes of a stack against numpy in float64."""

import numpy as np
import pytest

from mlfund._solvers import kernels, stacked_pass
from mlfund._solvers.stacked_data import training_times
from mlfund._solvers.stacked_moments import fold_moments, moments_of
from mlfund._solvers.stacked_pass import CompiledPass, Layout
from mlfund._solvers.stacked_products import BlockedPass
from mlfund._solvers.stacked_rows import FoldedDesign

pytestmark = pytest.mark.skipif(
    kernels.register_bytes() == 0, reason="these loops need gcc at installation"
)
WIDTHS = [width for width in (16, 32, 64) if width <= kernels.register_bytes()]


def draw(n, d, k, *, stored=np.float64, times=None, seed=0):
    """Return a design of three folds, classes, and weights of the rows."""
    rng = np.random.default_rng(seed)
    X = (rng.standard_normal((n, d)) * np.logspace(-2, 2, d) + 3).astype(stored)
    if times is None:
        parts = np.array_split(rng.permutation(n), 3)
        times = training_times([np.concatenate(parts[:i] + parts[i + 1 :]) for i in range(3)], n)
    design = FoldedDesign(X, times, intercept=True, free=True, standardise=False)
    return design, rng.integers(0, k, n), rng.uniform(0, 1, n), rng


def compare(design, code, k, weights, dtype, m, rng, threads=1):
    outputs = 1 if k == 2 else k
    W = rng.normal(0, 1 / np.sqrt(design.p), (m, outputs, design.p))
    fold = rng.integers(0, design.F, m)
    found = CompiledPass(design, code, k, weights, dtype, threads).gradients(W, fold)
    exact = BlockedPass(design, code, k, weights, np.float64).gradients(W, fold)
    tolerance = 30 * np.finfo(dtype).eps * max(len(code), 10)
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance)
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_gradients_of_every_layout(width, dtype, k, monkeypatch):
    monkeypatch.setattr(kernels, "register_bytes", lambda: width)
    for n, d, m in ((4, 1, 1), (70, 4, 5), (300, 17, 17), (700, 9, 40), (90, 33, 83)):
        design, code, weights, rng = draw(n, d, k, stored=dtype)
        compare(design, code, k, weights if n % 4 else None, dtype, m, rng)


def test_all_numbers_of_vectors_occur():
    layouts = [Layout.of(m, 1, 10, 4) for m in range(1, 300)]
    assert {layout.vectors for layout in layouts} == {1, 2, 3, 4, 5}
    for layout in layouts:
        room = layout.panels * layout.vectors * layout.lanes
        assert layout.m <= room
        assert room <= 1.5 * layout.m + layout.lanes


def test_rows_weighted_by_fold_and_rows_taken_many_times():
    rng = np.random.default_rng(1)
    for times in (rng.uniform(0, 2, (3, 200)), rng.integers(0, 3, (3, 200))):
        for weighted in (True, False):
            design, code, weights, rng = draw(200, 6, 3, times=times)
            compare(design, code, 3, weights if weighted else None, np.float64, 20, rng)


def test_the_number_of_threads_changes_no_digit(monkeypatch):
    monkeypatch.setattr(stacked_pass, "PART_FLOP", 1e4)
    monkeypatch.setattr(stacked_pass, "THREADS_FLOP", 0)
    design, code, weights, _ = draw(2000, 12, 2)
    one, two = (
        compare(design, code, 2, weights, np.float32, 30, np.random.default_rng(3), threads)
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("stored", [np.float32, np.float64])
def test_moments_of_folds(stored, monkeypatch):
    monkeypatch.setattr("mlfund._solvers.stacked_moments.PART_ENTRIES", 500)
    for times in (None, np.random.default_rng(0).integers(0, 4, (2, 400))):
        design, *_ = draw(400, 5, 2, stored=stored, times=times)
        X = design.X.astype(np.float64)
        centre = X[::40].mean(axis=0)
        parts = (design.order, design.segments, design.F, centre, np.ones(5))
        mean, deviation = fold_moments(design.X, *parts)
        for f in range(design.F):
            often = np.zeros(400)
            for segment in design.segments:
                place, here = segment.models(np.array([f]))
                rows = design.order[segment.rows]
                if len(here):
                    often[rows] = 1 if segment.times is None else segment.times[place[0]]
            exact = np.average(X, axis=0, weights=often)
            np.testing.assert_allclose(mean[f], exact, rtol=1e-11)
            spread = np.sqrt(np.average((X - exact) ** 2, axis=0, weights=often))
            np.testing.assert_allclose(deviation[f], spread, rtol=1e-10)


def test_moments_of_rows_keep_their_digits_far_from_zero():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5000, 4)) * [1, 1e-3, 1e3, 0] + [1e4, 7, 0, 0.1]
    rows = rng.permutation(5000)[:4321]
    mean, squares = moments_of(X, rows)
    part = X[rows].astype(np.longdouble)
    np.testing.assert_allclose(mean, part.mean(axis=0).astype(float), rtol=1e-14)
    exact = ((part - part.mean(axis=0)) ** 2).sum(axis=0).astype(float)
    np.testing.assert_allclose(squares[:3], exact[:3], rtol=1e-9)
    assert squares[3] < 1e-25
