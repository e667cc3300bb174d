"""Laws that hold for every optimizer."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from mlfund.optimizers import OPTIMIZERS, get_optimizer, set_learning_rate

every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
STEPS = 50


def gradients(steps=STEPS, shapes=((3, 4), (4,)), seed=0):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=shape) for shape in shapes] for _ in range(steps)]


def start(seed=1, shapes=((3, 4), (4,))):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def run(build, steps=None, rates=None, keep_velocity=False):
    """Return the parameters after each step along fixed gradients."""
    params = [torch.nn.Parameter(torch.tensor(value)) for value in start()]
    optimizer = build(params)
    path = []
    for index, grads in enumerate(steps or gradients()):
        if rates is not None:
            set_learning_rate(optimizer, rates[index], keep_velocity=keep_velocity)
        for parameter, grad in zip(params, grads, strict=True):
            parameter.grad = torch.tensor(grad)
        optimizer.step()
        path.append([parameter.detach().clone() for parameter in params])
    return path


def assert_same_path(ours, theirs, rtol=1e-9, atol=1e-12):
    for step_ours, step_theirs in zip(ours, theirs, strict=True):
        for a, b in zip(step_ours, step_theirs, strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def heavy_ball(g, memory, t):
    memory["velocity"] = 0.9 * memory.get("velocity", 0.0) + g
    return memory["velocity"]


def look_ahead(g, memory, t):
    return g + 0.9 * heavy_ball(g, memory, t)


def summed_squares(g, memory, t):
    memory["square"] = memory.get("square", 0.0) + g**2
    return g / (np.sqrt(memory["square"]) + 1e-10)


def mean_squares(g, memory, t):
    memory["square"] = 0.99 * memory.get("square", 0.0) + 0.01 * g**2
    return g / (np.sqrt(memory["square"]) + 1e-8)


def moments(g, memory, t):
    memory["mean"] = 0.9 * memory.get("mean", 0.0) + 0.1 * g
    memory["square"] = 0.999 * memory.get("square", 0.0) + 0.001 * g**2
    corrected = np.sqrt(memory["square"] / (1 - 0.999**t))
    return memory["mean"] / (1 - 0.9**t) / (corrected + 1e-8)


TEXTBOOK = {
    "sgd": lambda g, memory, t: g,
    "momentum": heavy_ball,
    "nesterov": look_ahead,
    "adagrad": summed_squares,
    "rmsprop": mean_squares,
    "adam": moments,
    "adamw": moments,
}


def reference(name, w, grads, lr=0.05):
    """Return the path of one array by the textbook's recursion in float64."""
    memory, path = {}, []
    decay = lr * 0.01 if name == "adamw" else 0.0
    for t, g in enumerate(grads, start=1):
        w = w * (1 - decay) - lr * TEXTBOOK[name](g, memory, t)
        path.append(w)
    return path


@every_optimizer
def test_steps_are_those_of_the_textbook(optimizer):
    ours = run(lambda params: optimizer.build(params, 0.05))
    paths = [
        reference(optimizer.name, w, [grads[i] for grads in gradients()])
        for i, w in enumerate(start())
    ]
    assert_same_path(ours, list(zip(*paths, strict=True)))


@every_optimizer
@pytest.mark.parametrize("implementation", ["foreach", "one by one"])
def test_steps_are_those_of_torch_in_its_other_implementations(optimizer, implementation):
    arguments = optimizer._torch_arguments() | {"foreach": implementation == "foreach"}
    ours = run(lambda params: optimizer.build(params, 0.05))
    theirs = run(lambda params: optimizer.torch_class(params, lr=0.05, **arguments))
    assert_same_path(ours, theirs)


@every_optimizer
def test_the_fastest_implementation_is_chosen_on_the_cpu(optimizer):
    built = optimizer.build([torch.nn.Parameter(torch.zeros(2))], 0.1)
    fused = built.defaults.get("fused")
    assert fused if optimizer.name != "rmsprop" else built.defaults["foreach"]


@every_optimizer
def test_weights_on_a_device_without_the_fused_step_fall_back(optimizer):
    meta = torch.nn.Parameter(torch.zeros(2, device="meta"))
    assert optimizer.build([meta], 0.1).defaults["foreach"]


