"""Claim: a cross-validated path of C on the stacked solver costs a fraction of scikit-learn's.

Three grids of C x 5 folds, one thread. Opponents are scikit-learn's LogisticRegressionCV, which
warm-starts along C, and GridSearchCV over LogisticRegression; both with lbfgs and with
newton-cholesky. Next to the times stands the largest difference in a fold's score, over all C
and folds, to our own, and to an exact reference where one is affordable.

Set OMP_NUM_THREADS=1 before it starts; the record tells the number of threads.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import LogisticRegressionCV as SklearnCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from benchmarks._harness import Unavailable, interleave, summarise, table
from benchmarks._mnist import load_digits, pixel_rows
from mlfund import LogisticRegressionCV

FOLDS = 5
QUICK_ROWS = 300
# Beyond so many rows no exact reference is fitted: it would take minutes.
EXACT_ROWS = 20_000


@dataclasses.dataclass(frozen=True)
class Case:
    """One table with its grid.

    Attributes
    ----------
    make : callable
        Returns X and y.
    Cs : ndarray of shape (K,)
    opponents : tuple of str
        Names in `OPPONENTS`.
    repeats : int
    """

    make: Callable
    Cs: np.ndarray
    opponents: tuple[str, ...]
    repeats: int


def correlated(n: int, d: int, *, noise: float = 1.0, rng: np.random.RandomState | None = None):
    """Return columns of spread 1, correlated as 0.9^|i-j|, and labels drawn from a model."""
    rng = np.random.RandomState(0) if rng is None else rng
    root = np.linalg.cholesky(0.9 ** np.abs(np.subtract.outer(np.arange(d), np.arange(d))))
    X = rng.standard_normal((n, d)) @ root.T
    w = rng.standard_normal(d) * 2 / np.sqrt(d) / noise
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-X @ w))).astype(int)
    return X, y


def mnist():
    """Return the first 10,000 training pictures of MNIST, pixels / 255."""
    (images, labels), _ = load_digits()
    return pixel_rows(images[:10_000], np.float64), labels[:10_000].astype(int)


ALL = ("lbfgs", "newton-cholesky", "grid lbfgs", "grid newton-cholesky")
BIG = ("lbfgs", "newton-cholesky")
CASES = {
    "dense 100,000 x 100": Case(partial(correlated, 100_000, 100), np.logspace(-4, 4, 20), BIG, 1),
    "small 2,000 x 30": Case(partial(correlated, 2_000, 30), np.logspace(-4, 4, 20), ALL, 3),
    "MNIST 10,000 x 784, 10 classes": Case(mnist, np.logspace(-4, -1, 4), ("lbfgs",), 1),
}


def fit_ours(X, y, Cs):
    """Return log losses of all folds and Cs, (FOLDS, K)."""
    model = LogisticRegressionCV(
        Cs=Cs,
        l1_ratios=(0,),
        scoring="neg_log_loss",
        cv=StratifiedKFold(FOLDS),
        use_legacy_attributes=False,
    )
    return model.fit(X, y).scores_[:, 0]


def fit_cv(X, y, Cs, solver):
    """The same by scikit-learn's class."""
    model = SklearnCV(
        Cs=Cs,
        l1_ratios=(0,),
        scoring="neg_log_loss",
        cv=StratifiedKFold(FOLDS),
        use_legacy_attributes=False,
        solver=solver,
    )
    return model.fit(X, y).scores_[:, 0]


def fit_search(X, y, Cs, solver):
    """The same by GridSearchCV."""
    search = GridSearchCV(
        LogisticRegression(solver=solver),
        {"C": list(Cs)},
        scoring="neg_log_loss",
        cv=StratifiedKFold(FOLDS),
    ).fit(X, y)
    results = search.cv_results_
    return np.array([results[f"split{f}_test_score"] for f in range(FOLDS)])


OPPONENTS = {
    "lbfgs": lambda X, y, Cs: fit_cv(X, y, Cs, "lbfgs"),
    "newton-cholesky": lambda X, y, Cs: fit_cv(X, y, Cs, "newton-cholesky"),
    "grid lbfgs": lambda X, y, Cs: fit_search(X, y, Cs, "lbfgs"),
    "grid newton-cholesky": lambda X, y, Cs: fit_search(X, y, Cs, "newton-cholesky"),
}


def exact_scores(X, y, Cs):
    """Return the log losses of newton-cholesky at tol 1e-10, (FOLDS, K)."""
    scores = []
    for train, test in StratifiedKFold(FOLDS).split(X, y):
        model = LogisticRegression(
            solver="newton-cholesky", tol=1e-10, warm_start=True, max_iter=500
        )
        for C in Cs:
            model.set_params(C=C).fit(X[train], y[train])
            scores.append(-log_loss(y[test], model.predict_proba(X[test])))
    return np.reshape(scores, (FOLDS, len(Cs)))


def compare(case: Case, *, quick: bool) -> list[dict]:
    """Time all competitors of a case; return a row each."""
    X, y = case.make()
    Cs, repeats = case.Cs, case.repeats
    if quick:
        X, y, Cs, repeats = X[:QUICK_ROWS, ::4], y[:QUICK_ROWS], Cs[::4], 1
    scores: dict = {}
    runs = {"mlfund": fit_ours, **{name: OPPONENTS[name] for name in case.opponents}}

    def timed(name):
        return lambda: scores.__setitem__(name, runs[name](X, y, Cs))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit_ours(X[:200], y[:200], Cs[:2])
        seconds = interleave({name: timed(name) for name in runs}, repeats)
        small = len(np.unique(y)) == 2 and len(X) <= EXACT_ROWS
        exact = exact_scores(X, y, Cs) if small else None
    rows = summarise(seconds, "mlfund")
    for row in rows:
        mine = scores[row["name"]]
        row["largest_difference"] = float(np.abs(mine - scores["mlfund"]).max())
        row["from_exact"] = None if exact is None else float(np.abs(mine - exact).max())
        row["same_best_C"] = bool(mine.mean(0).argmax() == scores["mlfund"].mean(0).argmax())
    return rows


def run(quick: bool = False) -> dict:
    """Run all cases; those whose data are missing are named in `left_out`."""
    cases, left_out = {}, {}
    for name, case in CASES.items():
        try:
            cases[name] = compare(case, quick=quick)
        except Unavailable as reason:
            left_out[name] = str(reason)
    return {"cases": cases, "left_out": left_out}


def report(result: dict) -> str:
    """Return a table for each case."""
    shown = [
        "name", "median_seconds", "min_seconds", "spread", "ratio", "repeats",
        "largest_difference", "from_exact", "same_best_C",
    ]  # fmt: skip
    parts = [f"{name}\n\n{table(rows, shown)}" for name, rows in result["cases"].items()]
    parts += [f"{name}: left out, {reason}" for name, reason in result["left_out"].items()]
    return "\n\n".join(parts)
