"""Independent parts of a batch, each on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def in_threads(function: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Return what a function makes of each part, on as many threads as torch computes with.

    Within a part torch has one thread: parts need not wait for each other after every operation,
    as threads within an operation do. The number of threads is left as found.

    Parameters
    ----------
    function : callable
        Without gradients, and safe to be called by several threads.
    parts : sequence

    Returns
    -------
    results : list
        In the order of the parts.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(parts) < 2:
        with torch.no_grad():
            return [function(part) for part in parts]

    def run(part: T) -> R:
        # Whether gradients are recorded is said thread by thread.
        with torch.no_grad():
            return function(part)

    workers = min(n_threads, len(parts))
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(run, parts))
    finally:
        # The number is the process's for threads to come, and that of each thread that said it.
        torch.set_num_threads(n_threads)
