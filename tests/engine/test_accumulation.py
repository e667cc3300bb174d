import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from mlfund._engine.batches import Batches, n_batches, steps_per_epoch
from mlfund._engine.data import DeviceRows
from mlfund.penalties import get_penalty
from tests.engine.problem import X, Y, data, make_engine, weights_of

WEIGHT = np.tile([0.0, 1.0, 2.5, 0.5, 0.0], 12)


class CountSteps(Callback):
    def __init__(self):
        self.batches = self.gradients = 0

    def on_batch_end(self, net, **kwargs):
        self.batches += 1

    def on_grad_computed(self, net, **kwargs):
        self.gradients += 1


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize(("batch_size", "steps"), [(8, 2), (4, 4), (1, 16), (8, 100)])
def test_equals_the_large_batch(weight, hooked, batch_size, steps):
    penalty = get_penalty("elasticnet", alpha=0.3, l1_ratio=0.5)
    large = make_engine(batch_size=min(60, batch_size * steps), penalty=penalty, optimizer="sgd")
    callbacks = [CountSteps()] if hooked else []
    small = make_engine(
        batch_size=batch_size,
        accumulation_steps=steps,
        penalty=penalty,
        optimizer="sgd",
        callbacks=callbacks,
    )
    for engine in (large, small):
        engine.partial_fit(data(weight))
    assert small.n_steps_ == large.n_steps_
    np.testing.assert_allclose(
        small.history[:, "train_loss"], large.history[:, "train_loss"], rtol=1e-10
    )
    for ours, theirs in zip(weights_of(small), weights_of(large), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_callbacks_see_each_batch_and_each_whole_gradient():
    counts = CountSteps()
    engine = make_engine(batch_size=8, accumulation_steps=3, callbacks=[counts], epochs=2)
    engine.partial_fit(data())
    assert counts.batches == 2 * 8
    assert counts.gradients == engine.n_steps_ == 2 * steps_per_epoch(60, 8, 3) == 6


def test_rows_that_weigh_nothing_give_no_gradient_and_no_nan():
    weight = np.zeros(60)
    weight[-20:] = 1.0
    engine = make_engine(optimizer="sgd", order=None, penalty=get_penalty("l2", alpha=1e-3))
    engine.partial_fit(data(weight))
    assert np.isfinite(engine.history[:, "train_loss"]).all()
    assert all(np.isfinite(array).all() for array in weights_of(engine))


@pytest.mark.parametrize(
    ("n", "batch_size", "smallest", "expected"),
    [(60, 16, 1, 4), (61, 20, 1, 4), (61, 20, 2, 3), (62, 20, 2, 4), (1, 20, 2, 1), (20, 20, 2, 1)],
)
def test_a_last_batch_that_is_too_small_joins_the_one_before(n, batch_size, smallest, expected):
    rows = DeviceRows(np.arange(n * 2.0).reshape(n, 2), np.arange(n), np.ones(n))
    order = np.random.RandomState(0).permutation(n)
    batches = Batches(rows, batch_size, lambda: order, smallest=smallest)
    seen = list(batches)
    assert len(seen) == len(batches) == n_batches(n, batch_size, smallest) == expected
    assert sum(batch.total for batch in seen) == n
    np.testing.assert_array_equal(
        torch.cat([batch[1] for batch in seen]), order if expected > 1 else np.arange(n)
    )


def test_batch_statistics_never_see_one_row():
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    ).double()
    engine = make_engine(module, batch_size=59, order=None)
    engine.partial_fit(DeviceRows(X, Y))
    assert engine.history[-1]["train_batch_count"] == 1
