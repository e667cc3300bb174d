"""Checks of arguments, devices and seeds, and the wording of errors.

One sentence an error: what was given, what is allowed, what to do about it.

torch and scikit-learn are imported where they are used: the command line reports a
file that is not there without waiting seconds for them.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import numbers
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

# Below this many floating-point operations per parallel region, waking a second
# thread costs more than it saves (4-8 ms per region on a busy machine).
SINGLE_THREAD_FLOP = 1e7


class DataError(ValueError):
    """The data cannot be used as given; the message is one sentence for a person."""


def nearest(value: object, allowed: Iterable[object]) -> str | None:
    """Return the allowed name most like `value`, or None when none is similar.

    Upper and lower case, underscores, hyphens and blanks are taken as alike.
    """

    def simple(name: object) -> str:
        return str(name).lower().replace("-", "_").replace(" ", "_")

    by_simple_name = {simple(name): str(name) for name in allowed}
    matches = difflib.get_close_matches(simple(value), by_simple_name, n=1, cutoff=0.6)
    return by_simple_name[matches[0]] if matches else None


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return `value` if it is one of `allowed`, else raise with the nearest name.

    Examples
    --------
    >>> check_choice("optimizer", "adm", ["adam", "sgd"])
    Traceback (most recent call last):
        ...
    ValueError: optimizer='adm' is not known; allowed are 'adam', 'sgd'. Did you mean 'adam'?
    """
    allowed = list(allowed)
    if any(type(value) is type(choice) and value == choice for choice in allowed):
        return value
    message = f"{name}={value!r} is not known; allowed are {', '.join(map(repr, allowed))}."
    suggestion = nearest(value, [choice for choice in allowed if isinstance(choice, str)])
    if suggestion is not None:
        message += f" Did you mean {suggestion!r}?"
    raise ValueError(message)


def check_positive(name: str, value: Any, *, zero: bool = False, integer: bool = False) -> Any:
    """Return `value` if it is a finite number above 0 (or from 0 on with `zero`)."""
    kind = numbers.Integral if integer else numbers.Real
    ok = isinstance(value, kind) and not isinstance(value, bool) and np.isfinite(float(value))
    if not ok or float(value) < 0 or (value == 0 and not zero):
        what = "an integer" if integer else "a finite number"
        least = "at least 0" if zero else "greater than 0"
        raise ValueError(f"{name} must be {what} {least}; got {value!r}.")
    return value


def check_fraction(name: str, value: Any) -> float:
    """Return `value` if it lies strictly between 0 and 1."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 < float(value) < 1:
        raise ValueError(f"{name} must be a number strictly between 0 and 1; got {value!r}.")
    return float(value)


def require(module: str, extra: str) -> ModuleType:
    """Import `module`; when it is missing, name the extra of mlfund that brings it.

    Raises
    ------
    ImportError
        If the module is not installed or breaks on import.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        # RuntimeError: torchvision beside another build of torch.
        raise ImportError(
            f"{module} is needed here and could not be imported ({error}); "
            f"install it with: pip install 'mlfund[{extra}]'."
        ) from error


def stacklevel_outside() -> int:
    """Return the `stacklevel` of `warnings.warn` that names the user's line.

    That is the nearest line of no package that stands between a user and mlfund.
    """
    frame, level = inspect.currentframe(), 0
    while frame is not None and _is_between(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return max(level, 1)


def _is_between(module: str) -> bool:
    # torch wraps what runs without gradients.
    packages = ("mlfund", "sklearn", "skorch", "joblib", "torch", "contextlib")
    return module.split(".")[0] in packages


def seed_from(random_state: int | np.random.RandomState | None) -> int:
    """Return an integer seed in [0, 2**31 - 1); an instance is advanced by one draw."""
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Return the torch device that `device` names.

    Parameters
    ----------
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"}, torch.device or None
        None means the CPU; "auto" takes an accelerator when there is one.

    Raises
    ------
    ValueError
        If the name is unknown or this machine has no such device.
    """
    import torch

    if device is None:
        return torch.device("cpu")
    if device == "auto":
        return torch.device(_best_device())
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not known; "
            "allowed are 'cpu', 'cuda', 'cuda:N', 'mps' and 'auto'."
        ) from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(
            f"device={device!r} is not here: torch {torch.__version__} sees {found} CUDA devices; "
            "use device='auto' or 'cpu'."
        )
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device={device!r} is not here; use device='auto' or 'cpu'.")
    return resolved


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextlib.contextmanager
def preserved_torch_state() -> Iterator[None]:
    """Leave torch's random state, thread count and default dtype as they were found."""
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


@contextlib.contextmanager
def limited_threads(n_flop: float) -> Iterator[None]:
    """Run on one torch thread when the work of one step is under the break-even.

    Parameters
    ----------
    n_flop : float
        Floating-point operations between two synchronisations (one batch, one product).
    """
    import torch

    threads = torch.get_num_threads()
    if n_flop >= SINGLE_THREAD_FLOP or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
