"""Checks of what X says about y: nothing, something, or everything in one column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.stats import rankdata
from sklearn.model_selection import cross_val_predict

from mlfund.diagnostics._data_checks import flat, row_keys
from mlfund.diagnostics._findings import Finding, graded, skipped
from mlfund.diagnostics._material import Material

# Skill of one column alone (1 is perfect, 0 a constant). The best single column of an honest
# table comes near 0.95 now and then (petal width of iris: 0.93).
LEAK_SUSPECTED, LEAK = 0.95, 0.99
_CANDIDATES = 8
_LEAVES = 64
_TREES = 100
_MOST_ROWS = 4000
_MOST_COLUMNS = 500
_PERMUTATIONS = 999
# Evidence that X and y go together: below this chance of the like among shuffled rows.
CHANCE = 0.01
# Held-out rows from which the absence of evidence is evidence of absence.
_ENOUGH_ROWS = 50


@dataclass(frozen=True)
class Reference:
    """Plain trees on the rows that the network gets.

    Attributes
    ----------
    predicted : ndarray
        Of the held-out rows: labels or means.
    skill : float
        1 is perfect, 0 no better than a constant: 1 - error rate / that of the commonest
        class, or R2.
    chance : float
        Share of permutations of the held-out targets with which the predictions agree as
        well; small where X and y go together.
    """

    predicted: np.ndarray
    skill: float
    chance: float


def trees_on(material: Material, seed: int = 0) -> Reference:
    """Fit extremely randomised trees and compare them with shuffled targets."""
    rng = np.random.RandomState(seed)
    X, X_valid = flat(material.X), flat(material.X_valid)
    y, y_valid = np.asarray(material.y), np.asarray(material.y_valid)
    if X.shape[1] > _MOST_COLUMNS:
        columns = np.sort(rng.permutation(X.shape[1])[:_MOST_COLUMNS])
        X, X_valid = X[:, columns], X_valid[:, columns]
    if len(y) > _MOST_ROWS:
        kept = rng.permutation(len(y))[:_MOST_ROWS]
        X, y = X[kept], y[kept]
    kind = _extra_trees(classes=material.classification)
    # Leaves of a few rows: a single one would learn noise by heart.
    trees = kind(_TREES, min_samples_leaf=3, random_state=seed).fit(X, y)
    predicted = np.asarray(trees.predict(X_valid))
    skill = skill_of(predicted, y_valid, y, classification=material.classification)
    if material.classification and y.ndim == 1:
        codes = np.searchsorted(trees.classes_, y_valid)
        chance = _chance_of_votes(trees.predict_proba(X_valid), codes, rng)
    else:
        chance = _chance_of_values(predicted, y_valid.astype(np.float64), rng)
    return Reference(predicted, skill, chance)


def correct_rows(predicted: Any, y: Any) -> np.ndarray:
    """Return the share of right labels of each row."""
    right = np.asarray(predicted) == np.asarray(y)
    return right.reshape(len(right), -1).mean(axis=1)


def skill_of(predicted: Any, y: Any, y_train: Any, *, classification: bool) -> float:
    """Return how much better than a constant predictions are; 1 is perfect."""
    predicted, y, y_train = (np.asarray(values) for values in (predicted, y, y_train))
    if classification:
        constant = commonest(y_train)
        worst = 1 - correct_rows(np.broadcast_to(constant, y.shape), y).mean()
        wrong = 1 - correct_rows(predicted, y).mean()
        return float(1 - wrong / worst) if worst > 0 else float(wrong == 0)
    residual = np.square(predicted.reshape(y.shape) - y).reshape(len(y), -1).sum(axis=0)
    spread = np.square(y - y_train.mean(axis=0)).reshape(len(y), -1).sum(axis=0)
    return float(np.mean(1 - residual / np.maximum(spread, np.finfo(float).tiny)))


def commonest(y: np.ndarray) -> Any:
    """Return the commonest label, for each column of indicators one."""
    if y.ndim > 1:
        return (y.mean(axis=0) > 0.5).astype(y.dtype)
    values, counts = np.unique(y, return_counts=True)
    return values[counts.argmax()]


def _chance_of_votes(votes: np.ndarray, codes: np.ndarray, rng: np.random.RandomState) -> float:
    """Chance of the mean vote for the true class among shuffles of the classes."""
    seen = votes[np.arange(len(codes)), codes].mean()
    shuffled = (
        votes[np.arange(len(codes)), rng.permutation(codes)].mean() for _ in range(_PERMUTATIONS)
    )
    return (1 + sum(value >= seen for value in shuffled)) / (1 + _PERMUTATIONS)


def _chance_of_values(predicted: np.ndarray, y: np.ndarray, rng: np.random.RandomState) -> float:
    """Chance of the correlation of predictions and targets among shuffles of the targets."""
    ranks = [
        np.apply_along_axis(rankdata, 0, values.reshape(len(values), -1))
        for values in (predicted.astype(np.float64), y)
    ]
    first, second = (part - part.mean(axis=0) for part in ranks)
    seen = (first * second).sum()
    shuffled = ((first * rng.permutation(second)).sum() for _ in range(_PERMUTATIONS))
    return (1 + sum(value >= seen for value in shuffled)) / (1 + _PERMUTATIONS)


def check_signal(reference: Reference, n_valid: int) -> Finding:
    """Whether the trees' predictions of held-out rows have anything to do with their y."""
    evidence = {"skill of trees": reference.skill, "chance": reference.chance}
    chance = reference.chance
    if chance <= CHANCE:
        text = f"Trees predict held-out rows with skill {reference.skill:.2g}; y depends on X."
        return Finding("signal", "pass", chance, "p", text, evidence=evidence)
    few = n_valid < _ENOUGH_ROWS
    return Finding(
        "signal",
        "warn" if few else "fail",
        chance,
        "p",
        "Trees predict held-out rows no better than rows shuffled at random: X says nothing "
        f"about y{f', as far as {n_valid} rows can tell' if few else ''}.",
        "Check that row i of X belongs to row i of y: a sort, a shuffle, a join or a reset index "
        "on one of the two parts them. If they do belong together, other columns are needed.",
        "" if few else "shuffled labels",
        evidence,
    )


