"""Run chosen cells: ``python -m benchmarks.transfer_text --cells 'sst2-*-64-*'``."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from benchmarks._harness import Unavailable
from benchmarks.run import RESULTS, execute, store
from benchmarks.transfer_text import FOLDER, report, run


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer_text",
        description="Fit cells DATA-STRATEGY-SIZE-DRAW and print a table of them.",
    )
    parser.add_argument("--cells", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of a file a cell")
    parser.add_argument("--device", default=None, help="cpu, cuda, ...")
    parser.add_argument(
        "--cached", action="store_true", help="take embeddings from the cache; fits are not timed"
    )
    parser.add_argument(
        "--collect", action="store_true", help="store what was fitted as the result; fit nothing"
    )
    given = parser.parse_args()
    if given.collect:
        record, text = execute("transfer_text", folder=given.folder, collect=True)
        print(f"{text}\n\nstored in {store(record, RESULTS)}")
        return 0
    try:
        found = run(
            patterns=given.cells,
            folder=given.folder,
            device=given.device,
            cached=given.cached,
            tell=functools.partial(print, flush=True),
        )
    except Unavailable as error:
        print(f"transfer_text cannot run here: {error}", file=sys.stderr)
        return 2
    print(report(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
