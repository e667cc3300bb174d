"""The settings of the competitors, found once and stored beside the code.

A search takes minutes for a slow competitor; what it finds does not depend on the load of
the machine, but for a limit that is exceeded. ``python -m benchmarks.linear --search``
searches anew, on all problems or those named. mlfund is searched in each run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.linear import search
from benchmarks.linear.competitors import entrants, mlfund_solvers
from benchmarks.linear.competitors._base import Competitor
from benchmarks.linear.objective import certified_gap, objective
from benchmarks.linear.problems import PROBLEMS, Problem
from mlfund._files import atomic_write

PATH = Path(__file__).with_name("settings.json")
# Competitors that take more than this times the fastest of the others are timed once, and on a
# larger problem of the kind not at all.
FAR_SLOWER = 4.0
# The reference is as good as this, which is proven and not assumed.
CERTIFIED = 1e-8


def stored() -> dict[str, Any]:
    """Return what is stored: problem -> {"optimum", "competitors"}."""
    return json.loads(PATH.read_text()) if PATH.is_file() else {}


def optimum_of(problem: Problem) -> dict[str, float]:
    """Return the least value of the objective, and a bound on its relative error.

    mlfund finds it, at a tolerance out of reach for the race; the bound comes from strong
    convexity or duality and trusts no solver.
    """
    for tolerance in (3e-9, 3e-10, 3e-11, 1e-12, 1e-13):
        W = mlfund_solvers.fit(problem, tolerance)
        gap = certified_gap(problem, W)
        if gap <= CERTIFIED:
            return {"value": objective(problem, W), "certified_gap": gap}
    raise RuntimeError(f"the reference is only proven to {gap:.0e}, and {CERTIFIED:g} is needed.")


def renew(name: str, *, only_missing: bool = True) -> dict[str, Any]:
    """Search the settings of all competitors but mlfund on a problem, and store them."""
    entry = PROBLEMS[name]
    problem = entry.make()
    known = stored().get(name, {})
    optimum = known.get("optimum") or optimum_of(problem)
    settings = known.get("competitors", {}) if only_missing else {}
    wanted = [c for c in entrants(problem) if c.module != "mlfund"]
    wanted = [c for c in wanted if _version(settings, c) != search.version_of(c.module)]
    hints = stored().get(entry.like, {}).get("competitors", {})
    with search.Worker(name, optimum["value"], entry.limit_seconds) as worker:
        for competitor in wanted:
            hint = hints.get(competitor.name, {})
            if entry.like and hint and _hopeless(hint, hints):
                found = _not_tried(competitor, entry.like)
            else:
                found = search.search(competitor, worker, entry, hint.get("setting"))
            print(f"{name}: {competitor.name}: {found}", file=sys.stderr, flush=True)
            settings[competitor.name] = search.as_json(found)
            _store(name, {"optimum": optimum, "competitors": settings})
    return {"optimum": optimum, "competitors": settings}


def _hopeless(found: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether a competitor came far behind the best one, or did not get there at all."""
    if found["setting"] is None:
        return True
    best = min(other["seconds"] for other in others.values() if other["setting"] is not None)
    return found["seconds"] > FAR_SLOWER * best


def _not_tried(competitor: Competitor, like: str) -> search.Found:
    why = f"not tried: far behind on {like}"
    return search.Found(None, None, None, why, search.version_of(competitor.module))


def _version(settings: dict[str, Any], competitor: Competitor) -> str | None:
    return settings.get(competitor.name, {}).get("version")


def _store(name: str, found: dict[str, Any]) -> None:
    everything = {**stored(), name: found}
    with atomic_write(PATH, "w") as file:
        file.write(json.dumps(everything, indent=1) + "\n")
