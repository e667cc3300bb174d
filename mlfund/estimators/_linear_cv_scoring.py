"""Scores of a grid of models on their held-out rows."""

from __future__ import annotations

import inspect

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, make_scorer

from mlfund.estimators._stacked_responses import ClassifierResponses
from mlfund.estimators._stacked_scores import stacked_scores
from mlfund.estimators.linear import LogisticRegression

METHODS = frozenset({"predict", "predict_proba", "decision_function"})


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
        self._scorer = with_labels(get_scorer(scoring or "accuracy"), classes)

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
        # Model by model in memory, for scores are means over the rows of one model.
        margins = np.ascontiguousarray((X_test @ W.reshape(-1, W.shape[-1]).T).T)
        margins += b.reshape(-1, 1)
        margins = margins.reshape(-1, b.shape[-1], X_test.shape[0]).swapaxes(1, 2)
        params = {name: _cut(value, test, X.shape[0]) for name, value in self.params.items()}
        scores = self._stacked(margins, code[test], params)
        y_test = y[test]
        for model in np.flatnonzero(np.isnan(scores)):
            r, c = np.unravel_index(model, W.shape[:2])
            self.model.C, self.model.coef_, self.model.intercept_ = Cs[c], W[r, c], b[r, c]
            self.model.hold(X_test, margins[model])
            scores[model] = self._scorer(self.model, X_test, y_test, **params)
        return scores.reshape(W.shape[:2])

    def _stacked(self, margins: NDArray, code: NDArray, params: dict) -> NDArray:
        """Return the scores of all models, NaN for those that the scorer itself must judge."""
        scores = None
        if set(params) <= {"sample_weight"}:
            weights = params.get("sample_weight")
            weights = None if weights is None else np.asarray(weights)
            said = ClassifierResponses(self.classes, code, weights, margins)
            scores = stacked_scores(self._scorer, said, METHODS)
        return np.full(len(margins), np.nan) if scores is None else scores


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
