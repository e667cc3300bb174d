"""What the fit of one MLP on one split decides and draws before its first step.

It is all done by the estimator's own code and in its order, so that initial weights, rows
held out and row orders are those of a fit of a clone. Rows of X are never copied: in their
place stand row numbers.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
import torch

from mlfund._check import preserved_torch_state
from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.objective import Objective
from mlfund._engine.replicas import Replica, Stream
from mlfund.estimators._neural_rows import HostRows
from mlfund.estimators._neural_spec import schedule_of
from mlfund.estimators._neural_steps import Pace, penalty_of, rows_of_batch
from mlfund.estimators._neural_training import patience_of, torch_generator
from mlfund.estimators._neural_validation import hold_out
from mlfund.model_selection._contract import SearchRows
from mlfund.model_selection._mlp_net import Net, rates_of, steps_of


@dataclass(frozen=True, eq=False)
class Table:
    """All rows of a search, checked as `fit` checks them.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n, d)
        Features in the dtype of the computation.
    y : ndarray of shape (n,) or (n, k)
        Labels or targets.
    sample_weight, groups : array-like of shape (n,) or None
        What `fit` gets beside them.
    columns : dict
        Fitted attributes that tell of the columns of X.
    """

    X: Any
    y: np.ndarray
    sample_weight: Any
    groups: Any
    columns: dict[str, Any]

    @classmethod
    def of(cls, estimator: Any, rows: SearchRows) -> Table:
        """Return the rows as `estimator` takes them; raises as its `fit` does."""
        shadow = copy.copy(estimator)
        before = set(vars(shadow))
        X, y = shadow._validate(rows.X, rows.y, reset=True)
        columns = {name: value for name, value in vars(shadow).items() if name not in before}
        X, _ = shadow._as_input(X)
        given = rows.fit_params
        X = X.tocsr() if sp.issparse(X) else X
        return cls(X, y, _column(given, "sample_weight"), _column(given, "groups"), columns)


def _column(fit_params: Any, name: str) -> np.ndarray | None:
    value = fit_params.get(name)
    return None if value is None else np.asarray(value)


# Rows of X that a module may be tried on before its training.
PROBED_ROWS = 3

# Parameters that a start depends on, beside those that are equal in a group.
STARTS = (
    "class_weight",
    "random_state",
    "initializer",
    "last_layer_initializer",
    "shuffle",
    "early_stopping",
    "validation_fraction",
    "validation_split",
)
# Of these only whether there is any: a generator is seeded then.
DRAWS = ("dropout", "label_smoothing")


@dataclass(frozen=True, eq=False)
class Start:
    """What fits of several estimators on one split have in common: rows and random draws.

    Attributes
    ----------
    learned : dict
        What `fit` learned of the rows: classes, columns.
    train : HostRows
        Rows to train on; their X are row numbers.
    held_out : HostRows or None
        Rows set aside in the fit.
    module : MLP or module of one's own
        With its initial weights.
    net : Net
        Its layers.
    width : int
        Raw scores a row that the loss takes.
    objective : Objective
        What is minimised.
    random_state : RandomState
        About to draw the row orders.
    """

    learned: dict[str, Any]
    train: HostRows
    held_out: HostRows | None
    module: Any
    net: Net
    width: int
    objective: Objective
    random_state: np.random.RandomState

    @classmethod
    def of(
        cls, estimator: Any, table: Table, index: np.ndarray, random_state: np.random.RandomState
    ) -> Start:
        """Begin a fit of a copy of `estimator` on the rows `index`; raises as `fit` does.

        What `fit` draws is drawn from `random_state`, which the start keeps.
        """
        own = copy.copy(estimator)
        before = set(vars(own))
        vars(own).update(table.columns)
        rows = _rows_of_fit(own, table, index)
        learned = {name: value for name, value in vars(own).items() if name not in before}
        loss = own._loss()
        loss.check_target(rows.target)
        width = loss.raw_width(own._n_outputs(rows.target))
        cpu = torch.device("cpu")
        with preserved_torch_state():
            probed = table.X[rows.X[:PROBED_ROWS]]
            module = own._make_module(probed, width, cpu, random_state, first=True)
        held_out = None
        if own.early_stopping or own.validation_split is not None:
            rows, held_out = hold_out(own, rows, random_state)
        if getattr(own, "label_smoothing", None):
            # The fit seeds the stream of its augmentations, which smoothing never uses.
            torch_generator(random_state, cpu)
        objective = Objective(loss, width)
        net = Net.of(module)
        return cls(learned, rows, held_out, module, net, width, objective, random_state)

    @staticmethod
    def key(estimator: Any) -> Hashable:
        """Return what is equal for estimators of a group that start alike."""
        values = [content(getattr(estimator, name, None)) for name in STARTS]
        draws = [bool(np.any(getattr(estimator, name, None) or 0)) for name in DRAWS]
        return tuple(values + draws)

    def stream(self, affine: tuple[np.ndarray, np.ndarray] | None, *, shuffle: bool) -> Stream:
        """Return the row orders of these fits."""
        held_out = self.held_out
        order = ShuffledOrder(len(self.train), self.random_state) if shuffle else None
        return Stream(
            rows=self.train.X,
            order=order,
            weight=self.train.weight,
            valid=None if held_out is None else held_out.X,
            valid_weight=None if held_out is None else held_out.weight,
            affine=affine,
        )


@dataclass(frozen=True, eq=False)
class FitPlan:
    """A fit of one estimator on one split, up to its first step.

    Attributes
    ----------
    estimator : estimator
        A copy that knows its classes and columns.
    start : Start
        Shared with others.
    pace : Pace
        Of the steps.
    """

    estimator: Any
    start: Start
    pace: Pace

    @classmethod
    def of(cls, estimator: Any, start: Start) -> FitPlan:
        """Plan a fit of a copy of `estimator` from a start."""
        own = copy.copy(estimator)
        vars(own).update(start.learned)
        n_rows = len(start.train)
        batch_size = rows_of_batch(own.batch_size, n_rows)
        return cls(own, start, Pace.with_batches(own, n_rows, batch_size))

    def replica(self, stream: int) -> Replica:
        """Return the training that follows, with the row orders of that number."""
        own, net = self.estimator, self.start.net
        steps, penalty = steps_of(own), penalty_of(own)
        return Replica(
            stream=stream,
            coefs=net.coefs,
            intercepts=net.intercepts,
            lr=self.pace.lr,
            l1=0.0 if penalty is None else penalty.l1,
            l2=0.0 if penalty is None else penalty.l2,
            optimizer=steps.optimizer,
            adam_epsilon=steps.adam_epsilon,
            weight_decay=steps.weight_decay,
            dropout=rates_of(own, net),
            generator=net.generator,
            label_smoothing=getattr(own, "label_smoothing", None) or 0.0,
            clip_norm=own.clip_norm,
            clip_value=own.clip_value,
            max_norm=own.max_norm,
            schedule=schedule_of(own),
            rate=_rate(own),
            max_epochs=own.max_iter,
            tol=own.tol,
            patience=patience_of(own),
            early_stopping=own.early_stopping,
        )


def _rows_of_fit(own: Any, table: Table, index: np.ndarray) -> HostRows:
    """Return the rows `index` as `fit` counts them, row numbers in place of X."""
    index, y, dtype = np.asarray(index, dtype=np.int64), table.y[index], table.X.dtype
    given = None if table.sample_weight is None else table.sample_weight[index]
    weight = own._row_weights(index, y, given, dtype, learned_from=y)
    target = own._encode_target(y, dtype, first=True, incremental=False)
    groups = None if table.groups is None else table.groups[index]
    return HostRows(index, y, target, weight, groups).that_count()


def _rate(own: Any) -> Any:
    """Return what `learning_rate` makes of the rate after each epoch."""
    if getattr(own, "solver", None) != "sgd":
        return "constant"
    return ("invscaling", own.power_t) if own.learning_rate == "invscaling" else own.learning_rate


def content(value: Any) -> Hashable:
    """Return what is equal for equal values, and for copies of a random stream."""
    if value is None or isinstance(value, str | int | float):
        return value
    try:
        return str(joblib.hash(value))
    except (TypeError, ValueError, AttributeError, pickle.PicklingError):
        # Functions without a name, for instance: equal if they are the same.
        return id(value)
