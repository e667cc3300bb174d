"""Race on the problems named, one after the other; or search settings anew.

``python -m benchmarks.linear [--store | --search] [NAME ...]``. With ``--store`` each problem takes
its place in ``benchmarks/results/linear.json`` as soon as it is done, with the date and the load of
the machine at its start: a race that was ended goes on with the names that are left.
"""

import argparse
import json

from benchmarks.linear import report, run
from benchmarks.linear.problems import PROBLEMS
from benchmarks.linear.settings import renew
from benchmarks.run import RESULTS, execute, store


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linear", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROBLEMS))
    parser.add_argument(
        "--search", action="store_true", help="search and store the settings of the others anew"
    )
    parser.add_argument("--store", action="store_true", help="store each outcome when it is there")
    options = parser.parse_args()
    names = options.names or list(PROBLEMS)
    if options.search:
        for name in names:
            renew(name, only_missing=False)
    elif options.store:
        for name in names:
            print(_store(name), flush=True)
    else:
        print(report(run(names=names)))


def _store(name: str) -> str:
    """Race on one problem and put the outcome in its place; return the report."""
    record, _ = execute("linear", names=[name])
    result = record["result"]
    result["problems"][name].update(date=record["date"], machine=record["machine"])
    path = RESULTS / "linear.json"
    if path.is_file():
        before = json.loads(path.read_text())["result"]["problems"]
        raced = {**before, **result["problems"]}
        record["result"]["problems"] = {key: raced[key] for key in PROBLEMS if key in raced}
    store(record, RESULTS)
    return report({**result, "problems": {name: result["problems"][name]}})


if __name__ == "__main__":
    main()
