"""The strength of a linear head: a walk over a grid towards the least loss of held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlfund.estimators.linear_cv import LogisticRegressionCV

# Values C that are tried, for embeddings of a total variance of 1. These are not standardised
# feature by feature: that gives those that hardly vary the weight of those that tell classes
# apart, and cost 2 % of accuracy with 20 photographs of flowers a class.
STRENGTHS = np.logspace(-2, 4, 13)
# Where the walk begins, and how many values beyond the best one it tries on either side: the
# loss has one valley, and small bumps where there are few rows.
START, BEYOND = 6, 2


def search_strength(
    E: np.ndarray, y: np.ndarray, scale: float, cv: list[Any], **named: np.ndarray
) -> LogisticRegressionCV:
    """Return a logistic regression on all rows, of the strength that is best on held-out rows.

    Weak penalties take most of the time, and with many classes all of a grid takes minutes: the
    walk tries those around the best one.

    Parameters
    ----------
    E : ndarray of shape (n, d)
        Embeddings.
    y : ndarray of shape (n,)
        Labels.
    scale : float
        What `STRENGTHS` are divided by.
    cv : list of (ndarray, ndarray)
        Rows to train on and to score, fold by fold.
    **named : ndarray of shape (n,)
        Weights of the rows, as `sample_weight`.

    Returns
    -------
    head : LogisticRegressionCV
        `Cs_` and `scores_` are of all that was tried.
    """
    parts: dict[int, LogisticRegressionCV] = {}
    losses: dict[int, float] = {}
    best = START
    while part := _next_part(best, losses):
        head = LogisticRegressionCV(
            Cs=STRENGTHS[part.start : part.stop] / scale,
            l1_ratios=(0,),
            cv=cv,
            scoring="neg_log_loss",
            use_legacy_attributes=False,
            max_iter=1000,
        ).fit(E, y, **named)
        for place, score in zip(part, head.scores_.mean(axis=0).ravel(), strict=True):
            parts[place], losses[place] = head, -float(score)
        best = min(sorted(losses), key=losses.__getitem__)
    return _with_all_scores(parts, best)


def _next_part(best: int, losses: dict[int, float]) -> range:
    """Return the places to try next, one after the other; none where enough are known."""
    last = len(STRENGTHS)
    low, high = max(0, best - BEYOND), min(last, best + BEYOND + 1)
    if not losses:
        return range(low, high)
    above = range(max(losses) + 1, high)
    return above or range(low, min(losses))


def _with_all_scores(parts: dict[int, LogisticRegressionCV], best: int) -> LogisticRegressionCV:
    tried = list(dict.fromkeys(parts[place] for place in sorted(parts)))
    found = parts[best]
    for name in ("Cs_", "scores_", "n_iter_"):
        setattr(found, name, np.concatenate([getattr(head, name) for head in tried], axis=-1))
    found.Cs = found.Cs_
    # What served the search is many times the size of the model.
    del found.coefs_paths_
    return found
