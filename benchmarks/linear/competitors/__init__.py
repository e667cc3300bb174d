"""The competitors: one file a package, one row a solver."""

from __future__ import annotations

from benchmarks._harness import installed
from benchmarks.linear.competitors import (
    celer_l1,
    cyanure_auto,
    glum_irls,
    intelex_lbfgs,
    mlfund_solvers,
    skglm_l1,
    sklearn_solvers,
    snapml_solvers,
)
from benchmarks.linear.competitors._base import Competitor
from benchmarks.linear.problems import Problem

COMPETITORS: tuple[Competitor, ...] = (
    *mlfund_solvers.COMPETITORS,
    *sklearn_solvers.COMPETITORS,
    *snapml_solvers.COMPETITORS,
    *intelex_lbfgs.COMPETITORS,
    *cyanure_auto.COMPETITORS,
    *glum_irls.COMPETITORS,
    *skglm_l1.COMPETITORS,
    *celer_l1.COMPETITORS,
)


def by_name(name: str) -> Competitor:
    """Return a competitor."""
    return next(item for item in COMPETITORS if item.name == name)


def missing() -> list[str]:
    """Return the names of the packages that are not installed."""
    modules = dict.fromkeys(item.module for item in COMPETITORS)
    return [module for module in modules if not installed(module)]


def entrants(problem: Problem) -> list[Competitor]:
    """Return the competitors that are installed and solve this problem."""
    return [item for item in COMPETITORS if installed(item.module) and item.applies(problem)]
