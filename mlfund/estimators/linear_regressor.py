"""Linear regression with the losses of robust, quantile and count regression."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from mlfund._solvers.regression import Options, RegressionFit, solve_regression
from mlfund._version_stamp import VersionStamped
from mlfund.estimators._linear_arguments import SGD
from mlfund.estimators._linear_callbacks import IterationReport
from mlfund.estimators._linear_prediction import linear_scores
from mlfund.estimators._linear_regressor_arguments import (
    algorithm_of,
    check_arguments,
    device_of,
    loss_of,
    task_of,
)
from mlfund.estimators._linear_regressor_data import make_rows
from mlfund.estimators._linear_regressor_sgd import StochasticRegressorMixin
from mlfund.estimators._linear_regressor_warnings import warn_of


class LinearRegressor(
    VersionStamped,
    CallbackSupportMixin,
    StochasticRegressorMixin,
    MultiOutputMixin,
    RegressorMixin,
    BaseEstimator,
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
        columns. For "absolute_error" and "quantile", the duality gap: how far, at most, the
        objective is above its minimum, relative to it or, where outliers make it larger
        than that, to the median deviation of y. For solver "sgd", the least
        improvement of the objective in an epoch that counts.
    max_iter : int, default=1000
        Largest number of iterations; of epochs for solver "sgd".
    warm_start : bool, default=False
        Start from the present `coef_` and `intercept_`, if there are any.
    random_state : int, RandomState instance or None, default=None
        Draws the rows from which the curvature is estimated, and for "sgd" the order of the
        rows. It moves the path, not the optimum; None is the seed 0, so that fits repeat.
    verbose : int, default=0
        Above 0, print a line an iteration.
    optimizer : str, Optimizer or None, default=None
        With solver "sgd": a name in `mlfund.optimizers.OPTIMIZERS`, or an instance. None is
        "adam", and for `partial_fit` "adagrad", whose steps shrink by themselves.
    schedule : str, Schedule or None, default=None
        With solver "sgd": a name in `mlfund.schedules.SCHEDULES`, or an instance. None
        divides the learning rate by 3 whenever the objective is flat, and ends when it has
        shrunk a thousandfold; for `partial_fit` it is "constant".
    learning_rate_init : float or None, default=None
        With solver "sgd": the learning rate for standardised columns and targets of unit
        spread, which the schedule multiplies. None suits the optimizer and the data.
    batch_size : int, "full", "auto" or None, default=None
        With solver "sgd": rows of a step. 1 is online learning, "full" plain gradient
        descent, "auto" and None about a hundredth of the rows, from 16 to 256.
    shuffle : bool or None, default=None
        With solver "sgd": whether each epoch draws a new order of the rows; None does.
    n_iter_no_change : int, inf or None, default=None
        With solver "sgd": epochs in a row without an improvement of `tol` that are borne;
        None is 4, and 10 with `early_stopping`.
    early_stopping : bool or None, default=None
        With solver "sgd": whether to hold out rows, watch the loss on them, and keep the
        best weights.
    validation_fraction : float or None, default=None
        Share of the rows held out; None is 0.1.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"} or None, default=None
        Where solver "sgd" trains; None is the CPU. The other solvers always run there.

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
    device_ : str
        Where it ran.
    loss_curve_ : list of float
        Objective at the start and after each iteration, summed over the targets; for
        `partial_fit` on each chunk before it was learned.
    n_features_in_ : int
        d.
    feature_names_in_ : ndarray of shape (d,)
        Names of the columns, where X has them.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another, if the loss does not
        take the targets, if all weights are zero, or if a loss with kinks meets more than
        16,000 rows and columns, both, without a solver asked for by name.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first, or rounding left a larger duality gap, or a far
        larger gradient, than `tol`.

    See Also
    --------
    LogisticRegression : The same for classes.

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
    "coordinate", "proximal-newton", "proximal"). Losses with kinks are smoothed less and
    less, each time by a few Newton steps ("homotopy"), or with few rows a column solved by a
    primal-dual method ("interior-point"); both end at a bound on the error, not at a guess.
    "sgd" descends by mini-batches, with any loss and any optimizer. Where several weights
    are optimal, one of them is returned.

    `score` is R^2, and for "poisson" the share D^2 of the deviance explained, as for
    scikit-learn's classes.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35 (1964).
    Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978).

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund import LinearRegressor
    >>> X = np.arange(10.0)[:, None]
    >>> y = 2 * X[:, 0] + 1
    >>> y[9] = 1000
    >>> LinearRegressor(alpha=0).fit(X, y).coef_.round(2)
    array([55.51])
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
        optimizer=None,
        schedule=None,
        learning_rate_init=None,
        batch_size=None,
        shuffle=None,
        n_iter_no_change=None,
        early_stopping=None,
        validation_fraction=None,
        device=None,
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
        self.optimizer = optimizer
        self.schedule = schedule
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.device = device

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
        device_of(self, X, 1)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        told = {"X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(estimator=self, **told)
        report = IterationReport(self, context, told, X.dtype) if self._watched() else None
        if self.solver == SGD:
            self._fit_sgd(X, y, sample_weight, report)
        else:
            fit = self._solve(X, y, sample_weight, algorithm, report)
            self._publish(fit, X.dtype, y.ndim)
            warn_of(self, fit, X, stacklevel=4)
            self.device_ = "cpu"
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
        raw = linear_scores(self, X)
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
        # Loaded for this loss only: it brings all of scikit-learn's metrics.
        from sklearn.metrics import d2_tweedie_score

        y, predicted = np.asarray(y), self.predict(X)
        pairs = zip(y.reshape(len(y), -1).T, predicted.reshape(len(y), -1).T, strict=True)
        options = {"sample_weight": sample_weight, "power": 1}
        return float(np.mean([d2_tweedie_score(*pair, **options) for pair in pairs]))

    def _name(self) -> str:
        return self.loss if isinstance(self.loss, str) else self.loss.name

    def _checked(self, X, y, *, reset=True):
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
            reset=reset,
        )
        return X, np.asarray(y, dtype=np.float64)

    def _watched(self) -> bool:
        return bool(self.verbose) or bool(getattr(self, "_skl_callbacks", None))

    def _solve(self, X, y, sample_weight, algorithm: str | None, report) -> RegressionFit:
        X, targets, weights = make_rows(self._name(), X, y, sample_weight)
        options = Options(
            intercept=bool(self.fit_intercept),
            tol=self.tol,
            max_iter=self.max_iter,
            rng=check_random_state(0 if self.random_state is None else self.random_state),
            solver=algorithm,
        )
        return solve_regression(
            X,
            targets,
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
        # A stream would go on from the weights of an earlier fit.
        vars(self).pop("_sgd_state", None)
        vars(self).pop("_sgd_units", None)

    def __sklearn_tags__(self):
        """Return the tags: sparse X, and targets above zero for the loss "poisson"."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.positive_only = isinstance(self.loss, str) and self.loss == "poisson"
        return tags
