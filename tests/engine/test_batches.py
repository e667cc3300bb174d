import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.utils import gen_batches, shuffle

from mlfund._engine import batches as batches_module
from mlfund._engine.batches import Batches, ShuffledOrder
from mlfund._engine.data import DeviceRows


def rows(n=23, weight=None, sparse=False, dtype=np.float64):
    X = np.arange(n * 3, dtype=dtype).reshape(n, 3)
    return DeviceRows(sp.csr_matrix(X) if sparse else X, np.arange(n), weight)


def test_orders_are_scikit_learns():
    ours = ShuffledOrder(50, np.random.RandomState(3))
    theirs_rng, theirs = np.random.RandomState(3), np.arange(50)
    for _ in range(4):
        theirs = shuffle(theirs, random_state=theirs_rng)
        np.testing.assert_array_equal(ours(), theirs)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("block_bytes", [1, 3 * 8 * 10, 1 << 20])
def test_an_epoch_has_every_row_once_in_order(monkeypatch, sparse, block_bytes):
    # Blocks of one batch, of two batches and of all rows.
    monkeypatch.setattr(batches_module, "BLOCK_BYTES", block_bytes)
    weight = np.linspace(1, 2, 23)
    data = rows(weight=weight, sparse=sparse)
    order = np.random.RandomState(0).permutation(23)
    seen = 0
    for batch, part in zip(Batches(data, 5, lambda: order), gen_batches(23, 5), strict=True):
        X, y = batch
        expected = order[part]
        np.testing.assert_array_equal(y.numpy(), expected)
        np.testing.assert_array_equal(X[:, 0].numpy(), 3 * expected)
        np.testing.assert_allclose(batch.weight.numpy(), weight[expected])
        assert batch.total == pytest.approx(weight[expected].sum())
        assert batch.rows == len(expected)
        seen += batch.rows
    assert seen == 23


@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_say_which_rows_they_hold_where_that_is_asked(monkeypatch, shuffled):
    monkeypatch.setattr(batches_module, "BLOCK_BYTES", 3 * 8 * 10)
    order = np.random.RandomState(0).permutation(23)
    draw = (lambda: order) if shuffled else None
    batches = Batches(rows(), 5, draw, numbered=True)
    batches.epoch = 4
    plan = batches.plan()
    for batch in [*batches, *(batches.take(plan, place) for place in range(len(batches)))]:
        np.testing.assert_array_equal(batch.number, batch[1])
        assert batch.epoch == 4
    assert next(iter(Batches(rows(), 5, draw))).number is None


def test_without_an_order_batches_are_views_of_the_data():
    data = rows()
    first = next(iter(Batches(data, 5)))
    assert first[0].data_ptr() == data.X.data_ptr()
    assert first.weight is None
    assert first.total == 5.0


def test_a_batch_unpacks_as_skorch_expects():
    X, y = next(iter(Batches(rows(), 4)))
    assert isinstance(X, torch.Tensor)
    assert isinstance(y, torch.Tensor)
    assert len(Batches(rows(), 4)) == 6


def test_one_batch_of_all_rows_still_advances_the_stream():
    random_state = np.random.RandomState(0)
    list(Batches(rows(), 23, ShuffledOrder(23, random_state)))
    reference = np.random.RandomState(0)
    shuffle(np.arange(23), random_state=reference)
    assert random_state.randint(1 << 30) == reference.randint(1 << 30)


def test_read_only_arrays_are_taken():
    X = np.ones((4, 2))
    X.flags.writeable = False
    data = DeviceRows(X, np.zeros(4))
    assert data.X.shape == (4, 2)
