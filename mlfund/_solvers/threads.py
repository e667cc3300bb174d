"""One thread for small products: BLAS and torch alike, thread counts left as found."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator

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


def blas_threads() -> int:
    """Return on how many threads BLAS may run now; 1 where that is not known."""
    found = [lib for lib in _controller().lib_controllers if lib.user_api == "blas"]
    return min((int(lib.num_threads or 1) for lib in found), default=1)


@functools.cache
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes longer than a small fit; it is done once.
    return ThreadpoolController()
