"""Claim: on a GPU MLPClassifier trains as fast as a CUDA-graph loop written by hand.

Equal work from numpy arrays in memory: float32 rows, nets 784-128-10 and 784-512-512-10 with
ReLU, batches of 256, fused Adam. The peers are a loop whose whole step is one captured graph,
and skorch. The first fit of each, which starts the device and captures, is told apart. Needs a
CUDA device; no figure is stored where there was none.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

from benchmarks._harness import cuda_device, interleave, summarise, table
from benchmarks.engine.problem import Task
from benchmarks.gpu_mlp.peers import competitors
from benchmarks.mlp.problems import Net, accuracy, make_rows

NETS = [
    Net(Task(50_000, (784, 128, 10), n_epochs=10), float("inf")),
    Net(Task(50_000, (784, 512, 512, 10), n_epochs=10), float("inf")),
]
QUICK = Net(Task(1_500, (20, 16, 3), n_epochs=2), float("inf"), n_test=300)
REPEATS = 5
# The lines that the project set itself.
MOST_TO_GRAPH = 1.1
MOST_TO_SKORCH = 0.1


def run(quick: bool = False) -> dict[str, Any]:
    """Time all competitors in turn on each net."""
    device = cuda_device()
    repeats = 1 if quick else REPEATS
    nets = [_one_net(net, repeats) for net in ([QUICK] if quick else NETS)]
    return {"repeats": repeats, "device": device, "nets": nets}


def _one_net(net: Net, repeats: int) -> dict[str, Any]:
    rows = make_rows(net)
    weights: dict[str, Any] = {}
    first: dict[str, float] = {}

    def fit(name: str) -> None:
        weights[name] = entered[name](rows.X, rows.y, net.task)

    entered = competitors()
    for name in entered:
        start = perf_counter()
        fit(name)
        first[name] = perf_counter() - start
    seconds = interleave({name: partial(fit, name) for name in entered}, repeats)
    to_skorch = {row["name"]: row["ratio"] for row in summarise(seconds, "skorch")}
    return {
        "sizes": net.task.sizes,
        "rows": rows.description,
        "n_epochs": net.task.n_epochs,
        "seconds": seconds,
        "table": [
            {
                "name": row["name"],
                "first_seconds": first[row["name"]],
                "median_seconds": row["median_seconds"],
                "min_seconds": row["min_seconds"],
                "to_graph": row["ratio"],
                "to_skorch": to_skorch[row["name"]],
                "test_accuracy": accuracy(rows, weights[row["name"]]),
            }
            for row in summarise(seconds, "graph by hand")
        ],
    }


def report(result: dict[str, Any]) -> str:
    """One table a net, then how mlfund stands to the lines."""
    parts = [result["device"]]
    for net in result["nets"]:
        sizes = "-".join(str(size) for size in net["sizes"])
        ours = next(row for row in net["table"] if row["name"] == "mlfund")
        parts.append(
            f"Net {sizes}: {net['rows']}, batch 256, {net['n_epochs']} epochs "
            f"(ratios: medians over {result['repeats']} rounds)\n\n{table(net['table'])}\n\n"
            f"mlfund takes {ours['to_graph']:.2f} x the graph by hand (line {MOST_TO_GRAPH}) and "
            f"{ours['to_skorch']:.2f} x skorch (line {MOST_TO_SKORCH})."
        )
    return "\n\n".join(parts)