@every_optimizer
def test_a_convex_quadratic_is_minimised(optimizer):
    scale = torch.tensor([1.0, 3.0, 10.0]).double()
    goal = torch.tensor([1.0, -2.0, 0.5]).double()
    w = torch.nn.Parameter(torch.zeros(3).double())
    rate = {"adagrad": 1.0, "sgd": 0.1}.get(optimizer.name, 0.05)
    entry = replace(optimizer, weight_decay=0.0)
    built = entry.build([w], rate)
    for step in range(800):
        # Normalised steps do not shrink by themselves.
        set_learning_rate(built, rate * (1 - step / 800))
        built.zero_grad()
        (0.5 * scale * (w - goal) ** 2).sum().backward()
        built.step()
    torch.testing.assert_close(w.detach(), goal, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_weight_decay_is_a_gradient_of_l2(name):
    decayed = run(lambda params: get_optimizer(name, weight_decay=0.1).build(params, 0.05))
    params = [torch.nn.Parameter(torch.tensor(value)) for value in start()]
    built = OPTIMIZERS[name].build(params, 0.05)
    for grads in gradients():
        for parameter, grad in zip(params, grads, strict=True):
            parameter.grad = torch.tensor(grad) + 0.1 * parameter.detach()
        built.step()
    assert_same_path(decayed[-1:], [[p.detach() for p in params]])


def sklearn_path(optimizer_of, rates=None):
    params = start()
    optimizer = optimizer_of(params)
    path = []
    for index, grads in enumerate(gradients()):
        if rates is not None:
            optimizer.learning_rate = rates[index]
        optimizer.update_params(params, grads)
        path.append([parameter.copy() for parameter in params])
    return path


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("momentum", 0.8), ("nesterov", 0.8)])
def test_sgd_is_that_of_sklearn_at_a_constant_rate(name, momentum):
    options = {"momentum": momentum} if momentum else {}
    ours = run(lambda params: get_optimizer(name, **options).build(params, 0.05))
    theirs = sklearn_path(
        lambda params: SGDOptimizer(params, 0.05, momentum=momentum, nesterov=name == "nesterov")
    )
    assert_same_path(ours, theirs)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_a_changing_rate_is_that_of_sklearn_with_the_velocity_kept_and_not_without(name):
    rates = [0.05 / (1 + index // 7) for index in range(STEPS)]
    theirs = sklearn_path(
        lambda params: SGDOptimizer(params, 0.05, nesterov=name == "nesterov"), rates
    )

    def build(params):
        return OPTIMIZERS[name].build(params, 0.05)

    assert_same_path(run(build, rates=rates, keep_velocity=True), theirs)
    plain = run(build, rates=rates)
    apart = max(np.abs(np.asarray(a) - b).max() for a, b in zip(plain[-1], theirs[-1], strict=True))
    assert apart > 1e-2


def test_adam_is_that_of_sklearn_but_for_the_place_of_epsilon():
    theirs = sklearn_path(lambda params: AdamOptimizer(params, 0.05))
    ours = run(lambda params: OPTIMIZERS["adam"].build(params, 0.05))
    # scikit-learn adds epsilon before the correction of the second moment, as if it
    # were epsilon / sqrt(1 - beta_2^t): 32 times ours at first. Measured gap: 4e-7.
    assert_same_path(ours, theirs, rtol=0, atol=1e-6)
    exact = sklearn_path(lambda params: AdamOptimizer(params, 0.05, epsilon=1e-30))
    ours = run(lambda params: get_optimizer("adam", epsilon=1e-30).build(params, 0.05))
    assert_same_path(ours, exact)


def test_parameter_groups_and_generators_are_taken():
    module = torch.nn.Linear(2, 1)
    built = OPTIMIZERS["adam"].build((p for p in module.parameters()), 0.1)
    assert len(built.param_groups[0]["params"]) == 2
    groups = [
        {"params": (p for p in [module.weight]), "lr": 0.5},
        {"params": module.bias},
    ]
    built = OPTIMIZERS["sgd"].build(groups, 0.1)
    assert [group["lr"] for group in built.param_groups] == [0.5, 0.1]


@every_optimizer
def test_options_given_at_build_are_those_of_the_entry(optimizer):
    built = optimizer.build([torch.nn.Parameter(torch.zeros(1))], 0.1, weight_decay=0.25)
    assert built.defaults["weight_decay"] == 0.25
    assert built.defaults["lr"] == 0.1


@every_optimizer
def test_entries_compare_hash_and_survive_pickling(optimizer):
    again = pickle.loads(pickle.dumps(optimizer))
    assert again == optimizer
    assert hash(again) == hash(optimizer)
    assert get_optimizer(optimizer.name) == optimizer


def test_nesterov_without_momentum_is_plain_descent():
    still = run(lambda params: get_optimizer("nesterov", momentum=0.0).build(params, 0.05))
    assert_same_path(still, run(lambda params: OPTIMIZERS["sgd"].build(params, 0.05)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Adam", {}, "Did you mean 'adam'"),
        ("adam", {"beta1": 0.5}, "Did you mean 'beta_1'"),
        ("adam", {"beta_1": 1.0}, "beta_1 must be at least 0 and less than 1"),
        ("adam", {"epsilon": 0}, "epsilon must be a finite number greater than 0"),
        ("momentum", {"momentum": 1.1}, "momentum must lie between 0 and 1"),
        ("sgd", {"weight_decay": -1}, "weight_decay must be a finite number at least 0"),
    ],
)
def test_get_optimizer_says_what_is_wrong(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_optimizer(name, **options)


def test_a_negative_learning_rate_is_refused():
    with pytest.raises(ValueError, match="learning_rate must be a finite number at least 0"):
        OPTIMIZERS["sgd"].build([torch.nn.Parameter(torch.zeros(1))], -0.1)


@pytest.mark.gpu
@every_optimizer
def test_steps_on_the_gpu_are_those_on_the_cpu(optimizer):
    cpu = run(lambda params: optimizer.build(params, 0.05))
    params = [torch.nn.Parameter(torch.tensor(value, device="cuda")) for value in start()]
    built = optimizer.build(params, 0.05)
    for grads in gradients():
        for parameter, grad in zip(params, grads, strict=True):
            parameter.grad = torch.tensor(grad, device="cuda")
        built.step()
    assert_same_path([[p.detach().cpu() for p in params]], cpu[-1:])
