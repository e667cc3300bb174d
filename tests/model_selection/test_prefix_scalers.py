"""Column scalers of all splits: equal to the scaler's own, from training rows alone."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import (
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from mlfund.model_selection._prefix_partition import partitions
from mlfund.model_selection._prefix_scalers import as_scalers_see, fit_affine, is_affine

SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler(),
    MinMaxScaler((-2.0, 5.0)),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, quantile_range=(10, 70), unit_variance=True),
    RobustScaler(with_scaling=False),
]
FOR_SPARSE = [
    StandardScaler(with_mean=False),
    MaxAbsScaler(),
    RobustScaler(with_centering=False),
]
SPLITTERS = [
    KFold(4),
    KFold(3, shuffle=True, random_state=0),
    RepeatedKFold(n_splits=3, n_repeats=2, random_state=1),
    TimeSeriesSplit(4),
    ShuffleSplit(5, train_size=0.4, test_size=0.3, random_state=2),
    PredefinedSplit(np.arange(60) % 5 - 1),
    LeaveOneOut(),
]


def table(n=60, d=7, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-4, 4, size=d) + rng.normal(size=d) * 100
    X[:, 0] = 3.7  # constant
    X[:, 1] = rng.integers(2, size=n)
    return X.astype(dtype)


def trains_of(splitter, n=60):
    return [train for train, _ in splitter.split(np.zeros((n, 1)))]


def assert_like_the_scaler(scaler, X, trains, params=None):
    params = params or {}
    affine = fit_affine(scaler, as_scalers_see(X), trains, params)
    for centre, scale, train in zip(affine.centre, affine.scale, trains, strict=True):
        cut = {name: value[train] for name, value in params.items()}
        own = clone(scaler).fit(X[train], **cut)
        expected = own.transform(X.astype(np.float64))
        if sp.issparse(X):
            assert not centre.any()
            expected, dense = expected.toarray(), X.toarray()
        else:
            dense = X
        np.testing.assert_allclose(
            (dense - centre) / scale, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max()
        )
    assert affine.centre.dtype == affine.scale.dtype == np.float64
    assert (affine.scale != 0).all()


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda one: type(one).__name__)
def test_dense(scaler, splitter):
    assert_like_the_scaler(scaler, table(), trains_of(splitter))


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_single_precision_is_summed_in_double(scaler):
    X = table(dtype=np.float32)
    trains = trains_of(KFold(3))
    affine = fit_affine(scaler, as_scalers_see(X), trains, {})
    double = fit_affine(scaler, X.astype(np.float64), trains, {})
    np.testing.assert_allclose(affine.centre, double.centre, rtol=1e-5)
    np.testing.assert_allclose(affine.scale, double.scale, rtol=1e-5)


@pytest.mark.parametrize("scaler", FOR_SPARSE, ids=repr)
@pytest.mark.parametrize("splitter", SPLITTERS[:4], ids=lambda one: type(one).__name__)
def test_sparse(scaler, splitter):
    X = sp.random_array((60, 9), density=0.3, format="csr", rng=np.random.default_rng(3))
    assert_like_the_scaler(scaler, X, trains_of(splitter))


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()], ids=repr)
def test_sparse_rows_that_cannot_be_centred_are_refused(scaler):
    X = sp.csr_array(np.eye(6))
    with pytest.raises((ValueError, TypeError)):
        fit_affine(scaler, X, trains_of(KFold(2), 6), {})


def test_row_weights():
    weights = np.random.default_rng(5).uniform(0, 3, size=60)
    trains = trains_of(KFold(3))
    X = table()[:, 1:]  # scikit-learn's weighted variance of a constant may be below 0
    assert_like_the_scaler(StandardScaler(), X, trains, {"sample_weight": weights})


def test_rows_that_are_trained_on_twice():
    rng = np.random.default_rng(6)
    trains = [rng.integers(60, size=50), np.arange(0, 60, 2), np.arange(1, 60, 2)]
    assert_like_the_scaler(StandardScaler(), table(), trains)
    assert_like_the_scaler(MinMaxScaler(), table(), trains)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("far", [0.0, 1e8])
def test_large_tables_in_blocks(far, order):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(40_000, 3)) + far + np.linspace(0, 5, 40_000)[:, None]
    X = np.asarray(X, order=order)
    trains = trains_of(KFold(3), len(X))
    affine = fit_affine(StandardScaler(), X, trains, {})
    for centre, scale, train in zip(affine.centre, affine.scale, trains, strict=True):
        exact = X[train].astype(np.longdouble)
        np.testing.assert_allclose(centre, exact.mean(axis=0), rtol=1e-15)
        np.testing.assert_allclose(scale, exact.std(axis=0), rtol=1e-8)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad):
    X = table()
    X[5, 3] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        as_scalers_see(X)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_values_whose_squares_overflow():
    with pytest.raises(ValueError, match="too large"):
        fit_affine(StandardScaler(), table() * 1e300, trains_of(KFold(3)), {})


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
@pytest.mark.parametrize("shuffle", [None, 0])
def test_held_out_rows_change_no_bit(scaler, shuffle):
    splitter = KFold(4, shuffle=shuffle is not None, random_state=shuffle)
    X, splits = table(), list(splitter.split(np.zeros((60, 1))))
    trains = [train for train, _ in splits]
    before = fit_affine(scaler, X, trains, {})
    for split, (_, test) in enumerate(splits):
        moved = X.copy()
        moved[test] += 1e6
        after = fit_affine(scaler, moved, trains, {})
        np.testing.assert_array_equal(after.centre[split], before.centre[split])
        np.testing.assert_array_equal(after.scale[split], before.scale[split])


def test_only_plain_scalers_are_numbers():
    assert all(map(is_affine, SCALERS))
    assert not is_affine(MinMaxScaler(clip=True))
    assert not is_affine(StandardScaler().set_output(transform="pandas"))

    class Own(StandardScaler):
        pass

    assert not is_affine(Own())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 25), F=st.integers(1, 8))
def test_partitions_put_every_split_together(seed, n, F):
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        fold = rng.integers(F, size=n)
        trains = [np.flatnonzero(fold != split) for split in range(F)]
    else:
        trains = [np.flatnonzero(rng.random(n) < 0.6) for _ in range(F)]
    found = {}
    for partition in partitions(trains, n):
        together = np.concatenate([*partition.parts, np.empty(0, dtype=int)])
        assert len(np.unique(together)) == len(together)
        for split, used in zip(partition.splits, partition.trains_on, strict=True):
            rows = [part for part, use in zip(partition.parts, used, strict=True) if use]
            found[split] = np.sort(np.concatenate([*rows, np.empty(0, dtype=int)]))
    assert sorted(found) == list(range(F))
    for split, train in enumerate(trains):
        np.testing.assert_array_equal(found[split], train)


def test_repeats_are_partitions_of_their_own():
    splitter = RepeatedKFold(n_splits=3, n_repeats=4, random_state=0)
    trains = trains_of(splitter)
    sizes = [(len(one.splits), len(one.parts)) for one in partitions(trains, 60)]
    assert sizes == [(3, 3)] * 4
