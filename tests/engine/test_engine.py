import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)

from mlfund._engine.callbacks import StopOnPlateau, in_order
from mlfund._engine.data import DeviceRows
from mlfund._engine.divergence import DivergenceGuard
from mlfund._engine.net import StopTraining
from mlfund._engine.parameters import export_state
from mlfund.nets.mlp import MLP
from mlfund.penalties import get_penalty
from tests.engine.problem import RNG, X, Y, bare_loop, data, make_engine, weights_of


class Recorder(Callback):
    def __init__(self):
        self.seen = []

    def on_train_begin(self, net, **kwargs):
        self.seen.append("begin")

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(net.history[-1]["train_loss"])

    def on_train_end(self, net, **kwargs):
        self.seen.append("end")


class BatchRecorder(Callback):
    def __init__(self):
        self.begun, self.ended, self.gradients, self.losses = 0, 0, 0, []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.begun += 1

    def on_batch_end(self, net, batch=None, training=None, loss=None, y_pred=None, **kwargs):
        self.ended += 1
        self.losses.append(loss)
        assert len(y_pred) == len(batch[0])

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.gradients += sum(p.grad.abs().sum() > 0 for _, p in named_parameters) > 0


class StopAt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise StopTraining("enough")


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("hooked", [False, True])
def test_equals_a_bare_torch_loop(optimizer, hooked):
    losses, weights = bare_loop(optimizer, l2=0.5)
    callbacks = [BatchRecorder()] if hooked else []
    engine = make_engine(
        optimizer=optimizer, penalty=get_penalty("l2", alpha=0.5), callbacks=callbacks
    )
    engine.partial_fit(data())
    np.testing.assert_allclose(engine.history[:, "train_loss"], losses, rtol=1e-10)
    for ours, theirs in zip(weights_of(engine), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_a_module_without_backprop_trains_through_autograd():
    torch_net = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    ).double()
    start = [parameter.detach().numpy().copy() for parameter in torch_net.parameters()]
    twin = MLP([start[0].T.copy(), start[2].T.copy()], [start[1], start[3]])
    curves = [
        make_engine(net).partial_fit(data()).history[:, "train_loss"] for net in (torch_net, twin)
    ]
    np.testing.assert_allclose(*curves, rtol=1e-10)


def test_frozen_parameters_stay():
    engine = make_engine(optimizer="adamw")
    engine.module.weights[0].requires_grad_(False)
    before = engine.module.coefs()
    engine.module.register_forward_hook(lambda *_: None)  # autograd, where freezing means something
    engine.partial_fit(data())
    np.testing.assert_array_equal(engine.module_.coefs()[0], before[0])
    assert not np.array_equal(engine.module_.coefs()[1], before[1])


def test_weights_count_as_repetitions():
    weight = np.tile([1.0, 2.0, 3.0], 20)
    repeated = np.repeat(np.arange(60), weight.astype(int))
    weighted = make_engine(batch_size=60).partial_fit(DeviceRows(X, Y, weight))
    engine = make_engine(batch_size=120)
    engine.set_params(iterator_train__draw_order=None)
    engine.partial_fit(DeviceRows(X[repeated], Y[repeated]))
    np.testing.assert_allclose(
        weighted.history[:, "train_loss"], engine.history[:, "train_loss"], rtol=1e-10
    )


def test_per_batch_hooks_run_and_losses_end_as_floats():
    recorder = BatchRecorder()
    engine = make_engine(callbacks=[recorder]).partial_fit(data())
    assert recorder.begun == recorder.ended == recorder.gradients == 3 * 4
    assert all(isinstance(loss, torch.Tensor) for loss in recorder.losses)
    row = engine.history[-1]
    assert [type(batch["train_loss"]) for batch in row["batches"]] == [float] * 4
    expected = np.average(
        [b["train_loss"] for b in row["batches"]],
        weights=[b["train_batch_size"] for b in row["batches"]],
    )
    assert row["train_loss"] == pytest.approx(expected)


def test_module_hooks_are_honoured():
    engine = make_engine()
    calls = []
    engine.module.register_forward_hook(lambda *_: calls.append(1))
    engine.partial_fit(data())
    assert len(calls) == 3 * 4


def test_without_per_batch_hooks_the_history_has_no_batches():
    engine = make_engine(callbacks=[Recorder()]).partial_fit(data())
    assert engine.history[-1]["batches"] == []
    assert engine.history[-1]["dur"] > 0


@pytest.mark.parametrize("position", [0, 1])
def test_no_callback_misses_the_last_epoch_end(position):
    recorder = Recorder()
    callbacks = [recorder]
    callbacks.insert(position, StopAt(2))
    engine = make_engine(epochs=10, callbacks=callbacks).partial_fit(data())
    assert engine.stop_reason_ == "enough"
    assert len(engine.history) == 2
    assert recorder.seen == ["begin", *engine.history[:, "train_loss"], "end"]


def test_skorchs_early_stopping_stops_and_nobody_loses_an_epoch():
    recorder = Recorder()
    stopper = EarlyStopping(monitor="train_loss", patience=2, threshold=100.0, sink=lambda *_: None)
    engine = make_engine(epochs=50, callbacks=[stopper, recorder]).partial_fit(data())
    assert len(engine.history) < 50
    assert len(recorder.seen) == len(engine.history) + 2
    assert "EarlyStopping" in engine.stop_reason_


