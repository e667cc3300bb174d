"""Leakage audit: what in the data would make scores better than the model.

Each check is a small function from a `Case` to findings; all of them stand in `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from mlfund.advisor.profile import row_hashes
from mlfund.advisor.work import Data
from mlfund.folds import FoldPlan

SEVERITIES = ("critical", "warning", "note")

# Share of the target's variance that one column explains on rows it has not seen.
LEAK_SHARE = 0.98
CERTAIN_LEAK_SHARE = 0.999
ROW_ORDER_SHARE = 0.1
# Share of test rows with an identical twin among the training rows.
DUPLICATE_SHARE = 0.01
MANY_DUPLICATES_SHARE = 0.05
# Enough to see a near-perfect column, and 300 columns take two seconds.
MAX_ROWS = 3_000


@dataclass(frozen=True)
class Finding:
    """One thing the audit found.

    Attributes
    ----------
    code, severity : str
        Which check; one of `SEVERITIES`.
    columns : tuple of str
        Concerned columns; none where rows are concerned.
    message, fix : str
        What was found, and what to do.
    evidence : dict
        The numbers behind it.
    """

    code: str
    severity: str
    columns: tuple[str, ...]
    message: str
    fix: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What the checks look at."""

    data: Data
    plan: FoldPlan
    profile: dict[str, Any]
    seed: int


def audit(data: Data, plan: FoldPlan, profile: dict[str, Any], seed: int = 0) -> list[Finding]:
    """Run all checks, most severe findings first.

    Parameters
    ----------
    data : Data
        The table.
    plan : FoldPlan
        The folds every candidate shares.
    profile : dict
        Of `profile_table`.
    seed : int
        Of the drawn rows.
    """
    case = Case(data, plan, profile, seed)
    checks = IMAGE_CHECKS if data.images else CHECKS
    findings = [finding for check in checks for finding in check(case)]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def target_leaks(case: Case) -> Iterator[Finding]:
    """Find columns that tell the target by themselves (measured on rows they have not seen)."""
    rows, target = _drawn_rows(case)
    for j, name in enumerate(case.data.X.columns):
        share = explained_share(_as_numbers(case.data.X.iloc[rows, j]), target, case.seed)
        if share >= LEAK_SHARE:
            yield Finding(
                "target_leak",
                "critical" if share >= CERTAIN_LEAK_SHARE else "warning",
                (str(name),),
                f"Column {str(name)!r} alone explains {share:.1%} of the target on rows it has "
                "not seen.",
                f"If it is not known before the target is, leave it out (--ignore {name}).",
                {"explained_share": share, "rows": len(rows)},
            )


def row_order(case: Case) -> Iterator[Finding]:
    """Find out whether the position of a row in the file tells its target."""
    rows, target = _drawn_rows(case)
    share = explained_share(rows.astype(np.float64), target, case.seed)
    if share >= ROW_ORDER_SHARE:
        yield Finding(
            "row_order",
            "note",
            (),
            f"The order of the rows explains {share:.1%} of the target: they are sorted or were "
            "recorded over time.",
            "If rows follow each other in time, scores on shuffled folds are too good; "
            "judge on the latest rows instead.",
            {"explained_share": share, "rows": len(rows)},
        )


def identifiers(case: Case) -> Iterator[Finding]:
    """Name columns that identify rows instead of describing them."""
    features = {feature["name"]: feature for feature in case.profile["features"]}
    for name in case.profile["suspected_identifiers"]:
        yield Finding(
            "identifier",
            "warning",
            (name,),
            f"Column {name!r} has {features[name]['distinct']:,} different values in "
            f"{len(case.data.X):,} rows and seems to name rows.",
            f"Leave it out if it does not describe the row (--ignore {name}).",
            {"distinct": features[name]["distinct"], "rows": len(case.data.X)},
        )


