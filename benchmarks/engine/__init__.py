"""Fit of one MLP: mlfund's engine against a bare torch loop, skorch and scikit-learn.

50,000 rows of 784 columns in float32, net 784-128-10 with ReLU, batches of 256, Adam,
5 epochs, every competitor from the same initial weights (mlfund and scikit-learn draw
them from `random_state`, the others are given them). Nobody reports its own loss: a
competitor returns its weights and the cross-entropy over all rows is computed here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import logsumexp

from benchmarks._harness import interleave, summarise, table
from benchmarks.engine import bare_torch, mlfund_mlp, problem, sklearn_mlp, skorch_net

COMPETITORS = {
    "bare torch": bare_torch.fit,
    "mlfund": mlfund_mlp.fit,
    "skorch": skorch_net.fit,
    "scikit-learn": sklearn_mlp.fit,
}
REPEATS = 5
# The hard line of the project: mlfund's fit against the bare loop of the same run, and
# how far its final training loss may be from the loop's.
MOST_RATIO = 1.1
MOST_LOSS_GAP = 0.01


def run(quick: bool = False) -> dict[str, Any]:
    """Time all competitors in turn; return medians, ratios and final losses."""
    tasks = [problem.QUICK] if quick else [problem.WIDE, problem.NARROW]
    repeats = 1 if quick else REPEATS
    return {"repeats": repeats, "nets": [_one_net(task, repeats) for task in tasks]}


def _one_net(task: problem.Task, repeats: int) -> dict[str, Any]:
    X, y = problem.make_rows(task)
    weights: dict[str, Any] = {}

    def fit(name: str) -> None:
        weights[name] = COMPETITORS[name](X, y, task)

    seconds = interleave({name: partial(fit, name) for name in COMPETITORS}, repeats, warmup=1)
    rows = summarise(seconds, reference="bare torch")
    for row in rows:
        row["training_loss"] = final_loss(X, y, weights[row["name"]])
    by_name = {row["name"]: row for row in rows}
    gap = by_name["mlfund"]["training_loss"] / by_name["bare torch"]["training_loss"] - 1.0
    return {
        "task": task,
        "rows": rows,
        "loss_gap": gap,
        "within_line": bool(by_name["mlfund"]["ratio"] <= MOST_RATIO and abs(gap) <= MOST_LOSS_GAP),
    }


def final_loss(X: np.ndarray, y: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the mean cross-entropy over all rows of a ReLU net given as (coef, bias)s."""
    hidden = X.astype(np.float64)
    for i, (coef, bias) in enumerate(layers):
        hidden = hidden @ coef.astype(np.float64) + bias
        if i < len(layers) - 1:
            np.maximum(hidden, 0, out=hidden)
    return float((logsumexp(hidden, axis=1) - hidden[np.arange(len(y)), y]).mean())


def report(result: dict[str, Any]) -> str:
    """Format the outcome, one table a net."""
    columns = ["name", "median_seconds", "min_seconds", "spread", "ratio", "training_loss"]
    parts = []
    for net in result["nets"]:
        task = net["task"]
        sizes = "-".join(str(size) for size in task.sizes)
        verdict = "within" if net["within_line"] else "NOT within"
        parts.append(
            f"Net {sizes}, {task.n_rows} rows, batch {task.batch_size}, {task.n_epochs} epochs "
            f"(ratio: to the bare loop, median of {result['repeats']} rounds)\n\n"
            f"{table(net['rows'], columns)}\n\n"
            f"mlfund is {verdict} {MOST_RATIO} x the bare loop; final loss differs by "
            f"{net['loss_gap']:+.2%}."
        )
    return "\n\n".join(parts)
