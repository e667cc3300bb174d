"""Run a script or a module as `python` would, with nothing of this program in its sight."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

_NOT_OF_THE_SCRIPT = {__file__, runpy.__file__, "<frozen runpy>"}


def run_script(path: str, arguments: list[str]) -> None:
    """Run a file (or a folder or zip file with a `__main__`) as `python path arguments` does."""
    sys.argv[:] = [path, *arguments]
    if not sys.flags.safe_path and os.path.isfile(path):
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    _shown_as_its_own(lambda: runpy.run_path(path, run_name="__main__"))


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module as `python -m name arguments` does."""
    # runpy puts the file's path into sys.argv[0].
    sys.argv[:] = [name, *arguments]
    _shown_as_its_own(lambda: runpy.run_module(name, run_name="__main__", alter_sys=True))


def _shown_as_its_own(run: Callable[[], Any]) -> None:
    """Call `run`; an error ends Python as always, its traceback beginning in the script."""
    try:
        run()
    # Both leave Python by ways of their own: an exit code, a signal.
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        _end(error)


def _end(error: BaseException) -> NoReturn:
    trace = _from_the_script(error.__traceback__)
    # the hook of Python itself shows the error's own traceback, whatever it is given
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    raise SystemExit(1) from None


def _from_the_script(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the frames before the script's own."""
    while trace is not None and trace.tb_frame.f_code.co_filename in _NOT_OF_THE_SCRIPT:
        trace = trace.tb_next
    return trace
