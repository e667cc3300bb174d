"""Groups of layers with rates of their own, against torch's parameter groups."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.callbacks import RecordLearningRate
from mlfund._engine.checkpoint import Checkpoints
from mlfund._engine.divergence import DivergenceGuard
from mlfund._engine.groups import RateGroup
from mlfund._engine.intervals import read_interval
from mlfund._engine.net import Engine
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer, FlatParameters, export_state
from mlfund._engine.rules import clip_norm, decoupled_decay, follow_schedule
from mlfund.losses import get_loss
from mlfund.optimizers import get_optimizer, set_learning_rate
from mlfund.schedules import get_schedule
from tests.engine.problem import X, Y, data

LR, EPOCHS, STEPS = 0.02, 4, 4
MULTIPLIERS = (0.01, 0.1, 1.0)
TORCH = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "momentum": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9),
}


def make_module():
    torch.manual_seed(0)
    # No bias before the normalisation: its gradient would be rounding, which Adagrad enlarges.
    middle = nn.Linear(8, 8, bias=False)
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), middle, nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    ).double()


def layers_of(module):
    return [(module[0],), (module[2], module[3]), (module[5],)]


def groups_of(module, first_epochs=(0, 0, 0)):
    return [
        RateGroup(layers, multiplier, first)
        for layers, multiplier, first in zip(
            layers_of(module), MULTIPLIERS, first_epochs, strict=True
        )
    ]


def make_engine(module, groups, optimizer="adam", *, epochs=EPOCHS, **options):
    entry = get_optimizer(optimizer)
    if entry.decoupled:
        entry = entry.with_options(weight_decay=0.0)
    return Engine(
        module,
        Objective(get_loss("log_loss_multinomial"), 3),
        optimizer=FlatOptimizer(entry.build, groups=groups, per_matrix=entry.per_matrix),
        lr=LR,
        batch_size=16,
        max_epochs=epochs,
        order=ShuffledOrder(60, np.random.RandomState(0)),
        **options,
    )


def bare_loop(module, optimizer="adam", *, decay=0.0, factor=None, first_epochs=(0, 0, 0)):
    """The reference: torch's own parameter groups, layers frozen by hand."""
    listed = [
        {"params": [p for layer in layers for p in layer.parameters()], "lr": LR * multiplier}
        for layers, multiplier in zip(layers_of(module), MULTIPLIERS, strict=True)
    ]
    kwargs = {"weight_decay": 0.0} if optimizer == "adamw" else {}
    opt = TORCH[optimizer](listed, lr=LR, **kwargs)
    order, step = ShuffledOrder(60, np.random.RandomState(0)), 0
    features, target = torch.from_numpy(X), torch.from_numpy(Y)
    for epoch in range(EPOCHS):
        module.train()
        for layers, first in zip(layers_of(module), first_epochs, strict=True):
            for layer in layers:
                layer.requires_grad_(epoch >= first)
                layer.train(epoch >= first)
        index = order()
        for i in range(0, 60, 16):
            part = index[i : i + 16]
            opt.zero_grad(set_to_none=True)
            F.cross_entropy(module(features[part]), target[part]).backward()
            for group, multiplier in zip(opt.param_groups, MULTIPLIERS, strict=True):
                if factor is not None:
                    group["lr"] = LR * multiplier * factor(step)
                for p in group["params"]:
                    if p.ndim >= 2 and p.grad is not None:
                        p.data.mul_(1 - group["lr"] * decay)
            opt.step()
            step += 1
    return module


def assert_same(ours, theirs):
    for (name, a), (_, b) in zip(
        ours.state_dict().items(), theirs.state_dict().items(), strict=True
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("optimizer", TORCH)
def test_rates_of_groups_are_those_of_torchs_parameter_groups(optimizer, hooked):
    module = make_module()
    expected = bare_loop(copy.deepcopy(module), optimizer)
    if hooked:
        module.register_forward_hook(lambda *_: None)
    make_engine(module, groups_of(module), optimizer).partial_fit(data())
    assert_same(module, expected)


def test_a_schedule_drives_all_groups_and_decay_follows_the_rate_of_each():
    schedule = get_schedule("warmup_cosine")
    module, total = make_module(), EPOCHS * STEPS

    def factor(step):
        return schedule.factor(step, total, STEPS, rows_per_epoch=60)

    expected = bare_loop(copy.deepcopy(module), "adamw", decay=0.5, factor=factor)
    rules = [follow_schedule(schedule, LR, total, 60, STEPS), decoupled_decay(0.5)]
    engine = make_engine(
        module, groups_of(module), "adamw", rules=rules, callbacks=[RecordLearningRate()]
    ).partial_fit(data())
    assert_same(module, expected)
    last = factor(total - 1) * LR
    assert engine.history[-1, "lr"] == pytest.approx(last)
    rates = [group["lr"] for group in engine.optimizer_.param_groups]
    assert rates == pytest.approx([last * m for m in MULTIPLIERS])


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "adamw"])
def test_groups_start_to_train_at_their_epoch(optimizer):
    first_epochs = (3, 1, 0)
    module = make_module()
    expected = bare_loop(copy.deepcopy(module), optimizer, decay=0.3, first_epochs=first_epochs)
    groups = groups_of(module, first_epochs)
    engine = make_engine(module, groups, optimizer, rules=[decoupled_decay(0.3)])
    engine.partial_fit(data())
    assert_same(module, expected)
    assert all(p.requires_grad for p in module.parameters())


