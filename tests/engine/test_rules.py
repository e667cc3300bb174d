import numpy as np
import pytest
import torch

from mlfund._engine.rules import clip_norm, clip_value, max_norm
from mlfund.penalties import get_penalty
from tests.engine.problem import bare_loop, data, make_engine, weights_of

HOOKED = [False, True]


def assert_trains_like(engine, losses, weights):
    engine.partial_fit(data())
    np.testing.assert_allclose(engine.history[:, "train_loss"], losses, rtol=1e-10)
    for ours, theirs in zip(weights_of(engine), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-10)


def with_hook(engine, hooked):
    if hooked:
        # A hook at the module sends the training through autograd.
        engine.module.register_forward_hook(lambda *_: None)
    return engine


@pytest.mark.parametrize("hooked", HOOKED)
@pytest.mark.parametrize(
    ("rules", "before"),
    [
        ([clip_norm(0.3)], lambda p: torch.nn.utils.clip_grad_norm_(p, 0.3)),
        ([clip_norm(1e6)], None),
        ([clip_value(0.02)], lambda p: torch.nn.utils.clip_grad_value_(p, 0.02)),
    ],
    ids=["norm", "norm never reached", "value"],
)
def test_clipping_is_torchs(hooked, rules, before):
    losses, weights = bare_loop("sgd", l2=0.5, before=before)
    engine = make_engine(optimizer="sgd", penalty=get_penalty("l2", alpha=0.5), rules=rules)
    assert_trains_like(with_hook(engine, hooked), losses, weights)


def test_clipping_bounds_the_gradient_that_the_optimizer_sees():
    norms = []
    engine = make_engine(
        rules=[clip_norm(0.1), lambda net: norms.append(net.parameters.grad.norm().item())]
    ).partial_fit(data())
    assert len(norms) == engine.n_steps_
    assert max(norms) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("hooked", HOOKED)
def test_max_norm_bounds_the_weights_into_each_unit(hooked):
    def renorm(parameters):
        for matrix in parameters[:2]:
            norms = matrix.norm(dim=0)
            matrix.mul_(torch.where(norms > 1.0, 1.0 / (norms + 1e-7), 1.0))

    losses, weights = bare_loop(after=renorm)
    engine = make_engine(after_step=[max_norm(1.0, unit_axis=1)])
    assert_trains_like(with_hook(engine, hooked), losses, weights)
    norms = [np.linalg.norm(coef, axis=0) for coef in engine.module_.coefs()]
    assert max(map(max, norms)) <= 1.0 + 1e-9


def test_max_norm_of_torchs_layers_and_filters():
    module = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 4)),
        torch.nn.Conv1d(1, 6, 2),
        torch.nn.Flatten(),
        torch.nn.Linear(18, 3),
    ).double()
    make_engine(module, after_step=[max_norm(0.2)]).partial_fit(data())
    for layer in (module[1], module[3]):
        norms = layer.weight.detach().flatten(1).norm(dim=1)
        assert norms.max().item() == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize("hooked", HOOKED)
@pytest.mark.parametrize(
    ("name", "l1", "l2"),
    [("l1", 0.2, 0.0), ("elasticnet", 0.05, 0.15), ("l2", 0.0, 0.2), ("none", 0.0, 0.0)],
)
def test_penalties_are_part_of_the_objective(hooked, name, l1, l2):
    options = {"l1": {"alpha": 0.2}, "l2": {"alpha": 0.2}, "none": {}}
    given = options.get(name, {"alpha": 0.2, "l1_ratio": 0.25})
    losses, weights = bare_loop("sgd", l1=l1, l2=l2)
    engine = make_engine(optimizer="sgd", penalty=get_penalty(name, **given))
    assert_trains_like(with_hook(engine, hooked), losses, weights)
