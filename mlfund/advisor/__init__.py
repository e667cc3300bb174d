"""The advisor: profile, leakage audit, shared folds, candidates, statistics, rules, advice.

Names resolve on first use (PEP 562), so that reading a file or printing help loads no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME_OF = {
    "Advice": "mlfund.advisor.advice",
    "AdvisorClassifier": "mlfund.advisor.estimator",
    "AdvisorRegressor": "mlfund.advisor.estimator",
    "ProgressEvent": "mlfund.advisor.progress",
    "advise": "mlfund.advisor.advising",
}

__all__ = ["Advice", "AdvisorClassifier", "AdvisorRegressor", "ProgressEvent", "advise"]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mlfund.advisor' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, resolved or not."""
    return sorted({*globals(), *_HOME_OF})
