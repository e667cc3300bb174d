"""Nets as a family of a batched search: MLPs, and modules of one's own that are MLPs."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from mlfund._check import resolve_device
from mlfund.estimators._mlp_base import BaseMLP
from mlfund.estimators._mlp_spec import layer_sizes
from mlfund.model_selection._contract import SearchRows, TrainedModels
from mlfund.model_selection._mlp_chain import NotAChainError
from mlfund.model_selection._mlp_plan import Start, Table, content
from mlfund.model_selection._mlp_refusal import reason_to_refuse, refused_by_fit
from mlfund.model_selection._mlp_training import FIT_ERRORS, StackedTraining


class MLPFamily:
    """MLP and Neural classifiers and regressors, trained as replicas of one program."""

    takes_affine = True

    def __init__(self) -> None:
        # Rows are checked once for all candidates; they are not kept alive for it.
        self._last: tuple[Any, Hashable, Table | Exception] | None = None

    def refusal(self, estimator: Any, rows: SearchRows) -> str | None:
        """Return why this estimator is fitted by itself on these rows, or None."""
        reason = reason_to_refuse(estimator, rows)
        if reason is not None:
            return reason
        table = self._table(estimator, rows)
        if isinstance(table, Exception):
            return refused_by_fit("some of the rows", table)
        return None if isinstance(estimator, BaseMLP) else module_refusal(estimator, rows, table)

    def group_key(self, estimator: Any) -> Hashable:
        """Return what must be equal among the estimators of one stack."""
        net: Hashable
        if isinstance(estimator, BaseMLP):
            net = tuple(layer_sizes(estimator.hidden_layer_sizes)), repr(estimator.activation)
        else:
            net = content(estimator.module), content(estimator.module_params)
        return (
            type(estimator).__name__,
            net,
            repr(estimator.loss),
            estimator.batch_size,
            estimator.precision,
            estimator.scoring,
            str(resolve_device(estimator.device)),
        )

    def looseness(self, estimator: Any) -> None:
        """Return None: where the training of a net ends is a part of the model."""

    def train(
        self,
        estimators: Sequence[Any],
        rows: SearchRows,
        *,
        memory_limit: int | None,
        report: Any,
        undecided: Any = None,
    ) -> Iterator[TrainedModels]:
        """Train all estimators on all splits, and yield the models split by split."""
        table = self._table(estimators[0], rows)
        if isinstance(table, Exception):
            raise table
        yield from StackedTraining(estimators, rows, table).run(memory_limit, report)

    def _table(self, estimator: Any, rows: SearchRows) -> Table | Exception:
        key = (type(estimator), estimator.precision)
        # Read once: searches in other threads share the family.
        last = self._last
        if last is not None and last[0]() is rows and last[1] == key:
            return last[2]
        found: Table | Exception
        try:
            found = Table.of(estimator, rows)
        except FIT_ERRORS as error:
            found = _detached(error)
        self._last = (weakref.ref(rows, self._forget), key, found)
        return found

    def _forget(self, reference: Any) -> None:
        last = self._last
        if last is not None and last[0] is reference:
            self._last = None


def _detached(error: Exception) -> Exception:
    """Return an error that no longer holds the calls it came from, and with them the rows."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def module_refusal(estimator: Any, rows: SearchRows, table: Table) -> str | None:
    """Return why a module of one's own cannot be stacked, from how a fit would begin."""
    if table.X.ndim > 2:
        return "rows of several dimensions are not stacked"
    try:
        with warnings.catch_warnings():
            # The fits will tell.
            warnings.simplefilter("ignore")
            # Which seed does not matter for the layers.
            start = Start.of(estimator, table, rows.splits[0][0], np.random.RandomState(0))
    except FIT_ERRORS as error:
        return refused_by_fit("its module or its targets", error)
    except NotAChainError as error:
        return f"the module is no chain of linear layers with one activation: {error}"
    if len(start.net.intercepts[-1]) != start.width:
        return "the module returns two scores for two classes"
    return None


FAMILY = MLPFamily()
