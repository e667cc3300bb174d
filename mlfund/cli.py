"""The command line: parse, call, print, exit code.

Exit codes: 0 success, 1 unexpected error, 2 input that cannot be used, 130 interrupted.
Results go to standard output; progress, warnings and errors to standard error. Nothing
heavy is imported before it is needed, so help and version answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfund._arguments import UsageError, build_parser

if TYPE_CHECKING:
    from mlfund.advisor.advice import Advice
    from mlfund.advisor.reading import TableFile
    from mlfund.advisor.reading_images import ImageFile

OK, UNEXPECTED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.
    """
    try:
        parser = build_parser({"advise": _advise, "predict": _predict})
        options = parser.parse_args(argv)
    except UsageError as error:
        return _fail(error, BAD_INPUT)
    except SystemExit as stop:  # argparse leaves this way after --help and --version
        return int(stop.code or OK)
    if options.run is None:
        parser.print_help()
        return OK
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return int(options.run(options))
    except KeyboardInterrupt:
        return _fail("Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has left (mlfund ... | head): no message, no second error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNEXPECTED
    except Exception as error:
        return _report(error, debug=options.debug)


def _advise(options: argparse.Namespace) -> int:
    """Read, advise, write, print."""
    if options.demo == (options.file is not None):
        raise UsageError("Give one FILE, or --demo for the bundled data, and not both.")
    from mlfund._check import resolve_device
    from mlfund.advisor import writing

    source, X, y, load_code = _images(options) if _are_images(options) else _columns(options)
    _check_positive(y, options.positive)
    # last, since it loads torch: what is wrong with the file is said at once
    try:
        resolve_device(options.device)
    except ValueError as error:
        raise UsageError(str(error)) from error
    folder = writing.prepare_folder(options.out)
    run = _Run(folder, source, load_code, quiet=options.quiet)
    return run(options, X, y)


def _columns(options: argparse.Namespace) -> tuple[TableFile, Any, Any, str]:
    """Return a table, its features and target, and the Python that reads it."""
    from mlfund.advisor.reading import split_target

    if options.target is None and not options.demo:
        raise UsageError(f"--target is missing: say which column of {options.file} to predict.")
    for name in ("image_size", "max_images"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is for images, and {options.file or '--demo'} is a "
                "table; leave it out."
            )
    table, target = _table(options)
    X, y = split_target(table, target, options.ignore)
    return table, X, y, _load_code(options, y.name)


def _are_images(options: argparse.Namespace) -> bool:
    if getattr(options, "demo", False):
        return False
    from mlfund.advisor.reading_images import holds_images

    return holds_images(options.file)


def _images(options: argparse.Namespace) -> tuple[ImageFile, Any, Any, str]:
    """Return images, their arrays and labels, and the Python that reads them."""
    from mlfund.advisor.reading_images import read_images

    for name in ("ignore", "delimiter"):
        if getattr(options, name):
            raise UsageError(f"--{name} is for tables, and {options.file} holds images.")
    chosen = {
        "target": options.target,
        "size": options.image_size,
        "max_images": options.max_images,
        "seed": options.seed or None,
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    found = read_images(options.file, **given)
    said = "".join(f", {key}={value!r}" for key, value in given.items())
    code = (
        "from mlfund.advisor.reading_images import read_images\n\n"
        f"data = read_images({options.file!r}{said})\nX, y = data.images, data.labels"
    )
    return found, found.images, found.labels, code


class _Run:
    """One run of the advisor with its files: checkpoints while it lasts, all files at its end."""

    def __init__(
        self, folder: Path, source: TableFile | ImageFile, load_code: str, *, quiet: bool
    ) -> None:
        self.folder = folder
        self.source = source
        self.load_code = load_code
        self.quiet = quiet
        self.checkpoint: dict[str, Any] | None = None

    def __call__(self, options: argparse.Namespace, X: Any, y: Any) -> int:
        """Advise and write; an interrupt leaves what was finished."""
        from mlfund.advisor import advise
        from mlfund.advisor.terminal import ProgressDisplay

        try:
            with ProgressDisplay(quiet=self.quiet) as progress:
                advice = advise(
                    X,
                    y,
                    task=options.task,
                    metric=options.metric,
                    n_folds=options.folds,
                    time_budget_seconds=options.time_budget,
                    max_latency_ms=options.max_latency_ms,
                    interpretable=options.interpretable,
                    positive=options.positive,
                    device=options.device,
                    random_state=options.seed,
                    progress=progress,
                    on_checkpoint=self.write_checkpoint,
                    data_description={
                        "file": self.source.name,
                        "load_code": self.load_code,
                    },
                )
        except KeyboardInterrupt:
            return self.interrupted()
        return self.finish(advice, options)

    def write_checkpoint(self, advice: Advice) -> None:
        """Keep what is finished on disk."""
        from mlfund.advisor import writing

        self.checkpoint = self.as_dict(advice)
        writing.write_json(self.checkpoint, self.folder)

    def interrupted(self) -> int:
        """Write and say what an interrupted run has left."""
        from mlfund.advisor import writing

        if self.checkpoint is None:
            message = "Interrupted before the first model was finished; nothing was written."
            return _fail(message, INTERRUPTED)
        content = {**self.checkpoint, "status": "incomplete"}
        writing.write_report(content, self.folder)
        path = writing.write_json(content, self.folder)
        message = f"Interrupted; what was finished is in {path}, marked incomplete"
        if (self.folder / writing.MODEL_FILE).exists():
            message += f" ({writing.MODEL_FILE} beside it is from an earlier run)"
        return _fail(message, INTERRUPTED)

    def finish(self, advice: Advice, options: argparse.Namespace) -> int:
        """Write all files and print the result."""
        from mlfund.advisor import writing
        from mlfund.advisor.terminal import print_advice

        content = self.as_dict(advice)
        files = {"report": writing.write_report(content, self.folder)}
        files["advice"] = writing.write_json(content, self.folder)
        if advice.best_estimator is not None:
            files["model"] = writing.write_model(advice.best_estimator, self.folder)
        for warning in content["warnings"]:
            _warn(warning)
        if options.json:
            print(writing.to_json(content, ascii_only=True), end="")
        elif not self.quiet:
            print_advice(content, files)
        return OK

    def as_dict(self, advice: Advice) -> dict[str, Any]:
        """Return the content of advice.json, with the file's name and the reader's notes."""
        content = advice.to_dict()
        content["data"] = {**content["data"], "file": self.source.name}
        notes = [note for note in self.source.notes if note not in content["warnings"]]
        content["warnings"] = notes + content["warnings"]
        return content


def _predict(options: argparse.Namespace) -> int:
    """Load, read, predict, write."""
    model = _load_model(options.model)
    predictions = _predictions(model, options)
    if options.out == "-":
        predictions.to_csv(sys.stdout, index=False)
        return OK
    _write_csv(predictions, Path(options.out))
    if not options.quiet:
        print(f"{len(predictions):,} predictions are in {options.out}.")
    return OK


def _predictions(model: Any, options: argparse.Namespace) -> Any:
    """Read rows or images as the model saw them, and predict them."""
    from mlfund.advisor.predicting_images import fitted_size, predict_images

    size = fitted_size(model)
    if _are_images(options):
        if size is None:
            raise UsageError(
                f"{options.file} holds images, and {options.model} was not fitted on images; give "
                "a table with the columns it was fitted on."
            )
        return predict_images(model, options.file)
    if size is not None:
        raise UsageError(
            f"{options.model} was fitted on images of {size[0]} x {size[1]} pixels, and "
            f"{options.file} is a table; give a folder of images, or an npz or npy file."
        )
    return _of_table(model, options)


def _of_table(model: Any, options: argparse.Namespace) -> Any:
    from mlfund.advisor.predicting import match_columns, predict_frame, text_columns
    from mlfund.advisor.reading import read_table

    table = read_table(options.file, delimiter=options.delimiter, as_text=text_columns(model))
    X, notes = match_columns(model, table.frame, table.name)
    for note in (*table.notes, *notes):
        _warn(note)
    return predict_frame(model, X)


def _load_model(path: str) -> Any:
    from mlfund.persistence import PersistenceError, load

    try:
        return load(path)
    except (PersistenceError, OSError) as error:
        raise UsageError(_sentence(error)) from error


def _write_csv(frame: Any, path: Path) -> None:
    from mlfund._files import atomic_write

    try:
        with atomic_write(path, "w") as file:
            frame.to_csv(file, index=False)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path} cannot be written ({reason}); choose another --out.") from error


def _table(options: argparse.Namespace) -> tuple[TableFile, str]:
    """Return the table of the file or of the demonstration, and the target."""
    from mlfund.advisor import demo
    from mlfund.advisor.reading import TableFile, read_table

    if options.demo:
        return TableFile(demo.load_adult_frame(), demo.ADULT_FILE), (
            options.target or demo.ADULT_TARGET
        )
    table = read_table(options.file, delimiter=options.delimiter, target=options.target)
    return table, options.target


def _check_positive(y: Any, wanted: str | None) -> None:
    """Refuse a positive class that the target does not have, written as in the file."""
    labels = [] if wanted is None else [_written(label) for label in y.dropna().unique()]
    if wanted is None or wanted in labels:
        return
    from mlfund._check import nearest

    found = nearest(wanted, labels)
    shown = ", ".join(map(repr, labels[:8]))
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    hint = f"did you mean {found!r}?" if found else f"there is {shown}{more}."
    raise UsageError(f"--positive {wanted!r} is no label of the target {y.name!r}; {hint}")


def _load_code(options: argparse.Namespace, target: str) -> str:
    """Return the Python that reads this table as this run read it."""
    from mlfund.advisor.demo import ADULT_TARGET

    if options.demo and target == ADULT_TARGET and not options.ignore:
        return "from mlfund.advisor.demo import load_adult\n\nX, y = load_adult()"
    if options.demo:
        source = "TableFile(load_adult_frame(), 'adult.parquet')"
        imports = "from mlfund.advisor.demo import load_adult_frame\n"
        imports += "from mlfund.advisor.reading import TableFile, split_target\n"
    else:
        delimiter = f", delimiter={options.delimiter!r}" if options.delimiter else ""
        source = f"read_table({options.file!r}, target={target!r}{delimiter})"
        imports = "from mlfund.advisor.reading import read_table, split_target\n"
    ignore = f", ignore={options.ignore!r}" if options.ignore else ""
    return f"{imports}\ntable = {source}\nX, y = split_target(table, {target!r}{ignore})"


def _written(label: Any) -> str:
    """Write a label as it stands in the file: 1.0 came from 1 where rows lack a target."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def _report(error: Exception, *, debug: bool) -> int:
    """Turn an exception into a message and an exit code."""
    if debug:
        traceback.print_exc()
    if isinstance(error, UsageError) or _is_data_error(error):
        return _fail(error, BAD_INPUT)
    if debug:
        return UNEXPECTED
    return _fail(
        f"Unexpected {type(error).__name__}: {_sentence(error)} "
        "Run the same command with --debug for the traceback.",
        UNEXPECTED,
    )


def _is_data_error(error: Exception) -> bool:
    from mlfund._check import DataError

    return isinstance(error, DataError)


def _sentence(error: object) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _fail(message: object, code: int) -> int:
    print(
        f"mlfund: {'error: ' if code != INTERRUPTED else ''}{_sentence(message)}", file=sys.stderr
    )
    return code


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    """Show a warning of a library as one line, without the line of code that gave it."""
    _warn(str(message))


def _warn(message: str) -> None:
    print(f"mlfund: warning: {_sentence(message)}", file=sys.stderr)
