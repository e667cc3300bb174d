"""One thread for small products: BLAS and torch alike, thread counts left as found."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from contextvars import ContextVar

from threadpoolctl import ThreadpoolController

from mlfund._check import SINGLE_THREAD_FLOP, limited_threads
from mlfund._solvers.products import DETOUR_ENTRIES


@contextlib.contextmanager
def threads_for(n_flop: float) -> Iterator[None]:
    """Run on one thread when a product takes fewer operations than waking a second is worth.

    Parameters
    ----------
    n_flop : float
        Floating-point operations of one product with X.
    """
    if n_flop >= SINGLE_THREAD_FLOP:
        yield
        return
    with _torch_limit(n_flop), _controller().limit(limits=1, user_api="blas"):
        yield


def _torch_limit(n_flop: float) -> contextlib.AbstractContextManager[None]:
    # Smaller products than these are numpy's alone: torch need not be loaded for them.
    if n_flop < 2 * DETOUR_ENTRIES and "torch" not in sys.modules:
        return contextlib.nullcontext()
    return limited_threads(n_flop)


# What BLAS might use before `quiet_blas` left it one thread.
_allowed: ContextVar[int | None] = ContextVar("_allowed", default=None)


@contextlib.contextmanager
def quiet_blas() -> Iterator[None]:
    """Run BLAS on one thread, and leave its threads to the compiled loops.

    A thread of BLAS that waits for its next product is busy waiting, at the cost of whoever
    has work: on two cores a fit of 100,000 x 100 took 0.19 s with two threads of BLAS, and
    0.11 s with one; of ten classes, 20,000 x 200, 0.48 and 0.29 s.
    """
    token = _allowed.set(blas_threads())
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _allowed.reset(token)


def blas_threads() -> int:
    """Return on how many threads compiled loops may run now, as BLAS might; 1 if not known."""
    allowed = _allowed.get()
    if allowed is not None:
        return allowed
    found = [lib for lib in _controller().lib_controllers if lib.user_api == "blas"]
    return min((int(lib.num_threads or 1) for lib in found), default=1)


@functools.cache
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes longer than a small fit; it is done once.
    return ThreadpoolController()
