"""Laws that hold for every schedule."""

import math
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer
from torch.optim import lr_scheduler

from mlfund.schedules import (
    SCHEDULES,
    AdaptiveState,
    FunctionOfProgress,
    Schedule,
    StepDecay,
    TimedSchedule,
    get_schedule,
)

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
TIMED = {name: one for name, one in SCHEDULES.items() if isinstance(one, TimedSchedule)}
every_timed_one = pytest.mark.parametrize("schedule", TIMED.values(), ids=TIMED)


def factors(schedule, epochs, steps_per_epoch, **options):
    total = epochs * steps_per_epoch
    return [schedule.factor(s, total, steps_per_epoch, **options) for s in range(total)]


def torch_factors(make, steps):
    """Return what a scheduler of torch sets, stepped once a step from a rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@settings(max_examples=40, deadline=None)
@given(epochs=st.integers(1, 300), steps_per_epoch=st.integers(1, 40), data=st.data())
@every_schedule
def test_factor_is_positive_and_at_most_one(schedule, epochs, steps_per_epoch, data):
    total = epochs * steps_per_epoch
    step = data.draw(st.integers(0, total - 1))
    factor = schedule.factor(step, total, steps_per_epoch)
    assert 0 < factor <= 1 + 1e-12 or _between_waves(schedule, step, total)


def _between_waves(schedule, step, total):
    """Whether coslog4 is at one of its four zeros."""
    zeros = [0, total / 15, 3 * total / 15, 7 * total / 15]
    return schedule.name == "coslog4" and any(math.isclose(step, zero) for zero in zeros)


@every_schedule
def test_factor_is_pure(schedule):
    forward = factors(schedule, 20, 7)
    backward = [schedule.factor(s, 140, 7) for s in reversed(range(140))]
    assert forward == backward[::-1]


@every_schedule
def test_factor_changes_no_oftener_than_declared(schedule):
    by_epoch = np.reshape(factors(schedule, 40, 5), (40, 5))
    if schedule.changes == "never":
        assert (by_epoch == 1).all()
    if schedule.changes == "epoch":
        assert (by_epoch == by_epoch[:, :1]).all()
    if schedule.changes == "step":
        assert (by_epoch != by_epoch[:, :1]).any()


@every_schedule
@pytest.mark.parametrize("finer", [2, 10])
def test_shape_survives_another_batch_size(schedule, finer):
    epochs, coarse = 60, 20
    rough = np.array(factors(schedule, epochs, coarse, rows_per_epoch=400))
    fine = np.array(factors(schedule, epochs, coarse * finer, rows_per_epoch=400))
    # Rises that start from the first step are within one coarse step of each other.
    slope = np.abs(np.diff(rough, prepend=rough[0])).max() if schedule.changes == "step" else 0
    np.testing.assert_allclose(fine[::finer], rough, rtol=0, atol=slope + 1e-12)


ENDS = {
    "constant": 1.0,
    "linear_warmup": 1.0,
    "cosine": 0.0,
    "warmup_cosine": 0.0,
    "one_cycle": 1 / 25 / 1e4,
    "triangular": 0.1,
    "cosine_restarts": math.cos(math.pi / 16) ** 2,
    "coslog4": 0.0,
    "step": 0.1**2,
    "exponential": 0.95**80,
    "invscaling": 81**-0.5,
    "adaptive": 1.0,
    "plateau": 1.0,
}


@every_schedule
def test_run_ends_where_the_formula_says(schedule):
    assert schedule.factor(800, 800, 10) == pytest.approx(ENDS[schedule.name], abs=1e-12)


@pytest.mark.parametrize(
    "name", ["constant", "linear_warmup", "cosine", "warmup_cosine", "one_cycle", "coslog4"]
)
def test_a_run_that_goes_on_stays_where_it_ended(name):
    schedule = SCHEDULES[name]
    assert schedule.factor(5000, 800, 10) == schedule.factor(800, 800, 10)


@pytest.mark.parametrize("name", ["cosine", "warmup_cosine"])
def test_a_wave_ends_at_its_final_factor(name):
    schedule = get_schedule(name, final_factor=0.2)
    assert schedule.factor(100, 100, 10) == pytest.approx(0.2)
    assert min(factors(schedule, 10, 10)[5:]) > 0.2


TORCH = {
    ("cosine", ()): lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=120),
    ("cosine", (("final_factor", 0.3),)): lambda o: lr_scheduler.CosineAnnealingLR(o, 120, 0.3),
    ("linear_warmup", (("warmup_share", 0.25),)): lambda o: lr_scheduler.LinearLR(
        o, start_factor=1 / 30, total_iters=29
    ),
    ("one_cycle", ()): lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=120),
    ("one_cycle", (("rise_share", 0.5), ("div_factor", 10.0))): lambda o: lr_scheduler.OneCycleLR(
        o, max_lr=1.0, total_steps=120, pct_start=0.5, div_factor=10.0
    ),
    ("triangular", (("cycle_epochs", 4),)): lambda o: lr_scheduler.CyclicLR(
        o, base_lr=0.1, max_lr=1.0, step_size_up=20, cycle_momentum=False
    ),
    ("cosine_restarts", (("cycle_epochs", 3), ("cycle_factor", 1))): lambda o: (
        lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=30)
    ),
    ("cosine_restarts", (("cycle_epochs", 2), ("final_factor", 0.1))): lambda o: (
        lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=20, T_mult=2, eta_min=0.1)
    ),
    ("cosine_restarts", (("cycle_epochs", 1), ("cycle_factor", 3))): lambda o: (
        lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=10, T_mult=3)
    ),
    ("step", (("every_epochs", 3), ("gamma", 0.5))): lambda o: lr_scheduler.StepLR(o, 30, 0.5),
    ("warmup_cosine", (("warmup_share", 0.25),)): lambda o: lr_scheduler.LambdaLR(
        o, lambda s: (s + 1) / 30 if s < 30 else 0.5 * (1 + math.cos(math.pi * (s - 30) / 90))
    ),
}


@pytest.mark.parametrize(("name", "options"), TORCH, ids=repr)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_factors_are_those_of_torch(name, options):
    ours = factors(get_schedule(name, **dict(options)), 12, 10)
    np.testing.assert_allclose(
        ours, torch_factors(TORCH[name, options], 120), rtol=1e-9, atol=1e-12
    )


def test_coslog4_is_the_formula_of_realmlp():
    t = np.arange(240) / 240
    expected = 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t)))
    ours = factors(SCHEDULES["coslog4"], 24, 10)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    # Four waves, each twice as long as the one before, from zero to zero.
    assert [ours[step] for step in (0, 16, 48, 112)] == pytest.approx([0] * 4, abs=1e-12)


def test_a_function_of_progress_is_followed():
    schedule = get_schedule(np.sqrt)
    assert schedule == FunctionOfProgress(np.sqrt)
    np.testing.assert_allclose(factors(schedule, 5, 4), np.sqrt(np.arange(20) / 20))
    assert schedule.factor(30, 20, 4) == 1


@pytest.mark.parametrize("found", [-1.0, math.nan, math.inf, None, "0.1"])
def test_a_function_that_gives_no_factor_is_told_so(found):
    schedule = get_schedule(lambda progress: found)
    with pytest.raises(ValueError, match=r"finite number of at least 0; at progress 0\.5 it"):
        schedule.factor(2, 4, 1)


@dataclass(frozen=True)
class Halved(Schedule):
    """One of a user, who knows of the public methods only."""

    name = "halved"
    after: int = 1

    def factor(self, step, total_steps, steps_per_epoch, *, rows_per_epoch=1):
        return 0.5 if step >= self.after else 1.0


def test_a_schedule_of_ones_own_is_its_factor():
    schedule = get_schedule(Halved(), after=2)
    assert factors(schedule, 2, 2) == [1.0, 1.0, 0.5, 0.5]
    assert (schedule.changes, schedule.adaptive) == ("step", False)


def test_a_schedule_without_factor_says_what_is_missing():
    class Nothing(Schedule):
        name = "nothing"

    with pytest.raises(NotImplementedError, match=r"Nothing says no factor; write its `factor`"):
        Nothing().factor(0, 1, 1)


def test_all_but_those_that_watch_the_loss_are_timed():
    assert set(SCHEDULES) - set(TIMED) == {"constant", "adaptive", "plateau"}


@every_timed_one
def test_steps_that_count_as_an_epoch_make_a_function_of_the_step(schedule):
    """Whatever the batch size, the number of rows and the length of the training."""
    counted = replace(schedule, epochs=60, steps_per_epoch=20)
    expected = [schedule.factor(s, 1200, 20, rows_per_epoch=400) for s in range(1500)]
    # 20 rows a step, as in the run above.
    for steps_per_epoch, total in ((7, 350), (50, 5000)):
        rows = 20 * steps_per_epoch
        found = [
            counted.factor(s, total, steps_per_epoch, rows_per_epoch=rows) for s in range(1500)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert counted.changes == "step"


@every_timed_one
def test_a_length_in_epochs_is_the_run_for_the_schedule(schedule):
    short = replace(schedule, epochs=30)
    assert short.changes == schedule.changes
    found = [short.factor(s, 80 * 7, 7) for s in range(80 * 7)]
    expected = [schedule.factor(s, 30 * 7, 7) for s in range(80 * 7)]
    assert found == expected


def test_repr_shows_epochs_and_steps_where_they_are_set():
    assert repr(StepDecay(10)) == "StepDecay(every_epochs=10, gamma=0.1)"
    timed = StepDecay(10, epochs=2.5, steps_per_epoch=5000)
    assert repr(timed) == "StepDecay(every_epochs=10, gamma=0.1, epochs=2.5, steps_per_epoch=5000)"
    assert eval(repr(timed)) == timed


def test_exponential_is_that_of_torch_by_epoch():
    ours = factors(SCHEDULES["exponential"], 12, 10)[::10]
    theirs = torch_factors(lambda o: lr_scheduler.ExponentialLR(o, 0.95), 12)
    np.testing.assert_allclose(ours, theirs)


@pytest.mark.parametrize("power_t", [0.25, 0.5, 1.0])
def test_invscaling_is_that_of_sklearn(power_t):
    optimizer = SGDOptimizer([np.zeros(1)], 1.0, lr_schedule="invscaling", power_t=power_t)
    theirs = []
    for epoch in range(8):
        theirs.append(optimizer.learning_rate)
        optimizer.iteration_ends((epoch + 1) * 37)
    schedule = get_schedule("invscaling", power_t=power_t)
    np.testing.assert_allclose(factors(schedule, 8, 4, rows_per_epoch=37)[::4], theirs)


class _SklearnRule(MLPRegressor):
    """scikit-learn's own bookkeeping of stale epochs, without its training."""

    def follow(self, losses):
        self.best_loss_, self._no_improvement_count, self.loss_curve_ = np.inf, 0, []
        optimizer = SGDOptimizer([np.zeros(1)], self.learning_rate_init, lr_schedule="adaptive")
        rates, stopped = [], False
        for loss in losses:
            self.loss_curve_.append(loss)
            self._update_no_improvement_count(False, None, None, None)
            if self._no_improvement_count > self.n_iter_no_change:
                stopped = optimizer.trigger_stopping("", verbose=False)
                self._no_improvement_count = 0
            rates.append(optimizer.learning_rate)
            if stopped:
                break
        return rates, stopped


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.floats(0, 1).map(lambda x: round(x, 2)), min_size=1, max_size=60),
    patience=st.integers(0, 4),
    tol=st.sampled_from([0.0, 1e-4, 0.05]),
    rate=st.sampled_from([0.1, 1e-4]),
)
@example(losses=[1.0, 0.97, 0.94, 0.91], patience=2, tol=0.05, rate=0.1)
def test_adaptive_is_that_of_sklearn(losses, patience, tol, rate):
    rule = _SklearnRule(n_iter_no_change=patience, tol=tol, learning_rate_init=rate)
    theirs, stopped = rule.follow(losses)
    schedule = get_schedule("adaptive", patience=patience, tol=tol)
    state, ours = schedule.start(), []
    for loss in losses[: len(theirs)]:
        assert not state.exhausted
        state = schedule.advance(state, loss, rate)
        ours.append(state.factor * rate)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert state.exhausted == stopped


