"""Linear regression with the losses of robust, quantile and count regression."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import d2_tweedie_score
from sklearn.utils import check_random_state
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from mlfund._solvers.regression import Options, RegressionFit, solve_regression
from mlfund._version_stamp import VersionStamped
from mlfund.estimators._linear_callbacks import IterationReport
from mlfund.estimators._linear_data import check_weights
from mlfund.estimators._linear_regressor_arguments import (
    algorithm_of,
    check_arguments,
    loss_of,
    task_of,
)


class LinearRegressor(
    VersionStamped, CallbackSupportMixin, MultiOutputMixin, RegressorMixin, BaseEstimator
):
    r"""Linear regression with a loss and a penalty of choice.

    With s_i the weights of the rows, r the `l1_ratio` and b free of the penalty, minimises

    .. math:: \frac{\sum_i s_i \, \ell(y_i, x_i' w + b)}{\sum_i s_i}
        + \alpha \Bigl( r |w|_1 + \tfrac{1 - r}{2} |w|_2^2 \Bigr)

    over w and b, for each target by itself. The losses, with z = x'w + b:

    =================  ==========================================  =====================
    `loss`             :math:`\ell(y, z)`                          the prediction is
    =================  ==========================================  =====================
    "squared_error"    (z - y)^2 / 2                               the mean, z
    "absolute_error"   abs(z - y)                                  the median, z
    "huber"            (z - y)^2 / 2 up to `delta`, then linear    between the two, z
    "quantile"         q (y - z) if y > z, else (1 - q) (z - y)    the q-quantile, z
    "poisson"          y log(y / exp(z)) - y + exp(z)              the mean, exp(z)
    =================  ==========================================  =====================

    Parameters
    ----------
    loss : str or mlfund.losses.Loss, default="squared_error"
        A name of the table, or an instance with options of its own. Other regression
        losses than those of the table need solver "sgd".
    quantile : float, default=0.5
        q of the loss "quantile", between 0 and 1.
    delta : float, default=1.35
        Residual, in the units of y, from which "huber" grows linearly.
    alpha : float, default=0.0001
        Strength of the penalty, at least 0, beside the *mean* loss.
    l1_ratio : float, default=0.0
        0 is the l2 penalty, 1 the l1 penalty, between them the elastic net.
    fit_intercept : bool, default=True
        Whether there is a b.
    solver : str, default="auto"
        "auto" chooses by loss, penalty and shape; see Notes for the names.
    tol : float, default=1e-6
        For the losses without kinks, the largest entry of the gradient, in units of the
        spread of y (for "poisson" of its mean), in the columns of X and in standardised
        columns. For "absolute_error" and "quantile", the duality gap relative to the
        objective: how far, at most, it is above its minimum.
    max_iter : int, default=1000
        Largest number of iterations.
    warm_start : bool, default=False
        Start from the present `coef_` and `intercept_`, if there are any.
    random_state : int, RandomState instance or None, default=None
        Draws the rows from which the curvature is estimated. It moves the path, not the
        optimum; None is the fixed seed 0, so that fits repeat.
    verbose : int, default=0
        Above 0, print a line an iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (d,) or (k, d)
        w, a row a target, in the dtype of X.
    intercept_ : float or ndarray of shape (k,)
        b; 0 without intercept.
    n_iter_ : int
        Iterations done; the most of any target.
    solver_ : str
        The algorithm that ran.
    loss_curve_ : list of float
        Objective at the start and after each iteration, summed over the targets.
    n_features_in_ : int
        d.
    feature_names_in_ : ndarray of shape (d,)
        Names of the columns, where X has them.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another, if the loss does not
        take the targets, or if all weights are zero.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first, or rounding left a larger duality gap than `tol`.

    See Also
    --------
    LogisticRegression : The same for classes.
    sklearn.linear_model.Ridge, sklearn.linear_model.HuberRegressor : See Notes.

    Notes
    -----
    The same optimum with scikit-learn's classes, for n rows of weight one:

    =====================  =============================================================
    scikit-learn           here
    =====================  =============================================================
    Ridge(alpha=a)         "squared_error", alpha = a / n
    Lasso(alpha=a)         "squared_error", alpha = a, l1_ratio = 1
    ElasticNet(a, r)       "squared_error", alpha = a, l1_ratio = r
    QuantileRegressor(a)   "quantile", alpha = a, l1_ratio = 1
    PoissonRegressor(a)    "poisson", alpha = a
    HuberRegressor(a, e)   "huber", delta = e s, alpha = a s / n with s its `scale_`,
                           which it estimates
    =====================  =============================================================

    Algorithms: squared error with the l2 penalty is one factorisation, of the columns' or
    the rows' products, whichever are fewer ("cholesky"). Other smooth objectives are solved
    as in `LogisticRegression` ("newton", "preconditioned-lbfgs", "plain-lbfgs", and with l1
    "coordinate", "proximal-newton", "proximal"). Losses with kinks are smoothed less and less, each time
    by a few Newton steps ("homotopy"), or with few rows a column solved by a primal-dual
    method ("interior-point"); both end at a bound on the error, not at a guess. Where
    several weights are optimal, one of them is returned.

    `score` is R^2, and for "poisson" the share D^2 of the deviance explained, as for
    scikit-learn's classes.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35 (1964).
    Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978).
    Madsen and Nielsen, "A finite smoothing algorithm for linear l1 estimation", SIAM J.
    Optim. 3 (1993).

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund import LinearRegressor
    >>> X = np.arange(10.0)[:, None]
    >>> y = 2 * X[:, 0] + 1
    >>> y[9] = 1000
    >>> LinearRegressor(alpha=0).fit(X, y).coef_.round(2)
    array([55.53])
    >>> LinearRegressor("absolute_error", alpha=0).fit(X, y).coef_.round(2)
    array([2.])
    """

    def __init__(
        self,
        loss="squared_error",
        *,
        quantile=0.5,
        delta=1.35,
        alpha=0.0001,
        l1_ratio=0.0,
        fit_intercept=True,
        solver="auto",
        tol=1e-6,
        max_iter=1000,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.loss = loss
        self.quantile = quantile
        self.delta = delta
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,) or (n, k)
            Targets; for "poisson" at least 0.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows; a weight of 2 is a row given twice, 0 one left out.

        Returns
        -------
        self : LinearRegressor
        """
        check_arguments(self)
        name, _ = loss_of(self)
        algorithm = algorithm_of(self, name)
        X, y = self._checked(X, y)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        told = {"X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(estimator=self, **told)
        report = IterationReport(self, context, told, X.dtype) if self._watched() else None
        fit = self._solve(X, y, sample_weight, algorithm, report)
        self._publish(fit, X.dtype, y.ndim)
        self._warn(fit)
        context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **told)
        return self

    def predict(self, X):
        """Return the predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)

        Returns
        -------
        y : ndarray of shape (n,) or (n, k)
            X w + b, and its exponential for the loss "poisson".
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        raw = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        return np.exp(raw) if self._name() == "poisson" else raw

    def score(self, X, y, sample_weight=None):
        """Return R^2, or for the loss "poisson" the share D^2 of the deviance explained.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,) or (n, k)
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        score : float
            1 for a perfect prediction, 0 for one no better than the mean. With several
            targets the mean over them.
        """
        if self._name() != "poisson":
            return super().score(X, y, sample_weight)
        y, predicted = np.asarray(y), self.predict(X)
        pairs = zip(y.reshape(len(y), -1).T, predicted.reshape(len(y), -1).T, strict=True)
        weights = {"sample_weight": sample_weight, "power": 1}
        return float(np.mean([d2_tweedie_score(*pair, **weights) for pair in pairs]))

    def _name(self) -> str:
        return self.loss if isinstance(self.loss, str) else self.loss.name

    def _checked(self, X, y):
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
        )
        y = np.asarray(y, dtype=np.float64)
        if self._name() == "poisson" and y.min() < 0:
            raise ValueError(
                f"loss='poisson' needs targets of at least 0 (counts, rates); the smallest is "
                f"{y.min():g}: shift the target or use loss='squared_error'."
            )
        return X, y

    def _watched(self) -> bool:
        return bool(self.verbose) or bool(getattr(self, "_skl_callbacks", None))

    def _solve(self, X, y, sample_weight, algorithm: str | None, report) -> RegressionFit:
        targets = y.reshape(len(y), -1).T
        X, targets, weights = _weighted_rows(X, targets, check_weights(sample_weight, len(y)))
        if self._name() == "poisson" and not np.all(targets.any(axis=1)):
            raise ValueError(
                "loss='poisson' needs a target above 0 in at least one row of weight above 0: "
                "with zeros alone the optimum is minus infinity."
            )
        options = Options(
            intercept=bool(self.fit_intercept),
            tol=self.tol,
            max_iter=self.max_iter,
            rng=check_random_state(0 if self.random_state is None else self.random_state),
            solver=algorithm,
        )
        return solve_regression(
            X,
            np.ascontiguousarray(targets),
            task_of(self),
            weights,
            options,
            start=self._warm_start(len(targets), X.shape[1]),
            after_iteration=report,
        )

    def _warm_start(self, k: int, d: int):
        """Return (weights, intercepts) of the previous fit, or None."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return None
        coef = np.atleast_2d(self.coef_).astype(np.float64)
        if coef.shape != (k, d):
            raise ValueError(
                f"warm_start=True starts from weights of shape {coef.shape}, but these data "
                f"need {(k, d)}: set warm_start=False or give the same columns and targets."
            )
        intercept = np.broadcast_to(self.intercept_ if self.fit_intercept else 0.0, (k,))
        return coef, intercept.astype(np.float64)

    def _publish(self, fit: RegressionFit, dtype, y_ndim: int) -> None:
        W, b = fit.W.astype(dtype), fit.b.astype(dtype)
        self.coef_, self.intercept_ = (W[0], b[0]) if y_ndim == 1 else (W, b)
        self.n_iter_ = max(fit.n_iter, 1)
        self.solver_ = fit.solver
        self.loss_curve_ = fit.loss_curve

    def _warn(self, fit: RegressionFit) -> None:
        kinked = self._name() in ("absolute_error", "quantile")
        what = "relative duality gap" if kinked else "largest entry of the gradient"
        if fit.status == "max_iter":
            advice = f"Increase max_iter={self.max_iter}, or loosen tol."
        elif fit.status == "rounding" and kinked:
            advice = "Rounding allows no smaller one: loosen tol, or rescale the columns of X."
        else:
            return
        warnings.warn(
            f"LinearRegressor ({fit.solver}) ended after {fit.n_iter} iteration(s) with a {what} "
            f"of {fit.gradient:.2g}, and tol={self.tol:g}. {advice}",
            ConvergenceWarning,
            stacklevel=4,
        )

    def __sklearn_tags__(self):
        """Return the tags: sparse X, and targets above zero for the loss "poisson"."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.positive_only = isinstance(self.loss, str) and self.loss == "poisson"
        return tags


def _weighted_rows(X, targets, weights):
    """Return rows of weight above zero, their targets (k, n), and weights with sum 1."""
    if sp.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if weights is None:
        return X, targets, 1.0 / targets.shape[1]
    used = weights > 0
    if not used.all():
        X, targets, weights = X[used], targets[:, used], weights[used]
    # Scaled by the largest first: the sum of huge weights may overflow.
    weights = weights / weights.max()
    return X, targets, weights / weights.sum()
