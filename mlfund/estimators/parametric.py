"""Curve fitting: the parameters of one's own differentiable function."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from mlfund._check import limited_threads
from mlfund._version_stamp import VersionStamped
from mlfund.estimators import _parametric_fit as fitting
from mlfund.estimators._parametric_callbacks import IterationReport
from mlfund.estimators._parametric_covariance import measure
from mlfund.estimators._parametric_function import ParametricFunction
from mlfund.estimators._parametric_problem import Problem, read_loss
from mlfund.estimators._parametric_results import FittedCurveMixin, columns
from mlfund.estimators._parametric_start import read_bounds


class ParametricRegressor(VersionStamped, CallbackSupportMixin, FittedCurveMixin, BaseEstimator):
    """Fits the parameters of your own function ``f(x, a, b, ...)``.

    The function is written with torch, so its derivatives are exact. By default the
    parameters take Levenberg-Marquardt steps, which are gradient descent in the metric of
    the curvature, until nothing is left to gain; any optimizer and schedule of the
    vocabulary can go first, or alone.

    Parameters
    ----------
    function : callable
        ``f(x, a, b, ...)``. x is a float64 tensor, of shape (n,) where X has one column, else
        (n, d); the parameters are 0-d tensors, passed by name. It returns a tensor of shape
        (n,), or a single number for all rows. Arguments whose default is not a number are
        options and stay as they are.
    start : dict of str to float or array, default=None
        Start values. A parameter that is not here starts at its default in the signature, or
        at 1. An array makes the parameter a tensor of its shape.
    bounds : dict of str to (low, high), default=None
        Bounds, None for none: ``{"a": (0, None)}``. Equal bounds hold a parameter fixed.
    loss : {"mse", "rmse", "mae", "huber", "squared_error", "absolute_error", "quantile"} or \