@settings(max_examples=40, deadline=None)
@given(losses=st.permutations(range(40)), patience=st.integers(0, 4))
def test_plateau_is_that_of_torch(losses, patience):
    """But for ties, which torch counts as stale and scikit-learn does not."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    options = {"patience": patience, "threshold": 0.0, "threshold_mode": "abs", "eps": 0.0}
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, **options)
    schedule = get_schedule("plateau", patience=patience, tol=0.0)
    state = schedule.start()
    for loss in losses:
        theirs.step(loss)
        state = schedule.advance(state, float(loss), 1.0)
        assert state.factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def test_a_nan_loss_is_no_improvement_and_does_not_become_the_best():
    schedule = get_schedule("adaptive", patience=1)
    state = schedule.advance(schedule.start(), 0.5, 0.1)
    state = schedule.advance(state, math.nan, 0.1)
    assert (state.best, state.stale_epochs) == (0.5, 1)


def test_plateau_never_gives_up():
    schedule = get_schedule("plateau", patience=0)
    state = schedule.start()
    for _ in range(30):
        state = schedule.advance(state, 1.0, 0.1)
    assert not state.exhausted
    assert state.factor == pytest.approx(1e-29)


def test_states_are_values():
    schedule = SCHEDULES["adaptive"]
    before = schedule.start()
    schedule.advance(before, 1.0, 0.1)
    assert before == AdaptiveState()
    assert {name for name, one in SCHEDULES.items() if one.adaptive} == {"adaptive", "plateau"}


@pytest.mark.parametrize("total", [1, 2, 3])
@every_schedule
def test_runs_of_very_few_steps_work(schedule, total):
    least = 0 if schedule.name == "coslog4" else 1e-12
    assert all(least <= schedule.factor(s, total, 1) <= 1 for s in range(total))


def test_one_cycle_whose_rise_is_shorter_than_a_step_only_falls():
    rates = factors(get_schedule("one_cycle", rise_share=0.1), 5, 1)
    assert rates[0] == 1
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)


def test_a_wave_over_a_very_long_run_stays_positive():
    assert SCHEDULES["cosine"].factor(10**9 - 1, 10**9, 1) > 0


@every_schedule
def test_entries_compare_hash_and_survive_pickling(schedule):
    again = pickle.loads(pickle.dumps(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert get_schedule(schedule.name) == schedule


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosin", {}, "Did you mean 'cosine'"),
        ("cosine", {"final_factor": 1.5}, "final_factor must lie between 0 and 1"),
        ("step", {"gamma": 1.0}, "gamma must be a number strictly between 0 and 1"),
        ("step", {"every_epochs": 0}, "every_epochs must be an integer greater than 0"),
        ("adaptive", {"divisor": 1.0}, "divisor must be greater than 1"),
        ("invscaling", {"power": 1.0}, "Did you mean 'power_t'"),
        ("constant", {"gamma": 1.0}, "takes no options"),
        ("constant", {"epochs": 1.0}, "takes no options"),
        (StepDecay, {}, "schedule=StepDecay is a class; give an instance"),
        (None, {}, "schedule=None is not known"),
        ("cosine", {"epochs": 0}, "epochs must be a finite number greater than 0"),
        ("step", {"steps_per_epoch": 1.5}, "steps_per_epoch must be an integer greater than 0"),
        ("cosine_restarts", {"cycle_factor": 0.5}, "cycle_factor must be at least 1"),
        ("cosine_restarts", {"cycle_epochs": 0}, "cycle_epochs must be an integer greater"),
    ],
)
def test_get_schedule_says_what_is_wrong(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_schedule(name, **options)
