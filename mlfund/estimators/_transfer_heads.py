"""Models on embeddings: the linear one with its strength chosen, the perceptron, the user's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import StratifiedKFold
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from mlfund._check import check_choice
from mlfund.estimators._transfer_strength import START, STRENGTHS, search_strength
from mlfund.estimators.linear import LogisticRegression
from mlfund.estimators.linear_cv import LogisticRegressionCV
from mlfund.estimators.mlp_classifier import MLPClassifier
from mlfund.estimators.mlp_regressor import MLPRegressor

# Weights (k, d) and intercepts (k,) on embeddings.
LinearHead = tuple[np.ndarray, np.ndarray]

HEADS = ("linear", "mlp")
FOLDS = 5
HIDDEN = (256,)


def counted(
    views: Sequence[np.ndarray], y: np.ndarray, weight: np.ndarray | None
) -> tuple[Sequence[np.ndarray], np.ndarray, np.ndarray | None]:
    """Return the rows that have weight, and weights of mean 1.

    A row without weight is as if it were not there. Penalties compare with the sum over rows, so
    that only the ratios of weights may matter.
    """
    if weight is None:
        return views, y, None
    some = weight > 0
    return [E[some] for E in views], y[some], weight[some] / weight[some].mean()


def fit_linear_classifier(
    views: Sequence[np.ndarray], y: np.ndarray, weight: np.ndarray | None, seed: int
) -> Any:
    """Return a logistic regression whose C was chosen by the log-loss of held-out rows.

    Each view of a row is a row to train on, and so is their mean; a held-out row is scored by
    its mean, and none of its views is trained on. With a class of one row nothing can be held
    out: C is the middle of its range.

    Parameters
    ----------
    views : sequence of ndarray of shape (n, d)
        Embeddings of the same rows.
    y : ndarray of shape (n,)
        Their labels.
    weight : ndarray of shape (n,) or None
        Their weights, as `counted` returns them.
    seed : int
        Deals the rows out to folds.
    """
    stacked = [*views, mean_of(views)] if len(views) > 1 else list(views)
    copies, E = len(stacked), np.concatenate(stacked)
    named = {} if weight is None else {"sample_weight": np.tile(weight, copies)}
    scale = copies * _total_variance(E)
    smallest = int(np.unique(y, return_counts=True)[1].min())
    folds = StratifiedKFold(max(2, min(FOLDS, smallest)), shuffle=True, random_state=seed)
    labels = np.tile(y, copies)
    if smallest < 2:
        C = float(STRENGTHS[START]) / scale
        return LogisticRegression(C=C, max_iter=1000).fit(E, labels, **named)
    n, last = len(y), (copies - 1) * len(y)
    parts = [
        (np.concatenate([train + n * copy for copy in range(copies)]), test + last)
        for train, test in folds.split(y, y)
    ]
    head = search_strength(E, labels, scale, parts, **named)
    head.cv = folds
    return head


def mean_of(views: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of embeddings of the same rows."""
    return views[0] if len(views) == 1 else np.mean(views, axis=0)


def linear_regressor(E: np.ndarray) -> RidgeCV:
    """Return a ridge regression whose strength is chosen by leaving out one row at a time."""
    # The mean of those eigenvalues of X'X that are not 0 is what a penalty compares with.
    mean = len(E) * _total_variance(E) / min(E.shape)
    # Targets have units of their own: the largest one must not choose for the others.
    return RidgeCV(alphas=mean * np.logspace(-4, 2, 13), alpha_per_target=True)


def _total_variance(E: np.ndarray) -> float:
    # Equal rows have none, and any strength does for them.
    return float(E.var(axis=0, dtype=np.float64).sum()) or 1.0


def perceptron_classifier(seed: int) -> Pipeline:
    """Return a perceptron of one hidden layer on standardised embeddings."""
    model = MLPClassifier(HIDDEN, alpha=1e-2, max_iter=200, random_state=seed)
    return Pipeline([("scale", StandardScaler()), ("model", model)])


def perceptron_regressor(seed: int) -> Pipeline:
    """Return the same for real targets, which it standardises too."""
    net = MLPRegressor(hidden_layer_sizes=HIDDEN, alpha=1e-2, max_iter=200, random_state=seed)
    model = TransformedTargetRegressor(net, transformer=StandardScaler())
    return Pipeline([("scale", StandardScaler()), ("model", model)])


