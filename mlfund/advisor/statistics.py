r"""Comparing candidates on shared folds.

The scores of two candidates on J = folds x repeats test parts are paired, but the J differences
are not independent: their training parts overlap, and a paired t-test that ignores this finds a
difference between equal learners in up to 45 % of the cases at a nominal 5 %. Nadeau and Bengio
correct the variance of the mean difference,

.. math:: \hat\sigma^2 = \left(\frac1J + \frac{n_{test}}{n_{train}}\right) s^2 ,

with s^2 the sample variance of the differences; the t distribution keeps J - 1 degrees of
freedom. Read as a posterior under a flat prior (Corani and Benavoli), the same distribution
gives the probability that a difference lies below, inside or above a region of practical
equivalence.

References
----------
Nadeau, C. and Bengio, Y. Inference for the Generalization Error. Machine Learning 52, 2003.
Corani, G. and Benavoli, A. A Bayesian approach for comparing cross-validated algorithms on
multiple data sets. Machine Learning 100, 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

# A verdict needs this much probability on its side; below it the pair is undecided.
VERDICT_PROBABILITY = 0.95
# Monte-Carlo draws of the joint posterior: the standard error of a probability is under 0.0012.
N_DRAWS = 200_000


@dataclass(frozen=True)
class Posterior:
    """A t distribution for a mean difference.

    Attributes
    ----------
    mean : float
        Mean difference over the folds.
    scale : float
        Corrected standard error; 0 where all differences are equal.
    df : int
        Degrees of freedom, folds x repeats - 1.
    """

    mean: float
    scale: float
    df: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the central interval of that probability."""
        reach = float(stats.t.ppf((1 + level) / 2, self.df)) * self.scale
        return self.mean - reach, self.mean + reach

    def probability_below(self, value: float) -> float:
        """Return P(difference < value)."""
        if self.scale == 0:
            return float(self.mean < value)
        return float(stats.t.cdf((value - self.mean) / self.scale, self.df))

    def split(self, equivalence: float) -> tuple[float, float, float]:
        """Return P(below -equivalence), P(within), P(above +equivalence); they sum to 1."""
        below = self.probability_below(-equivalence)
        above = 1.0 - self.probability_below(equivalence)
        if self.scale == 0:
            above = float(self.mean > equivalence)
        return below, 1.0 - below - above, above


def corrected_posterior(differences: np.ndarray, test_to_train: float) -> Posterior:
    """Return the corrected posterior of the mean of paired differences.

    Parameters
    ----------
    differences : ndarray of shape (J,)
        One candidate less another in each fold, J at least 2.
    test_to_train : float
        Test rows per training row of a fold: 1 / (k - 1) for k folds.

    Examples
    --------
    >>> posterior = corrected_posterior(np.array([0.01, 0.03, 0.02, 0.04, 0.0]), 0.25)
    >>> [round(end, 3) for end in posterior.interval()]
    [-0.009, 0.049]
    """
    differences = np.asarray(differences, dtype=np.float64)
    n = len(differences)
    if n < 2:
        raise ValueError(f"A comparison needs at least 2 folds; got {n}.")
    variance = (1 / n + test_to_train) * differences.var(ddof=1)
    return Posterior(float(differences.mean()), float(np.sqrt(variance)), n - 1)


def verdict(advantage: Posterior, equivalence: float) -> str:
    """Name the region that holds the posterior: better, practically_equal, worse or undecided.

    Parameters
    ----------
    advantage : Posterior
        Of a difference that is positive where the candidate in question is the better one.
    equivalence : float
        Half-width of the region of practical equivalence.
    """
    names = ("worse", "practically_equal", "better")
    for name, probability in zip(names, advantage.split(equivalence), strict=True):
        if probability >= VERDICT_PROBABILITY:
            return name
    return "undecided"


def probability_none_better(
    scores: Mapping[str, np.ndarray], name: str, equivalence: float, test_to_train: float
) -> float | None:
    r"""Return the probability that no rival beats `name` by more than the equivalence.

    The advantages over all m rivals have a joint posterior: a multivariate t with J - 1 degrees
    of freedom, the mean advantages as location and
    :math:`(1/J + n_{test}/n_{train}) S` as scale, S the sample covariance of the advantages
    over the folds. Each of its margins is the corrected posterior of that pair. The probability
    of the corner where all advantages exceed ``-equivalence`` is drawn by Monte Carlo from a
    fixed stream (exact with one rival), so that it is the same on every run.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (J,)
        Fold scores of every candidate, greater is better.
    name : str
        The candidate in question.
    equivalence, test_to_train : float
        As in `verdict` and `corrected_posterior`.

    Returns
    -------
    probability : float or None
        None without a rival.
    """
    rivals = [other for other in scores if other != name]
    if not rivals:
        return None
    advantages = np.stack([scores[name] - scores[rival] for rival in rivals])
    if len(rivals) == 1:
        alone = corrected_posterior(advantages[0], test_to_train)
        return 1.0 - alone.probability_below(-equivalence)
    n = advantages.shape[1]
    location = advantages.mean(axis=1, keepdims=True)
    # centred @ z has covariance centred @ centred.T = (n - 1) S: no factorisation needed, and
    # S may be singular (more rivals than folds)
    centred = (advantages - location) * np.sqrt((1 / n + test_to_train) / (n - 1))
    generator = np.random.default_rng(0)
    normal = generator.standard_normal((n, N_DRAWS))
    stretch = np.sqrt((n - 1) / generator.chisquare(n - 1, N_DRAWS))
    draws = location + (centred @ normal) * stretch
    return float(np.mean((draws >= -equivalence).all(axis=0)))
