"""Linear regression by stochastic gradient descent: `fit` with solver="sgd", and streams."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from mlfund._solvers.regression_targets import scale_targets
from mlfund.estimators._linear_arguments import SGD
from mlfund.estimators._linear_classifier_sgd import has_steps
from mlfund.estimators._linear_data import check_weights
from mlfund.estimators._linear_regressor_arguments import (
    LOSSES,
    check_arguments,
    device_of,
    loss_of,
    task_of,
)
from mlfund.estimators._linear_regressor_data import make_rows


@dataclasses.dataclass(frozen=True)
class Descent:
    """A loss on scaled targets: y = spread * scaled + centre.

    Attributes
    ----------
    loss : mlfund.losses.Loss
    l2, l1 : float
        Penalty beside the mean loss over rows, summed over the targets.
    centre : ndarray of shape (k,)
    spread : float
    factor : float
        From the objective of the scaled targets to that of the data.
    """

    loss: object
    l2: float
    l1: float
    centre: np.ndarray
    spread: float
    factor: float

    def scaled(self, targets: np.ndarray, dtype) -> np.ndarray:
        """Return targets (k, n) as the loss takes them, (n, k)."""
        return np.ascontiguousarray(((targets.T - self.centre) / self.spread).astype(dtype))

    def outward(self, W, b):
        """Return weights and intercepts in the units of the data."""
        return W * self.spread, b * self.spread + self.centre

    def inward(self, W, b):
        """Return weights and intercepts for the scaled targets."""
        return W / self.spread, (b - self.centre) / self.spread


def descent_of(estimator, targets: np.ndarray, weights, units=None) -> Descent:
    """Return what is to be descended on, for targets (k, n).

    Learning rates suit targets of unit spread, so the losses that keep their form are scaled;
    Poisson's and one's own are not. `units`, (centre, spread), are those of an earlier chunk.
    """
    from mlfund.losses import Loss, get_loss

    name, options = loss_of(estimator)
    own = isinstance(estimator.loss, Loss) and name not in LOSSES
    k = len(targets)
    alpha, ratio = float(estimator.alpha), float(estimator.l1_ratio)
    if own or name == "poisson":
        loss = estimator.loss if own else get_loss(name)
        return Descent(loss, alpha * (1 - ratio), alpha * ratio, np.zeros(k), 1.0, 1.0)
    task = task_of(estimator)
    if units is None:
        _, _, found = scale_targets(targets, task, weights, bool(estimator.fit_intercept))
        units = found.centre, float(np.mean(found.spread))
    centre, spread = units
    inner, factor = task.scaled(spread)
    loss = get_loss(name, **({"delta": inner.high} if name == "huber" else options))
    return Descent(loss, inner.l2, inner.l1, centre, spread, factor)


class StochasticRegressorMixin:
    """What `LinearRegressor` does when its solver is "sgd"."""

    def _fit_sgd(self, X, y, sample_weight, report) -> None:
        from mlfund.estimators import _linear_sgd as sgd

        X, targets, weights = make_rows(loss_of(self)[0], X, y, sample_weight)
        descent = descent_of(self, targets, weights)
        start = self._warm_start(len(targets), X.shape[1])
        told = None
        if report is not None:

            def told(training, value):
                return report(*descent.outward(*training.weights()), descent.factor * value)

        training, outcome = sgd.train(
            self,
            descent.loss,
            X,
            descent.scaled(targets, X.dtype),
            weights if isinstance(weights, np.ndarray) else None,
            l2=descent.l2,
            l1=descent.l1,
            k=len(targets),
            rng=self._order(),
            start=None if start is None else descent.inward(*start),
            device=device_of(self, X, len(targets)),
            after_epoch=told,
        )
        sgd.warn_of(type(self).__name__, training, outcome, stacklevel=5)
        self.loss_curve_ = [descent.factor * v for v in training.progress.loss_curve]
        self._publish_sgd(training, descent, outcome.n_iter, y.ndim)

    def _order(self):
        return check_random_state(0 if self.random_state is None else self.random_state)

    def _publish_sgd(self, training, descent: Descent, n_iter: int, y_ndim: int) -> None:
        W, b = (part.astype(training.dtype) for part in descent.outward(*training.weights()))
        self.coef_, self.intercept_ = (W[0], b[0]) if y_ndim == 1 else (W, b)
        self.n_iter_ = max(n_iter, 1)
        self.solver_ = SGD
        device = training.device
        self.device_ = "cpu" if device is None else str(device)
        self._sgd_state = training.export()
        self._sgd_units = descent.centre, descent.spread

    @available_if(has_steps)
    def partial_fit(self, X, y, sample_weight=None):
        """Pass once over a chunk of rows, from where the last call left off.

        The state of the optimizer, the place in the schedule (a call is an epoch, `max_iter`
        of them a run) and the mean and spread of the columns are kept from call to call; the
        units of the targets are those of the first chunk.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,) or (n, k)
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        self : LinearRegressor

        Raises
        ------
        ValueError
            If the data have other columns or targets than before, or the steps diverge.
        """
        from mlfund.estimators import _linear_sgd as sgd

        check_arguments(self)
        state = getattr(self, "_sgd_state", None)
        X, y = self._checked(X, y, reset=state is None)
        given = check_weights(sample_weight, len(y))
        X, targets, weights = make_rows(loss_of(self)[0], X, y, sample_weight, whole=False)
        if state is not None and len(np.atleast_2d(self.coef_)) != len(targets):
            raise ValueError(
                f"partial_fit met {len(targets)} targets after "
                f"{len(np.atleast_2d(self.coef_))}: give the same targets, or fit anew."
            )
        descent = descent_of(self, targets, weights, getattr(self, "_sgd_units", None))
        training = sgd.stream(
            self,
            descent.loss,
            X,
            descent.scaled(targets, X.dtype),
            weights * given.sum() if isinstance(weights, np.ndarray) else None,
            state=state,
            strengths=lambda seen: (descent.l2, descent.l1),
            k=len(targets),
            rng=self._order(),
            device=device_of(self, X, len(targets)),
        )
        curve = [] if state is None else self.loss_curve_
        self.loss_curve_ = curve + [descent.factor * v for v in training.progress.loss_curve]
        self._publish_sgd(training, descent, training.progress.epochs, y.ndim)
        return self
