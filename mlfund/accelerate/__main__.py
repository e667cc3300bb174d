"""``python -m mlfund.accelerate [--report] [--quiet] script.py ... | -m module ...``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mlfund.accelerate import install
from mlfund.accelerate._run import run_module, run_script


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlfund.accelerate",
        usage="%(prog)s [-h] [--report] [--quiet] (script.py | -m module) [argument ...]",
        description="Run a scikit-learn script on mlfund where that gives the same results.",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="at the end, tell on standard error what ran on mlfund, and for how long",
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing while the script runs")
    # REMAINDER: everything from the script's name on is the script's, options too
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("script", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, replace scikit-learn's names, and run the script.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    words = options.module or options.script
    if not words:
        parser.error("give a script, or -m and a module")
    name, *rest = words
    if not options.module and not os.path.exists(name):
        parser.error(f"can't open file {name!r}: there is no such file")
    acceleration = install(quiet=options.quiet)
    try:
        (run_module if options.module else run_script)(name, rest)
    finally:
        if options.report:
            sys.stderr.write(f"{acceleration}\n")


if __name__ == "__main__":
    main()