def check_target_leak(material: Material, names: list[str]) -> Finding:
    """Measure what the best column predicts on its own."""
    y = np.asarray(material.y)
    if y.ndim > 1 and not (y.shape[1] == 1 or material.classification):
        y = y[:, 0]
    X = flat(material.X)[:_MOST_ROWS]
    y = y[:_MOST_ROWS]
    # A copy of a row in another fold gives y away in any column.
    once = np.sort(np.unique(row_keys(X, y), return_index=True)[1])
    X, y = X[once], y[once]
    if material.classification and y.ndim == 1 and np.unique(y, return_counts=True)[1].min() < 2:
        values, counts = np.unique(y, return_counts=True)
        kept = np.flatnonzero(np.isin(y, values[counts > 1]))
        X, y = X[kept], y[kept]
    if y.ndim > 1 or len(y) < 10:
        return skipped("target_leak", "One target and ten rows are needed.")
    skills = {}
    for column in _suspects(X, y, classification=material.classification):
        values = X[:, [column]]
        values = values.toarray() if sp.issparse(values) else values
        skills[names[column]] = _skill_alone(values, y, classification=material.classification)
    name = max(skills, key=lambda key: skills[key])
    best = skills[name]
    status = graded(best, warn=LEAK_SUSPECTED, fail=LEAK)
    evidence = {"skill alone by column": skills}
    text = f"The best column on its own, {name}, predicts y with skill {best:.3g} (1 is perfect)."
    if status == "pass":
        return Finding("target_leak", "pass", best, "skill", text, evidence=evidence)
    return Finding(
        "target_leak",
        status,
        best,
        "skill",
        text,
        f"Ask whether {name} is known before y is. If it is y itself, made from y, or recorded "
        "afterwards, drop it.",
        "leak of y into X" if status == "fail" else "",
        evidence,
    )


