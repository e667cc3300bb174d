"""Fit chosen presets, one after the other.

``python -m benchmarks.vision_accuracy --preset fast default --data mnist --seeds 3``
"""

import argparse

from benchmarks.vision_accuracy import DATA, PRESETS, report, run


def main() -> None:
    """Parse the command line, fit, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vision_accuracy", description=__doc__
    )
    parser.add_argument("--preset", nargs="+", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    chosen = parser.parse_args()
    for name in chosen.data:
        for preset in chosen.preset:
            # One after the other, so that a long run can be followed.
            fitted = run(presets=[preset], data=[name], seeds=range(chosen.seeds))
            print(report(fitted), flush=True)


if __name__ == "__main__":
    main()
