"""Where a candidate runs: in this process, or in a child process that may be stopped.

The child is a plain ``python -m mlfund.advisor._child``, not a multiprocessing worker: it never
imports the user's script, so scripts without a main guard work on every system.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from mlfund.advisor._child import describe
from mlfund.advisor.budget import Budget
from mlfund.advisor.work import Data, Event, Work, perform

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)


class Runner(Protocol):
    """Runs work and yields its events, the last of which may be "failed" or "stopped"."""

    isolated: bool

    def run(self, work: Work, budget: Budget) -> Iterator[Event]:
        """Yield the events of `work` until it ends or the deadline of the budget."""
        ...

    def close(self) -> None:
        """Release what the runner holds."""
        ...


class InProcess:
    """Runs candidates here: quick to start, but its time can be checked between fits only."""

    isolated = False

    def __init__(self, data: Data) -> None:
        self._data = data

    def run(self, work: Work, budget: Budget) -> Iterator[Event]:
        """Yield the events of `work`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for event in perform(work, self._data):
                    yield event
                    if budget.left < 0:
                        yield {"event": "stopped"}
                        return
        # any error of a candidate is a result of the benchmark, told in its row
        except Exception as error:
            yield {"event": "failed", "message": describe(error)}

    def close(self) -> None:
        """Nothing is held."""


class Isolated:
    """Runs each candidate in a fresh child process with a limited number of threads.

    A crash of the child, or the system killing it for want of memory, is a "failed" event.

    Parameters
    ----------
    data : Data
        Written once to a temporary folder, from which every child reads it.
    n_threads : int
        Cores a child may keep busy.
    """

    isolated = True

    def __init__(self, data: Data, n_threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(
            prefix="mlfund-advise-", ignore_cleanup_errors=True
        )
        self._environment = dict(os.environ) | dict.fromkeys(_THREAD_VARIABLES, str(n_threads))
        # the package may be imported from a folder that only this process has in its path
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        # Idle threads that spin instead of sleeping slow XGBoost down tenfold on a busy machine.
        self._environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self._environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self._write("data.pickle", data)

    def _write(self, name: str, content: object) -> None:
        with (Path(self._folder.name) / name).open("wb") as file:
            pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)

    def run(self, work: Work, budget: Budget) -> Iterator[Event]:
        """Yield the events of `work`; the child is ended at the deadline of the budget."""
        self._write("work.pickle", work)
        with (Path(self._folder.name) / "stderr.txt").open("wb") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "mlfund.advisor._child", self._folder.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment,
            )
        try:
            yield from _events_until(child, budget)
        finally:
            _end(child)

    def close(self) -> None:
        """Delete the temporary folder."""
        self._folder.cleanup()


def _events_until(child: subprocess.Popen[bytes], budget: Budget) -> Iterator[Event]:
    """Yield what the child reports; say so if the time ran out or the child died."""
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    # a thread, because a pipe cannot be waited for with a time limit on Windows
    threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
    failed = False
    while True:
        try:
            line = lines.get(timeout=min(max(budget.left, 0.0), threading.TIMEOUT_MAX))
        except queue.Empty:
            yield {"event": "stopped"}
            return
        if line is None:
            break
        event = json.loads(line)
        failed |= event["event"] == "failed"
        yield event
    status = child.wait()
    if status != 0 and not failed:
        yield {"event": "failed", "message": _cause_of_death(status)}


def _pump(pipe: IO[bytes] | None, lines: queue.SimpleQueue[bytes | None]) -> None:
    if pipe is not None:
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _cause_of_death(status: int) -> str:
    if status == -9:
        return "its process was killed by the system, most likely for want of memory"
    return f"its process ended with status {status}"


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
