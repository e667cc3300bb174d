"""Run a script or a module as `python` would, with nothing of this program in its sight."""

from __future__ import annotations

import io
import os
import runpy
import sys
import zipfile
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType
from typing import Any, NoReturn

_NOT_OF_THE_SCRIPT = {__file__, runpy.__file__, "<frozen runpy>"}


def run_script(path: str, arguments: list[str]) -> None:
    """Run a file as `python path arguments` does, or a folder or zip file with a `__main__`."""
    sys.argv[:] = [path, *arguments]
    if os.path.isdir(path) or zipfile.is_zipfile(path):
        sys.path[0] = path
        _shown_as_its_own(lambda: _run_as_main("__main__", alter_argv=False))
        return
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    # as Python itself says it, wherever the script may change to
    _shown_as_its_own(lambda: _run_file(os.path.abspath(path)))


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module as `python -m name arguments` does."""
    # runpy puts the file's path into sys.argv[0].
    sys.argv[:] = [name, *arguments]
    _shown_as_its_own(lambda: _run_as_main(name, alter_argv=True))


def _fresh_main(**attributes: Any) -> dict[str, Any]:
    """Put a new `__main__` in the place of ours, and leave it: threads may outlive the script."""
    main = ModuleType("__main__")
    vars(main).update(__builtins__=__builtins__, **attributes)
    sys.modules["__main__"] = main
    return vars(main)


def _run_file(path: str) -> None:
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec")
    loader = SourceFileLoader("__main__", path)
    exec(code, _fresh_main(__file__=path, __loader__=loader, __cached__=None))


def _run_as_main(name: str, *, alter_argv: bool) -> None:
    _fresh_main()
    # What `python -m` itself calls, though the type stubs leave it out; the public run_module
    # takes its `__main__` away at the end.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


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
