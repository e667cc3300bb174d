"""Logistic regression by stochastic gradient descent: `fit` with solver="sgd", and streams."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from mlfund.estimators._linear_arguments import SGD, accelerator, check_arguments
from mlfund.estimators._linear_data import Rows, make_rows


def has_steps(estimator) -> bool:
    """Whether `partial_fit` is there; the error tells which solver has it."""
    if estimator.solver != SGD:
        raise AttributeError(
            f"partial_fit needs solver='sgd': solver={estimator.solver!r} works on all rows at "
            "once."
        )
    return True


class StochasticClassifierMixin:
    """What `LogisticRegression` does when its solver is "sgd"."""

    def _fit_sgd(self, objective, rows: Rows, report, device) -> None:
        from mlfund.estimators import _linear_sgd as sgd

        l2, l1 = objective.strengths(rows.weight_sum)
        told = None
        if report is not None:

            def told(training, value):
                return report(*training.weights(), value)

        training, outcome = sgd.train(
            self,
            _vocabulary_loss(rows),
            rows.X,
            _target(rows),
            _weights(rows),
            l2=l2,
            l1=l1,
            k=rows.loss.k,
            rng=check_random_state(0 if self.random_state is None else self.random_state),
            start=self._warm_start(rows),
            device=device,
            after_epoch=told,
        )
        sgd.warn_of(type(self).__name__, training, outcome, stacklevel=5)
        self._publish_sgd(training, outcome.n_iter)
        self.loss_curve_ = training.progress.loss_curve

    def _publish_sgd(self, training, n_iter: int) -> None:
        W, b = training.weights()
        self.coef_, self.intercept_ = W.astype(training.dtype), b.astype(training.dtype)
        self.n_iter_ = np.array([n_iter], dtype=np.int32)
        self.solver_ = SGD
        self._sgd_state = training.export()

    @available_if(has_steps)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Pass once over a chunk of rows, from where the last call left off.

        What is minimised is the objective of all rows seen so far. The state of the
        optimizer, the place in the schedule (a call is an epoch, `max_iter` of them a run) and
        the mean and spread of the columns are kept from call to call, and in a pickle.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,)
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        self : LogisticRegression

        Raises
        ------
        ValueError
            If the classes are missing at first, or a label is not among them.
        """
        from mlfund.estimators import _linear_sgd as sgd

        objective = check_arguments(self)
        state = getattr(self, "_sgd_state", None)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            reset=state is None,
        )
        known = self._stream_classes(y, classes, first=state is None)
        rows = make_rows(X, y, known, self.class_weight, sample_weight)
        device = accelerator(self.device, rows.X, rows.loss.k, SGD)
        weights = _weights(rows)
        training = sgd.stream(
            self,
            _vocabulary_loss(rows),
            rows.X,
            _target(rows),
            None if weights is None else weights * rows.weight_sum,
            state=state,
            strengths=objective.strengths,
            k=rows.loss.k,
            rng=check_random_state(0 if self.random_state is None else self.random_state),
            device=device,
        )
        curve = [] if state is None else self.loss_curve_
        self.classes_ = known
        self.loss_curve_ = curve + training.progress.loss_curve
        self.device_ = "cpu" if device is None else str(device)
        self._publish_sgd(training, training.progress.epochs)
        return self

    def _stream_classes(self, y, classes, *, first: bool):
        """Return the classes of the stream; refuse a label that is not among them."""
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once and partial_fit sees some; give "
                "the weights as a dict, for instance from "
                "sklearn.utils.class_weight.compute_class_weight."
            )
        check_classification_targets(y)
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        known = np.unique(classes) if first else self.classes_
        if classes is not None and not np.array_equal(known, np.unique(classes)):
            raise ValueError(
                f"classes={classes!r} is not the same as on the last call to partial_fit, which "
                f"was {known!r}."
            )
        if len(known) < 2:
            raise ValueError(f"partial_fit needs at least 2 classes; got classes={classes!r}.")
        new = np.setdiff1d(y, known)
        if len(new):
            raise ValueError(
                f"partial_fit met the label {new.tolist()[0]!r}, which is not among the classes "
                f"{known.tolist()} of the first call: name all labels there, or fit anew."
            )
        return known


def _vocabulary_loss(rows: Rows):
    from mlfund.losses import get_loss

    return get_loss("log_loss_binary" if rows.loss.k == 1 else "log_loss_multinomial")


def _target(rows: Rows):
    """Return the targets as the losses of the vocabulary take them."""
    target = rows.loss.target
    return target.reshape(-1, 1) if rows.loss.k == 1 else target.astype(np.int64, copy=False)


def _weights(rows: Rows):
    """Return the row weights, or None where all are equal."""
    weights = rows.loss.weights
    return weights.astype(np.float64) if isinstance(weights, np.ndarray) else None
