"""Predictions of a linear classifier from `coef_` and `intercept_`."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data


def linear_scores(estimator, X):
    """Return X w + b of a fitted linear estimator, one column an output that it has."""
    check_is_fitted(estimator)
    X = validate_data(estimator, X, accept_sparse="csr", reset=False)
    return safe_sparse_dot(X, estimator.coef_.T, dense_output=True) + estimator.intercept_


class LinearClassifierMixin(ClassifierMixin):
    """Decision function, classes and probabilities of a linear classifier.

    Expects the attributes `coef_` (k, d), dense or sparse, `intercept_` (k,) and
    `classes_`; k is 1 for two classes.
    """

    def decision_function(self, X):
        """Return confidence scores: the margins.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)

        Returns
        -------
        scores : ndarray of shape (n,) or (n, k)
            For two classes one column: above 0 means `classes_[1]`.
        """
        scores = linear_scores(self, X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X):
        """Return the most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)

        Returns
        -------
        y : ndarray of shape (n,)
        """
        scores = self.decision_function(X)
        index = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[index]

    def predict_proba(self, X):
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)

        Returns
        -------
        proba : ndarray of shape (n, number of classes)
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            positive = expit(scores)
            return np.stack([1 - positive, positive], axis=1)
        return softmax(scores, axis=1)

    def predict_log_proba(self, X):
        """Return the logarithm of the probability of each class, finite for any margin.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)

        Returns
        -------
        log_proba : ndarray of shape (n, number of classes)
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return log_softmax(scores, axis=1)

    def densify(self):
        """Make `coef_` a dense array again, as `fit` left it.

        Returns
        -------
        self : object
        """
        check_is_fitted(self)
        if sp.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def sparsify(self):
        """Make `coef_` a CSR array, which saves memory when most weights are zero (l1).

        Returns
        -------
        self : object
        """
        check_is_fitted(self)
        self.coef_ = sp.csr_array(self.coef_)
        return self
