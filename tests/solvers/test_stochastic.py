"""The parts of stochastic gradient descent against torch: steps, derivatives, devices."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mlfund._solvers.stochastic import Settings, Training
from mlfund._solvers.stochastic_fit import minimise
from mlfund._solvers.stochastic_gradients import derivative_of, total_loss
from mlfund._solvers.stochastic_rows import Moments
from mlfund._solvers.stochastic_steps import make_step
from mlfund.losses import LOSSES, Hinge, Poisson, SquaredError, get_loss
from mlfund.optimizers import OPTIMIZERS, get_optimizer

# Muon is for the matrices of nets.
ENTRIES = [entry for entry in OPTIMIZERS.values() if not entry.per_matrix]
VARIANTS = [
    *ENTRIES,
    *(get_optimizer(entry, weight_decay=0.1) for entry in ENTRIES),
    get_optimizer("rmsprop", momentum=0.5),
    get_optimizer("nesterov", momentum=0.0),
    get_optimizer("adam", beta_1=0.0, epsilon=1e-2),
]


@pytest.mark.parametrize("entry", VARIANTS, ids=str)
@pytest.mark.parametrize("xp", [np, torch], ids=["numpy", "torch"])
def test_steps_are_those_of_torch_optim(entry, xp):
    rng = np.random.RandomState(0)
    start = rng.standard_normal((2, 5))
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    theirs = entry.build([parameter], learning_rate=0.1)
    V = start.copy() if xp is np else torch.from_numpy(start.copy())
    ours = make_step(entry, V, xp, n_weights=5)
    for i in range(20):
        G = rng.standard_normal((2, 5))
        rate = 0.1 / (1 + i % 3)
        theirs.param_groups[0]["lr"] = rate
        parameter.grad = torch.from_numpy(G.copy())
        theirs.step()
        ours(V, G if xp is np else torch.from_numpy(G), rate)
    np.testing.assert_allclose(np.asarray(V), parameter.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_steps_say_how_far_a_constant_gradient_moves_a_weight(entry):
    V = np.ones((1, 3))
    step = make_step(get_optimizer(entry, weight_decay=0.0), V, np, n_weights=3)
    for _ in range(3_000):
        before = V.copy()
        length = step(V, np.array([[1e-3, -1.0, 5.0]]), 0.01)
    np.testing.assert_allclose(before - V, length * np.array([[1e-3, -1.0, 5.0]]), rtol=1e-3)


def test_optimizers_of_matrices_and_classes_of_torch_are_refused():
    for entry in (OPTIMIZERS["muon"], get_optimizer(torch.optim.NAdam)):
        with pytest.raises(ValueError, match=r"use one of 'sgd', .*'lion'"):
            make_step(entry, np.ones((1, 3)), np, n_weights=3)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_intercepts_do_not_decay(weight_decay):
    V = np.ones((1, 3))
    step = make_step(get_optimizer("adamw", weight_decay=weight_decay), V, np, n_weights=2)
    step(V, np.zeros((1, 3)), 1.0)
    assert V.tolist() == [[1 - weight_decay, 1 - weight_decay, 1.0]]


class Cubed(SquaredError):
    """A loss of one's own."""

    def elementwise(self, raw, y):
        return (raw - y).abs() ** 3


POINTWISE = [loss for loss in LOSSES.values() if loss.reduction == "pointwise"]


@pytest.mark.parametrize("loss", [*POINTWISE, Cubed()], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("xp", [np, torch], ids=["numpy", "torch"])
def test_derivatives_are_those_of_autograd(loss, xp):
    rng = np.random.RandomState(0)
    width = 1 if loss.target == "binary" else 3
    raw = rng.standard_normal((40, loss.raw_width(width))) * 3
    if loss.target == "multiclass":
        y = rng.randint(0, 3, 40)
    elif loss.target in ("binary", "multilabel"):
        y = rng.randint(0, 2, (40, width)).astype(float)
    else:
        y = rng.poisson(2.0, (40, width)).astype(float)
    variable = torch.from_numpy(raw).requires_grad_()
    value = loss.value(variable, torch.from_numpy(y)).sum()
    value = value * width if loss.over_outputs == "mean" else value
    (expected,) = torch.autograd.grad(value, variable)
    given = (raw, y) if xp is np else (torch.from_numpy(raw), torch.from_numpy(y))
    found = derivative_of(loss, xp)(*given)
    np.testing.assert_allclose(np.asarray(found), expected.numpy(), rtol=1e-9, atol=1e-12)
    assert total_loss(loss, *given, None) == pytest.approx(float(value.detach()), rel=1e-12)


def problem(seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((300, 6)) * (rng.random_sample((300, 6)) < 0.5) + np.arange(6)
    return X, rng.randint(0, 3, 300)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("batch_size", [7, np.inf])
def test_torch_on_a_device_does_what_numpy_does(make, batch_size):
    X, y = problem()
    weight = np.random.RandomState(1).random_sample(300)
    found = []
    for device in (None, torch.device("cpu")):
        settings = Settings(batch_size=batch_size, max_iter=5)
        training = Training(
            get_loss("log_loss_multinomial"), 3, settings, intercept=True, device=device
        )
        training.look_at(make(X), weight, l2=0.01, l1=0.01)
        minimise(training, make(X), y, weight, rng=np.random.RandomState(0))
        again = Training(
            get_loss("log_loss_multinomial"), 3, settings, intercept=True, device=device
        )
        again.restore(training.export())
        np.testing.assert_array_equal(again.weights()[0], training.weights()[0])
        found.append((*training.weights(), training.progress.loss_curve))
    for numpys, torchs in zip(*found, strict=True):
        np.testing.assert_allclose(torchs, numpys, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("centred", [True, False])
def test_moments_of_chunks_are_those_of_all_rows(centred):
    X, _ = problem()
    X[:, 2] = 7.0
    X[:150, 3] = 1.0
    weight = np.random.RandomState(1).random_sample(300)
    moments = Moments(6, centred)
    for start in range(0, 300, 100):
        moments.add(X[start : start + 100], weight[start : start + 100])
    share = weight / weight.sum()
    mean = share @ X if centred else np.zeros(6)
    spread = np.sqrt(share @ (X - mean) ** 2)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(moments.spread, spread, rtol=1e-9, atol=1e-12)
    dead = moments.coordinates(0.0, np.float64, centred).dead
    assert dead.tolist() == [False, False, centred, False, False, False]


@pytest.mark.parametrize("loss", [Hinge(), Poisson(), get_loss("huber")], ids=str)
def test_losses_of_regression_and_margins_descend(loss):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((500, 3))
    y = X @ [[0.5], [0.2], [-0.3]] + 1
    y = (y > 1).astype(float) if loss.target == "binary" else np.maximum(y, 0)
    training = Training(loss, 1, Settings(), intercept=True)
    training.look_at(X, None, l2=1e-3)
    outcome = minimise(training, X, y, None, rng=rng)
    curve = training.progress.loss_curve
    assert outcome.n_iter > 1
    assert curve[-1] < 0.6 * curve[0]
