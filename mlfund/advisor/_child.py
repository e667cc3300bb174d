"""Child process of the benchmark: ``python -m mlfund.advisor._child FOLDER``.

Reads ``data.pickle`` and ``work.pickle`` from FOLDER, both written by the parent, does the work
and writes its events to standard output, one JSON line each. What libraries print goes to
standard error. When the parent goes away, so does the child.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO


def main(folder: Path) -> int:
    """Do the work that lies in a folder."""
    # Ctrl-C reaches the whole group; the parent decides what becomes of this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    events = _claim_stdout()
    try:
        for event in _events(folder):
            events.write(json.dumps(event) + "\n")
            events.flush()
    # any error of a candidate is a result of the benchmark, told in its row
    except Exception as error:
        events.write(json.dumps({"event": "failed", "message": describe(error)}) + "\n")
        events.flush()
        return 1
    return 0


def describe(error: BaseException) -> str:
    """Return type and first line of an error, in at most 200 characters."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def _die_with_parent() -> None:
    # The parent holds the other end of this pipe and never writes to it. Not sys.stdin: its lock,
    # held here for ever, would abort the interpreter at its end.
    with contextlib.suppress(OSError):
        os.read(0, 1)
    os._exit(1)


def _claim_stdout() -> TextIO:
    """Keep standard output for events; prints of libraries, also in C, go to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    from mlfund._measure import current_memory_bytes, peak_memory_bytes, reset_peak_memory
    from mlfund.advisor.work import load_modules, perform

    with (folder / "data.pickle").open("rb") as file:
        data = pickle.load(file)
    with (folder / "work.pickle").open("rb") as file:
        work = pickle.load(file)
    load_modules(work)
    reset_peak_memory()
    before = current_memory_bytes()
    yield {"event": "ready"}
    with warnings.catch_warnings():
        # of the candidates' own training, such as "not converged": their scores tell it
        warnings.simplefilter("ignore")
        for event in perform(work, data):
            yield event | {"peak_memory_bytes": max(0, peak_memory_bytes() - before)}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
