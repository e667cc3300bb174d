"""Results of finished models in files: a search that was killed trains only the others.

Each evaluation has a folder named by its fingerprint: estimator, data, splits, scorers and
versions. In it are the results of finished models, by the parameters of the candidate and
the split. A result in it can only be that of this very model, so nothing is locked and many
processes may write. The folder goes when the search has ended.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sklearn.utils.validation import _num_samples

from mlfund._engine.checkpoint import CheckpointWarning, versions
from mlfund._files import atomic_write, fingerprint
from mlfund.estimators._neural_callbacks import contents_of
from mlfund.model_selection._search_task import Result, SearchTask

# Changes with what a file holds: an older file is not read.
FORMAT = 1


class StoredScores:
    """Results of finished models in a folder.

    Parameters
    ----------
    root : Path
        Folder of all searches.
    task : SearchTask
        What the models are fitted to and scored by.

    Attributes
    ----------
    path : Path
        Folder of this evaluation.
    """

    def __init__(self, root: Path, task: SearchTask) -> None:
        self.fingerprint = task_fingerprint(task)
        self.path = root / self.fingerprint
        self._about = {
            "estimator": repr(task.estimator),
            "scoring": repr(task.scorer),
            "rows": _num_samples(task.X),
            "splits": len(task.splits),
            "versions": versions(),
        }
        self._make()
        self._found = self._read()

    def get(self, parameters: Mapping[str, Any], split: int) -> Result | None:
        """Return the result of a model that an earlier search finished, or None."""
        if not self._found:
            return None
        return self._found.get(_key(parameters, split))

    def put(self, finished: Iterable[tuple[Mapping[str, Any], int, Result]]) -> None:
        """Write the results of models to one file, whole or not at all."""
        results = {_key(parameters, split): result for parameters, split, result in finished}
        if not results:
            return
        content = {"format": FORMAT, "fingerprint": self.fingerprint, "results": results}
        # Two runs of one search write equal names for equal models: nothing piles up.
        path = self.path / f"models-{fingerprint(sorted(results))}.json"
        try:
            # Another run of the same search may have ended and cleared the folder.
            self._make()
            with atomic_write(path, "w") as file:
                # NumPy's float32 is no Python float
                json.dump(content, file, default=float)
        except OSError as error:
            warnings.warn(
                f"The scores of {len(results)} models could not be written to {self.path} "
                f"({error}); the search goes on.",
                CheckpointWarning,
                stacklevel=2,
            )

    def clear(self) -> None:
        """Remove the folder."""
        # Another run of the same search may be clearing it too.
        shutil.rmtree(self.path, ignore_errors=True)

    def _make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        note = self.path / "search.json"
        if not note.exists():
            with atomic_write(note, "w") as file:
                json.dump(self._about, file, indent=2)

    def _read(self) -> dict[str, Result]:
        found: dict[str, Result] = {}
        # What was trained on is in a later file.
        for path in sorted(self.path.glob("models-*.json"), key=_when):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                if (content["format"], content["fingerprint"]) != (FORMAT, self.fingerprint):
                    raise ValueError("it belongs to another search")
                found |= content["results"]
            except FileNotFoundError:
                # Cleared meanwhile by another run of the same search.
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                warnings.warn(
                    f"The scores in {path} cannot be read ({error}); these models are trained "
                    "again.",
                    CheckpointWarning,
                    stacklevel=2,
                )
        return found


def task_fingerprint(task: SearchTask) -> str:
    """Return the fingerprint of an evaluation: all that the result of a model depends on.

    Raises
    ------
    ValueError
        If a part has no content that another process could find again.
    """
    data = {
        "X": task.X,
        "y": task.y,
        "cv": [list(split) for split in task.splits],
        "fit_params": dict(task.fit_params),
        "score_params": dict(task.score_params),
        "return_train_score": task.return_train_score,
        "error_score": task.error_score,
    }
    code = {"estimator": task.estimator, "scoring": task.scorer}
    parts = {name: _digest(name, part, contents_of) for name, part in code.items()}
    parts |= {name: _digest(name, part) for name, part in data.items()}
    return fingerprint(FORMAT, parts, versions())


def _digest(name: str, part: Any, contents: Callable[[Any], Any] = lambda part: part) -> str:
    try:
        return fingerprint(contents(part))
    except TypeError as error:
        raise ValueError(
            f"checkpoint_dir needs a search that another process could find again, and {name} "
            f"is not the same there: {error}"
        ) from error


def _when(path: Path) -> tuple[int, str]:
    """Return what orders files by the time of writing; those gone meanwhile come first."""
    try:
        return path.stat().st_mtime_ns, path.name
    except FileNotFoundError:
        return 0, path.name


def _key(parameters: Mapping[str, Any], split: int) -> str:
    return _digest("a candidate", [dict(parameters), split], contents_of)
