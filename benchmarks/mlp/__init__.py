"""Claim: MLPClassifier trains as fast as a bare torch loop, faster than scikit-learn and skorch.

Equal work: the same rows in float32, nets 50-128-2, 784-128-10 and 784-512-512-10 with ReLU,
batches of 256, Adam, so many epochs, initial weights of one distribution (the same numbers
where the shapes agree), all cores for everybody. Nobody reports its own quality: a competitor
returns its weights, and the accuracy on rows that nobody saw is computed here. Fits take turns,
round by round. Where the processor multiplies bfloat16, the bare loop runs under autocast too,
and mlfund with precision="bf16" and "auto".
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks._harness import interleave, summarise, table
from benchmarks.mlp.competitors import competitors
from benchmarks.mlp.problems import NETS, QUICK, Net, accuracy, make_rows
from mlfund.estimators._neural_spec import has_bf16_units

REPEATS = 5
# The hard line against the bare loop of the same run, in each precision.
MOST_TO_BARE = 1.1
# Accuracies that differ by less are called equal: after so few epochs another shuffle of the
# rows moves them by a percent.
EQUAL_ACCURACY = 0.01


def run(quick: bool = False) -> dict[str, Any]:
    """Time all competitors in turn on each net; return seconds, ratios and accuracies."""
    import torch

    bf16 = has_bf16_units(torch.device("cpu"))
    repeats = 1 if quick else REPEATS
    nets = [_one_net(net, bf16, repeats) for net in ([QUICK] if quick else NETS)]
    return {"repeats": repeats, "bf16_units": bf16, "nets": nets}


def _one_net(net: Net, bf16: bool, repeats: int) -> dict[str, Any]:
    rows = make_rows(net)
    entered = competitors(bf16)
    weights: dict[str, Any] = {}

    def fit(name: str) -> None:
        weights[name] = entered[name](rows.X, rows.y, net.task)

    seconds = interleave({name: partial(fit, name) for name in entered}, repeats, warmup=1)
    to_bare = summarise(seconds, reference="bare torch")
    to_sklearn = {row["name"]: row["ratio"] for row in summarise(seconds, "scikit-learn")}
    table_rows = [
        {
            "name": row["name"],
            "median_seconds": row["median_seconds"],
            "min_seconds": row["min_seconds"],
            "to_bare": row["ratio"],
            "to_sklearn": to_sklearn[row["name"]],
            "test_accuracy": accuracy(rows, weights[row["name"]]),
        }
        for row in to_bare
    ]
    return {
        "sizes": net.task.sizes,
        "rows": rows.description,
        "n_rows": len(rows.X),
        "n_epochs": net.task.n_epochs,
        "table": table_rows,
        "lines": _lines(net, seconds, table_rows, bf16),
        "seconds": seconds,
    }


def _lines(
    net: Net, seconds: dict[str, list[float]], rows: list[dict[str, Any]], bf16: bool
) -> list[dict[str, Any]]:
    """Compare with the lines that the project set itself; medians of ratios within rounds."""
    pairs = [("mlfund", "bare torch", MOST_TO_BARE)]
    if bf16:
        pairs += [
            ("mlfund, bf16", "bare torch, bf16", MOST_TO_BARE),
            ("mlfund, auto", "scikit-learn", net.most_to_sklearn),
        ]
    quality = {row["name"]: row["test_accuracy"] for row in rows}
    lines = []
    for ours, theirs, most in pairs:
        ratios = {row["name"]: row["ratio"] for row in summarise(seconds, theirs)}
        gap = quality[ours] - quality[theirs]
        lines.append(
            {
                "ours": ours,
                "theirs": theirs,
                "ratio": ratios[ours],
                "most": most,
                "accuracy_gap": gap,
                "held": bool(ratios[ours] <= most and abs(gap) < EQUAL_ACCURACY),
            }
        )
    return lines


def report(result: dict[str, Any]) -> str:
    """Format the outcome: one table a net, then how it stands to the lines."""
    parts = []
    for net in result["nets"]:
        sizes = "-".join(str(size) for size in net["sizes"])
        lines = "\n".join(_verdict(line) for line in net["lines"])
        parts.append(
            f"Net {sizes}: {net['rows']}, batch 256, {net['n_epochs']} epochs "
            f"(ratios: medians over {result['repeats']} rounds)\n\n{table(net['table'])}\n\n{lines}"
        )
    if not result["bf16_units"]:
        parts.append("This processor has no bfloat16 units: float32 only, where 'auto' is too.")
    return "\n\n".join(parts)


def _verdict(line: dict[str, Any]) -> str:
    held = "held" if line["held"] else "NOT held"
    return (
        f"{line['ours']} takes {line['ratio']:.2f} x {line['theirs']} (line {line['most']}), test "
        f"accuracy {line['accuracy_gap']:+.4f}: {held}."
    )
