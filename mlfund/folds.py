"""Fold plans: which rows train and which rows test, decided once and shared by all.

A plan respects classes, groups and time, is reproducible from its seed, and says in
plain words where the data forced it to depart from what was asked.

Examples
--------
>>> import numpy as np
>>> from mlfund.folds import FoldPlan
>>> y = np.array([0, 1] * 10)
>>> plan = FoldPlan.make(y, task="classification", n_folds=5, random_state=0)
>>> plan.kind, len(plan)
('stratified', 5)
>>> train, test = plan[0]
>>> len(train), y[test].tolist().count(1)
(16, 2)
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from mlfund import _fold_rules as rules
from mlfund._check import check_choice, check_fraction, check_positive, seed_from

Kind = Literal["stratified", "kfold", "group", "stratified_group", "time", "holdout"]
RandomState = int | np.random.RandomState | None

TASKS = ("classification", "binary", "multiclass", "multilabel", "regression")
_SINGLE_LABEL = frozenset({"classification", "binary", "multiclass"})


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """A fixed division of rows into training and test parts.

    Iterating yields pairs of row positions ``(train, test)``, repeat by repeat, so a
    plan serves as ``cv=`` of scikit-learn's functions. Make one with `make` or
    `holdout`.

    Parameters
    ----------
    kind : {"stratified", "kfold", "group", "stratified_group", "time", "holdout"}
        The rule that made it.
    n_folds, n_repeats : int
        Test parts a repeat, and repeats with another shuffle.
    seed : int
        What the shuffles were drawn from.
    notes : tuple of str
        One sentence for each departure from what was asked.
    test_fold : ndarray of shape (n_repeats, n_rows), int32
        The fold that tests a row; -1 for rows that only train. Read-only.
    """

    kind: Kind
    n_folds: int
    n_repeats: int
    seed: int
    notes: tuple[str, ...]
    test_fold: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        self.test_fold.setflags(write=False)

    def __len__(self) -> int:
        return self.n_folds * self.n_repeats

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"The plan has {len(self)} splits; there is none of index {index}.")
        repeat, fold = divmod(index % len(self), self.n_folds)
        test_fold = self.test_fold[repeat]
        # A forward plan trains on what comes before only.
        trains = test_fold < fold if self.kind == "time" else test_fold != fold
        return np.flatnonzero(trains), np.flatnonzero(test_fold == fold)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self[index] for index in range(len(self)))

    @property
    def n_rows(self) -> int:
        """Return the number of rows that the plan divides."""
        return int(self.test_fold.shape[1])

    @functools.cached_property
    def test_fraction(self) -> float:
        """Return the mean over splits of test rows / (training + test rows)."""
        return float(np.mean([len(test) / (len(train) + len(test)) for train, test in self]))

    def to_dict(self) -> dict[str, Any]:
        """Return what describes the plan, for a report; plain Python types only."""
        return {
            "kind": self.kind,
            "n_folds": self.n_folds,
            "n_repeats": self.n_repeats,
            "n_rows": self.n_rows,
            "seed": self.seed,
            "test_fraction": self.test_fraction,
            "notes": list(self.notes),
        }

    @classmethod
    def make(
        cls,
        y: Any,
        *,
        task: str,
        n_folds: int = 5,
        n_repeats: int = 1,
        groups: Any = None,
        time_order: Any = None,
        random_state: RandomState = None,
    ) -> FoldPlan:
        """Divide rows into folds for cross-validation.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, k)
            Targets; labels of any type for classification.
        task : {"classification", "binary", "multiclass", "multilabel", "regression"}
            Folds of the first three are stratified by class.
        n_folds : int, default=5
            Test parts, at least 2. Fewer result, with a note, where a class has fewer
            rows, or there are fewer groups or moments. A row that is alone in its class
            only trains.
        n_repeats : int, default=1
            Repeats, each with a shuffle of its own.
        groups : array-like of shape (n,), optional
            Rows of one group are never on both sides.
        time_order : array-like of shape (n,), optional
            A number or date a row. Every test row is later than all its training rows,
            and rows of one moment stay together; each fold trains on all that came
            before it.
        random_state : int, RandomState or None
            Seed of the shuffles.

        Raises
        ------
        ValueError
            If both groups and time_order are given, a length does not match, a
            parameter is out of range, or the data do not allow two folds.
        """
        target = _check_target(y, task)
        check_positive("n_repeats", n_repeats, integer=True)
        if check_positive("n_folds", n_folds, integer=True) < 2:
            raise ValueError(f"n_folds must be at least 2; got {n_folds}.")
        if groups is not None and time_order is not None:
            raise ValueError("groups and time_order cannot be combined; give one of them.")
        notes = _Notes()
        seed = seed_from(random_state)
        if time_order is not None:
            moments = rules.ranks("time_order", time_order, len(target))
            n_folds = notes.reduced(n_folds, int(moments.max()), "moments after the first")
            if n_repeats > 1:
                notes.add("A division by time cannot be repeated: n_repeats is 1.")
            folds = rules.forward_folds(moments, n_folds)[None]
            return cls("time", n_folds, 1, seed, notes.all(), folds)
        deal, n_folds = _shuffled_plan(target, task, n_folds, groups, notes)
        seeds = np.random.RandomState(seed).randint(2**31 - 1, size=n_repeats)
        test_fold = np.stack([deal(n_folds, int(one), notes) for one in seeds])
        return cls(deal.kind, n_folds, n_repeats, seed, notes.all(), test_fold)

    @classmethod
    def holdout(
        cls,
        y: Any,
        *,
        task: str,
        fraction: float = 0.1,
        groups: Any = None,
        time_order: Any = None,
        random_state: RandomState = None,
    ) -> FoldPlan:
        """Set a part of the rows aside, as an internal validation split.

        Parameters
        ----------
        y, task, groups, time_order, random_state
            As for `make`.
        fraction : float, default=0.1
            Share of the rows to hold out, in (0, 1): rounded up, by class where the
            task is classification. Every class keeps a row to train on. Whole groups
            are drawn so as to come near the share and the mix of classes; by time
            the latest rows are held out.

        Returns
        -------
        FoldPlan
            Of kind "holdout" with one split: ``train, valid = plan[0]``.

        Raises
        ------
        ValueError
            If no row can be held out and as for `make`.

        Examples
        --------
        >>> train, valid = FoldPlan.holdout([0, 0, 0, 1, 1, 1], task="binary", fraction=0.3)[0]
        >>> len(train), len(valid)
        (4, 2)
        """
        target = _check_target(y, task)
        check_fraction("fraction", fraction)
        if groups is not None and time_order is not None:
            raise ValueError("groups and time_order cannot be combined; give one of them.")
        seed = seed_from(random_state)
        rng = np.random.RandomState(seed)
        codes = _class_codes(target, task)
        if time_order is not None:
            moments = rules.ranks("time_order", time_order, len(target))
            held_out = rules.latest_rows(moments, fraction)
        elif groups is not None:
            group = rules.ranks("groups", groups, len(target))
            held_out = rules.held_out_groups(group, codes, fraction, rng)
        else:
            held_out = rules.held_out_rows(codes, fraction, rng)
        test_fold = np.where(held_out, 0, -1).astype(np.int32)[None]
        return cls("holdout", 1, 1, seed, (), test_fold)


class _Notes:
    """Collects the departures of a plan from what was asked."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def add(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)

    def reduced(self, n_folds: int, available: int, what: str) -> int:
        """Return how many folds there can be, with a note when that is fewer."""
        if available < 2:
            raise ValueError(
                f"At least 2 {what} are needed to make folds; found {available}. "
                "Give more rows or use a single holdout."
            )
        if available < n_folds:
            self.add(f"Folds reduced from {n_folds} to {available}: only {available} {what}.")
        return min(n_folds, available)

    def all(self) -> tuple[str, ...]:
        return tuple(self._notes)


