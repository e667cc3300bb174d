import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from mlfund._engine.averaging import RunningStatistics
from mlfund._engine.callbacks import StopOnPlateau
from mlfund._engine.data import DeviceRows
from mlfund.averaging import AVERAGINGS, EMA, SWA, get_averaging
from mlfund.nets.norm_layers import BatchNorm
from tests.engine.problem import X, Y, data, make_engine


class Follow(Callback):
    """Keeps the weights after each step, or after each epoch."""

    def __init__(self, *, steps):
        self.steps, self.seen = steps, []

    def on_train_begin(self, net, **kwargs):
        self.seen.append(net.parameters.flat.detach().clone())

    def on_batch_end(self, net, training=None, **kwargs):
        if self.steps and training:
            self.seen.append(net.parameters.flat.detach().clone())

    def on_epoch_end(self, net, **kwargs):
        if not self.steps:
            self.seen.append(net.parameters.flat.detach().clone())


def batch_norm_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    ).double()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_ema_is_the_recursion_with_a_warm_up(decay):
    follow = Follow(steps=True)
    engine = make_engine(averaging=EMA(decay), callbacks=[follow]).partial_fit(data())
    average, *rest = follow.seen
    for t, weights in enumerate(rest):
        kept = min(decay, (1 + t) / (10 + t))
        average = kept * average + (1 - kept) * weights
    torch.testing.assert_close(engine.parameters.flat.detach(), average, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("start", "n_last"), [(0.0, 8), (0.75, 2), (0.99, 1)])
def test_swa_is_the_mean_of_the_last_epochs(start, n_last):
    follow = Follow(steps=False)
    engine = make_engine(averaging=SWA(start), epochs=8, callbacks=[follow]).partial_fit(data())
    expected = torch.stack(follow.seen[-n_last:]).mean(0)
    torch.testing.assert_close(engine.parameters.flat.detach(), expected, rtol=1e-10, atol=1e-12)


def test_swa_is_torchs_averaged_model():
    theirs = []

    class Torchs(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3:
                theirs.append(AveragedModel(net.module_))
            if len(net.history) >= 3:
                theirs[0].update_parameters(net.module_)

    engine = make_engine(averaging=SWA(0.5), epochs=4, callbacks=[Torchs()]).partial_fit(data())
    for ours, reference in zip(engine.module_.parameters(), theirs[0].parameters(), strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("name", AVERAGINGS)
def test_steps_are_those_without_an_average(name):
    plain = make_engine(epochs=8).partial_fit(data())
    averaged = make_engine(epochs=8, averaging=get_averaging(name)).partial_fit(data())
    assert averaged.history[:, "train_loss"] == plain.history[:, "train_loss"]


def test_a_training_that_ends_before_the_average_begins_keeps_its_last_weights():
    plateau = StopOnPlateau(tol=1e9, patience=0, on_score=False, best=-np.inf)
    early = make_engine(epochs=100, averaging=SWA(), callbacks=[plateau]).partial_fit(data())
    assert 0 < len(early.history) <= 2
    one = make_engine(epochs=len(early.history)).partial_fit(data())
    assert torch.equal(early.parameters.snapshot(), one.parameters.snapshot())


@pytest.mark.parametrize("kind", [EMA(0.9), SWA(0.0)])
def test_the_average_is_what_is_scored_and_kept(kind):
    raws = []

    def score(raw, rows):
        raws.append(raw)
        return float(len(raws) == 2)

    plateau = StopOnPlateau(tol=0.0, patience=9, on_score=True, best=-np.inf)
    module = batch_norm_net()
    engine = make_engine(
        module,
        epochs=5,
        averaging=kind,
        valid=DeviceRows(X[:20], Y[:20]),
        score=score,
        callbacks=[plateau],
    ).partial_fit(data())
    assert len(engine.history) == 5
    # The second epoch scored best: its average, and its statistics, are what is left.
    with torch.no_grad():
        again = module.eval()(torch.from_numpy(X[:20]))
    torch.testing.assert_close(again, raws[1], rtol=1e-10, atol=1e-12)


def test_the_average_lies_apart_from_the_weights_that_take_the_steps():
    raws = {}
    for name, kind in {"plain": None, "averaged": SWA(0.0)}.items():
        seen = raws[name] = []
        make_engine(
            averaging=kind,
            epochs=4,
            valid=DeviceRows(X[:20], Y[:20]),
            score=lambda raw, rows, seen=seen: seen.append(raw) or 0.0,
        ).partial_fit(data())
    torch.testing.assert_close(raws["plain"][0], raws["averaged"][0])
    assert not torch.allclose(raws["plain"][3], raws["averaged"][3])


def test_statistics_of_batch_normalisation_are_torchs():
    module, twin = batch_norm_net(), batch_norm_net()
    statistics = RunningStatistics(module, data(), 16)
    statistics.estimate()
    twin[3].p = 0.0  # torch's function leaves dropout on
    update_bn([batch[0] for batch in statistics.batches], twin)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(module[1], name), getattr(twin[1], name))
    assert module[1].momentum == 0.1
    assert all(part.training for part in module.modules())


def test_statistics_of_our_own_layer_are_torchs():
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 8).double(), BatchNorm(8, momentum=0.1, eps=1e-5).double())
    RunningStatistics(ours, data(), 20).estimate()
    theirs = nn.BatchNorm1d(8).double()
    statistics = RunningStatistics(nn.Sequential(ours[0], theirs), data(), 20)
    statistics.estimate()
    torch.testing.assert_close(ours[1].running_mean, theirs.running_mean)
    # torch keeps unbiased variances.
    torch.testing.assert_close(ours[1].running_var, theirs.running_var * 19 / 20)
    assert ours[1].momentum == 0.1


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="decay must be at least 0 and less than 1"):
        EMA(1.0)
    with pytest.raises(ValueError, match="start must be at least 0 and less than 1"):
        SWA(1.0)
    with pytest.raises(ValueError, match="averaging"):
        get_averaging("polyak")