def test_what_does_not_train_yet_does_not_move_at_all():
    module = make_module()
    before = copy.deepcopy(module.state_dict())
    engine = make_engine(module, groups_of(module, (9, 9, 0)), rules=[decoupled_decay(0.3)])
    engine.partial_fit(data())
    moved = {
        name.split(".")[0]
        for name, tensor in module.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert moved == {"5"}
    assert set(export_state(engine.optimizer_)) == {
        f"{i}.{key}" for i in (4, 5) for key in ("step", "exp_avg", "exp_avg_sq")
    }


def test_one_group_of_all_trains_as_no_groups_do():
    first, second = make_module(), make_module()
    make_engine(first, [RateGroup((first,))]).partial_fit(data())
    make_engine(second, None).partial_fit(data())
    assert_same(first, second)


def test_muon_moves_the_matrices_of_a_group_at_its_rate():
    module = make_module()
    before = copy.deepcopy(module.state_dict())
    make_engine(module, groups_of(module), "muon", epochs=1).partial_fit(data())
    sizes = [
        float((module[i].weight.detach() - before[f"{i}.weight"]).square().mean().sqrt())
        for i in (0, 2, 5)
    ]
    # An orthogonal update has the same size per weight whatever the gradient, a root apart.
    assert sizes[1] / sizes[0] == pytest.approx(10, rel=0.6)
    assert sizes[2] / sizes[1] == pytest.approx(10, rel=0.6)


def test_muon_with_groups_of_one_rate_is_muon():
    first, second = make_module(), make_module()
    equal = [RateGroup(layers) for layers in layers_of(first)]
    make_engine(first, equal, "muon").partial_fit(data())
    make_engine(second, None, "muon").partial_fit(data())
    assert_same(first, second)


def test_clipping_sees_the_gradient_of_all_groups():
    seen = []
    module = make_module()
    engine = make_engine(
        module,
        groups_of(module),
        rules=[clip_norm(0.1), lambda net: seen.append(float(net.parameters.grad.norm()))],
    )
    engine.partial_fit(data())
    assert max(seen) <= 0.1 + 1e-9


def test_frozen_parameters_and_empty_groups_are_passed_over():
    module = make_module()
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    engine = make_engine(module, groups_of(module)).partial_fit(data())
    assert torch.equal(module[0].weight, before)
    assert len(engine.optimizer_.param_groups) == 2


def test_a_parameter_in_two_groups_is_refused():
    module = make_module()
    with pytest.raises(ValueError, match="share a parameter"):
        FlatOptimizer(
            get_optimizer("sgd").build, groups=[RateGroup((module,)), RateGroup((module[0],))]
        )


def test_weights_come_first_in_the_flat_tensor_whatever_the_groups():
    module = make_module()
    groups = groups_of(module)
    flat = FlatParameters(module.parameters(), groups)
    assert len(flat.weights) == 4 * 8 + 8 * 8 + 8 * 3
    assert flat.group_slices(True) == [slice(0, 32), slice(32, 96), slice(96, 120)]
    assert flat.group_slices(False) == [slice(120, 128), slice(128, 144), slice(144, 147)]
    pieces = [piece for listed in flat.as_vectors() for piece in listed]
    assert sum(len(piece) for piece in pieces) == len(flat.flat)


def test_setting_a_rate_keeps_the_multiples_and_the_velocity():
    module = make_module()
    engine = make_engine(module, groups_of(module), "momentum", epochs=1).partial_fit(data())
    piece = engine.optimizer_.param_groups[0]["params"][0]
    velocity = engine.optimizer_.state[piece]["momentum_buffer"].clone()
    set_learning_rate(engine.optimizer_, LR / 2, keep_velocity=True)
    assert engine.present_lr == pytest.approx(LR / 2)
    rates = [group["lr"] for group in engine.optimizer_.param_groups]
    assert rates == pytest.approx([LR / 2 * m for m in MULTIPLIERS])
    assert torch.allclose(engine.optimizer_.state[piece]["momentum_buffer"], 2 * velocity)


class StopAfter(DivergenceGuard):
    """Ends a training as a killed process would: without its last callbacks."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, net, *args, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_training_thaws_at_the_same_epoch_and_ends_bit_identical(tmp_path, optimizer):
    schedule = get_schedule("warmup_cosine")

    def train(stop=math.inf):
        module = make_module()
        engine = make_engine(
            module,
            groups_of(module, (3, 1, 0)),
            optimizer,
            rules=[follow_schedule(schedule, LR, EPOCHS * STEPS, 60, STEPS), decoupled_decay(0.1)],
            callbacks=[
                Checkpoints(tmp_path, read_interval("checkpoint_every", 1), {"of": "groups"}),
                StopAfter(stop),
            ],
        )
        if stop < math.inf:
            with pytest.raises(KeyboardInterrupt):
                engine.partial_fit(data())
            return engine
        return engine.partial_fit(data())

    train(stop=2)
    assert list(tmp_path.glob("*/epoch-*.npz"))
    resumed = train()
    assert dict(resumed.callbacks_)["Checkpoints"].resumed_epochs_ == 2
    whole = train()
    for a, b in zip(
        resumed.module_.state_dict().values(), whole.module_.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_a_training_that_diverges_is_replayed_with_the_groups_it_had():
    module = make_module()
    groups = [RateGroup((module[0],), 1.0, 9), RateGroup((module[2], module[3], module[5]), 1e300)]
    guard = DivergenceGuard()
    engine = make_engine(module, groups, "sgd", callbacks=[guard])
    before = module[0].weight.clone()
    engine.partial_fit(data())
    assert guard.bad_epoch_ == 1
    assert guard.breakdown_ is not None
    assert torch.equal(module[0].weight, before)
