"""Time, memory and size of what runs, and the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

__all__ = [
    "current_memory_bytes",
    "latency_ms",
    "machine",
    "model_bytes",
    "peak_memory_bytes",
    "reset_peak_memory",
]

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

# Each library with the distributions that provide it, in order of preference.
_LIBRARIES = {
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "pandas": ("pandas",),
    "scikit-learn": ("scikit-learn",),
    "torch": ("torch",),
    "skorch": ("skorch",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "mlfund": ("mlfund",),
}


def peak_memory_bytes() -> int:
    """Return the largest resident size this process has had, in bytes.

    On Linux it counts from the start of the process or from the last
    `reset_peak_memory`; elsewhere always from the start.

    Returns
    -------
    peak : int
        Bytes of physical memory, shared pages included.

    Examples
    --------
    >>> peak_memory_bytes() > 1_000_000
    True
    """
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    return _resource_peak_bytes()


def current_memory_bytes() -> int:
    """Return the resident size of this process now, in bytes.

    Where the system tells only the peak, that is what is returned.

    Returns
    -------
    resident : int
        Bytes of physical memory, shared pages included.

    Examples
    --------
    >>> current_memory_bytes() > 1_000_000
    True
    """
    now = _status_bytes("VmRSS")
    if now is not None:
        return now
    return _resource_peak_bytes()


def reset_peak_memory() -> bool:
    """Let the peak of `peak_memory_bytes` start again from the size of now.

    Returns
    -------
    reset : bool
        False where the system cannot do it (any but Linux, and containers that
        protect ``/proc``): there the peak goes on counting from the start of the
        process, and only a fresh process measures one task.

    Examples
    --------
    >>> reset_peak_memory() in (True, False)
    True
    """
    try:
        # "5" resets VmHWM to the current resident size (Linux 4.0, proc(5))
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _status_bytes(field: str) -> int | None:
    """Read one size of /proc/self/status, which the kernel gives in kibibytes."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def _resource_peak_bytes() -> int:
    if sys.platform == "win32":
        raise OSError("This system does not report the memory of a process: use Linux or macOS.")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # bytes on macOS, kibibytes elsewhere (getrusage(2) of each)
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def latency_ms(
    function: Callable[[], Any], repeats: int = 200, warmup: int = 10
) -> dict[str, float]:
    """Measure how long one call of a function takes.

    Parameters
    ----------
    function : callable without arguments
        What to time, for example ``lambda: model.predict_proba(one_row)``.
    repeats : int, default=200
        Number of timed calls, at least 1.
    warmup : int, default=10
        Number of calls before, not timed: the first ones pay for caches and
        lazy imports.

    Returns
    -------
    quantiles : dict
        ``"p50"``, ``"p95"`` and ``"p99"`` of the calls, in milliseconds.

    Raises
    ------
    ValueError
        If `repeats` is below 1 or `warmup` below 0.

    Examples
    --------
    >>> sorted(latency_ms(lambda: sum(range(100)), repeats=20))
    ['p50', 'p95', 'p99']
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(
            f"repeats={repeats}, warmup={warmup} are not allowed. "
            "Give repeats >= 1 and warmup >= 0."
        )
    for _ in range(warmup):
        function()
    elapsed = np.empty(repeats)
    for i in range(repeats):
        start = perf_counter_ns()
        function()
        elapsed[i] = perf_counter_ns() - start
    p50, p95, p99 = np.percentile(elapsed / 1e6, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}


class _CountingFile:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: Any) -> int:
        # pickle protocol 5 hands over large arrays as PickleBuffer
        written = memoryview(data).nbytes
        self.size += written
        return written


def model_bytes(estimator: Any) -> int:
    """Return the size of an estimator as a pickle, in bytes.

    Parameters
    ----------
    estimator : object
        Anything that can be pickled. Nothing is kept in memory or written.

    Returns
    -------
    size : int
        Bytes of the highest pickle protocol.

    Examples
    --------
    >>> import numpy as np
    >>> 8_000 < model_bytes(np.zeros(1_000)) < 8_300
    True
    """
    file = _CountingFile()
    pickle.Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(estimator)
    return file.size


def machine() -> dict[str, Any]:
    """Describe the machine and the library versions, for a stored result.

    Returns
    -------
    description : dict
        ``cpu`` (model), ``cores`` (those this process may use),
        ``memory_bytes``, ``load_average`` (1, 5 and 15 minutes, None where
        unknown), ``os``, ``python``, and ``versions`` (library to version, None
        where it is not installed). It names neither the host nor a path, and
        imports none of the libraries.

    Examples
    --------
    >>> sorted(machine())
    ['cores', 'cpu', 'load_average', 'memory_bytes', 'os', 'python', 'versions']
    """
    return {
        "cpu": _cpu_model(),
        "cores": _usable_cores(),
        "memory_bytes": _total_memory_bytes(),
        "load_average": _load_average(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version_of(name) for name in _LIBRARIES},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _usable_cores() -> int:
    # joblib also knows the CPU quota of a container, os.cpu_count does not
    import joblib

    return int(joblib.cpu_count())


def _total_memory_bytes() -> int | None:
    try:
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None


def _load_average() -> list[float] | None:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):
        return None


def _version_of(library: str) -> str | None:
    for distribution in _LIBRARIES[library]:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
