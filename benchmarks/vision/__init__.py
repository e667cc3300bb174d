"""Claim: CNNClassifier trains at the speed of a bare loop with the images in memory.

The same net, batch, precision and optimizer (AdamW, fused) for all; images per second of the
second epoch. `resident` is the bare loop: bytes sliced by a permutation, standardised in the
batch, channels last in memory. The loaders read float32 images by torch's DataLoader, as
tutorials write it with channels first, and once more with channels last.
``python -m benchmarks.vision --help`` races single cases.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks._harness import interleave, table
from benchmarks.vision.problem import Case, make_images

REPEATS = 5
N_IMAGES = 6_000
NETS = ("lenet", "strided", "simple", "resnet20", "fast")
# Images per second against: at least so many times those of the others.
LINES = {"bare loop": 0.95, "skorch": 2.0, "DataLoader": 2.0}
OURS = "mlfund"


def cases(
    nets: Sequence[str] = NETS,
    batch_sizes: Sequence[int] = (128,),
    precisions: Sequence[str] = ("float32",),
    *,
    n_images: int = N_IMAGES,
    n_threads: int = 2,
) -> list[Case]:
    """Return one case for each net, batch size and precision."""
    return [
        Case(net, size, precision, n_images, n_threads)
        for net in nets
        for size in batch_sizes
        for precision in precisions
    ]


def run(
    quick: bool = False, entered: Sequence[Case] | None = None, repeats: int = REPEATS
) -> dict[str, Any]:
    """Time all competitors in turn on each case; return images per second and ratios."""
    if quick:
        entered, repeats = cases(["lenet"], [64], n_images=128, n_threads=1), 1
    raced = [race(case, repeats) for case in (cases() if entered is None else entered)]
    return {"repeats": repeats, "cases": raced}


def race(case: Case, repeats: int) -> dict[str, Any]:
    """Time all competitors on one case, in turn."""
    import torch

    from benchmarks.vision import estimators, loops

    competitors = {
        OURS: estimators.mlfund,
        "bare loop": loops.resident,
        "skorch": estimators.skorch,
        "DataLoader": loops.with_loader,
        "DataLoader, channels last": loops.with_channels_last_loader,
    }
    images = make_images(case.n_images)
    seconds: dict[str, list[float]] = {name: [] for name in competitors}

    def enter(name: str) -> None:
        seconds[name].append(competitors[name](case, images))

    threads = torch.get_num_threads()
    torch.set_num_threads(case.n_threads)
    try:
        # The order of the harness; the seconds are those that the competitors report.
        interleave({name: lambda name=name: enter(name) for name in competitors}, repeats)
    finally:
        torch.set_num_threads(threads)
    return {
        "case": case,
        "table": [_row(name, seconds, case.n_images) for name in competitors],
        "seconds": seconds,
        "lines": _verdicts(seconds),
    }


def _row(name: str, seconds: dict[str, list[float]], n_images: int) -> dict[str, Any]:
    return {
        "name": name,
        "median_images_per_second": n_images / statistics.median(seconds[name]),
        "most_images_per_second": n_images / min(seconds[name]),
        "times_ours": _ratio(seconds, name),
    }


def _ratio(seconds: dict[str, list[float]], name: str) -> float:
    """Return the median over rounds of seconds against those of mlfund."""
    pairs = zip(seconds[name], seconds[OURS], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def _verdicts(seconds: dict[str, list[float]]) -> list[str]:
    told = []
    for name, line in LINES.items():
        ratio = _ratio(seconds, name)
        held = "held" if ratio >= line else "NOT held"
        told.append(f"{ratio:.2f} x the images per second of {name} (line {line:g}): {held}.")
    return told


def report(result: dict[str, Any]) -> str:
    """Format one table a case."""
    parts = []
    for raced in result["cases"]:
        case = raced["case"]
        parts.append(
            f"{case.name}, {case.n_images} images of 28 x 28, {case.n_threads} threads, median of "
            f"{result['repeats']} rounds\n\n{table(raced['table'])}\n\n" + "\n".join(raced["lines"])
        )
    return "\n\n".join(parts)
