"""The fastest setting of a competitor that reaches the wanted suboptimality.

The search runs in a process of its own, so that a fit without end can be ended. It counts
processor time, which for one thread is what a quiet machine would need.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import resource
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from time import process_time
from typing import Any

from benchmarks.linear.competitors import by_name
from benchmarks.linear.competitors._base import Competitor
from benchmarks.linear.objective import objective
from benchmarks.linear.problems import PROBLEMS, QUICK, Entry, Problem
from benchmarks.linear.threads import ONE_THREAD, one_thread

# The wanted objective / optimum - 1.
WANTED = 1e-6
# The search begins here: where most tolerances are a gradient's.
FIRST_TOLERANCE = 1e-4
MOST_TIMEOUTS = 2


@dataclass(frozen=True)
class Found:
    """What a search ends with.

    Attributes
    ----------
    setting : float or None
        The loosest that reaches `WANTED`; None where none does, and `why` tells the reason.
    seconds : float or None
        Processor time of that one fit.
    suboptimality : float or None
    why : str
    version : str
        Of the competitor's package.
    """

    setting: float | None
    seconds: float | None
    suboptimality: float | None
    why: str
    version: str


class TooSlow(Exception):
    """A fit took longer than the limit."""


class CompetitorFailed(Exception):
    """A competitor raised an error or took its process down."""


def version_of(module: str) -> str:
    """Return the version of the package that provides a module."""
    names = importlib.metadata.packages_distributions().get(module, [module])
    return importlib.metadata.version(names[0])


def loosest(
    trial: Callable[[float], tuple[float, float]],
    settings: Sequence[float],
    limit: float,
    first: float | None = None,
) -> tuple[float | None, float | None, float | None, str]:
    """Return (setting, seconds, suboptimality, why) of the loosest setting that suffices.

    `trial` takes a setting and returns seconds and suboptimality, or raises `TooSlow`.
    A bisection that begins at `first`: whatever suffices still suffices when it is tightened.
    """
    low, high = -1, len(settings)
    found: tuple[float | None, float | None, float | None] = (None, None, None)
    why, timeouts, best = "", 0, float("inf")
    hinted = first in settings
    begin = first if hinted else FIRST_TOLERANCE
    i = settings.index(begin) if begin in settings else high // 2
    while high - low > 1 and timeouts < MOST_TIMEOUTS:
        try:
            seconds, suboptimality = trial(settings[i])
        except TooSlow:
            timeouts += 1
            why = why or f"> {limit:g} s"
            high = i
        else:
            best = min(best, suboptimality)
            if suboptimality <= WANTED:
                high, found = i, (settings[i], seconds, suboptimality)
            else:
                low = i
        # What suffices on a smaller problem is nearly right: a walk from there is shorter.
        step = high - 1 if high == i else low + 1
        i = step if hinted else (low + high) // 2
    if found[0] is not None:
        return *found, ""
    return *found, why or f"ends at {best:.0e}"


def search(
    competitor: Competitor, worker: Worker, entry: Entry, first: float | None = None
) -> Found:
    """Return the fastest setting of a competitor on the worker's problem, beginning at `first`."""
    version = version_of(competitor.module)
    try:
        settings = competitor.settings[:: entry.stride]
        trial = partial(worker.trial, competitor.name)
        found = loosest(trial, settings, entry.limit_seconds, first)
    except CompetitorFailed as error:
        return Found(None, None, None, str(error)[:200], version)
    return Found(*found, version)


class Worker:
    """A process that fits competitors on one problem; it is ended when a fit takes too long.

    Parameters
    ----------
    problem : str
        Name of the problem.
    optimum : float
    limit : float
        Seconds of processor time for one fit.
    """

    def __init__(self, problem: str, optimum: float, limit: float):
        self._arguments = (problem, optimum, limit)
        self._process: Any = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error) -> None:
        self._end()

    def trial(self, competitor: str, setting: float) -> tuple[float, float]:
        """Return seconds and suboptimality of a fit."""
        if self._process is None:
            self._start()
        # Imports and compilation are not part of a fit.
        self._ask(competitor, None)
        return self._ask(competitor, setting)

    def _start(self) -> None:
        os.environ.update(ONE_THREAD)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(*self._arguments, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def _ask(self, competitor: str, setting: float | None) -> Any:
        self._connection.send((competitor, setting))
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self._end()
            if code == -signal.SIGXCPU:
                raise TooSlow from None
            raise CompetitorFailed(f"the process ended with {code}") from None
        if isinstance(answer, str):
            raise CompetitorFailed(answer)
        return answer

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def _serve(problem_name: str, optimum: float, limit: float, connection) -> None:
    problem = {**PROBLEMS, **QUICK}[problem_name].make()
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:
            try:
                name, setting = connection.recv()
            except EOFError:
                return
            try:
                if setting is None:
                    warm_up(by_name(name), problem)
                    connection.send(None)
                else:
                    _limit_processor_time(limit)
                    connection.send(measure(by_name(name), problem, setting, optimum))
                    _limit_processor_time(None)
            except Exception as error:
                connection.send(f"{type(error).__name__}: {error}")


def _limit_processor_time(seconds: float | None) -> None:
    """Let the system end this process when it has computed for so many seconds more."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    soft = most if seconds is None else round(process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, most))


def warm_up(competitor: Competitor, problem: Problem) -> None:
    """Fit a few rows, so that everything is imported and compiled."""
    few = Problem(problem.X[:2000], problem.y[:2000], problem.C, problem.l1)
    competitor.fit(few, competitor.settings[0])


def measure(competitor: Competitor, problem: Problem, setting: float, optimum: float):
    """Return processor seconds and suboptimality of one fit."""
    start = process_time()
    W = competitor.fit(problem, setting)
    seconds = process_time() - start
    return seconds, objective(problem, W) / optimum - 1


def as_json(found: Found) -> dict[str, Any]:
    """Return what was found as it is stored."""
    return asdict(found)
