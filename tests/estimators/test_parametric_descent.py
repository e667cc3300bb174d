"""First-order steps: every optimizer and schedule, batches, divergence, warm start, callbacks."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from mlfund import ParametricRegressor
from mlfund.optimizers import OPTIMIZERS
from mlfund.schedules import SCHEDULES

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (60, 1))
Y = 2 * X[:, 0] ** 2 + 1.5 * X[:, 0] + 1 + 0.3 * RNG.standard_normal(60)
EXACT = np.polyfit(X[:, 0], Y, 2)
PLAIN = {"scale_parameters": False, "polish": False}


def quadratic(x, a=1.0, b=1.0, c=0.0):
    return a * x**2 + b * x + c


def values(model):
    return np.array(list(model.parameters_.values()))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [None, 40])
def test_every_optimizer_lowers_the_loss_and_ends_exactly(optimizer, batch_size):
    alone, both = (
        ParametricRegressor(
            quadratic,
            optimizer=optimizer,
            batch_size=batch_size,
            polish=polish,
            max_iter=30,
            random_state=0,
        )
        for polish in (False, None)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # thirty epochs are few
        alone.fit(X, Y)
    both.fit(X, Y)

    assert alone.solver_ == optimizer
    assert alone.loss_ < 0.2 * alone.loss_curve_[0]
    assert both.solver_ == f"{optimizer} + levenberg-marquardt"
    np.testing.assert_allclose(values(both), EXACT, rtol=1e-7)
    assert both.loss_curve_[:31] == alone.loss_curve_[:31]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_is_followed(schedule):
    fits = [
        ParametricRegressor(
            quadratic, optimizer="sgd", schedule=name, polish=False, max_iter=40, tol=0
        )
        for name in (schedule, "constant")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        curves = [model.fit(X, Y).loss_curve_ for model in fits]

    assert curves[0][-1] < curves[0][0]
    # those that watch the loss, and steps every 30 epochs, begin as the constant one
    same = schedule in ("constant", "adaptive", "plateau", "step")
    assert (curves[0][:20] == curves[1][:20]) == same


@pytest.mark.parametrize("loss", ["mse", "rmse"])
def test_plain_steps_are_those_of_the_textbook(loss):
    with pytest.warns(ConvergenceWarning, match="max_iter=5"):
        model = ParametricRegressor(
            quadratic, optimizer="sgd", learning_rate_init=0.01, max_iter=5, loss=loss, **PLAIN
        ).fit(X, Y)
    design = np.column_stack([X[:, 0] ** 2, X[:, 0], np.ones(60)])
    theta = np.array([1.0, 1.0, 0.0])
    for _ in range(5):
        residual = design @ theta - Y
        gradient = 2 * design.T @ residual / 60
        if loss == "rmse":
            gradient /= 2 * np.sqrt((residual**2).mean())
        theta -= 0.01 * gradient

    np.testing.assert_allclose(values(model), theta, rtol=1e-12)


def test_gradient_descent_alone_recovers_the_quadratic():
    model = ParametricRegressor(
        quadratic, optimizer="sgd", learning_rate_init=0.05, tol=1e-12, max_iter=3000, **PLAIN
    ).fit(X, Y)

    assert np.abs(values(model) - EXACT).max() < 1e-3
    assert (np.diff(model.loss_curve_) <= 1e-12).all()
    assert model.message_ == "sgd stopped improving"


def test_divergence_is_told_and_the_best_point_kept():
    model = ParametricRegressor(quadratic, optimizer="sgd", learning_rate_init=5.0, **PLAIN)

    with pytest.warns(ConvergenceWarning, match="diverged in epoch .*lower learning_rate_init=5"):
        model.fit(X, Y)

    assert model.loss_ == min(model.loss_curve_)
    assert np.isfinite(values(model)).all()


def test_a_rate_that_nobody_gave_is_lowered_until_it_descends():
    def steep(x, a=1.0, b=1.0):
        return a * torch.exp(torch.exp(b * x))

    y = 0.5 * np.exp(np.exp(0.3 * X[:, 0]))
    model = ParametricRegressor(steep, optimizer="sgd", max_iter=200).fit(X, y)

    np.testing.assert_allclose(values(model), [0.5, 0.3], rtol=1e-6)
    assert "diverged" not in model.message_


def test_bounds_hold_for_every_step():
    model = ParametricRegressor(
        quadratic, optimizer="adam", bounds={"a": (None, 1.2)}, polish=False, max_iter=300
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, Y)

    assert model.parameters_["a"] == 1.2
    assert model.parameter_table_["at_bound"]["a"]


def test_batches_repeat_with_the_seed_and_leave_global_state_alone():
    def curve(seed):
        model = ParametricRegressor(
            quadratic, optimizer="sgd", batch_size=7, max_iter=5, polish=False, random_state=seed
        )
        with pytest.warns(ConvergenceWarning):
            return model.fit(X, Y).loss_curve_

    before = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()
    first = curve(0)
    assert first == curve(0)
    assert first != curve(1)
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_num_threads() == before[2]


def test_warm_start_goes_on():
    model = ParametricRegressor(quadratic, warm_start=True).fit(X, Y)
    first = model.n_iter_
    again = model.fit(X, Y)

    assert again.n_iter_ < first
    np.testing.assert_allclose(values(again), EXACT, rtol=1e-7)
    model.set_params(function=lambda x, slope=1.0: slope * x)
    with pytest.raises(ValueError, match="set warm_start=False"):
        model.fit(X, Y)


class Recorder:
    """A callback that notes the parameters of each iteration and may stop the fit."""

    def __init__(self, stop_after=None):
        self.seen, self.stop_after = [], stop_after

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **data):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **data):
        if context.task_name == "iteration":
            self.seen.append(context.task_id)
        return self.stop_after is not None and len(self.seen) >= self.stop_after


def test_callbacks_see_iterations_and_can_stop():
    recorder = Recorder()
    model = ParametricRegressor(quadratic, optimizer="adam", max_iter=20)
    model.set_callbacks(recorder).fit(X, Y)
    assert len(recorder.seen) == model.n_iter_

    stopping = Recorder(stop_after=4)
    model = ParametricRegressor(quadratic, optimizer="adam", max_iter=20)
    model.set_callbacks(stopping).fit(X, Y)
    assert model.n_iter_ == 4
    assert model.message_ == "a callback stopped it"


@pytest.mark.gpu
def test_a_gpu_gives_the_same_fit():
    model = ParametricRegressor(quadratic, device="cuda").fit(X, Y)
    assert model.device_.startswith("cuda")
    np.testing.assert_allclose(values(model), EXACT, rtol=1e-7)
