"""Checkpoints: a training that was killed goes on where its last checkpoint was written.

Each training has a folder named by its fingerprint: parameters, data, initial weights,
random streams and versions. A file in it can only be the state of this very training, so
whoever wrote it, the same process, an earlier one or another worker, does not matter and
nothing is locked. The folder goes when the training has ended.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skorch
import torch
from skorch.callbacks import Callback

from mlfund._engine.data import DeviceRows
from mlfund._engine.divergence import DivergenceGuard
from mlfund._engine.intervals import Clock, Interval
from mlfund._engine.net import Engine
from mlfund._engine.state import engine_state, restore_engine
from mlfund._engine.state_file import UNREADABLE, read_tree, write_tree
from mlfund._files import atomic_write, fingerprint, source_of

# Changes with what a file holds: an older file is not read.
FORMAT = 1
# The newest one, and the one before for the case that the disk damages it.
N_KEPT = 2


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; the training goes on without it."""


class CheckpointFolder:
    """The checkpoints of one training.

    Parameters
    ----------
    root : Path
        Folder of all trainings, the user's `checkpoint_dir`; made if it is not there.
    fingerprint : str
        Of the training.
    about : dict
        What a person would want to know about the training; written beside the files.
    """

    def __init__(self, root: Path, fingerprint: str, about: Mapping[str, Any]) -> None:
        self.path = root / fingerprint
        self.fingerprint = fingerprint
        self.about = dict(about)

    def make(self) -> None:
        """Make the folder and describe the training in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        note = self.path / "training.json"
        if not note.exists():
            with atomic_write(note, "w") as file:
                json.dump(self.about, file, indent=2, default=repr)

    def write(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Write a checkpoint and drop those that are no longer needed."""
        # Another run of the same fingerprint may have ended and cleared the folder.
        self.make()
        with atomic_write(self.path / f"epoch-{epoch:06d}.npz") as file:
            write_tree(file, {"format": FORMAT, "fingerprint": self.fingerprint, "state": state})
        for old in self._files()[N_KEPT:]:
            old.unlink(missing_ok=True)

    def newest(self, device: torch.device | str) -> Any:
        """Return the state of the newest checkpoint that can be read, or None.

        Warns
        -----
        CheckpointWarning
            If a newer one is damaged.
        """
        for path in self._files():
            try:
                with open(path, "rb") as file:
                    content = read_tree(file, device)
                if (content["format"], content["fingerprint"]) == (FORMAT, self.fingerprint):
                    return content["state"]
                why: object = "it belongs to another training"
            except FileNotFoundError:
                # Dropped meanwhile by another run of the same fingerprint.
                continue
            except UNREADABLE as error:
                why = error
            warnings.warn(
                f"The checkpoint {path} cannot be read ({why}); the one before it is used, "
                "or the training begins anew if there is none.",
                CheckpointWarning,
                stacklevel=2,
            )
        return None

    def clear(self) -> None:
        """Remove the folder: the training has ended."""
        # Another run of the same fingerprint may be clearing it too.
        shutil.rmtree(self.path, ignore_errors=True)

    def _files(self) -> list[Path]:
        """Return the checkpoints, newest first."""
        return sorted(self.path.glob("epoch-*.npz"), reverse=True)


class Checkpoints(Callback):
    """Writes checkpoints of a training, and resumes it from the newest one.

    It is the last callback, so that what it writes is the state after all others were
    told of the epoch. It writes nothing in an epoch that ends the training.

    Parameters
    ----------
    root : Path
        Folder of all trainings.
    interval : Interval
        How often to write.
    identity : dict
        What tells this training from others, beside its state at the start and its rows:
        class and parameters.
    announce : callable, optional
        ``announce(text)``, told where a training goes on.

    Attributes
    ----------
    resumed_epochs_ : int
        Epochs that were not trained but read from a checkpoint.
    """

    def __init__(
        self,
        root: Path,
        interval: Interval,
        identity: Mapping[str, Any],
        announce: Callable[[str], object] | None = None,
    ) -> None:
        self.root = root
        self.interval = interval
        self.identity = identity
        self.announce = announce
        self.resumed_epochs_ = 0
        self._folder: CheckpointFolder | None = None
        self._clock = Clock(interval)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: when the next checkpoint is due is no part of a training."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take nothing."""

    def on_train_begin(
        self, net: Engine, X: DeviceRows | None = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Resume from the newest checkpoint of this training, if there is one."""
        assert X is not None
        name = training_fingerprint(net, X, self.identity)
        about = {**self.identity, "versions": versions(), "rows": len(X)}
        self._folder = CheckpointFolder(self.root, name, about)
        self._folder.make()
        found = self._folder.newest(net.device)
        if found is not None:
            restore_engine(net, found)
            self.resumed_epochs_ = len(net.history)
            if self.announce is not None:
                where = f"epoch {self.resumed_epochs_} from {self._folder.path}"
                self.announce(f"Resuming after {where}.\n")
        self._clock = Clock(self.interval)

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint if one is due."""
        assert self._folder is not None
        n_epochs = len(net.history)
        if net.stop_reason_ is not None or not self._clock.due(n_epochs):
            return
        state = engine_state(net)
        try:
            self._folder.write(n_epochs, state)
        except OSError as error:
            # A full disk must not cost the training that it was to save.
            warnings.warn(
                f"The checkpoint of epoch {n_epochs} could not be written to "
                f"{self._folder.path} ({error}); the training goes on.",
                CheckpointWarning,
                stacklevel=2,
            )

    def on_train_end(self, net: Engine, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Remove the checkpoints."""
        assert self._folder is not None
        self._folder.clear()


def training_fingerprint(engine: Engine, rows: DeviceRows, identity: Mapping[str, Any]) -> str:
    """Return the fingerprint of a training that is about to begin.

    Equal for two trainings that would do the same, in any process: same identity, state
    at the start (weights, random streams, what earlier trainings left), rows, source of
    the user's code, and versions.
    """
    state = engine_state(engine)
    # torch's global stream has another state in every process. Only modules of users draw
    # from it, and whoever makes them seeds it. The guard copies it, with what is in the
    # state anyway.
    del state["torch"]
    guards = [f"callback {n}" for n, c in engine.callbacks_ if isinstance(c, DivergenceGuard)]
    state["parts"] = {n: part for n, part in state["parts"].items() if n not in guards}
    valid = getattr(engine.train_split, "valid", None)
    return fingerprint(
        FORMAT,
        identity,
        state,
        [_content(part) for part in (rows, valid)],
        [source_of(kind) for kind in _module_classes(engine)],
        {"device": str(engine.device), "max_epochs": engine.max_epochs},
        versions(),
    )


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    # not at the top: mlfund/__init__.py is above the engine
    from mlfund import __version__

    return {
        "mlfund": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
    }


def _module_classes(engine: Engine) -> list[type]:
    kinds = {type(module) for module in engine.module_.modules()}
    return sorted(kinds, key=lambda kind: (kind.__module__, kind.__qualname__))


def _content(rows: DeviceRows | None) -> Any:
    return None if rows is None else (rows.X, rows.y, rows.weight)
