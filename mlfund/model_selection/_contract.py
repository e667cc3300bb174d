"""What the parts of a batched search hand each other.

A search (`_search`) asks each family of estimators which candidates it can stack. Those of
one group are trained on all splits as one program, and come back split by split as
`TrainedModels`, which `_scoring` scores at once. All others are fitted one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Affine:
    """Column scalers fitted on the training rows of each split: (x - centre) / scale.

    Attributes
    ----------
    centre, scale : ndarray of shape (F, d), float64
        Scales are never zero.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]


@dataclass(frozen=True)
class SearchRows:
    """The rows a group of candidates is trained and scored on.

    Attributes
    ----------
    X, y : array-like of n rows
        X as the final estimators see it but for `affine`: the user's own, or what leading
        transformers made of it (then of one split only).
    splits : sequence of (ndarray of int, ndarray of int)
        Row numbers of X to train on and to score on, one pair a split.
    numbers : sequence of int
        Which splits of the search these are.
    fit_params : mapping
        What the final estimator's `fit` gets beside X and y, with one entry a row of X
        (such as `sample_weight`) or without.
    affine : Affine or None
        Of the scaler in front of the final estimators, not yet applied to X.
    """

    X: Any
    y: Any
    splits: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
    numbers: Sequence[int]
    fit_params: Mapping[str, Any] = field(default_factory=dict)
    affine: Affine | None = None


class TrainedModels(Protocol):
    """The models of one split that were trained together.

    Attributes
    ----------
    split : int
        Number of the split in the search.
    candidates : sequence of int
        Positions in the list of estimators given to `Family.train`, one a model.
    failures : mapping of int to Exception
        By position in `candidates`: models that could not be trained, as `fit` raises it.
    warnings : sequence of warnings.WarningMessage
        What the single fits would have warned of.
    seconds : float
        Wall time spent on these models, to be shared equally among them.
    classes : ndarray or None
        Labels in the order of the scores; None for regressors.
    default_metric : callable or None
        The metric of scikit-learn that the estimators' own `score` computes, if it is one.
    """

    split: int
    candidates: Sequence[int]
    failures: Mapping[int, Exception]
    warnings: Sequence[Any]
    seconds: float
    classes: NDArray[Any] | None
    default_metric: Any

    def raw(self, rows: NDArray[np.intp], models: slice = ...) -> NDArray[Any]:
        """Return raw scores (before the link) of rows of X for some models, (m', r, k).

        Scores of all models at once may need more memory than X.
        """

    def codes(self, raw: NDArray[Any]) -> NDArray[np.intp]:
        """Return numbers of classes, (m, r), of classifiers; 0/1 indicators of labels."""

    def predict_proba(self, raw: NDArray[Any]) -> NDArray[Any] | None:
        """Return class probabilities of raw scores, (m, r, n_classes); None without a link."""

    def predict(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return labels or values of raw scores, (m, r) or (m, r, n_outputs)."""

    def estimator(self, position: int) -> Any:
        """Return one model as the fitted final estimator."""


class Family(Protocol):
    """Estimators that can be trained as stacks.

    Attributes
    ----------
    takes_affine : bool
        Whether `SearchRows.affine` is understood, so that X is never copied per split.
    """

    takes_affine: bool

    def refusal(self, estimator: Any, rows: SearchRows) -> str | None:
        """Return why this estimator cannot be stacked on these rows, or None if it can."""

    def group_key(self, estimator: Any) -> Hashable:
        """Return what must be equal among the estimators of one stack."""

    def looseness(self, estimator: Any) -> float | None:
        """Return how far a mean score of about 1 may lie from that of the optimum.

        None where models are not trained on: `train` does not ask what is undecided.
        """

    def train(
        self,
        estimators: Sequence[Any],
        rows: SearchRows,
        *,
        memory_limit: int | None,
        report: Any,
        undecided: Callable[[], Sequence[int]] | None = None,
    ) -> Iterator[TrainedModels]:
        """Train all estimators (unfitted, of one group) on all splits.

        What is finished is yielded at once, in any order, so that it can be scored, stored
        and let go. `memory_limit` is in bytes, None for what is free. `report(alive, total)`
        tells now and then how many models are still at work.

        When all are trained, `undecided()` returns positions of estimators whose models are
        to be trained on, nearer to their optimum, and yielded once more: `candidates` are
        then some of them. It is called until it returns none.
        """
