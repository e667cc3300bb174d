import pytest
import torch
from torch import nn

from mlfund._engine.parameters import FlatParameters
from tests.engine.problem import data, make_engine, make_mlp


def conv_net():
    return nn.Sequential(
        nn.Unflatten(1, (1, 4)),
        nn.Conv1d(1, 6, 2),
        nn.BatchNorm1d(6),
        nn.Flatten(),
        nn.Linear(18, 3),
    ).double()


def test_any_number_of_tensors_become_views_of_one():
    module = conv_net()
    before = [p.detach().clone() for p in module.parameters()]
    flat = FlatParameters(module.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert len(flat.weights) == module[1].weight.numel() + module[4].weight.numel()
    flat.flat.detach().zero_()
    assert not any(p.any() for p in module.parameters())


def test_snapshots_hold_running_statistics():
    module = conv_net()
    flat = FlatParameters(module.parameters())
    flat.watch_buffers(module)
    before = flat.snapshot()
    module(torch.randn(5, 4, dtype=torch.float64))
    moved = module[2].running_mean.clone()
    assert moved.any()
    reused = flat.snapshot(out=before.clone())
    flat.restore(before)
    assert not module[2].running_mean.any()
    flat.restore(reused)
    assert torch.equal(module[2].running_mean, moved)


def test_matrices_have_a_row_for_each_unit_and_share_memory():
    module = make_mlp()
    flat = FlatParameters(module.parameters())
    first, second = flat.matrices(unit_axis=1)
    assert (first.shape, second.shape) == ((8, 4), (3, 8))
    first[2] = 7.0
    assert (module.weights[0][:, 2] == 7.0).all()
    filters = FlatParameters(conv_net().parameters()).matrices()[0]
    assert filters.shape == (6, 2)


@pytest.mark.parametrize("unit_axis", [0, 1])
def test_an_optimizer_over_matrices_moves_the_module_by_its_gradients(unit_axis):
    module = make_mlp()
    flat = FlatParameters(module.parameters())
    (views,) = flat.as_matrices(unit_axis)
    assert [view.ndim for view in views] == [2, 2, 1]
    start = flat.snapshot()
    flat.grad.copy_(torch.arange(len(flat.grad)))
    torch.optim.SGD(views, lr=0.5).step()
    assert torch.equal(flat.flat.detach(), start - 0.5 * flat.grad)


@pytest.mark.parametrize("hooked", [False, True])
def test_training_by_matrices_equals_training_by_the_flat_vector(hooked):
    curves = []
    for per_matrix in (False, True):
        engine = make_engine(optimizer="adam")
        engine.optimizer.per_matrix = per_matrix
        engine.optimizer.unit_axis = 1
        if hooked:
            engine.module.register_forward_hook(lambda *_: None)
        curves.append(engine.partial_fit(data()).history[:, "train_loss"])
    assert curves[1] == pytest.approx(curves[0], rel=1e-12)


def test_parameters_of_several_dtypes_are_refused():
    module = conv_net()
    module[1].float()
    with pytest.raises(ValueError, match=r"more than one dtype: torch.float32, torch.float64"):
        FlatParameters(module.parameters())


def test_a_module_without_parameters_is_refused():
    with pytest.raises(ValueError, match="no parameter to train"):
        FlatParameters(nn.ReLU().parameters())
