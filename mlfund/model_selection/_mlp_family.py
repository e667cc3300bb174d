"""MLPs as a family of a batched search: stacks of `MLPClassifier` and `MLPRegressor`."""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from mlfund._check import resolve_device
from mlfund.estimators._mlp_spec import layer_sizes
from mlfund.model_selection._contract import SearchRows, TrainedModels
from mlfund.model_selection._mlp_plan import Table
from mlfund.model_selection._mlp_refusal import reason_to_refuse
from mlfund.model_selection._mlp_training import FIT_ERRORS, StackedTraining


class MLPFamily:
    """`MLPClassifier` and `MLPRegressor`, trained as replicas of one program."""

    takes_affine = True

    def __init__(self) -> None:
        # Rows are checked once for all candidates; they are not kept alive for it.
        self._last: tuple[Any, Hashable, Table | Exception] | None = None

    def refusal(self, estimator: Any, rows: SearchRows) -> str | None:
        """Return why this estimator is fitted by itself on these rows, or None."""
        reason = reason_to_refuse(estimator, rows)
        if reason is None and isinstance(self._table(estimator, rows), Exception):
            reason = "fit refuses some of the rows"
        return reason

    def group_key(self, estimator: Any) -> Hashable:
        """Return what must be equal among the estimators of one stack."""
        loss = estimator.loss
        return (
            type(estimator).__name__,
            tuple(layer_sizes(estimator.hidden_layer_sizes)),
            repr(estimator.activation),
            repr(loss),
            estimator.batch_size,
            estimator.precision,
            estimator.scoring,
            str(resolve_device(estimator.device)),
        )

    def train(
        self, estimators: Sequence[Any], rows: SearchRows, *, memory_limit: int | None, report: Any
    ) -> Iterator[TrainedModels]:
        """Train all estimators on all splits, and yield the models split by split."""
        table = self._table(estimators[0], rows)
        if isinstance(table, Exception):
            raise table
        yield from StackedTraining(estimators, rows, table).run(memory_limit, report)

    def _table(self, estimator: Any, rows: SearchRows) -> Table | Exception:
        key = (type(estimator), estimator.precision)
        if self._last is not None and self._last[0]() is rows and self._last[1] == key:
            return self._last[2]
        found: Table | Exception
        try:
            found = Table.of(estimator, rows)
        except FIT_ERRORS as error:
            found = error
        self._last = (weakref.ref(rows, self._forget), key, found)
        return found

    def _forget(self, reference: Any) -> None:
        if self._last is not None and self._last[0] is reference:
            self._last = None


FAMILY = MLPFamily()
