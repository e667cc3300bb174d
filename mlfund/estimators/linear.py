"""Logistic regression: deterministic full-batch solvers, and stochastic gradient descent."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from mlfund._solvers.linear import Fit, Penalty, solve
from mlfund._version_stamp import VersionStamped
from mlfund.estimators._linear_arguments import SGD, Objective, accelerator, check_arguments
from mlfund.estimators._linear_callbacks import IterationReport
from mlfund.estimators._linear_classifier_sgd import StochasticClassifierMixin
from mlfund.estimators._linear_data import Rows, check_classes, make_rows
from mlfund.estimators._linear_prediction import LinearClassifierMixin


class LogisticRegression(
    VersionStamped,
    CallbackSupportMixin,
    StochasticClassifierMixin,
    LinearClassifierMixin,
    BaseEstimator,
):
    r"""Logistic regression, binary and multinomial: a drop-in for scikit-learn's, faster.

    With C the inverse strength, r the `l1_ratio` and s_i the weights of the rows, minimises

    .. math:: C \sum_i s_i \, \ell(y_i, x_i' w + b) + r |w|_1 + \tfrac{1 - r}{2} |w|_2^2

    where the loss is -log of the predicted probability of the class, from one logistic
    function for two classes and from the softmax of k outputs for more.

    All parameters of scikit-learn 1.9's class are here with their meaning. `solver` fixes
    the objective and the penalties allowed, as there; which algorithm then runs is chosen
    by the shape of the data and told by `solver_`.

    Parameters
    ----------
    penalty : {"l1", "l2", "elasticnet", None}, default="deprecated"
        Deprecated as in scikit-learn 1.8: use `l1_ratio` and `C`.
    C : float, default=1.0
        Inverse of the strength of the penalty, above 0; `np.inf` means none.
    l1_ratio : float, default=0.0
        0 is the l2 penalty, 1 the l1 penalty, between them the elastic net. Other values
        than 0 need solver "saga", "liblinear" (1 only), "auto", "proximal",
        "proximal-newton" or "coordinate".
    dual : bool, default=False
        Accepted with solver "liblinear" and the l2 penalty; the optimum is the same.
    tol : float, default=1e-4
        The fit ends when no entry of the gradient of the mean objective (the above divided
        by C times the sum of weights) exceeds it, in the columns of X and in standardised
        columns. What float32 cannot reach is finished in float64. An objective within 1e-6
        of the least one took 1e-4 on 100,000 correlated rows and 1e-5 on raw MNIST pixels
        and on separable rows, whose least objective is small. For "sgd" the least
        improvement of the mean objective (or of the score) in an epoch that counts.
    fit_intercept : bool, default=True
        Whether there is a b. It is not penalised, except by "liblinear".
    intercept_scaling : float, default=1
        With "liblinear", b is this times a weight that is penalised like the others.
    class_weight : dict or "balanced", default=None
        Weights by class, multiplied with `sample_weight`.
    random_state : int, RandomState instance or None, default=None
        Draws the rows from which the curvature is estimated, and for "sgd" the order of the
        rows. It moves the path, not the optimum; None is the seed 0, so that fits repeat.
    solver : str, default="lbfgs"
        scikit-learn's "lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga",
        or "auto" (as "lbfgs", and any penalty); or an algorithm by its own name:
        "sgd", "newton", "preconditioned-lbfgs", "plain-lbfgs", "gradient-descent",
        "nesterov", "proximal", "proximal-newton", and for two classes "coordinate" and
        "dual-coordinate", which need a C compiler at installation. With more classes they
        run "proximal" and "plain-lbfgs".
    max_iter : int, default=100
        Largest number of iterations; of epochs for "sgd".
    verbose : int, default=0
        Above 0, print a line an iteration.
    warm_start : bool, default=False
        Start from the present `coef_` and `intercept_`, if there are any.
    n_jobs : None
        Deprecated as in scikit-learn 1.8; it has no effect.
    optimizer : str, Optimizer or None, default=None
        With solver "sgd": a name in `mlfund.optimizers.OPTIMIZERS`, or an instance. None is
        "adam", and for `partial_fit` "adagrad", whose steps shrink by themselves.
    schedule : str, Schedule or None, default=None
        With solver "sgd": a name in `mlfund.schedules.SCHEDULES`, or an instance. None
        divides the learning rate by 3 whenever the objective is flat, and ends when it has
        shrunk a thousandfold; for `partial_fit` it is "constant".
    learning_rate_init : float or None, default=None
        With solver "sgd": the learning rate in standardised columns, which the schedule
        multiplies. None is 0.1 for the adaptive optimizers (0.05 for RMSProp) and what the
        curvature allows for the others.
    batch_size : int, "full", "auto" or None, default=None
        With solver "sgd": rows of a step. 1 is online learning, "full" plain gradient
        descent, "auto" and None about a hundredth of the rows, from 16 to 256.
    shuffle : bool or None, default=None
        With solver "sgd": whether each epoch draws a new order of the rows; None does.
    n_iter_no_change : int, inf or None, default=None
        With solver "sgd": epochs in a row without an improvement of `tol` that are borne
        before the default schedule divides the learning rate, or others end; None is 4 (more
        where an epoch has few steps), and 10 with `early_stopping`.
    early_stopping : bool or None, default=None
        With solver "sgd": whether to hold out rows, watch the accuracy on them, and keep the
        best weights.
    validation_fraction : float or None, default=None
        Share of the rows held out, stratified by class; None is 0.1.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"} or None, default=None
        Where to fit; None is numpy on the CPU, "auto" an accelerator where dense X with n d k
        from 1e8 on makes it worth the copy. `predict` always runs on the CPU.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray or CSR array of shape (1, d) or (n_classes, d)
        w, one row for two classes, in the dtype of X (float64 for "liblinear").
    intercept_ : ndarray of shape (1,) or (n_classes,)
        b; zeros without intercept.
    n_iter_ : ndarray of int of shape (1,)
        Iterations done; epochs, or calls of `partial_fit`, for "sgd".
    loss_curve_ : list of float
        The mean objective at the start and after each iteration; for "sgd" after each epoch,
        and for `partial_fit` on each chunk before it was learned.
    solver_ : str
        The algorithm that ran, by its own name.
    device_ : str
        Where the fit ran.
    n_features_in_ : int
        d.
    feature_names_in_ : ndarray of shape (d,)
        Names of the columns, where X has them.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another, if there is only one
        class, if "liblinear" meets three classes, if all weights are zero, or if the device
        is not there or the solver runs on the CPU only.
    MemoryError
        If the device has too little memory.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first, or if without penalty the classes are separable,
        so that no finite optimum exists, or if `tol` asks for more digits than a device without
        float64 has.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : Has the same parameters.

    Notes
    -----
    Dense data of moderate width are solved by L-BFGS on cached margins, preconditioned by
    the Hessian on a sample of rows; few columns by Newton's method; wide or sparse data by
    L-BFGS in a diagonal metric; l1 penalties by proximal Newton steps, or on many columns
    by accelerated proximal steps with Newton steps on the support. Columns are centred and
    scaled in the arithmetic only: badly scaled columns need no more iterations, and the
    objective stays that of the data given. "gradient-descent" (exact line search) and
    "nesterov" (adaptive restart) run in the same columns and need more iterations.

    References
    ----------
    Byrd, Chin, Neveitt, Nocedal, "On the use of stochastic Hessian information in
    optimization methods for machine learning", SIAM J. Optim. 21 (2011).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> model.predict(X[:2])
    array([0, 0])
    >>> round(model.score(X, y), 3)
    0.973
    >>> model.solver_
    'newton'
    """

    def __init__(
        self,
        penalty="deprecated",
        *,
        C=1.0,
        l1_ratio=0.0,
        dual=False,
        tol=1e-4,
        fit_intercept=True,
        intercept_scaling=1,
        class_weight=None,
        random_state=None,
        solver="lbfgs",
        max_iter=100,
        verbose=0,
        warm_start=False,
        n_jobs=None,
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
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs
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
        y : array-like of shape (n,)
            Labels, of any type that can be sorted.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows; a weight of 2 is a row given twice, 0 one left out.

        Returns
        -------
        self : LogisticRegression
        """
        objective = check_arguments(self)
        precise = self.solver == "liblinear"
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=np.float64 if precise else [np.float64, np.float32],
        )
        self.classes_ = check_classes(type(self).__name__, y, self.solver)
        rows = make_rows(X, y, self.classes_, self.class_weight, sample_weight)
        if rows.loss.target.min() == rows.loss.target.max():
            raise ValueError(
                "sample_weight and class_weight leave rows of one class only: all others have "
                "weight zero. Give rows of at least 2 classes a weight above zero."
            )
        context = self._init_callback_context(max_subtasks=self.max_iter)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        told = {"X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(estimator=self, **told)
        report = IterationReport(self, context, told, X.dtype) if self._watched() else None
        device = accelerator(self.device, rows.X, rows.loss.k, self.solver)
        if self.solver == SGD:
            self._fit_sgd(objective, rows, report, device)
        else:
            fit = self._solve(objective, rows, report, device)
            self._publish(fit, X.dtype)
            self._warn(fit, objective)
        self.device_ = "cpu" if device is None else str(device)
        context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **told)
        return self

    def _watched(self) -> bool:
        return bool(self.verbose) or bool(getattr(self, "_skl_callbacks", None))

    def _solve(self, objective: Objective, rows: Rows, report, device) -> Fit:
        l2, l1 = objective.strengths(rows.weight_sum)
        return solve(
            rows.X,
            rows.loss,
            Penalty(l2, l1, objective.of_intercept),
            intercept=bool(self.fit_intercept),
            tol=self.tol,
            max_iter=self.max_iter,
            rng=0 if self.random_state is None else check_random_state(self.random_state),
            solver=objective.algorithm,
            start=self._warm_start(rows),
            after_iteration=report,
            device=device,
        )

    def _warm_start(self, rows: Rows):
        """Return (weights, intercepts) of the previous fit, or None."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return None
        coef = self.coef_.toarray() if sp.issparse(self.coef_) else self.coef_
        expected = (rows.loss.k, rows.X.shape[1])
        if coef.shape != expected:
            raise ValueError(
                f"warm_start=True starts from coef_ of shape {coef.shape}, but these data need "
                f"{expected}: set warm_start=False or give the same columns and classes."
            )
        intercept = self.intercept_ if self.fit_intercept else np.zeros(expected[0])
        return coef.astype(np.float64), intercept.astype(np.float64)

    def _publish(self, fit: Fit, dtype) -> None:
        self.coef_ = fit.W.astype(dtype)
        self.intercept_ = fit.b.astype(dtype)
        self.n_iter_ = np.array([fit.n_iter], dtype=np.int32)
        self.solver_ = fit.solver
        self.loss_curve_ = fit.loss_curve
        # A stream would go on from the weights of an earlier fit.
        vars(self).pop("_sgd_state", None)

    def _warn(self, fit: Fit, objective: Objective) -> None:
        if fit.status == "max_iter":
            warnings.warn(
                f"{self.solver} failed to converge after {fit.n_iter} iteration(s): the largest "
                f"entry of the gradient is {fit.gradient:.2g}, and tol={self.tol:g}. Increase "
                f"the number of iterations (max_iter={self.max_iter}), or loosen tol.",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif fit.status == "single":
            warnings.warn(
                f"{self.solver} reached the rounding of float32, which is all that "
                f"device={self.device!r} computes in: the largest entry of the gradient is "
                f"{fit.gradient:.2g}, and tol={self.tol:g}. Loosen tol, or set device='cpu'.",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif np.isinf(objective.C) and fit.separated:
            warnings.warn(
                "The classes are perfectly separated and C=inf: no finite optimum exists, and "
                "the coefficients only grow as tol shrinks. Set a finite C.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_class = self.solver != "liblinear"
        return tags
