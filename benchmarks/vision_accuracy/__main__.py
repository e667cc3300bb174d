"""Fit what is named, data set by data set, and store it.

``python -m benchmarks.vision_accuracy --fits fast "script, 1 epoch" --data mnist --seeds 3``. Each
row takes its place in ``benchmarks/results/vision_accuracy.json`` as soon as its data set is done,
with the date and the load of the machine at its start.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.run import RESULTS, execute, store_rows
from benchmarks.vision_accuracy import DATA, FITS, report

FILE = RESULTS / "vision_accuracy.json"


def main() -> None:
    """Parse the command line, fit, print, store."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vision_accuracy", description=__doc__
    )
    parser.add_argument("--fits", nargs="+", default=list(FITS), choices=FITS)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--report", action="store_true", help="print what is stored; fit nothing")
    chosen = parser.parse_args()
    if chosen.report:
        print(report(json.loads(FILE.read_text(encoding="utf-8"))["result"]))
        return
    for name in chosen.data:
        # One after the other, so that a long run can be followed.
        record, text = execute(
            "vision_accuracy", fits=chosen.fits, data=[name], seeds=range(chosen.seeds)
        )
        print(text, flush=True)
        print(f"stored in {store_rows(record, 'rows', _place)}", flush=True)


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return DATA.index(row["data"]), FITS.index(row["fit"])


if __name__ == "__main__":
    main()
