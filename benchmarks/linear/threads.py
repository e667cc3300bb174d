"""One thread for everybody, and how fast it reads memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks._harness import installed

VARIABLES = ("OMP", "MKL", "OPENBLAS", "NUMBA")
# For processes that have not started yet.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in VARIABLES}


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP, torch and oneDAL to one thread."""
    before = torch.get_num_threads()
    if installed("sklearnex"):
        import daal4py

        daal4py.daalinit(1)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def read_bandwidth(megabytes: int = 400, repeats: int = 7) -> float:
    """Return the bytes that one thread reads from memory in a second.

    The product of a long vector with itself reads it once and hardly computes; the best
    of a few repetitions counts.
    """
    values = np.ones(megabytes * 1_000_000 // 4, dtype=np.float32)
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        np.dot(values, values)
        seconds.append(perf_counter() - start)
    return values.nbytes / min(seconds)
