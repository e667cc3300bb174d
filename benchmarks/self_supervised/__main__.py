"""Run single settings: ``python -m benchmarks.self_supervised --data mnist --seeds 1``."""

from __future__ import annotations

import argparse
import sys

from benchmarks._harness import Unavailable
from benchmarks.self_supervised import SEEDS, SHARES, Setting, report, run
from benchmarks.self_supervised.images import DATA

ENCODERS = ("ContrastiveEncoder", "MaskedAutoencoder", "Autoencoder")


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS[:1]))
    parser.add_argument("--architecture", default="simple")
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
            given.images,
            tuple(given.shares),
            device=given.device,
        )
        for data in given.data
        for encoder in given.encoders
    ]
    try:
        print(report(run(settings=settings, seeds=given.seeds)))
    except Unavailable as error:
        print(f"self_supervised cannot run here: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
