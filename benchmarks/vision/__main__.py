"""Race on chosen cases, one after the other.

``python -m benchmarks.vision --net simple fast --batch 128 512 --precision float32 bf16``. Each
takes its place in ``benchmarks/results/vision.json`` when it is done.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from benchmarks.run import execute, store_rows
from benchmarks.vision import N_IMAGES, NETS, REPEATS, cases


def main() -> None:
    """Parse the command line, race, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vision", description=__doc__)
    parser.add_argument("--net", nargs="+", default=list(NETS), metavar="NAME")
    parser.add_argument("--batch", nargs="+", type=int, default=[128], metavar="N")
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bf16"])
    parser.add_argument("--images", type=int, default=N_IMAGES, metavar="N", help="of an epoch")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N")
    chosen = parser.parse_args()
    entered = cases(
        chosen.net,
        chosen.batch,
        chosen.precision,
        n_images=chosen.images,
        n_threads=chosen.threads,
    )
    for case in entered:
        # One after the other, so that a long race can be followed.
        record, text = execute("vision", entered=[case], repeats=chosen.repeats)
        print(f"{text}\n\nstored in {store_rows(record, 'cases', _place)}", flush=True)


def _place(row: Mapping[str, Any]) -> str:
    """Return what is no repetition of another row: all of its case."""
    return str(sorted(row["case"].items()))


if __name__ == "__main__":
    main()