def _check_target(y: Any, task: str) -> np.ndarray:
    check_choice("task", task, TASKS)
    target = np.asarray(y)
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.ndim == 0 or len(target) < 2:
        raise ValueError(f"At least 2 rows are needed to divide them; got shape {target.shape}.")
    if target.ndim > 1 and task in _SINGLE_LABEL:
        raise ValueError(
            f"task={task!r} takes one label a row; got y of shape {target.shape}. "
            "For several labels a row use task='multilabel'."
        )
    return target


def _class_codes(target: np.ndarray, task: str) -> np.ndarray:
    """Return the class of each row as 0, 1, ...; all 0 where there are no classes."""
    if task not in _SINGLE_LABEL:
        return np.zeros(len(target), dtype=np.intp)
    return rules.ranks("y", target, len(target))


def _shuffled_plan(
    target: np.ndarray, task: str, n_folds: int, groups: Any, notes: _Notes
) -> tuple[_Deal, int]:
    """Return how one repeat is dealt and into how many folds that can be."""
    codes = _class_codes(target, task)
    stratify = bool(codes.max() > 0)
    if groups is not None:
        group = rules.ranks("groups", groups, len(target))
        n_folds = notes.reduced(n_folds, int(group.max()) + 1, "groups")
        if stratify and n_folds > np.bincount(codes).max():
            n_folds = notes.reduced(n_folds, int(np.bincount(codes).max()), "rows in any class")
        return _Deal("stratified_group" if stratify else "group", codes, group), n_folds
    if not stratify:
        return _Deal("kfold", codes), notes.reduced(n_folds, len(target), "rows")
    return _Deal("stratified", codes), _folds_by_class(np.bincount(codes), n_folds, notes)


