"""The files of an advice: report.html, advice.json, model.skops, each whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlfund._check import DataError
from mlfund._files import atomic_write
from mlfund.advisor.advice import plain
from mlfund.advisor.report import render_report

REPORT_FILE = "report.html"
ADVICE_FILE = "advice.json"
MODEL_FILE = "model.skops"


def prepare_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder for the output and prove that it can be written to.

    A run of minutes must not end with nowhere to put its result, so this is
    called before the run.

    Raises
    ------
    DataError
        If the folder cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "a file is in the way" if isinstance(error, FileExistsError) else error.strerror
        raise DataError(
            f"The output folder {folder} cannot be written to ({reason}); "
            "choose another with --out."
        ) from error
    return folder


def to_json(advice: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Return the text of advice.json: strict JSON, without NaN or infinity.

    With `ascii_only` other letters are escaped, so that any terminal and pipe can take it.
    """
    return json.dumps(plain(advice), indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"


def write_json(advice: Mapping[str, Any], folder: Path) -> Path:
    """Write advice.json and return its path."""
    return _write_text(folder / ADVICE_FILE, to_json(advice))


def write_report(advice: Mapping[str, Any], folder: Path) -> Path:
    """Write report.html and return its path."""
    return _write_text(folder / REPORT_FILE, render_report(advice))


def write_model(estimator: Any, folder: Path) -> Path:
    """Write the recommended pipeline as model.skops, which `mlfund.load` reads."""
    from mlfund.persistence import save

    path = folder / MODEL_FILE
    save(estimator, path)
    return path


def _write_text(path: Path, text: str) -> Path:
    # a lone surrogate, from a file name or a damaged label, has no UTF-8 form
    clean = text.encode("utf-8", "replace").decode("utf-8")
    with atomic_write(path, "w") as file:
        file.write(clean)
    return path
