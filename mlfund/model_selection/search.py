"""Exhaustive and random search whose candidates and folds are trained as one program."""

from __future__ import annotations

from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from mlfund.model_selection._search import BaseBatchedSearch


class BatchedGridSearchCV(BaseBatchedSearch, GridSearchCV):
    """Search over all combinations of parameter values."""


class BatchedRandomizedSearchCV(BaseBatchedSearch, RandomizedSearchCV):
    """Search over parameter values drawn at random."""
