"""Which MLPs are fitted by themselves, and why."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

from sklearn.base import is_classifier
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import _is_arraylike, _num_samples

from mlfund._check import resolve_device
from mlfund.estimators import _mlp_spec, _neural_spec
from mlfund.estimators._mlp_base import BaseMLP
from mlfund.losses import CallableLoss, loss_for
from mlfund.model_selection._contract import SearchRows
from mlfund.model_selection._mlp_net import steps_of
from mlfund.nets.activations import get_activation
from mlfund.nets.normalisation import get_normalization

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lion")
TAKEN_BY_FIT = {"sample_weight", "groups"}

# Reason -> whether it holds for an estimator whose parameters are good.
_REASONS: dict[str, Callable[[Any], Any]] = {
    "solver='lbfgs' has no steps over batches that could be stacked": (
        lambda own: getattr(own, "solver", None) == "lbfgs"
    ),
    "callbacks watch one fit at a time": (
        lambda own: own.callbacks or getattr(own, "_skl_callbacks", None)
    ),
    "checkpoint_dir keeps the state of one fit": lambda own: own.checkpoint_dir is not None,
    "verbose prints the epochs of one fit": lambda own: own.verbose,
    "track_norms measures the steps of one fit": lambda own: own.track_norms,
    "averaged weights are not stacked": lambda own: own.averaging is not None,
    "mixup is not stacked": lambda own: own.mixup,
    "input_noise is not stacked": lambda own: own.input_noise,
    "accumulation_steps is not stacked": lambda own: (own.accumulation_steps or 1) > 1,
    "normalised layers are not stacked": (
        lambda own: (
            get_normalization(getattr(own, "normalization", None)) != get_normalization(None)
        )
    ),
    "an activation with learned slopes is not stacked": (
        lambda own: get_activation(getattr(own, "activation", "identity")).learned
    ),
    "modules of integers are not stacked": lambda own: getattr(own, "keep_integers", False),
    "a module that returns probabilities is not stacked": (
        lambda own: getattr(own, "module_output", "raw") != "raw"
    ),
    "batch_size='fit_device' measures one fit": lambda own: own.batch_size == "fit_device",
    "products in bfloat16 are not stacked": lambda own: own.precision in ("bf16", "mixed", "auto"),
    "MPS devices are not stacked on": lambda own: resolve_device(own.device).type == "mps",
    "scoring by a function or by name runs one fit at a time": (
        lambda own: own.scoring not in (None, "loss")
    ),
    "a splitter of one's own in validation_split may look at the rows": (
        lambda own: (
            not isinstance(own.validation_split, numbers.Integral | BaseCrossValidator | None)
        )
    ),
}


def reason_to_refuse(estimator: Any, rows: SearchRows) -> str | None:
    """Return why an estimator cannot be stacked, whatever the values of the rows."""
    try:
        estimator._validate_params()
        estimator._check_parameters()
        _neural_spec.check_validation(estimator, (None, None, None), incremental=False)
        optimizer = steps_of(estimator).optimizer
        if isinstance(estimator, BaseMLP):
            n_hidden = len(_mlp_spec.layer_sizes(estimator.hidden_layer_sizes))
            _mlp_spec.dropout_rates(estimator.dropout, n_hidden)
        _neural_spec.schedule_of(estimator)
        resolve_device(estimator.device)
    # What a fit would say, a fit shall say: for its split.
    except (ValueError, TypeError) as error:
        return refused_by_fit("its parameters", error)
    for reason, holds in _REASONS.items():
        if holds(estimator):
            return reason
    if optimizer.name not in OPTIMIZERS:
        return f"the optimizer {optimizer.name!r} is not stacked"
    return _loss_refusal(estimator) or _rows_refusal(estimator, rows)


def refused_by_fit(what: str, error: Exception) -> str:
    """Return a reason with the words of the fit, of which the first line tells what is wrong."""
    return f"fit refuses {what}: {str(error).partition(chr(10))[0]}"


def _loss_refusal(estimator: Any) -> str | None:
    loss = estimator.loss
    if loss is None:
        return None
    if callable(loss) or isinstance(loss, CallableLoss):
        return "a loss of one's own may look at the whole batch"
    try:
        # Members of a family are alike in this, whatever the classes will be.
        member = loss_for(loss, "binary" if is_classifier(estimator) else "real")
    except ValueError as error:
        return refused_by_fit("its parameters", error)
    return "a loss of the whole batch is not stacked" if member.reduction == "batch" else None


def _rows_refusal(estimator: Any, rows: SearchRows) -> str | None:
    if rows.affine is not None and estimator.precision not in (None, "input"):
        return "the scaler in front computes in another precision"
    given = {name for name, value in rows.fit_params.items() if value is not None}
    unknown = sorted(given - TAKEN_BY_FIT)
    if unknown:
        return f"fit takes {', '.join(unknown)}, which cannot be divided among splits"
    n_rows = _num_samples(rows.X)
    for name in sorted(given):
        value = rows.fit_params[name]
        if not _is_arraylike(value) or _num_samples(value) != n_rows:
            return f"{name} is no column of {n_rows} values, one a row"
    return None
