"""The best model of a grid, and the fitted attributes that show the grid."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mlfund.estimators._linear_cv_arguments import GridArguments


@dataclasses.dataclass(frozen=True)
class Best:
    """What a grid's scores choose.

    Attributes
    ----------
    C, l1_ratio : float
        Of the refit, or without refit the means over the folds' own choices.
    of_fold : ndarray of int of shape (F, 2)
        Index (r, c) that each fold contributes: the same for all with refit.
    """

    C: float
    l1_ratio: float
    of_fold: NDArray

    def mean(self, values: NDArray) -> NDArray:
        """Return the mean over folds of values (F, R, K, ...) at the chosen places."""
        folds = np.arange(len(values))
        return values[folds, self.of_fold[:, 0], self.of_fold[:, 1]].mean(axis=0)


def choose_best(scores: NDArray, arguments: GridArguments, *, refit: bool) -> Best:
    """Return the choice of scores (F, R, K); among equals the first C, then the first ratio."""
    by_strength = scores.swapaxes(1, 2)
    F, K, R = by_strength.shape
    if refit:
        best = np.full(F, by_strength.sum(axis=0).argmax())
    else:
        best = by_strength.reshape(F, -1).argmax(axis=1)
    c, r = np.unravel_index(best, (K, R))
    if refit:
        C, ratio = float(arguments.Cs[c[0]]), float(arguments.ratios[r[0]])
    else:
        C, ratio = float(arguments.Cs[c].mean()), float(arguments.ratios[r].mean())
    return Best(C, ratio, np.stack([r, c], axis=1))


def publish_grid(
    estimator, arguments: GridArguments, best: Best, paths: NDArray, scores: NDArray, n_iter
) -> None:
    """Set the attributes that show the grid, in the old or the new shapes.

    Parameters
    ----------
    paths : ndarray of shape (F, R, K, k, dof)
    scores, n_iter : ndarray of shape (F, R, K)
    """
    shown = [None] if arguments.shown_ratios is None else arguments.shown_ratios
    estimator.Cs_ = arguments.Cs
    estimator.l1_ratios_ = np.asarray(shown)
    if not arguments.legacy:
        estimator.C_, estimator.l1_ratio_ = best.C, best.l1_ratio
        estimator.coefs_paths_, estimator.scores_, estimator.n_iter_ = paths, scores, n_iter
        return
    # The old shapes: strengths before ratios, everything once for each class.
    without_ratios = arguments.shown_ratios is None
    last = (slice(None), slice(None), 0) if without_ratios else ()
    paths, scores = paths.swapaxes(1, 2), scores.swapaxes(1, 2)[last]
    classes = estimator.classes_[-paths.shape[3] :]
    estimator.C_ = np.full(len(classes), best.C)
    unknown = without_ratios and estimator.refit
    estimator.l1_ratio_ = np.array([None if unknown else best.l1_ratio] * len(classes))
    estimator.scores_ = {label: scores.copy() for label in classes}
    estimator.coefs_paths_ = {
        label: np.ascontiguousarray(paths[:, :, :, i][last]) for i, label in enumerate(classes)
    }
    estimator.n_iter_ = n_iter.swapaxes(1, 2)[last][None]
