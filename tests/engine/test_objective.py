"""The objective and its closed-form gradient."""

import pytest
import torch

from mlfund._engine.data import Batch
from mlfund._engine.objective import Objective
from mlfund.losses import LOSSES, SquaredError


def targets(loss, n=6, k=3):
    generator = torch.Generator().manual_seed(0)
    if loss.target == "multiclass":
        return torch.randint(k, (n,), generator=generator), k
    if loss.target == "binary":
        return torch.randint(2, (n, 1), generator=generator).double(), 1
    if loss.target == "multilabel":
        return torch.randint(2, (n, k), generator=generator).double(), k
    return torch.rand((n, k), generator=generator, dtype=torch.float64), k


class Quartic(SquaredError):
    """A loss of a user's own that keeps the name it inherits."""

    def elementwise(self, raw, y):
        return (raw - y) ** 4


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [*LOSSES.values(), Quartic()], ids=lambda loss: str(loss))
def test_gradient_is_that_of_autograd(loss, weighted):
    y, k = targets(loss)
    weight = torch.linspace(0.5, 2, len(y), dtype=torch.float64) if weighted else None
    batch = Batch.of(y, y, weight, float(weight.sum()) if weighted else float(len(y)))
    width = loss.raw_width(k)
    raw = torch.linspace(-2, 2, len(y) * width, dtype=torch.float64).reshape(len(y), width)
    objective = Objective(loss, width)

    value, gradient = objective.with_gradient(raw.clone(), batch)

    raw.requires_grad_()
    expected = objective(raw, batch)
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, raw.grad)
