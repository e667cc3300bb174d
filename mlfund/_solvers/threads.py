"""One thread for small products: BLAS and torch alike, thread counts left as found."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

from mlfund._check import SINGLE_THREAD_FLOP, limited_threads


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
    with limited_threads(n_flop), _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes longer than a small fit; it is done once.
    return ThreadpoolController()