def _folds_by_class(counts: np.ndarray, n_folds: int, notes: _Notes) -> int:
    """Return into how many folds every class with 2 rows or more can be divided."""
    alone = int((counts == 1).sum())
    if alone == len(counts):
        raise ValueError("No class has 2 rows, so no fold can both train and test on it.")
    if alone == 1:
        notes.add("One row is alone in its class and only trains.")
    elif alone:
        notes.add(f"{alone} rows are each alone in their class and only train.")
    rarest = int(counts[counts > 1].min())
    return notes.reduced(n_folds, rarest, "rows in the rarest class")


@dataclass(frozen=True, eq=False)
class _Deal:
    """Deals rows out to folds by chance, one repeat a call."""

    kind: Kind
    codes: np.ndarray
    group: np.ndarray | None = None

    def __call__(self, n_folds: int, seed: int, notes: _Notes) -> np.ndarray:
        if self.kind != "stratified_group":
            return self._by(_SPLITTERS[self.kind], n_folds, seed)
        with warnings.catch_warnings():
            # A class in fewer rows than folds is told in a note of its own.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            test_fold = self._by(StratifiedGroupKFold, n_folds, seed)
        if len(np.unique(test_fold)) < n_folds:
            # The greedy search for balance may leave a fold empty.
            notes.add("Groups could not be balanced by class; they are divided by number.")
            test_fold = self._by(GroupKFold, n_folds, seed)
        if any(np.ptp(test_fold[self.codes == code]) == 0 for code in range(self.codes.max() + 1)):
            notes.add("A class lies in one fold only: that split cannot train on it.")
        return test_fold

    def _by(self, splitter: type[Any], n_folds: int, seed: int) -> np.ndarray:
        rows = np.arange(len(self.codes))
        if self.kind == "stratified":
            rows = np.flatnonzero(np.bincount(self.codes)[self.codes] > 1)
        group = None if self.group is None else self.group[rows]
        test_fold = np.full(len(self.codes), -1, dtype=np.int32)
        folds = splitter(n_folds, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(folds.split(rows, self.codes[rows], group)):
            test_fold[rows[test]] = fold
        return test_fold


_SPLITTERS: dict[str, type[Any]] = {
    "stratified": StratifiedKFold,
    "kfold": KFold,
    "group": GroupKFold,
}
