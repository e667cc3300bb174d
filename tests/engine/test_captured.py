"""The captured step, run as it is on the CPU, and as a graph where there is a device."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.captured import WARM_UP, Program
from mlfund._engine.data import DeviceRows
from mlfund._engine.rules import adam_epsilon, clip_norm, decoupled_decay, follow_schedule, max_norm
from mlfund.averaging import EMA, SWA
from mlfund.penalties import get_penalty
from mlfund.schedules import get_schedule
from tests.engine.problem import RNG, X, Y, data, make_engine, make_mlp, weights_of

WEIGHT = RNG.uniform(0.5, 2.0, size=60)


def noise(batch, generator):
    X = batch[0]
    moved = X + torch.randn(X.shape, generator=generator, dtype=X.dtype, device=X.device)
    return type(batch).of(moved, batch[1], batch.weight, batch.total)


def schedule():
    return follow_schedule(get_schedule("cosine"), 0.05, 21, 60, 7)


CASES = {
    "plain": {},
    "sgd": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "nesterov"},
    "weights": {"weight": WEIGHT},
    "penalty": {"penalty": ("elasticnet", 0.3), "weight": WEIGHT},
    "schedule": {"rules": [schedule()]},
    "rules": {
        "rules": [clip_norm(0.3), decoupled_decay(0.1)],
        "after_step": [max_norm(1.0, unit_axis=1)],
    },
    "ema": {"averaging": EMA(0.9)},
    "swa": {"averaging": SWA(0.5)},
    "transforms": {"transforms": [noise]},
    "one batch": {"batch_size": 60},
    "no smaller batch": {"batch_size": 10},
    "a row left over": {"batch_size": 59},
}


def trained(capture, device="cpu", weight=None, penalty=None, transforms=(), **options):
    if penalty is not None:
        name, alpha = penalty
        options["penalty"] = get_penalty(name, alpha=alpha)
    if transforms:
        generator = torch.Generator(device).manual_seed(0)
        options |= {"transforms": transforms, "generator": generator}
    engine = make_engine(
        make_mlp().to(device), capture=capture, device=device, **{"batch_size": 8, **options}
    )
    return engine.partial_fit(DeviceRows(X, Y, weight, device=device))


@pytest.mark.parametrize("case", CASES)
def test_the_program_takes_the_ordinary_steps(case):
    plain, captured = (trained(capture, **CASES[case]) for capture in (False, True))
    assert plain._captured is None
    assert captured._captured is not None
    assert captured.n_steps_ == plain.n_steps_
    for name in ("train_loss", "gradient_norm", "update_norm"):
        np.testing.assert_allclose(
            captured.history[:, name], plain.history[:, name], rtol=1e-9, err_msg=name
        )
    for ours, theirs in zip(weights_of(captured), weights_of(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def test_a_rate_that_a_callback_sets_reaches_the_program():
    class Halve(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.set_lr(float(net.optimizer_.param_groups[0]["lr"]) / 2)

    plain, captured = (trained(capture, callbacks=[Halve()]) for capture in (False, True))
    for ours, theirs in zip(weights_of(captured), weights_of(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def test_scikit_learns_epsilon_is_torchs_within_a_program():
    engine = trained(True, rules=[adam_epsilon(1e-3, 0.999)], batch_size=20)
    assert engine.optimizer_.param_groups[0]["eps"] == 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"accumulation_steps": 2},
        {"track_norms": True},
        {"order": None},
        {"optimizer": "adagrad"},
    ],
    ids=str,
)
def test_what_cannot_be_captured_is_not(options):
    assert trained(True, **options)._captured is None


def test_a_module_of_others_is_not_captured():
    module = torch.nn.Linear(4, 3).double()
    engine = make_engine(module, capture=True).partial_fit(data())
    assert engine._captured is None


def test_a_program_on_the_cpu_is_its_function():
    calls = []
    program = Program(lambda: calls.append(1), torch.device("cpu"))
    for _ in range(3):
        program()
    assert len(calls) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("case", [name for name in CASES if name != "transforms"])
def test_a_graph_takes_the_ordinary_steps(case):
    options = {"batch_size": 4, **CASES[case]}
    plain, captured = (trained(capture, "cuda", **options) for capture in (False, True))
    assert captured._captured is not None
    np.testing.assert_allclose(
        captured.history[:, "train_loss"], plain.history[:, "train_loss"], rtol=1e-7
    )


@pytest.mark.gpu
def test_a_graph_is_replayed_after_the_warm_up():
    counter = torch.zeros(1, device="cuda")
    program = Program(lambda: counter.add_(1), counter.device)
    for _ in range(WARM_UP + 5):
        program()
    assert counter.item() == WARM_UP + 5


@pytest.mark.gpu
def test_dropout_draws_anew_in_each_replay():
    module = make_mlp(dropout=0.5, generator=torch.Generator("cuda").manual_seed(0)).to("cuda")
    engine = make_engine(module, device="cuda", batch_size=4, epochs=2, order=None)
    engine.set_params(iterator_train__draw_order=ShuffledOrder(60, np.random.RandomState(0)))
    engine.partial_fit(DeviceRows(X, Y, device="cuda"))
    losses = engine._captured.losses
    assert len(losses.unique()) > len(losses) // 2
