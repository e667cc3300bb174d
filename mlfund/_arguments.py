"""Arguments of the command line: names, types, help. Imports nothing heavy."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from mlfund import __version__

DEFAULT_FOLDER = "mlfund-advice"
TASKS = ("auto", "classification", "regression")
# Pinned to mlfund.advisor.scores by a test: importing it here would load scikit-learn for --help.
METRICS = ("auto", "log_loss", "accuracy", "balanced_accuracy", "roc_auc", "rmse", "mae", "r2")


_ADVISE_EPILOG = """\
examples:
  mlfund advise --demo
  mlfund advise customers.csv --target churned
  mlfund advise customers.csv --target churned --ignore customer_id --time-budget 300
  mlfund advise photos/ --image-size 32x32      (photos/ has one folder of images a class)
"""
_PREDICT_EPILOG = """\
example:
  mlfund predict mlfund-advice/model.skops new.csv --out predictions.csv
"""


class UsageError(Exception):
    """Input that cannot be used; the message is one sentence."""


def build_parser(
    commands: Mapping[str, Callable[[argparse.Namespace], int]],
) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Parameters
    ----------
    commands : dict of str to callable
        What to call for ``advise`` and ``predict``; the parsed options carry it as ``run``.
    """
    parser = _Parser(
        prog="mlfund",
        description="Which model for my table? Measured, with honest statistics.",
    )
    parser.add_argument("--version", action="version", version=f"mlfund {__version__}")
    added = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add_advise(added, commands["advise"])
    _add_predict(added, commands["predict"])
    parser.set_defaults(run=None, debug=False)
    return parser


def _add_advise(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    parser = commands.add_parser(
        "advise",
        help="compare models on a table or on images and recommend one",
        description="Compare models on a table or on images, on the same folds, and recommend one.",
        epilog=_ADVISE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        metavar="FILE",
        help="csv, tsv (also .gz), parquet or feather; or images: a folder with one folder a "
        "class, or npz or npy arrays",
    )
    add("--target", metavar="COLUMN", help="the column to predict; of arrays that of the labels")
    add("--demo", action="store_true", help="run on the bundled Adult census data")
    _add_data(parser.add_argument_group("data"))
    _add_images(parser.add_argument_group("images"))
    _add_comparison(parser.add_argument_group("comparison"))
    _add_output(parser.add_argument_group("output"))


def _add_data(group: Any) -> None:
    group.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="COLUMN",
        help="leave a column out, such as an identifier; may be repeated",
    )
    group.add_argument("--positive", metavar="LABEL", help="the class that counts as positive")
    group.add_argument(
        "--task", type=_choice(TASKS), default="auto", help="auto, classification or regression"
    )
    _add_delimiter(group)


def _add_images(group: Any) -> None:
    group.add_argument(
        "--image-size",
        type=_image_size,
        metavar="HxW",
        help="resize the images of a folder to this height and width, such as 32x32",
    )
    group.add_argument(
        "--max-images",
        type=_integer(20, 10**9),
        metavar="N",
        help="compare on at most so many images, drawn at random (default: 2000)",
    )


def _add_comparison(group: Any) -> None:
    group.add_argument(
        "--metric", type=_choice(METRICS), default="auto", help=f"one of {', '.join(METRICS)}"
    )
    group.add_argument("--folds", type=_integer(2, 50), default=5, metavar="N", help="default: 5")
    group.add_argument(
        "--time-budget", type=_positive, metavar="SECONDS", help="stop starting fits after this"
    )
    group.add_argument(
        "--max-latency-ms", type=_positive, metavar="MS", help="limit for predicting one row"
    )
    group.add_argument(
        "--interpretable", action="store_true", help="recommend a model that people can read"
    )
    group.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps or auto (default)")
    group.add_argument(
        "--seed", type=_integer(0, 2**32 - 1), default=0, metavar="N", help="default: 0"
    )


def _add_output(group: Any) -> None:
    group.add_argument(
        "--out",
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help=f"folder for report.html, advice.json, model.skops (default: {DEFAULT_FOLDER})",
    )
    group.add_argument("--json", action="store_true", help="print advice.json and nothing else")
    group.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    _add_debug(group)


def _add_predict(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    parser = commands.add_parser(
        "predict",
        help="predict new rows or images with a saved model",
        description="Predict new rows or images with a model that `mlfund advise` saved.",
        epilog=_PREDICT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", metavar="MODEL", help="model.skops of `mlfund advise`")
    parser.add_argument(
        "file",
        metavar="FILE",
        help="csv, tsv (also .gz), parquet or feather; or images: a folder of them, npz or npy",
    )
    parser.add_argument(
        "--out", default="-", metavar="FILE", help="csv to write; - is standard output (default)"
    )
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    _add_delimiter(parser)
    _add_debug(parser)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence, and that wants whole option names."""

    def __init__(self, **options: Any) -> None:
        # a shortened name would change its meaning once another option begins like it
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UsageError(f"{message[:1].upper()}{message[1:]} (see {self.prog} --help).")


def _choice(allowed: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text in allowed:
            return text
        near = difflib.get_close_matches(text, allowed, n=1)
        hint = f", did you mean {near[0]!r}?" if near else f", allowed are {', '.join(allowed)}"
        raise argparse.ArgumentTypeError(f"{text!r} is not known{hint}")

    return parse


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.lstrip("+").isdecimal() and low <= int(text) <= high:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"must be a whole number from {low} to {high}, got {text!r}"
        )

    return parse


def _image_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    sides = sides * 2 if len(sides) == 1 else sides
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH in pixels, got {text!r}")
    return int(sides[0]), int(sides[1])


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def _delimiter(text: str) -> str:
    text = {"tab": "\t", r"\t": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\r\n':
        raise argparse.ArgumentTypeError(f"must be one character or 'tab', got {text!r}")
    return text


def _add_delimiter(parser: Any) -> None:
    parser.add_argument(
        "--delimiter",
        type=_delimiter,
        metavar="CHAR",
        help="between the values of a text file (default: found by itself)",
    )


def _add_debug(parser: Any) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
