"""Race on the problems named, without storing the outcome; or search settings anew.

``python -m benchmarks.linear [--search] [NAME ...]``
"""

import argparse

from benchmarks.linear import report, run
from benchmarks.linear.problems import PROBLEMS
from benchmarks.linear.settings import renew


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linear", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROBLEMS))
    parser.add_argument(
        "--search", action="store_true", help="search and store the settings of the others anew"
    )
    options = parser.parse_args()
    names = options.names or list(PROBLEMS)
    if options.search:
        for name in names:
            renew(name, only_missing=False)
    else:
        print(report(run(names=names)))


if __name__ == "__main__":
    main()
