"""solver="sgd" of the linear estimators: their parameters, one training, what to say of it.

Whatever estimator has the parameters named in `_linear_arguments.DESCENT` can be trained
here, once `_linear_arguments.check_descent` let them pass:

1. `settings_of` turns the parameters into `mlfund._solvers.stochastic.Settings`,
2. `train` fits, for any pointwise loss of `mlfund.losses`, and `stream` takes one chunk,
3. `warn_of` says how it ended.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlfund._check import check_choice, check_fraction, check_positive, limited_threads
from mlfund._solvers.stochastic import Settings, Training, rows_of_batch
from mlfund._solvers.stochastic_fit import Outcome, minimise
from mlfund.folds import FoldPlan
from mlfund.losses import Loss
from mlfund.optimizers import get_optimizer
from mlfund.schedules import SCHEDULES, Adaptive, get_schedule

# Standardised columns are nearly flat after some tens of epochs; on 40 real tables dividing
# by 3 after 4 stale epochs came nearest to the optimum within 100 epochs.
PATIENCE = 4
# Epochs of few steps count for less: stale are at least as many steps.
STALE_STEPS = 40
# A score on few rows is flat for longer before it rises again.
PATIENCE_ON_SCORE = 10
DIVISOR = 3.0
# The schedule ends when the learning rate is this share of its start.
SMALLEST_SHARE = 1e-3
VALIDATION_FRACTION = 0.1


def settings_of(estimator: Any, rows: int, *, streaming: bool = False) -> Settings:
    """Return how an estimator with the parameters `DESCENT` wants to descend.

    Parameters
    ----------
    estimator : estimator
        With `max_iter` and `tol` beside the parameters in `DESCENT`.
    rows : int
        Rows of an epoch.
    streaming : bool, default=False
        Whether for `partial_fit`, where without other wishes AdaGrad runs at its base rate:
        its steps shrink by themselves, however long the stream.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """
    optimizer = estimator.optimizer
    if optimizer is None:
        optimizer = "adagrad" if streaming else "adam"
    rate = estimator.learning_rate_init
    if rate is not None:
        check_positive("learning_rate_init", rate)
    batch_size = _batch_size(estimator.batch_size)
    steps = -(-rows // rows_of_batch(batch_size, rows))
    usual = PATIENCE_ON_SCORE if estimator.early_stopping else max(PATIENCE, STALE_STEPS // steps)
    patience = _patience(estimator.n_iter_no_change, usual)
    schedule = estimator.schedule
    if schedule is None and streaming:
        schedule = SCHEDULES["constant"]
    elif schedule is None:
        schedule = _default_schedule(estimator.tol, patience, rate)
    for name in ("shuffle", "early_stopping"):
        check_choice(name, getattr(estimator, name), (None, True, False))
    return Settings(
        optimizer=get_optimizer(optimizer),
        schedule=get_schedule(schedule),
        learning_rate_init=None if rate is None else float(rate),
        batch_size=batch_size,
        shuffle=estimator.shuffle is not False,
        max_iter=int(estimator.max_iter),
        tol=float(estimator.tol),
        n_iter_no_change=patience,
    )


def _default_schedule(tol: float, patience: float, rate: float | None) -> Adaptive:
    smallest = SMALLEST_SHARE * (0.1 if rate is None else rate)
    patience = 10**9 if math.isinf(patience) else int(patience)
    return Adaptive(patience=patience, tol=tol, divisor=DIVISOR, min_learning_rate=smallest)


def _patience(given: Any, usual: int) -> float:
    if given is None:
        return usual
    if given == math.inf:
        return math.inf
    if not isinstance(given, Integral) or isinstance(given, bool) or given < 1:
        raise ValueError(
            f"n_iter_no_change must be an integer of at least 1, or np.inf; got {given!r}."
        )
    return int(given)


def _batch_size(given: Any) -> float | None:
    if given is None or (isinstance(given, str) and given == "auto"):
        return None
    if isinstance(given, str) and given == "full":
        return math.inf
    if not isinstance(given, Integral) or isinstance(given, bool) or given < 1:
        raise ValueError(
            "batch_size must be an integer of at least 1 (1 is online learning), 'full' or "
            f"'auto'; got {given!r}."
        )
    return int(given)


def train(
    estimator: Any,
    loss: Loss,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray | None,
    *,
    l2: float,
    l1: float,
    k: int,
    rng: np.random.RandomState,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    device: Any = None,
    after_epoch: Callable[[Training, float], bool] | None = None,
) -> tuple[Training, Outcome]:
    """Fit a linear model by stochastic gradient descent.

    Parameters
    ----------
    estimator : estimator
        Its parameters `DESCENT`, `max_iter`, `tol` and `fit_intercept` are read.
    loss : Loss
        A pointwise loss; what is minimised is its weighted mean plus the penalty
        ``0.5 * l2 * |w|^2 + l1 * |w|_1`` in the columns of X.
    X : ndarray or CSR of shape (n, d), float32 or float64
    y : ndarray
        As `loss` takes it: float (n, k) in the dtype of X, or int64 codes (n,).
    weight : ndarray of shape (n,) or None
        Weights of the rows, above 0; their sum does not matter.
    l2, l1 : float
        Penalty beside the *mean* loss.
    k : int
        Raw scores a row.
    rng : RandomState
    start : (W, b), optional
        Weights (k, d) and intercepts (k,) to start from, else zeros.
    device : torch.device or None
        None computes with numpy on the CPU.
    after_epoch : callable, optional
        ``after_epoch(training, objective) -> bool``; true ends the training.

    Returns
    -------
    training : Training
        ``training.weights()`` are W (k, d) and b (k,), ``training.progress.loss_curve`` the
        objective at the start and after each epoch, ``training.export()`` the state from
        which `stream` goes on.
    outcome : Outcome
        For `warn_of`.
    """
    settings = settings_of(estimator, X.shape[0])
    score = None
    held_out = None
    if estimator.early_stopping:
        (X, y, weight), held_out = _hold_out(estimator, loss, (X, y, weight), rng)
    training = Training(
        loss,
        k,
        settings,
        intercept=bool(estimator.fit_intercept),
        dtype=X.dtype,
        device=device,
    )
    training.look_at(X, weight, l2=l2, l1=l1, start=start)
    if held_out is not None:
        score = _score_of(loss, held_out)
    told = None
    if after_epoch is not None:

        def told(objective: float) -> bool:
            return after_epoch(training, objective)

    # Of torch on the CPU only the loss of each epoch is asked: no work for a second thread.
    with _computing_on(device, X), limited_threads(0.0):
        outcome = minimise(training, X, y, weight, rng=rng, score=score, after_epoch=told)
    return training, outcome


def _computing_on(device: Any, X: Any) -> contextlib.AbstractContextManager[None]:
    """Keep products on a device precise, and name the cure where its memory is full."""
    if device is None:
        return contextlib.nullcontext()
    from mlfund._solvers.torch_device import computing_on

    return computing_on(device, X)


def stream(
    estimator: Any,
    loss: Loss,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray | None,
    *,
    state: dict[str, Any] | None,
    strengths: Callable[[float], tuple[float, float]],
    k: int,
    rng: np.random.RandomState,
    device: Any = None,
) -> Training:
    """Pass once over a chunk of a stream, from where the last call left off.

    Parameters
    ----------
    estimator, loss, X, y, weight, k, rng, device
        As for `train`.
    state : dict or None
        ``training.export()`` of the last call, None at the first.
    strengths : callable
        ``strengths(weight_sum) -> (l2, l1)`` for the rows seen so far, this chunk included.

    Returns
    -------
    Training
        Its `progress.loss_curve` has the objective on the chunk *before* it was learned.

    Raises
    ------
    ValueError
        If the steps lead to NaN or infinity; `state` is still what it was.
    """
    if estimator.early_stopping:
        raise ValueError(
            "partial_fit and early_stopping=True contradict each other: a stream sets no rows "
            "aside. Use fit, or leave early_stopping at None."
        )
    training = Training(
        loss,
        k,
        settings_of(estimator, X.shape[0], streaming=True),
        intercept=bool(estimator.fit_intercept),
        dtype=X.dtype if state is None else state["V"].dtype,
        device=device,
    )
    seen = 0.0
    if state is not None:
        training.restore(state)
        seen = state["moments"]["weight"]
    X = X.astype(training.dtype, copy=False)
    l2, l1 = strengths(seen + (X.shape[0] if weight is None else float(weight.sum())))
    training.look_at(X, weight, l2=l2, l1=l1)
    y = y if y.dtype.kind == "i" else y.astype(training.dtype)
    quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
    with _computing_on(device, X), limited_threads(0.0), quiet:
        rows = training.rows(X, y, weight)
        objective = training.objective(rows)
        training.epoch(rows, rng)
    if not (math.isfinite(objective) and training.is_finite()):
        raise ValueError(
            f"partial_fit diverged in call {training.progress.epochs}: the weights became NaN "
            "or infinite. The model is as it was before the call. " + _cure(training)
        )
    training.progress.loss_curve.append(objective)
    training.follow(objective)
    return training


def _hold_out(estimator: Any, loss: Loss, arrays: tuple[Any, ...], rng: Any) -> Any:
    """Split rows for early stopping, stratified by class."""
    fraction = estimator.validation_fraction
    fraction = (
        VALIDATION_FRACTION if fraction is None else check_fraction("validation_fraction", fraction)
    )
    classes = loss.target in ("binary", "multiclass")
    y = arrays[1]
    target = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    plan = FoldPlan.holdout(
        target.astype(np.int64) if classes else target,
        task=loss.target if classes else "regression",
        fraction=fraction,
        random_state=rng,
    )
    if min(len(part) for part in plan[0]) < 2:
        raise ValueError(
            f"early_stopping=True needs at least 2 rows on either side, and "
            f"validation_fraction={fraction} of {len(y)} rows leaves fewer: change "
            "validation_fraction, or give more rows."
        )
    return tuple(
        tuple(None if array is None else array[index] for array in arrays) for index in plan[0]
    )


def _score_of(loss: Loss, held_out: tuple[Any, ...]) -> Callable[[Training], float]:
    """Return the accuracy of a classifier, or minus the loss of a regressor, on rows."""
    X, y, weight = held_out

    def score(training: Training) -> float:
        rows = training.rows(X, y, weight)
        if loss.target not in ("binary", "multiclass"):
            return training.penalty() - training.objective(rows)
        right = total = 0.0
        for part, target, share in rows.pieces():
            raw = part.raw(training.V)
            found = (
                raw.argmax(1) == target
                if target.ndim == 1
                else (raw > 0)[:, 0] == (target[:, 0] > 0.5)
            )
            right += float((found * share).sum() if share is not None else found.sum())
            total += float(share.sum()) if share is not None else len(target)
        return right / total

    return score


def warn_of(name: str, training: Training, outcome: Outcome, stacklevel: int) -> None:
    """Warn, with the cure, when a training ended before it converged.

    Raises
    ------
    ValueError
        If it diverged in its first epoch, so that there are no weights to keep.
    """
    curve, rate = training.progress.loss_curve, training.progress.learning_rate
    if outcome.status == "diverged":
        if outcome.good_epoch == 0:
            raise ValueError(
                f"{name} diverged in epoch 1: the objective exploded or became NaN. "
                + _cure(training)
            )
        warnings.warn(
            f"{name} diverged in epoch {outcome.bad_epoch}: the objective exploded or became "
            f"NaN. The weights of epoch {outcome.good_epoch} are kept. " + _cure(training),
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
    elif outcome.status == "max_iter" and not outcome.n_iter:
        warnings.warn(
            f"{name} did not train: max_iter=0 leaves the weights at their start. Raise max_iter.",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
    elif outcome.status == "max_iter":
        fell = curve[-2] - curve[-1]
        warnings.warn(
            f"{name} did not converge in max_iter={outcome.n_iter} epochs: the objective fell by "
            f"{fell:.2g} in the last one, to {curve[-1]:.6g}. Raise max_iter, or change "
            f"learning_rate_init={rate:.3g} (larger while the loss falls steadily, smaller when "
            "it wavers).",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def _cure(training: Training) -> str:
    rate = training.progress.learning_rate or 0.0
    return (
        f"The learning rate is probably too high: set learning_rate_init below {rate:.3g}, "
        f"for instance to {rate / 10:.1g}."
    )
