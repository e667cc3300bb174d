"""Successive halving whose candidates and folds are trained as one program."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np

# Their own module, because `sklearn.model_selection` hands these classes out only after an
# import from `sklearn.experimental`.
from sklearn.model_selection._search_successive_halving import (
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
)
from sklearn.utils.validation import _num_samples

from mlfund.model_selection._search import BaseBatchedSearch


class _ExplainedResources:
    """Says what to do where there are too few rows for a first round."""

    def _check_input_parameters(self, X: Any, y: Any, split_params: Any) -> None:
        parent: Any = super()
        try:
            parent._check_input_parameters(X, y, split_params)
        except ValueError as error:
            if "is greater than max_resources_" not in str(error):
                raise
            raise ValueError(
                f"{error} The data have n_samples = {_num_samples(X)}; set min_resources and "
                "max_resources, or use fewer splits (cv)."
            ) from error


# In both classes scikit-learn's comes before ours: its `fit` calls that of `BaseBatchedSearch`.
class BatchedHalvingGridSearchCV(_ExplainedResources, HalvingGridSearchCV, BaseBatchedSearch):
    """Grid search by successive halving, the candidates of each round trained together.

    All candidates start on few rows (or with little of another resource); the best third of
    them goes on with three times as many, and so on. Takes the place of scikit-learn's
    `HalvingGridSearchCV`, whose parameters and attributes it has, and keeps the same
    candidates. What is stacked, and how, is said at `BatchedGridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        What is searched: anything that scikit-learn's search takes.
    param_grid : dict or list of dict
        Values by parameter name (``step__name`` in pipelines); of a list, the union of grids.
    factor : float, default=3
        One in so many candidates goes on, with so many times the resource.
    resource : str, default="n_samples"
        Rows, or an integer parameter of the estimator such as "max_iter".
    max_resources : int or "auto", default="auto"
        Most of it that a candidate gets; "auto" is all rows.
    min_resources : int, "exhaust" or "smallest", default="exhaust"
        What all start with; "exhaust" lets the last round get as much as there is.
    aggressive_elimination : bool, default=False
        Whether the first round is repeated until few enough candidates are left.
    cv : int, splitter or iterable, default=5
        Splits, which must be the same in each call.
    scoring : str or callable, default=None
        One score; None is the estimator's `score`.
    refit : bool or callable, default=True
        Whether the best candidate of the last round is fitted on all rows.
    error_score : "raise" or float, default=np.nan
        Score of a model whose `fit` or scoring raises.
    return_train_score : bool, default=True
        Whether the table has the scores of the training rows too.
    random_state : int, RandomState instance or None, default=None
        Draws the rows of the rounds.
    n_jobs : int, default=None
        Processes for what is fitted one by one.
    verbose : int, default=0
        Above 0, tell of the rounds and where each stands.
    memory_limit, checkpoint_dir
        As in `BatchedGridSearchCV`.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        As in `BatchedGridSearchCV`, with the columns "iter" and "n_resources".
    batched_reasons_ : dict of str to int
        Why candidates were fitted one by one, and how many, over all rounds.
    n_resources_, n_candidates_, n_iterations_, min_resources_, max_resources_ : object
        The rounds, as in scikit-learn.
    best_estimator_, best_params_, best_index_, best_score_ : object
        The best candidate of the last round.

    Raises
    ------
    ValueError
        If a parameter is out of range, or all fits of a round fail.

    See Also
    --------
    BatchedGridSearchCV : Gives all candidates all rows.
    BatchedHalvingRandomSearchCV : Draws candidates at random.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from mlfund import BatchedHalvingGridSearchCV, LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = (X - X.mean(axis=0)) / X.std(axis=0)
    >>> search = BatchedHalvingGridSearchCV(
    ...     LogisticRegression(), {"C": [0.001, 0.01, 0.1, 1, 10, 100]}, random_state=0
    ... ).fit(X, y)
    >>> search.n_candidates_, search.n_resources_
    ([6, 2], [189, 567])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **HalvingGridSearchCV._parameter_constraints,
        **BaseBatchedSearch.added_constraints,
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: int | str = "auto",
        min_resources: int | str = "exhaust",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        error_score: Any = np.nan,
        return_train_score: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        memory_limit: int | str | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.memory_limit = memory_limit
        self.checkpoint_dir = checkpoint_dir


class BatchedHalvingRandomSearchCV(_ExplainedResources, HalvingRandomSearchCV, BaseBatchedSearch):
    """Random search by successive halving, the candidates of each round trained together.

    Takes the place of scikit-learn's `HalvingRandomSearchCV`: for the same `random_state` it
    draws the same candidates and keeps the same ones. What is stacked, and how, is said at
    `BatchedGridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        What is searched: anything that scikit-learn's search takes.
    param_distributions : dict or list of dict
        Lists of values, or distributions with a method `rvs`, by parameter name; of a list of
        dicts one is drawn first.
    n_candidates : int or "exhaust", default="exhaust"
        Candidates of the first round; "exhaust" is so many that the last round gets all of
        the resource.
    factor, resource, max_resources, aggressive_elimination
        As in `BatchedHalvingGridSearchCV`.
    min_resources : int, "exhaust" or "smallest", default="smallest"
        What all start with; "smallest" is a few rows a class and split.
    cv, scoring, refit, error_score, return_train_score, n_jobs, verbose
        As in `BatchedHalvingGridSearchCV`.
    memory_limit, checkpoint_dir
        As in `BatchedHalvingGridSearchCV`.
    random_state : int, RandomState instance or None, default=None
        Draws the candidates, and the rows of the rounds.

    Attributes
    ----------
    cv_results_, batched_reasons_, n_resources_, n_candidates_, best_estimator_, best_params_
        As in `BatchedHalvingGridSearchCV`, and so the others there.

    Raises
    ------
    ValueError
        If a parameter is out of range, or all fits of a round fail.

    See Also
    --------
    BatchedHalvingGridSearchCV : Starts with all combinations.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_breast_cancer
    >>> from mlfund import BatchedHalvingRandomSearchCV, LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = (X - X.mean(axis=0)) / X.std(axis=0)
    >>> search = BatchedHalvingRandomSearchCV(
    ...     LogisticRegression(), {"C": loguniform(1e-3, 1e3)}, n_candidates=9, random_state=0
    ... ).fit(X, y)
    >>> search.n_candidates_, search.n_resources_
    ([9, 3, 1], [20, 60, 180])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **HalvingRandomSearchCV._parameter_constraints,
        **BaseBatchedSearch.added_constraints,
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_candidates: int | str = "exhaust",
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: int | str = "auto",
        min_resources: int | str = "smallest",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        error_score: Any = np.nan,
        return_train_score: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        memory_limit: int | str | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_candidates=n_candidates,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.memory_limit = memory_limit
        self.checkpoint_dir = checkpoint_dir