def fit_own(head: Any, E: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """Fit a ridge or a perceptron to rows and weights as `counted` returns them."""
    named: dict[str, np.ndarray] = {}
    if weight is not None:
        name = "model__sample_weight" if isinstance(head, Pipeline) else "sample_weight"
        named = {name: weight}
    with warnings.catch_warnings():
        # The epochs of the perceptron are its recipe: it stops earlier where it has converged.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return head.fit(E, y, **named)


def fit_given(given: Any, E: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """Fit a copy of the user's own estimator.

    Raises
    ------
    ValueError
        If rows have weights and it takes none.
    """
    head = clone(given)
    if weight is None:
        return head.fit(E, y)
    name = _weight_parameter(head)
    if name is None:
        raise ValueError(
            f"head={_named(head)} takes no sample_weight in fit, and rows have weights by "
            "sample_weight or class_weight; leave these out, or give a head that takes weights."
        )
    return head.fit(E, y, **{name: weight})


def _weight_parameter(head: Any) -> str | None:
    """Return how `fit` calls weights of rows, in a pipeline those of its last step, or None."""
    if has_fit_parameter(head, "sample_weight"):
        return "sample_weight"
    if isinstance(head, Pipeline):
        step, last = head.steps[-1]
        inner = _weight_parameter(last)
        return None if inner is None else f"{step}__{inner}"
    # Searches hand on to the estimator what their `fit` does not name.
    return _weight_parameter(head.estimator) if isinstance(head, BaseSearchCV) else None


def _named(head: Any) -> str:
    """Return a head in words, a pipeline with its last step."""
    name = f"{type(head).__name__}()"
    return f"{name} with last step {_named(head[-1])}" if isinstance(head, Pipeline) else name


def check_head(head: Any, *, real: bool, whose: str) -> None:
    """Raise if a `head` is neither a name nor an estimator for such targets.

    Raises
    ------
    ValueError
        See above; what is allowed is named.
    """
    if isinstance(head, str):
        check_choice("head", head, HEADS)
    elif isinstance(head, type) or not hasattr(head, "fit"):
        name = head.__name__ if isinstance(head, type) else repr(head)
        raise ValueError(
            f"head must be 'linear', 'mlp' or an estimator of scikit-learn; got {name}."
        )
    else:
        check_kind(head, real=real, whose=whose)


def check_kind(head: Any, *, real: bool, whose: str) -> None:
    """Raise if an estimator predicts the other kind of targets; one that says neither passes.

    Raises
    ------
    ValueError
        If it is a classifier where targets are `real`, or a regressor where they are classes.
    """
    if not hasattr(head, "__sklearn_tags__"):
        return
    wanted, other = ("regressor", "classifier") if real else ("classifier", "regressor")
    if is_classifier(head) if real else is_regressor(head):
        raise ValueError(
            f"head={_named(head)} is a {other}, and {whose} needs a {wanted}; give one, "
            f"{' or '.join(map(repr, HEADS))}."
        )


def weights_of(head: Any) -> LinearHead:
    """Return weights (k, d) and intercepts (k,) of a linear head."""
    return np.atleast_2d(head.coef_), np.atleast_1d(head.intercept_)


def iterations_of(head: Any) -> int:
    """Return the iterations of a fitted head, in a pipeline of its last step; 1 for none."""
    if isinstance(head, Pipeline):
        return iterations_of(head[-1])
    if isinstance(head, TransformedTargetRegressor):
        return iterations_of(head.regressor_)
    n_iter = getattr(head, "n_iter_", None)
    # Solvers of scikit-learn that do not iterate leave None.
    return 1 if n_iter is None else int(np.max(n_iter))


def held_out_gain(head: Any, y: np.ndarray, weight: np.ndarray | None) -> float | None:
    """Return how much of the uncertainty about y a linear head takes away on held-out rows.

    One minus its log-loss over the entropy of the classes; for real targets R², all of them with
    the weights of the rows that the head was fitted to. None where nothing was held out. An
    embedding whose gain is near 1 leaves little to fine-tuning.
    """
    _, y, weight = counted([], y, weight)
    if isinstance(head, RidgeCV):
        mean = np.average(y, axis=0, weights=weight)
        spread = np.atleast_1d(np.average((y - mean) ** 2, axis=0, weights=weight))
        varies = spread > 0
        if not varies.any():
            return None
        lost = np.atleast_1d(head.best_score_)[varies]
        return 1.0 + float(np.mean(lost / spread[varies]))
    if not isinstance(head, LogisticRegressionCV):
        return None
    share = np.bincount(np.unique(y, return_inverse=True)[1], weight) / len(y)
    entropy = float(-(share * np.log(share)).sum())
    return 1.0 + float(head.scores_.mean(axis=0).max()) / entropy
