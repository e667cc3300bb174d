"""One logistic regression under every optimizer and every schedule, in a bare torch loop.

The entries of mlfund's vocabulary need no estimator: a loss, a penalty, an initializer,
an optimizer and a schedule are enough to write a training loop of one's own. The table
shows how far above the optimum each pair ends after the same number of epochs, on this
problem and at the rates below, picked by hand. It shows how the pieces fit, not which
optimizer is best: that takes a rate tuned for each pair, and many problems.

Run with: python examples/03_vocabulary_tour.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

from mlfund.initializers import get_initializer
from mlfund.losses import get_loss
from mlfund.optimizers import OPTIMIZERS, set_learning_rate
from mlfund.penalties import get_penalty
from mlfund.schedules import SCHEDULES, get_schedule

EPOCHS, BATCH = 8, 64
LOSS = get_loss("log_loss_binary")
PENALTY = get_penalty("l2", alpha=0.1)
# Picked by hand, one an optimizer.
LEARNING_RATE = {"sgd": 1.0, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.3, "muon": 0.3}
OTHERS_LEARNING_RATE = 0.1
# adamw is adam with a weight decay of its own, which this objective does not have.
COMPARED = [name for name in OPTIMIZERS if name != "adamw"]
# The defaults are meant for runs of a hundred epochs.
SHORT_RUN = {
    "invscaling": {"power_t": 0.25},
    "step": {"every_epochs": 3},
    "exponential": {"gamma": 0.6},
    "triangular": {"cycle_epochs": 4},
    "adaptive": {"patience": 1, "tol": 0.0},
    "plateau": {"patience": 1, "tol": 0.0},
}


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 569 standardised tumours (n, 30) and whether each is benign (n, 1)."""
    X, y = load_breast_cancer(return_X_y=True)
    return torch.tensor(scale(X)), torch.tensor(y, dtype=torch.float64)[:, None]


def objective(layer: torch.nn.Linear, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the mean loss plus the penalty of the weights."""
    return LOSS.mean(layer(X), y) + PENALTY.value(layer.weight)


def fresh_layer(n_features: int) -> torch.nn.Linear:
    """Return the linear model, all zeros: the problem is convex, any start will do."""
    layer = torch.nn.Linear(n_features, 1, dtype=torch.float64)
    get_initializer("zeros").init_(layer.weight, layer.bias)
    return layer


def optimum(X: torch.Tensor, y: torch.Tensor) -> float:
    """Return the smallest objective there is, by L-BFGS on all rows."""
    layer = fresh_layer(X.shape[1])
    solver = torch.optim.LBFGS(
        layer.parameters(), max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        solver.zero_grad()
        value = objective(layer, X, y)
        value.backward()
        return value

    solver.step(closure)
    return objective(layer, X, y).item()


def train(optimizer_name: str, schedule_name: str, X: torch.Tensor, y: torch.Tensor) -> float:
    """Return the objective after a run of mini-batches."""
    layer = fresh_layer(X.shape[1])
    base_rate = LEARNING_RATE.get(optimizer_name, OTHERS_LEARNING_RATE)
    optimizer = OPTIMIZERS[optimizer_name].build(layer.parameters(), base_rate)
    schedule = get_schedule(schedule_name, **SHORT_RUN.get(schedule_name, {}))
    state = schedule.start() if schedule.adaptive else None
    shuffles = torch.Generator().manual_seed(0)
    steps_per_epoch = -(-len(X) // BATCH)
    step, total_steps = 0, EPOCHS * steps_per_epoch
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(X), generator=shuffles).split(BATCH):
            factor = state.factor if state else schedule.factor(step, total_steps, steps_per_epoch)
            set_learning_rate(optimizer, base_rate * factor)
            optimizer.zero_grad()
            objective(layer, X[rows], y[rows]).backward()
            optimizer.step()
            step += 1
        if state:
            state = schedule.advance(state, objective(layer, X, y).item(), base_rate)
    return objective(layer, X, y).item()


def main() -> None:
    """Print the gap to the optimum of every pair."""
    X, y = problem()
    best = optimum(X, y)
    print(f"Loss above the optimum {best:.5f} after {EPOCHS} epochs, in units of 0.001:\n")
    print(f"{'schedule':14}" + "".join(f"{name:>10}" for name in COMPARED))
    for schedule in SCHEDULES:
        gaps = [1000 * (train(optimizer, schedule, X, y) - best) for optimizer in COMPARED]
        print(f"{schedule:14}" + "".join(f"{gap:10.3f}" for gap in gaps))


if __name__ == "__main__":
    main()