def test_ctrl_c_is_not_swallowed():
    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make_engine(callbacks=[Interrupt()]).partial_fit(data())


def test_in_order_puts_stoppers_last_and_refuses_strangers():
    stopper, recorder = EarlyStopping(), Recorder()
    assert in_order([stopper, ("mine", recorder)]) == [("mine", recorder), stopper]
    with pytest.raises(ValueError, match=r"must be skorch callbacks.*got 3"):
        in_order([3])


def test_skorch_callbacks_work_unchanged():
    valid = DeviceRows(X[:20], Y[:20])
    scoring = EpochScoring(
        lambda net, X, y: 0.5, name="half", on_train=False, lower_is_better=False
    )
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.5)
    clip = GradientNormClipping(1e-3)
    engine = make_engine(
        optimizer="sgd", callbacks=[scoring, scheduler, clip], valid=valid, epochs=3
    )
    start = engine.module.coefs()[0].copy()
    engine.partial_fit(data())
    assert engine.history[:, "half"] == [0.5] * 3
    assert engine.optimizer_.param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**3)
    assert len(engine.history[:, "valid_loss"]) == 3
    # 12 steps of at most 0.01 x the clipped norm.
    assert np.linalg.norm(engine.module_.coefs()[0] - start) < 12 * 0.01 * 1.01e-3


def test_validation_loss_and_score_are_recorded_in_evaluation_mode():
    valid = DeviceRows(X[:20], Y[:20])
    module = MLP(
        [RNG.normal(size=(4, 8)), RNG.normal(size=(8, 3))], [np.zeros(8), np.zeros(3)], dropout=0.5
    )
    engine = make_engine(module, valid=valid, score=lambda raw, rows: float(raw.sum()))
    engine.partial_fit(data())
    module.eval()
    with torch.no_grad():
        raw = module(valid.X)
    row = engine.history[-1]
    assert row["valid_score"] == pytest.approx(raw.sum().item())
    assert row["valid_loss"] == pytest.approx(F.cross_entropy(raw, valid.y).item())


def test_the_guard_goes_back_to_the_last_good_epoch():
    class Poison(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                self.before = net.parameters.snapshot()
                net.parameters.flat.detach()[0] = torch.nan

    guard, poison = DivergenceGuard(), Poison()
    engine = make_engine(epochs=9, callbacks=[poison, guard]).partial_fit(data())
    assert guard.bad_epoch_ == 3
    assert len(engine.history) == 3
    assert torch.equal(engine.parameters.snapshot(), poison.before)


def test_the_guard_forgives_an_explosion_that_comes_down_and_ends_with_none():
    for epochs, kept in [(4, None), (3, 1)]:

        class Explode(Callback):
            def on_epoch_begin(self, net, **kwargs):
                epoch = len(net.history)
                if epoch == 2:
                    self.before = net.parameters.snapshot()
                    net.parameters.flat.detach().mul_(1e4)
                if epoch == 4:
                    net.parameters.restore(self.before)

        guard, explode = DivergenceGuard(), Explode()
        engine = make_engine(epochs=epochs, callbacks=[explode, guard]).partial_fit(data())
        assert len(engine.history) == epochs
        if kept is None:
            assert guard.bad_epoch_ is None
            assert guard.n_good_ == 4
        else:
            assert (guard.bad_epoch_, guard.n_good_) == (2, 1)
            assert torch.equal(engine.parameters.snapshot(), explode.before)


def test_plateau_keeps_the_best_weights():
    scores = iter([0.1, 0.5, 0.2, 0.2, 0.2, 0.2])
    snapshots = []

    class Keep(Callback):
        def on_epoch_end(self, net, **kwargs):
            snapshots.append(net.parameters.snapshot())

    plateau = StopOnPlateau(tol=0.0, patience=2, on_score=True, best=-np.inf)
    engine = make_engine(
        epochs=20,
        valid=DeviceRows(X[:5], Y[:5]),
        score=lambda raw, rows: next(scores),
        callbacks=[Keep(), plateau],
    ).partial_fit(data())
    assert len(engine.history) == 5
    assert plateau.best == 0.5
    assert torch.equal(engine.parameters.snapshot(), snapshots[1])


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "rmsprop", "adagrad"])
def test_optimizer_state_survives_as_numpy(optimizer):
    whole = make_engine(optimizer=optimizer, epochs=4).partial_fit(data())
    first = make_engine(optimizer=optimizer, epochs=2)
    first.partial_fit(data())
    state = export_state(first.optimizer_)
    assert state
    assert all(isinstance(value, np.ndarray) for value in state.values())
    second = make_engine(first.module_, optimizer=optimizer, epochs=2, state=state)
    second.set_params(iterator_train__draw_order=first.iterator_train__draw_order)
    second.partial_fit(data())
    for a, b in zip(whole.module_.coefs(), second.module_.coefs(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.gpu
def test_cuda_gives_the_cpus_curve():
    cpu = make_engine().partial_fit(data())
    gpu = make_engine(device="cuda", module=None)
    gpu.module.to("cuda")
    gpu.partial_fit(DeviceRows(X, Y, device="cuda"))
    np.testing.assert_allclose(
        gpu.history[:, "train_loss"], cpu.history[:, "train_loss"], rtol=1e-8
    )
