"""Logistic regression with the strength of its penalty chosen by cross-validation."""

from __future__ import annotations

import sys
import warnings
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import validate_data

from mlfund._solvers.linear import Penalty, solve
from mlfund._solvers.stacked import solve_grid
from mlfund._solvers.stacked_data import FoldedRows, GridFit, training_times
from mlfund._version_stamp import VersionStamped
from mlfund.estimators._linear_callbacks import IterationReport
from mlfund.estimators._linear_cv_arguments import GridArguments, check_grid_arguments
from mlfund.estimators._linear_cv_attributes import Best, choose_best, publish_grid
from mlfund.estimators._linear_cv_routing import (
    refuse_params,
    route_fit,
    route_score,
    router_of,
    splitter_for,
)
from mlfund.estimators._linear_cv_scoring import FoldModel, Scoring
from mlfund.estimators._linear_data import check_classes, check_weights, make_rows
from mlfund.estimators._linear_prediction import LinearClassifierMixin


class LogisticRegressionCV(
    VersionStamped, CallbackSupportMixin, LinearClassifierMixin, BaseEstimator
):
    r"""Logistic regression whose C and l1 ratio are chosen by cross-validation.

    A drop-in for scikit-learn's, faster: with the l2 penalty, all models of the grid, each C
    on each fold, are solved together, so that a few passes over X serve all of them.

    Model (C, r) of a fold minimises over the fold's training rows

    .. math:: C \sum_i s_i \, \ell(y_i, x_i' w + b) + r |w|_1 + \tfrac{1 - r}{2} |w|_2^2

    and is scored on the fold's held-out rows. All parameters of scikit-learn 1.9's class are
    here with their meaning and their deprecations.

    Parameters
    ----------
    Cs : int or array-like of float, default=10
        Values of C, the inverse strength of the penalty, above 0 (`np.inf` is none); an
        integer is so many values from 1e-4 to 1e4, evenly in their logarithm.
    l1_ratios : array-like of float, default=None
        0 is the l2 penalty, 1 the l1 penalty, between them the elastic net; others than 0
        need solver "saga", "auto", "liblinear" (1 only), "proximal" or "proximal-newton". The
        default None, which is (0,) with other shapes of attributes, is deprecated as there.
    fit_intercept : bool, default=True
        Whether there is a b. It is not penalised, except by "liblinear".
    cv : int, cross-validation generator or iterable, default=None
        Folds: None is 5, stratified (fewer, with a warning, if no class has 5 rows). Any
        splitter will do, also with overlapping or repeated rows; `groups` reach it by
        metadata routing.
    dual : bool, default=False
        Accepted with solver "liblinear" and the l2 penalty; the optimum is the same.
    penalty : {"l1", "l2", "elasticnet"}, default="deprecated"
        Deprecated as in scikit-learn 1.8: use `l1_ratios` and `Cs`.
    scoring : str, callable or None, default=None
        A scorer's name, `scorer(estimator, X, y)`, or None for the accuracy. The default
        warns, as in scikit-learn 1.9, that it will become "neg_log_loss".
    solver : str, default="lbfgs"
        As in `LogisticRegression`: scikit-learn's names fix the objective, and the l2
        penalty is solved by the stack; an algorithm asked for by its own name ("newton",
        "plain-lbfgs", ...) fits the models one after the other.
    tol : float, default=1e-4
        As in `LogisticRegression`, for each model.
    max_iter : int, default=100
        Largest number of iterations of each model.
    class_weight : dict or "balanced", default=None
        Weights by class, multiplied with `sample_weight`; "balanced" counts all rows.
    n_jobs : int, default=None
        Accepted; it has no effect: the models are one computation, whose products use the
        threads of numpy's linear algebra.
    verbose : int, default=0
        Above 0, print a line for the grid and one for the refit.
    refit : bool, default=True
        Whether the best C and l1 ratio by the mean score are fitted on all rows. If not,
        `coef_`, `C_` and `l1_ratio_` are means over the best of each fold.
    intercept_scaling : float, default=1.0
        With "liblinear", b is this times a weight that is penalised like the others.
    random_state : int, RandomState instance or None, default=None
        Draws the rows from which the curvature is estimated; None is the fixed seed 0. The
        folds are the splitter's own affair.
    use_legacy_attributes : bool, default=True
        Shapes of the attributes below, as in scikit-learn 1.9, where the default warns that
        it will become False.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, d) or (n_classes, d)
        w, one row for two classes, in the dtype of X.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        b; zeros without intercept.
    Cs_ : ndarray of shape (n_Cs,)
        The values of C.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        The l1 ratios; `[None]` if none were given.
    C_, l1_ratio_ : float
        The best ones. Legacy: arrays that repeat them for each class but the first of two.
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs)
        Scores on the held-out rows. Legacy: a dict with the same array for each class, of
        shape (n_folds, n_Cs, n_l1_ratios), or (n_folds, n_Cs) without l1 ratios.
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs, 1 or n_classes, d + 1)
        Weights of all models, the intercept last (d columns without intercept). Legacy: a
        dict by class, of shape (n_folds, n_Cs, n_l1_ratios, d + 1), or one dimension less.
    n_iter_ : ndarray of int of shape (n_folds, n_l1_ratios, n_Cs)
        Iterations of each model. Legacy: (1, n_folds, n_Cs, n_l1_ratios), or one less.
    solver_ : str
        "stacked", or the algorithm that fitted the models one after the other.
    n_features_in_ : int
        d.
    feature_names_in_ : ndarray of shape (d,)
        Names of the columns, where X has them.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another, if there is only one
        class, or if all training rows of a fold have weight zero.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` came first for some of the models.

    See Also
    --------
    sklearn.linear_model.LogisticRegressionCV : Has the same parameters.
    LogisticRegression : One model.

    Notes
    -----
    Rows that the same folds train on are put side by side, so that a fold is a slice and
    held-out rows cost nothing. A sample of rows gives each C a start and an inverse Hessian
    that all folds share; then L-BFGS runs on all models at once, each with its own memory,
    step and end, in float32 where `tol` allows and in float64 where it does not. Models that
    are done leave the stack; one that makes no progress, and penalties with an l1 part, are
    fitted by the solvers of `LogisticRegression`, along the path of C.

    With "liblinear", scikit-learn's refit forgets `intercept_scaling`; here it counts.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import LogisticRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegressionCV(
    ...     Cs=[0.1, 1, 10], l1_ratios=(0,), scoring="accuracy", use_legacy_attributes=False
    ... ).fit(X, y)
    >>> model.C_
    1.0
    >>> model.scores_.shape
    (5, 1, 3)
    >>> model.solver_
    'stacked'
    """

    __metadata_request__score: ClassVar[dict] = {"sample_weight": UNUSED}

    def __init__(
        self,
        *,
        Cs=10,
        l1_ratios="warn",
        fit_intercept=True,
        cv=None,
        dual=False,
        penalty="deprecated",
        scoring="warn",
        solver="lbfgs",
        tol=1e-4,
        max_iter=100,
        class_weight=None,
        n_jobs=None,
        verbose=0,
        refit=True,
        intercept_scaling=1.0,
        random_state=None,
        use_legacy_attributes="warn",
    ):
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.dual = dual
        self.penalty = penalty
        self.scoring = scoring
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.refit = refit
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.use_legacy_attributes = use_legacy_attributes

    @with_callbacks
    def fit(self, X, y, sample_weight=None, **params):
        """Fit all models of the grid, choose the best and refit it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,)
            Labels, of any type that can be sorted.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows; they count in the fits and, as routed, in the scores.
        **params : dict
            Routed to the splitter (`groups`) and to the scorer; needs metadata routing.

        Returns
        -------
        self : LogisticRegressionCV
        """
        refuse_params(self, params, "fit")
        arguments = check_grid_arguments(self)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        self.classes_ = self._check_classes(y)
        to_split, to_score = route_fit(self, sample_weight, params, arguments.scoring)
        folds = list(splitter_for(self.cv, y).split(X, y, **to_split))
        context = self._init_callback_context(max_subtasks=self.max_iter)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        told = {"X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(estimator=self, **told)
        rng = check_random_state(0 if self.random_state is None else self.random_state)
        grid = self._fit_grid(arguments, X, y, sample_weight, [train for train, _ in folds], rng)
        scores = self._score_grid(arguments, grid, X, y, [test for _, test in folds], to_score)
        best = choose_best(scores, arguments, refit=self.refit)
        paths = np.concatenate([grid.W, grid.b[..., None]], axis=-1)
        paths = paths if self.fit_intercept else grid.W
        publish_grid(self, arguments, best, paths, scores, grid.n_iter)
        watched = bool(getattr(self, "_skl_callbacks", None))
        report = IterationReport(self, context, told, X.dtype) if watched else None
        self._publish_model(arguments, grid, best, X, y, sample_weight, rng, report)
        context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **told)
        return self

    def _check_classes(self, y):
        classes = check_classes(type(self).__name__, y, self.solver)
        if isinstance(self.class_weight, dict) and not set(self.class_weight) <= set(classes):
            raise ValueError(
                "The given class_weight dict must have the class labels as keys; "
                f"classes={classes} but key={self.class_weight.keys()}"
            )
        return classes

    def _row_weights(self, y, code, sample_weight):
        """Return the product of class and sample weights, (n,), or None."""
        weights = check_weights(sample_weight, len(y))
        if self.class_weight is None:
            return weights
        of_class = compute_class_weight(
            self.class_weight, classes=self.classes_, y=y, sample_weight=weights
        )
        return of_class[code] * (1.0 if weights is None else weights)

    def _fit_grid(self, arguments: GridArguments, X, y, sample_weight, trains, rng) -> GridFit:
        code = np.searchsorted(self.classes_, y)
        weights = self._row_weights(y, code, sample_weight)
        rows = FoldedRows(X, code, len(self.classes_), weights, training_times(trains, len(y)))
        grid = solve_grid(
            rows,
            arguments.Cs,
            arguments.ratios,
            intercept=bool(self.fit_intercept),
            tol=self.tol,
            max_iter=self.max_iter,
            rng=rng,
            of_intercept=arguments.of_intercept,
            solver=arguments.algorithm,
        )
        self.solver_ = grid.solver
        self._tell(
            f"{grid.converged.size} models ({len(trains)} folds), solver {grid.solver}, "
            f"at most {grid.n_iter.max()} iterations"
        )
        if not grid.converged.all():
            self._warn_of_max_iter(int((~grid.converged).sum()), grid.converged.size)
        return grid

    def _score_grid(self, arguments, grid: GridFit, X, y, tests, params: dict):
        model = FoldModel(solver=self.solver)
        model.classes_, model.n_features_in_ = self.classes_, X.shape[1]
        scoring = Scoring(arguments.scoring, self.classes_, params, model)
        code = np.searchsorted(self.classes_, y)
        return np.stack(
            [
                scoring.score_fold(X, y, code, test, W, b, arguments.Cs)
                for test, W, b in zip(tests, grid.W, grid.b, strict=True)
            ]
        )

    def _publish_model(self, arguments, grid, best: Best, X, y, sample_weight, rng, report):
        """Set `coef_` and `intercept_`: refitted on all rows, or means over the folds."""
        W, b = best.mean(grid.W), best.mean(grid.b)
        if self.refit:
            weights = self._row_weights(y, np.searchsorted(self.classes_, y), sample_weight)
            rows = make_rows(X, y, self.classes_, None, weights)
            strength = 1.0 / best.C / rows.weight_sum
            fit = solve(
                rows.X,
                rows.loss,
                Penalty(
                    strength * (1.0 - best.l1_ratio),
                    strength * best.l1_ratio,
                    arguments.of_intercept,
                ),
                intercept=bool(self.fit_intercept),
                tol=self.tol,
                max_iter=self.max_iter,
                rng=rng,
                solver=arguments.algorithm,
                start=(W, b),
                after_iteration=report,
            )
            W, b = fit.W, fit.b
            if len(b) > 1:  # the softmax does not see what the intercepts have in common
                b = b - b.mean()
            self._tell(f"C={best.C:.6g} refitted on all rows in {fit.n_iter} iterations")
            if fit.status == "max_iter":
                self._warn_of_max_iter(1, 1)
        self.coef_, self.intercept_ = W.astype(X.dtype), b.astype(X.dtype)

    def _warn_of_max_iter(self, n: int, of: int) -> None:
        what = f"{n} of the grid's {of} models" if of > 1 else "The refitted model"
        warnings.warn(
            f"{what} failed to converge in max_iter={self.max_iter} iterations to "
            f"tol={self.tol:g}. Increase max_iter, or loosen tol.",
            ConvergenceWarning,
            stacklevel=5,
        )

    def _tell(self, message: str) -> None:
        if self.verbose:
            sys.stdout.write(f"LogisticRegressionCV: {message}\n")

    def score(self, X, y, sample_weight=None, **score_params):
        """Return the score by `scoring` (the accuracy when that is None).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
            Better given by keyword: scikit-learn will ask for that.
        **score_params : dict
            Routed to the scorer; needs metadata routing.

        Returns
        -------
        score : float
        """
        refuse_params(self, score_params, "score")
        if sample_weight is not None:
            score_params["sample_weight"] = sample_weight
        score_params = route_score(self, score_params)
        return self._get_scorer()(self, X, y, **score_params)

    def _get_scorer(self):
        named = None if isinstance(self.scoring, str) and self.scoring == "warn" else self.scoring
        return get_scorer(named or "accuracy")

    def get_metadata_routing(self):
        """Return how metadata reach the splitter and the scorer.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        return router_of(self, self._get_scorer())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_class = self.solver != "liblinear"
        return tags