Loss, default="mse"
        What is minimised; "mse" and "rmse" have the same minimum. "huber" grows linearly from
        a residual of 1.35, in units of y; ``mlfund.losses.get_loss("huber", delta=...)``
        sets another.
    optimizer : str or Optimizer, default="auto"
        "auto" takes Levenberg-Marquardt steps only. A name in
        `mlfund.optimizers.OPTIMIZERS`, or an instance, takes its steps first.
    schedule : str or Schedule, default=None
        Name in `mlfund.schedules.SCHEDULES`, or an instance; None is constant.
    learning_rate_init : float, default=None
        Base learning rate of the optimizer, in scaled parameters. None takes one that suits
        the optimizer.
    batch_size : int, default=None
        Rows a step of the optimizer; None is all.
    scale_parameters : bool, default=None
        Whether the optimizer works in parameters scaled so that a step of 1 changes the loss
        at the start by about all of it; parameters of very different size need it. None is
        True; False takes the steps of the textbook.
    polish : bool, default=None
        Whether Levenberg-Marquardt steps follow the optimizer's. None is True.
    max_iter : int, default=1000
        Most epochs of the optimizer, and most Levenberg-Marquardt steps.
    tol : float, default=1e-8
        Levenberg-Marquardt ends when a step could remove at most this share of the norm of
        the residuals; the optimizer when the loss has not fallen by this share of itself in
        `n_iter_no_change` epochs.
    n_iter_no_change : int, default=50
        Epochs of the optimizer without improvement that are borne.
    n_restarts : int, default=0
        Random starts beside the given one; the best result is kept. Starts are uniform
        between two bounds, and around the start value otherwise.
    warm_start : bool, default=False
        Whether `fit` starts from the present `parameters_`, if there are any.
    random_state : int, RandomState instance or None, default=None
        Draws the random starts and the batches.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"}, default=None
        Where to fit; None is the CPU. `predict` runs on the CPU.
    precision : {"float64", "float32"}, default=None
        Dtype of the tensors in `fit`; None is "float64".

    Attributes
    ----------
    parameters_ : dict of str to float or ndarray
        Fitted values.
    parameter_table_ : DataFrame
        A row a parameter: value, standard_error, low_95 and high_95 (Student's t), at_bound.
    covariance_ : ndarray of shape (p, p)
        Covariance of the parameters, in the order of the table. NaN for those at a bound,
        which count as fixed, and for those that the rows do not determine.
    loss_ : float
        The loss at the end.
    loss_curve_ : list of float
        The loss at the start and after each iteration or epoch, of the best start.
    restarts_ : DataFrame
        A row a start: its values, the loss reached, iterations, whether it converged, and
        whether it is the best.
    n_iter_ : int
        Iterations and epochs of the best start.
    converged_ : bool
        Whether the best descent ended before `max_iter`.
    solver_ : str
        What ran: "levenberg-marquardt", "adam + levenberg-marquardt", "adam" ...
    message_ : str
        Why it ended.
    residual_std_ : float
        Root of the residual sum of squares over the degrees of freedom.
    degrees_of_freedom_ : float
        Weight sum less the number of free parameters.
    device_ : str
        Where the fit ran.
    n_samples_fit_ : int
        Rows with a weight above 0.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X has them.

    Raises
    ------
    TypeError
        If the function calls numpy or math on a tensor, or returns no real tensor.
    ValueError
        If its result has a wrong shape, is not finite at the start or has no gradient, or if
        an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.
    UserWarning
        If a parameter is ignored by the function, or not determined by the rows.

    See Also
    --------
    scipy.optimize.curve_fit : Least squares for functions of numpy arrays.

    Notes
    -----
    A weight counts a row that often, as everywhere in scikit-learn, so the degrees of freedom
    are the weight sum less p. For errors of known relative size sigma, as curve_fit takes
    them, give ``sample_weight = w * n / w.sum()`` with ``w = 1 / sigma**2``.

    The covariance of least squares is that of curve_fit: the inverse of J'WJ times the
    residual variance. Other losses take the sandwich of curvature and slopes, in which the
    curvature of "mae" comes from the density of the residuals at zero.

    References
    ----------
    Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", J. SIAM 11
    (1963). Bates and Watts, "Nonlinear regression analysis and its applications" (1988).

    Examples
    --------
    >>> import numpy as np, torch
    >>> from mlfund import ParametricRegressor
    >>> def decay(x, height=1.0, rate=1.0):
    ...     return height * torch.exp(-rate * x)
    >>> x = np.linspace(0, 4, 30)
    >>> y = 2.5 * np.exp(-1.3 * x) + 0.01 * np.cos(40 * x)
    >>> model = ParametricRegressor(decay, bounds={"rate": (0, None)}).fit(x[:, None], y)
    >>> model.parameter_table_.round(3)[["value", "standard_error"]]
               value  standard_error
    parameter
    height     2.506           0.005
    rate       1.304           0.004
    """

    def __init__(
        self,
        function,
        *,
        start=None,
        bounds=None,
        loss="mse",
        optimizer="auto",
        schedule=None,
        learning_rate_init=None,
        batch_size=None,
        scale_parameters=None,
        polish=None,
        max_iter=1000,
        tol=1e-8,
        n_iter_no_change=50,
        n_restarts=0,
        warm_start=False,
        random_state=None,
        device=None,
        precision=None,
    ):
        self.function = function
        self.start = start
        self.bounds = bounds
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.scale_parameters = scale_parameters
        self.polish = polish
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.n_restarts = n_restarts
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.precision = precision

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Fit the parameters.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, at least 0; a weight of 2 is a row given twice.

        Returns
        -------
        self : ParametricRegressor
        """
        loss, told_loss = read_loss(self.loss)
        plan = fitting.read_plan(self, told_loss)
        device, dtype = fitting.place(self)
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = y.astype(np.float64, copy=False)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        kept = weight > 0
        function = ParametricFunction(self.function, self.start)
        low, high = read_bounds(function, self.bounds)
        rng = check_random_state(self.random_state)
        start = self._start(function)
        starts = fitting.draw_starts(function, start, low, high, self.n_restarts, rng)
        x, target, weights = (
            torch.as_tensor(array, dtype=dtype, device=device)
            for array in (columns(X[kept]), y[kept], weight[kept])
        )
        context = self._init_callback_context(max_subtasks=None)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        told = {"X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(estimator=self, **told)
        watched = bool(getattr(self, "_skl_callbacks", None))
        after = IterationReport(self, function, context, told) if watched else None
        with limited_threads(50.0 * x.numel() * len(start)):
            problem = Problem(function, loss, x, target, weights)
            ignored = self._check_function(function, x, problem.tensor(starts[0]))
            best, descents = fitting.best_descent(problem, starts, low, high, plan, rng, after)
            self._publish(problem, best, descents, low, high, told_loss, ignored)
        self.solver_, self.device_ = plan.solver, str(device)
        self._starts = np.array(starts)
        self._warn(descents[best])
        context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **told)
        return self

    def _start(self, function: ParametricFunction) -> np.ndarray:
        if not self.warm_start or not hasattr(self, "parameters_"):
            return function.start
        shapes = {name: np.shape(value) for name, value in self.parameters_.items()}
        if shapes != function.shapes:
            raise ValueError(
                f"warm_start=True starts from parameters {shapes}, but {function.name} has "
                f"{function.shapes}: set warm_start=False."
            )
        return function.pack(self.parameters_)

    def _check_function(self, function, x, theta) -> list[str]:
        ignored = function.check(x, theta)
        if ignored:
            warnings.warn(
                f"{function.name} ignores {', '.join(ignored)}: nothing it returns has a gradient "
                "by them, so they stay at their start values. Leave them out of the signature, or "
                "look for torch.tensor(), .detach() or a branch that cuts them off.",
                UserWarning,
                stacklevel=5,
            )
        return [label for name in ignored for label in function.labels_of(name)]

    def _publish(self, problem, best, descents, low, high, told_loss, ignored) -> None:
        found, function = descents[best], problem.function
        self._theta = found.theta
        self._labels = function.labels
        self._at_bound = (found.theta <= low) | (found.theta >= high)
        self.parameters_ = _plain(function.unpack(found.theta))
        uncertainty = measure(problem, found.theta, ~self._at_bound)
        self.covariance_ = uncertainty.covariance
        self.residual_std_ = uncertainty.residual_std
        self.degrees_of_freedom_ = uncertainty.degrees_of_freedom
        unidentified = [function.labels[j] for j in uncertainty.unidentified]
        self._unidentified = [label for label in unidentified if label not in ignored]
        self.loss_ = float(told_loss(found.loss))
        self.loss_curve_ = [float(told_loss(loss)) for loss in found.curve]
        self.n_iter_ = found.n_iter
        self.converged_, self.message_ = found.converged, found.reason
        self.n_samples_fit_ = len(problem.y)
        self._descents = [
            {
                "loss": float(told_loss(other.loss)),
                "n_iter": other.n_iter,
                "converged": other.converged,
                "best": i == best,
            }
            for i, other in enumerate(descents)
        ]

    def _warn(self, found) -> None:
        if found.diverged or not found.converged:
            warnings.warn(
                f"The fit did not run its course: {self.message_}. Give other start values or "
                f"bounds, raise max_iter={self.max_iter}, or try n_restarts=10.",
                ConvergenceWarning,
                stacklevel=4,
            )
        if self.degrees_of_freedom_ <= 0:
            free = int((~self._at_bound).sum())
            warnings.warn(
                f"A weight sum of {self.degrees_of_freedom_ + free:g}, which is the number of rows "
                f"where all weigh 1, leaves no degrees of freedom for {free} free parameters: "
                "their standard errors are NaN. Give more rows, or weights that sum to their "
                "number.",
                UserWarning,
                stacklevel=4,
            )
        elif self._unidentified:
            warnings.warn(
                f"The rows do not determine {', '.join(self._unidentified)}: other values fit as "
                "well, and their standard errors are NaN. Fix some by equal bounds, give rows "
                "that tell them apart, or other start values.",
                UserWarning,
                stacklevel=4,
            )


def _plain(values: dict) -> dict:
    """Return numbers as floats and arrays as copies."""
    return {name: float(v) if np.ndim(v) == 0 else np.array(v) for name, v in values.items()}
