"""The family of linear models: logistic regressions and linear regressors, as stacks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from types import ModuleType
from typing import Any

from mlfund.estimators.linear import LogisticRegression
from mlfund.estimators.linear_regressor import LinearRegressor
from mlfund.model_selection import _linear_logistic, _linear_regression
from mlfund.model_selection._contract import SearchRows, TrainedModels
from mlfund.model_selection._linear_logistic import looseness

_KINDS: dict[type, ModuleType] = {
    LogisticRegression: _linear_logistic,
    LinearRegressor: _linear_regression,
}


class LinearFamily:
    """`LogisticRegression` and `LinearRegressor`; see `Family` for the methods.

    Models of one stack may differ in the strength of their penalty and in its part that is
    l1. All of them read the rows together, so that one pass over X serves every candidate
    and split.
    """

    takes_affine = True

    def refusal(self, estimator: Any, rows: SearchRows) -> str | None:
        """Return why this estimator cannot be stacked on these rows, or None if it can."""
        return _KINDS[type(estimator)].refusal(estimator, rows)

    def group_key(self, estimator: Any) -> Hashable:
        """Return what must be equal among the estimators of one stack."""
        return type(estimator), _KINDS[type(estimator)].group_key(estimator)

    def looseness(self, estimator: Any) -> float | None:
        """Return how far a mean score of about 1 may lie from that of the optimum."""
        # Linear regressors are trained in the precision of the rows, most to the end.
        return looseness(estimator) if type(estimator) is LogisticRegression else None

    def train(
        self,
        estimators: Sequence[Any],
        rows: SearchRows,
        *,
        memory_limit: int | None,
        report: Callable[[int, int], None],
        undecided: Callable[[], Sequence[int]] | None = None,
    ) -> Iterator[TrainedModels]:
        """Train all estimators (unfitted, of one group) on all splits."""
        kind = _KINDS[type(estimators[0])]
        asked = {} if undecided is None else {"undecided": undecided}
        return kind.train(estimators, rows, memory_limit=memory_limit, report=report, **asked)


FAMILY = LinearFamily()
