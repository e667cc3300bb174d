"""Exhaustive and random search whose candidates and folds are trained as one program."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np

# not as re-exported: mlfund.accelerate replaces those names by classes that use these here
from sklearn.model_selection._search import GridSearchCV, RandomizedSearchCV

from mlfund.model_selection._search import BaseBatchedSearch


class BatchedGridSearchCV(BaseBatchedSearch, GridSearchCV):
    """Grid search whose candidates and folds are trained together.

    Takes the place of `sklearn.model_selection.GridSearchCV`: parameters, attributes and the
    scores of every candidate and split are the same, the time is not. Candidates that are
    linear models or multilayer perceptrons of mlfund, alone or at the end of a pipeline, are
    trained on all splits as one program; others are fitted one by one, in the same call and
    the same table. Scalers in front are fitted on the training rows of each split, as always.

    Parameters
    ----------
    estimator : estimator
        What is searched: anything that scikit-learn's search takes.
    param_grid : dict or list of dict
        Values by parameter name (``step__name`` in pipelines); of a list, the union of grids.
    scoring : str, callable, list, tuple or dict, default=None
        One score or several, as in scikit-learn; None is the estimator's `score`. Common
        scores are computed for whole stacks, any other sees one fitted estimator at a time.
    n_jobs : int, default=None
        Processes for what is fitted one by one. Stacks are one program in this process, and
        use the threads of the numerical libraries.
    refit : bool, str or callable, default=True
        Whether the best candidate is fitted on all rows; of several scores the name of the
        one that decides; or a function of `cv_results_` that returns the best index.
    cv : int, splitter or iterable, default=None
        Any splits; None is 5 folds, stratified for classifiers.
    verbose : int, default=0
        Above 0, tell where the search stands: models done, models alive, best score.
    pre_dispatch : int or str, default="2*n_jobs"
        Jobs handed out at a time, of what is fitted one by one.
    error_score : "raise" or float, default=np.nan
        Score of a model whose `fit` or scoring raises.
    return_train_score : bool, default=False
        Whether the table has the scores of the training rows too.
    memory_limit : int or str, default=None
        Bytes, or a text such as "2GB", that the stacks may take beside the data; they are
        split up to keep it. None is half of what is free.
    checkpoint_dir : str or path, default=None
        Folder where the scores of finished models are kept until the search has ended, under a
        fingerprint of estimator, data, splits and versions. A search that was killed goes on
        from them when `fit` is called again.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        scikit-learn's table, with a column "batched": whether all splits of the candidate
        were trained in stacks. The fit time of such a model is the wall time of its stack
        shared equally.
    batched_reasons_ : dict of str to int
        Why candidates were fitted one by one, and how many.
    best_estimator_, best_params_, best_index_, best_score_, refit_time_ : object
        The best candidate, fitted on all rows if `refit` says so, as in scikit-learn.
    scorer_, multimetric_, n_splits_ : object
        As in scikit-learn.
    classes_, n_features_in_, feature_names_in_ : object
        Those of `best_estimator_`, where it has them.

    Raises
    ------
    ValueError
        If a parameter is out of range, or all fits fail.

    See Also
    --------
    BatchedRandomizedSearchCV : Draws candidates at random.
    BatchedHalvingGridSearchCV : Gives most of the rows to the better candidates only.

    Notes
    -----
    Callbacks that are set on the search (`set_callbacks`) hear of every candidate and split;
    in stacks they are not handed on to the candidates, whose trainings are not separate.

    Where `tol` leaves open which of the best logistic regressions in stacks is the best, these
    are trained on in float64 until it is known, at most eight of a stack: `best_index_` is
    that of the optima, and the table has the scores of where they end.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from mlfund import BatchedGridSearchCV, LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), LogisticRegression())
    >>> search = BatchedGridSearchCV(model, {"logisticregression__C": [0.01, 0.1, 1, 10]})
    >>> search.fit(X, y).best_params_
    {'logisticregression__C': 1}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **GridSearchCV._parameter_constraints,
        **BaseBatchedSearch.added_constraints,
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: Any = np.nan,
        return_train_score: bool = False,
        memory_limit: int | str | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.memory_limit = memory_limit
        self.checkpoint_dir = checkpoint_dir


class BatchedRandomizedSearchCV(BaseBatchedSearch, RandomizedSearchCV):
    """Random search whose candidates and folds are trained together.

    Takes the place of `sklearn.model_selection.RandomizedSearchCV`: for the same
    `random_state` it draws the same candidates, and every candidate and split gets the same
    score. What is stacked, and how, is said at `BatchedGridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        What is searched: anything that scikit-learn's search takes.
    param_distributions : dict or list of dict
        Lists of values, or distributions with a method `rvs`, by parameter name; of a list of
        dicts one is drawn first.
    n_iter : int, default=10
        Number of candidates.
    scoring, n_jobs, refit, cv, verbose, pre_dispatch
        As in `BatchedGridSearchCV`.
    random_state : int, RandomState instance or None, default=None
        Draws the candidates.
    error_score, return_train_score, memory_limit, checkpoint_dir
        As in `BatchedGridSearchCV`.

    Attributes
    ----------
    cv_results_, batched_reasons_, best_estimator_, best_params_, best_index_, best_score_
        As in `BatchedGridSearchCV`, and so the others there.

    Raises
    ------
    ValueError
        If a parameter is out of range, or all fits fail.

    See Also
    --------
    BatchedGridSearchCV : Tries all combinations.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import BatchedRandomizedSearchCV, LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> search = BatchedRandomizedSearchCV(
    ...     LogisticRegression(max_iter=1000),
    ...     {"C": loguniform(1e-3, 1e2)},
    ...     n_iter=8,
    ...     scoring="neg_log_loss",
    ...     random_state=0,
    ... ).fit(X, y)
    >>> bool(search.best_params_["C"] > 1)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RandomizedSearchCV._parameter_constraints,
        **BaseBatchedSearch.added_constraints,
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        memory_limit: int | str | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.memory_limit = memory_limit
        self.checkpoint_dir = checkpoint_dir
