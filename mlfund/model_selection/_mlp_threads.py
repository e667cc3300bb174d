"""Large stacks in several threads, each with products on one thread of its own.

Two threads on one small product gain less than two products side by side. 80 models in batches
of 200 on two cores, medians of 5 in seconds, one stack on two threads and one on each: nets
50-16-2 0.48 and 0.58, 50-64-2 1.16 and 1.06, 784-128-10 3.19 and 2.53; 8 of 100-512-512-2 took
1.12 and 1.0 x what two processes take for them one by one.
"""

from __future__ import annotations

import enum
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch

from mlfund._engine.replicas import Replica, Stack, Trained, train_replicas

# Work of a step of all models that a thread should have: below it, threads wait for Python.
FLOP_OF_THREAD = 1e8

Report = Callable[[int, int], object]


def train_in_threads(
    stack: Stack,
    replicas: Sequence[Replica],
    *,
    memory_limit: int | None = None,
    report: Report | None = None,
) -> Iterator[tuple[int, Trained]]:
    """Train as `train_replicas` does, large stacks on a CPU divided among torch's threads."""
    n_threads = _n_threads(stack, replicas)
    if n_threads == 1:
        yield from train_replicas(stack, replicas, memory_limit=memory_limit, report=report)
        return
    limit = None if memory_limit is None else memory_limit // n_threads
    before = torch.get_num_threads()
    # Known to the threads that start from here on.
    torch.set_num_threads(1)
    work = _Divided(stack, replicas, n_threads, limit, report)
    try:
        yield from work.results()
    finally:
        work.stop()
        torch.set_num_threads(before)


def _n_threads(stack: Stack, replicas: Sequence[Replica]) -> int:
    """Return how many threads the work of a step is enough for."""
    if torch.device(stack.device).type != "cpu":
        return 1
    n_weights = sum(layer.size for layer in replicas[0].coefs)
    enough = 6.0 * stack.batch_size * n_weights * len(replicas) // FLOP_OF_THREAD
    return int(max(1, min(torch.get_num_threads(), len(replicas), enough)))


class _Stopped(Exception):
    """Ends a thread whose results nobody waits for any more."""


class _Told(enum.Enum):
    """What a thread tells beside results and errors."""

    EPOCH = enum.auto()
    END = enum.auto()


class _Divided:
    """Replicas in several threads, those of one stream together as far as possible."""

    def __init__(
        self,
        stack: Stack,
        replicas: Sequence[Replica],
        n_threads: int,
        memory_limit: int | None,
        report: Report | None,
    ) -> None:
        self.stack, self.replicas = stack, replicas
        self.memory_limit, self.report = memory_limit, report
        order = sorted(range(len(replicas)), key=lambda number: replicas[number].stream)
        cuts = [len(order) * i // n_threads for i in range(n_threads + 1)]
        self._parts = [order[first:last] for first, last in pairwise(cuts)]
        self._alive = [len(part) for part in self._parts]
        self._told: queue.Queue[tuple[int, Trained] | BaseException | _Told] = queue.Queue()
        self._asked_to_stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(place,), daemon=True)
            for place in range(n_threads)
        ]

    def results(self) -> Iterator[tuple[int, Trained]]:
        """Yield number and outcome of each replica; raise what a thread raised."""
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        while running:
            told = self._told.get()
            if isinstance(told, BaseException):
                raise told
            if isinstance(told, tuple):
                yield told
            elif told is _Told.END:
                running -= 1
            elif self.report is not None:
                self.report(sum(self._alive), len(self.replicas))

    def stop(self) -> None:
        """End the threads after the epochs they are in, and wait for that."""
        self._asked_to_stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self, place: int) -> None:
        part = self._parts[place]
        members = [self.replicas[number] for number in part]

        def after_epoch(alive: int, total: int) -> None:
            if self._asked_to_stop.is_set():
                raise _Stopped
            self._alive[place] = alive
            self._told.put(_Told.EPOCH)

        try:
            for number, trained in train_replicas(
                self.stack, members, memory_limit=self.memory_limit, report=after_epoch
            ):
                self._told.put((part[number], trained))
            self._told.put(_Told.END)
        except _Stopped:
            return
        # Raised again where somebody can catch it.
        except BaseException as error:
            self._told.put(error)
