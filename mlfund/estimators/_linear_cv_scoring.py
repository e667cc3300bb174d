"""Scores of a grid of models on their held-out rows."""

from __future__ import annotations

import inspect

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax
from sklearn.metrics import get_scorer, make_scorer

from mlfund.estimators.linear import LogisticRegression

# Scores that are computed from the margins of all models at once.
FROM_MARGINS = (None, "accuracy", "neg_log_loss")


class FoldModel(LogisticRegression):
    """One model of the grid, as a scorer sees it.

    The margins of the held-out rows are at hand, since those of all models of a fold are
    one product; other rows are predicted as usual.
    """

    def hold(self, X, margins: NDArray) -> None:
        """Keep the margins (rows, k) of X."""
        self._held = (X, margins)

    def decision_function(self, X):
        """Return the margins; see `LogisticRegression`."""
        held, margins = self._held
        if X is not held:
            return super().decision_function(X)
        return margins[:, 0] if margins.shape[1] == 1 else margins


class Scoring:
    """How the models of a grid are scored.

    Parameters
    ----------
    scoring : str, callable or None
        None is the accuracy.
    classes : ndarray of shape (n_classes,)
    params : dict
        What is routed to the scorer; arrays with one entry a row are cut to the fold.
    model : FoldModel
        Is given the weights of each model in turn, for scorers that want an estimator.
    """

    def __init__(self, scoring, classes: NDArray, params: dict, model: FoldModel):
        self.classes, self.params, self.model = classes, params, model
        plain = scoring is None or isinstance(scoring, str)
        self._from_margins = plain and scoring in FROM_MARGINS and set(params) <= {"sample_weight"}
        self._log_loss = self._from_margins and scoring == "neg_log_loss"
        self._scorer = with_labels(get_scorer(scoring or "accuracy"), classes)
        self._scoring = scoring

    def score_fold(self, X, y, code, test, W: NDArray, b: NDArray, Cs: NDArray) -> NDArray:
        """Return the scores of one fold's models on its held-out rows.

        Parameters
        ----------
        X, y, code : of n rows
            `code` is the index of the class of each row.
        test : ndarray of int
            The held-out rows.
        W, b : ndarray of shape (R, K, k, d) and (R, K, k)
        Cs : ndarray of shape (K,)

        Returns
        -------
        scores : ndarray of shape (R, K)
        """
        X_test = X[test]
        margins = X_test @ W.reshape(-1, W.shape[-1]).T + b.ravel()
        margins = margins.reshape(X_test.shape[0], *b.shape)
        params = {name: _cut(value, test, X.shape[0]) for name, value in self.params.items()}
        if self._from_margins:
            score = _log_likelihood if self._log_loss else _accuracy
            rows = score(margins, code[test])
            return np.average(rows, axis=0, weights=params.get("sample_weight"))
        scores = np.empty(W.shape[:2])
        y_test = y[test]
        for r, c in np.ndindex(*scores.shape):
            self.model.C, self.model.coef_, self.model.intercept_ = Cs[c], W[r, c], b[r, c]
            self.model.hold(X_test, margins[:, r, c])
            scores[r, c] = self._scorer(self.model, X_test, y_test, **params)
        return scores


def _accuracy(margins: NDArray, code: NDArray) -> NDArray:
    """Return 1.0 where the model (R, K) is right about the row, (rows, R, K)."""
    if margins.shape[-1] == 1:
        return ((margins[..., 0] > 0) == (code[:, None, None] == 1)).astype(float)
    return (margins.argmax(axis=-1) == code[:, None, None]).astype(float)


def _log_likelihood(margins: NDArray, code: NDArray) -> NDArray:
    """Return the log of the probability of each row's class, clipped as log_loss does it."""
    eps = np.finfo(margins.dtype).eps
    if margins.shape[-1] == 1:
        sign = np.where(code == 1, 1.0, -1.0)[:, None, None]
        own = expit(sign * margins[..., 0])
    else:
        own = np.exp(log_softmax(margins, axis=-1))
        own = np.take_along_axis(own, code[:, None, None, None], axis=-1)[..., 0]
    return np.log(np.clip(own, eps, 1 - eps))


def with_labels(scorer, classes: NDArray):
    """Return the scorer with all classes as labels, if its metric takes labels.

    A fold's held-out rows need not hold every class.
    """
    metric = getattr(scorer, "_score_func", None)
    accepted = {} if metric is None else inspect.signature(metric).parameters
    if "labels" not in accepted:
        return scorer
    more = {"labels": classes}
    if len(classes) == 2 and "pos_label" in accepted:
        more["pos_label"] = classes[-1]
    return make_scorer(
        metric,
        greater_is_better=scorer._sign == 1,
        response_method=scorer._response_method,
        **{**more, **scorer._kwargs},
    )


def _cut(value, test: NDArray, n: int):
    """Return the entries of the held-out rows, of anything with one entry a row."""
    if value is None or isinstance(value, str) or not hasattr(value, "__len__"):
        return value
    if len(value) != n or isinstance(value, dict):
        return value
    if hasattr(value, "iloc"):
        return value.iloc[test]
    return value[test] if hasattr(value, "shape") else [value[i] for i in test]
