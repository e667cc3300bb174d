"""Run single settings: ``python -m benchmarks.self_supervised --data mnist --seeds 1``.

Each takes its place in ``benchmarks/results/self_supervised.json`` when it is done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks._harness import Unavailable
from benchmarks.run import execute, store_rows
from benchmarks.self_supervised import SEEDS, SHARES, Setting
from benchmarks.self_supervised.images import DATA

ENCODERS = ("ContrastiveEncoder", "MaskedAutoencoder", "Autoencoder")


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS[:1]))
    parser.add_argument("--architecture", default=Setting.architecture)
    parser.add_argument("--epochs", type=int, default=Setting.epochs)
    parser.add_argument("--images", type=int, default=None, help="of the training set; all")
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--device", default=Setting.device)
    given = parser.parse_args()
    settings = [
        Setting(
            data,
            encoder,
            given.architecture,
            given.epochs,
            n_images=given.images,
            shares=tuple(given.shares),
            device=given.device,
        )
        for data in given.data
        for encoder in given.encoders
    ]
    try:
        for setting in settings:
            record, text = execute("self_supervised", settings=[setting], seeds=given.seeds)
            print(f"{text}\n\nstored in {store_rows(record, 'settings', _place)}", flush=True)
    except Unavailable as error:
        print(f"self_supervised cannot run here: {error}", file=sys.stderr)
        return 2
    return 0


def _place(row: Mapping[str, Any]) -> str:
    """Return what is no repetition of another row: all of its setting."""
    return str(sorted(row["setting"].items()))


if __name__ == "__main__":
    raise SystemExit(main())