def duplicates(case: Case) -> Iterator[Finding]:
    """Count test rows that have an identical twin, target included, in the training part."""
    hashes = row_hashes(case.data.X, case.data.y).to_numpy()
    train, test = case.plan[0]
    twins = int(np.isin(hashes[test], hashes[train]).sum())
    share = twins / len(test)
    if share >= DUPLICATE_SHARE:
        yield Finding(
            "duplicates",
            "warning" if share >= MANY_DUPLICATES_SHARE else "note",
            (),
            f"{share:.1%} of the test rows also stand, target included, among the training rows.",
            "If rows were copied, drop the copies; if different cases just look alike, "
            "nothing is wrong.",
            {"test_rows": len(test), "with_twin": twins, "share": share},
        )


def conflicts(case: Case) -> Iterator[Finding]:
    """Count rows that agree in all columns but not in the target."""
    if case.data.task != "classification":
        return
    same = row_hashes(case.data.X).to_numpy()
    table = pd.DataFrame({"row": same, "target": case.data.y})
    n_labels = table.groupby("row")["target"].transform("nunique")
    share = float((n_labels > 1).mean())
    if share >= DUPLICATE_SHARE:
        yield Finding(
            "conflicting_labels",
            "note",
            (),
            f"{share:.1%} of the rows equal another row in every column but have another label.",
            "No model can tell them apart: look for a column that does, or for wrong labels.",
            {"rows": int((n_labels > 1).sum()), "share": share},
        )


def constants(case: Case) -> Iterator[Finding]:
    """Name columns without information."""
    names = (*case.profile["constant_columns"], *case.profile["empty_columns"])
    if names:
        what = "column is" if len(names) == 1 else "columns are"
        yield Finding(
            "constant",
            "note",
            names,
            f"{len(names)} {what} empty or the same in every row.",
            "Leave them out of the file; the models do not use them.",
            {"columns": len(names)},
        )


def explained_share(feature: np.ndarray, target: np.ndarray, seed: int = 0) -> float:
    """Return the share of the target's variance that a tree on one feature explains.

    Two-fold cross-validated. With one 0/1 column a class as target this is the Brier skill
    score, so one number serves labels and numbers.

    Parameters
    ----------
    feature : ndarray of shape (n,)
        NaN is a value of its own.
    target : ndarray of shape (n, k)
        Numbers.
    """
    # Loaded where it is used: it brings scikit-learn's neighbours and linear models.
    from sklearn.tree import DecisionTreeRegressor

    predicted = np.empty_like(target)
    for train, test in KFold(2, shuffle=True, random_state=seed).split(feature):
        tree = DecisionTreeRegressor(min_samples_leaf=2, random_state=seed)
        tree.fit(feature[train, None], target[train])
        predicted[test] = tree.predict(feature[test, None]).reshape(len(test), -1)
    spread = ((target - target.mean(axis=0)) ** 2).sum()
    return float(1 - ((target - predicted) ** 2).sum() / spread) if spread > 0 else 0.0


def _drawn_rows(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows; return their positions and target columns."""
    n = len(case.data.X)
    rows = np.arange(n)
    if n > MAX_ROWS:
        rows = np.sort(np.random.default_rng(case.seed).choice(n, MAX_ROWS, replace=False))
    y = case.data.y[rows]
    if case.data.classes is None:
        return rows, y[:, None].astype(np.float64)
    return rows, (y[:, None] == case.data.classes).astype(np.float64)


def _as_numbers(column: pd.Series) -> np.ndarray:
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        values = column.to_numpy(np.float64, copy=True)
        values[~np.isfinite(values)] = np.nan
        # the tree computes in float32
        return np.clip(values, -1e38, 1e38)
    codes, _ = pd.factorize(column.astype(str).where(column.notna()), sort=True)
    return np.where(codes < 0, np.nan, codes).astype(np.float64)


CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    target_leaks,
    identifiers,
    duplicates,
    row_order,
    conflicts,
    constants,
)

# Pixels are no columns that could tell the target or name rows, and images lie in the order of
# their folders.
IMAGE_CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (duplicates, conflicts)