def _suspects(X: Any, y: np.ndarray, *, classification: bool) -> list[int]:
    """Return the columns that go with y best, by ranks and by group means."""
    dense = X.toarray() if sp.issparse(X) else X
    if dense.shape[1] <= _CANDIDATES:
        return list(range(dense.shape[1]))
    ranks = np.apply_along_axis(rankdata, 0, dense)
    ranks -= ranks.mean(axis=0)
    spread = np.square(ranks).sum(axis=0)
    spread[spread == 0] = np.inf
    groups = np.unique(y, return_inverse=True)[1]
    if not classification or groups.max() >= len(y) // 3:
        # Deciles of a real target, as groups: also what is not monotone shows.
        groups = np.minimum((rankdata(y) - 1) * 10 // len(y), 9).astype(int)
    indicator = np.zeros((groups.max() + 1, len(y)))
    indicator[groups, np.arange(len(y))] = 1
    counts = np.maximum(indicator.sum(axis=1, keepdims=True), 1)
    between = (np.square(indicator @ ranks) / counts).sum(axis=0) / spread
    return [int(i) for i in np.argsort(between)[::-1][:_CANDIDATES]]


def _extra_trees(*, classes: bool) -> type[Any]:
    """Return scikit-learn's class; its trees bring neighbours and linear models, so later."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    return ExtraTreesClassifier if classes else ExtraTreesRegressor


def _skill_alone(values: np.ndarray, y: np.ndarray, *, classification: bool) -> float:
    """Return the cross-validated skill of a small tree on one column."""
    # Loaded here as `_extra_trees` does, and for its reason.
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if classification:
        tree: Any = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, random_state=0)
        smallest = int(np.unique(y, return_counts=True)[1].min())
        predicted = cross_val_predict(tree, values, y, cv=min(3, smallest))
    else:
        # Means of steps miss a smooth curve by a hair: the leaves grow with the rows.
        leaves = max(_LEAVES, len(y) // 10)
        tree = DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=0)
        order = np.random.RandomState(0).permutation(len(y))
        predicted = np.empty(len(y))
        predicted[order] = cross_val_predict(tree, values[order], y[order], cv=3)
    return skill_of(predicted, y, y, classification=classification)


def check_loss_fits_target(material: Material, loss: Any) -> Finding:
    """Classes trained as numbers, numbers trained as classes."""
    y = np.asarray(material.y)
    if y.ndim > 1 and y.shape[1] > 1:
        return skipped("loss_fits_target", "Several targets are taken as they are.")
    y = y.ravel()
    values, counts = np.unique(y, return_counts=True)
    if material.classification:
        return _too_many_classes(y, values, counts)
    if len(values) == 2:
        return _wrong_loss(
            2,
            "distinct values",
            f"y has two values, {values[0]:g} and {values[1]:g}: classes, trained with a loss for "
            "numbers.",
            "Use the classifier (MLPClassifier, NeuralClassifier): it learns probabilities.",
        )
    whole = bool((y == np.round(y)).all())
    if whole and len(values) <= min(20, len(y) // 10):
        gap = _gap_to_classes(material, y)
        if gap is not None and gap[0] > 3 and gap[1] > 0.05:
            return _wrong_loss(
                100 * gap[1],
                "% accuracy lost",
                f"The {len(values)} values of y behave as classes without an order: taking them "
                f"as numbers loses {100 * gap[1]:.0f} % accuracy.",
                "Use the classifier (MLPClassifier, NeuralClassifier).",
            )
    name = getattr(loss, "name", type(loss).__name__)
    if name == "squared_error":
        tail = _tail(y)
        if tail > _HEAVY:
            return Finding(
                "loss_fits_target",
                "warn",
                tail,
                "kurtosis",
                "y has far outliers, and a squared error follows them before all else.",
                "Try loss='huber', or the logarithm of y if it is positive and skewed.",
            )
    return Finding(
        "loss_fits_target", "pass", len(values), "distinct values", f"{name} fits such a target."
    )


# Excess kurtosis of the exponential distribution is 6 and of the Laplace 3; beyond 50 a few
# rows in a thousand carry most of the squared error.
_HEAVY = 50.0


def _tail(y: np.ndarray) -> float:
    centred = (y - y.mean()) / max(float(y.std()), np.finfo(float).tiny)
    return float(np.mean(centred**4)) - 3


def _wrong_loss(number: float, unit: str, text: str, cure: str) -> Finding:
    return Finding("loss_fits_target", "fail", number, unit, text, cure, "wrong loss")


def _too_many_classes(y: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Finding:
    alone = float((counts == 1).sum() / len(y))
    numeric = values.dtype.kind in "iuf"
    if numeric and len(values) > 20 and np.median(counts) < 5:
        return _wrong_loss(
            len(values),
            "classes",
            f"{len(values)} classes with a median of {np.median(counts):g} rows each: y is a "
            "number, trained with a loss for classes.",
            "Use the regressor (MLPRegressor, NeuralRegressor).",
        )
    text = f"{len(values)} classes, the smallest of {counts.min()} rows."
    status = "warn" if alone > 0.01 else "pass"
    cure = "Join classes of a single row with others." if alone > 0.01 else ""
    return Finding("loss_fits_target", status, len(values), "classes", text, cure)


def _gap_to_classes(material: Material, y: np.ndarray) -> tuple[float, float] | None:
    """Return how far classes beat rounded numbers on held-out rows: in errors, as a share."""
    X, X_valid = flat(material.X)[:_MOST_ROWS], flat(material.X_valid)
    y, y_valid = y[:_MOST_ROWS], np.asarray(material.y_valid).ravel()
    options = {"min_samples_leaf": 3, "random_state": 0}
    as_classes = _extra_trees(classes=True)(_TREES, **options).fit(X, y).predict(X_valid)
    as_numbers = np.round(_extra_trees(classes=False)(_TREES, **options).fit(X, y).predict(X_valid))
    gain = (as_classes == y_valid).astype(float) - (as_numbers == y_valid)
    error = gain.std() / np.sqrt(len(gain))
    return (float(gain.mean() / error), float(gain.mean())) if error > 0 else None
