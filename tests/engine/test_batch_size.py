import numpy as np
import pytest
import torch

from mlfund._engine import batch_size
from mlfund._engine.batch_size import choose, largest_batch_size
from mlfund._engine.data import DeviceRows
from mlfund._engine.objective import Objective
from mlfund.losses import get_loss
from tests.engine.problem import make_mlp

OBJECTIVE = Objective(get_loss("log_loss_multinomial"), 3)


@pytest.mark.parametrize(
    ("per_row", "constant", "n", "budget", "expected"),
    [
        (100.0, 0.0, 1_000_000, 100 * 1024, 1024),  # the budget decides
        (100.0, 60_000.0, 1_000_000, 100 * 1024, 256),  # and so does what is there anyway
        (1.0, 0.0, 1_000_000, 1e12, 8192),  # never more than this
        (1.0, 0.0, 3200, 1e12, 128),  # an epoch keeps 16 steps
        (100.0, 0.0, 10, 1e12, 10),  # fewer rows than the smallest batch
        (1e9, 0.0, 1_000_000, 1.0, 16),  # nothing fits: the smallest is tried
    ],
)
def test_the_largest_power_of_two_that_fits(per_row, constant, n, budget, expected):
    assert choose(lambda rows: constant + per_row * rows, n, budget) == expected


def rows(n=5000):
    rng = np.random.default_rng(0)
    return DeviceRows(rng.normal(size=(n, 4)), rng.integers(3, size=n), rng.uniform(size=n))


def test_wide_nets_get_smaller_batches(monkeypatch):
    monkeypatch.setattr(batch_size, "CPU_BYTES", 200_000)
    sizes = []
    for width in (8, 512):
        module = torch.nn.Sequential(
            torch.nn.Linear(4, width), torch.nn.Tanh(), torch.nn.Linear(width, 3)
        ).double()
        sizes.append(largest_batch_size(module, OBJECTIVE, rows()))
    assert sizes[0] > sizes[1] >= 16


def test_measuring_leaves_no_trace():
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(), torch.nn.Linear(8, 3)
    ).double()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    stream = torch.get_rng_state()
    assert largest_batch_size(module, OBJECTIVE, rows()) >= 16
    assert torch.equal(torch.get_rng_state(), stream)
    assert module.training
    assert all(p.grad is None for p in module.parameters())
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.gpu
def test_on_a_device():
    module = make_mlp().to("cuda")
    data = rows()
    on_device = DeviceRows(data.X.numpy(), data.y.numpy(), device="cuda")
    assert 16 <= largest_batch_size(module, OBJECTIVE, on_device) <= 5000 // 16
