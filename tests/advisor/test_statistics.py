import math

import numpy as np
import pytest
from scipy import stats

from mlfund.advisor.statistics import (
    Posterior,
    corrected_posterior,
    probability_none_better,
    verdict,
)

DIFFERENCES = np.array([0.01, 0.03, 0.02, 0.04, 0.0, 0.02, 0.05, 0.01, 0.03, 0.02])


def test_interval_is_the_formula_of_nadeau_and_bengio():
    n, ratio = len(DIFFERENCES), 1 / 9
    half = stats.t.ppf(0.975, n - 1) * math.sqrt((1 / n + ratio) * DIFFERENCES.var(ddof=1))
    low, high = corrected_posterior(DIFFERENCES, ratio).interval()
    assert (low, high) == pytest.approx((DIFFERENCES.mean() - half, DIFFERENCES.mean() + half))


def test_without_overlap_it_is_the_paired_t_test_of_scipy():
    posterior = corrected_posterior(DIFFERENCES, 0.0)
    test = stats.ttest_1samp(DIFFERENCES, 0.0, alternative="greater")
    assert posterior.probability_below(0.0) == pytest.approx(test.pvalue)
    assert posterior.interval() == pytest.approx(
        tuple(stats.ttest_1samp(DIFFERENCES, 0.0).confidence_interval(0.95))
    )


@pytest.mark.parametrize("equivalence", [0.0, 0.005, 0.02, 1.0])
def test_regions_sum_to_one_and_agree_with_the_distribution(equivalence):
    posterior = corrected_posterior(DIFFERENCES, 1 / 9)
    below, within, above = posterior.split(equivalence)
    reference = stats.t(posterior.df, posterior.mean, posterior.scale)
    assert below + within + above == pytest.approx(1.0)
    assert below == pytest.approx(reference.cdf(-equivalence))
    assert above == pytest.approx(reference.sf(equivalence))


@pytest.mark.parametrize(
    ("mean", "expected"),
    [(0.1, "better"), (-0.1, "worse"), (0.0, "practically_equal"), (0.01, "undecided")],
)
def test_verdict_names_the_region_that_holds_the_posterior(mean, expected):
    assert verdict(Posterior(mean, 0.002, 4), 0.01) == expected


@pytest.mark.parametrize(
    ("mean", "expected"), [(0.0, "practically_equal"), (0.02, "better"), (-0.02, "worse")]
)
def test_identical_differences_leave_no_doubt(mean, expected):
    posterior = corrected_posterior(np.full(5, mean), 0.25)
    assert sum(posterior.split(0.01)) == pytest.approx(1.0)
    assert verdict(posterior, 0.01) == expected


def test_one_fold_cannot_be_compared():
    with pytest.raises(ValueError, match="at least 2 folds; got 1"):
        corrected_posterior(np.array([0.1]), 0.25)


def test_confidence_with_one_rival_is_the_closed_form():
    a = np.array([0.1, 0.2, 0.15, 0.12, 0.18])
    b = np.array([0.12, 0.18, 0.16, 0.1, 0.17])
    mean = (a - b).mean()
    scale = math.sqrt((1 / 5 + 0.25) * (a - b).var(ddof=1))
    expected = stats.t.sf((-0.01 - mean) / scale, 4)
    assert probability_none_better({"a": a, "b": b}, "a", 0.01, 0.25) == pytest.approx(expected)


def test_joint_confidence_agrees_with_scipys_multivariate_t():
    generator = np.random.default_rng(3)
    n, ratio, equivalence = 10, 1 / 9, 0.2
    scores = {name: generator.normal(size=n) for name in "abc"}
    advantages = np.stack([scores["a"] - scores["b"], scores["a"] - scores["c"]])
    shape = (1 / n + ratio) * np.cov(advantages)
    # P(all >= -e) is the lower orthant of the mirrored distribution
    expected = stats.multivariate_t(-advantages.mean(axis=1), shape, df=n - 1, seed=0).cdf(
        [equivalence, equivalence]
    )
    found = probability_none_better(scores, "a", equivalence, ratio)
    assert found == pytest.approx(expected, abs=0.005)


def test_joint_confidence_with_more_rivals_than_folds_repeats_exactly():
    generator = np.random.default_rng(0)
    scores = {str(i): generator.normal(size=3) for i in range(8)}
    found = probability_none_better(scores, "0", 0.1, 0.5)
    assert 0 < found < 1
    assert found == probability_none_better(scores, "0", 0.1, 0.5)


def test_joint_confidence_never_exceeds_that_of_a_pair():
    generator = np.random.default_rng(1)
    scores = {name: generator.normal(size=5) for name in "abcd"}
    pairs = [
        probability_none_better({"a": scores["a"], name: scores[name]}, "a", 0.1, 0.25)
        for name in "bcd"
    ]
    assert probability_none_better(scores, "a", 0.1, 0.25) <= min(pairs) + 0.003


def test_no_confidence_without_a_rival():
    assert probability_none_better({"a": np.ones(5)}, "a", 0.1, 0.25) is None


def naive_bayes_differences(generator, n_rows=200, n_folds=10, n_repeats=5):
    """Fold differences of two Gaussian naive Bayes learners that are equal by construction.

    They see exchangeable halves of ten features, so neither is better. All folds of one
    simulation are computed at once from class means and variances.
    """
    y = np.repeat([0, 1], n_rows // 2)
    X = generator.normal(size=(n_rows, 10)) + 0.3 * y[:, None]
    folds = np.concatenate(
        [
            np.tile(np.arange(n_folds), n_rows // n_folds)[generator.permutation(n_rows)][None]
            for _ in range(n_repeats)
        ]
    )
    train = (folds[:, None, :] != np.arange(n_folds)[None, :, None]).reshape(-1, n_rows)
    right = []
    for half in (slice(0, 5), slice(5, 10)):
        raw = np.zeros((len(train), n_rows))
        for label, sign in ((0, -1), (1, 1)):
            weight = (train & (y == label)).astype(float)
            count = weight.sum(axis=1, keepdims=True)
            mean = weight @ X[:, half] / count
            variance = weight @ X[:, half] ** 2 / count - mean**2
            gap = (X[None, :, half] - mean[:, None]) ** 2 / variance[:, None]
            log_density = -0.5 * (gap + np.log(variance)[:, None]).sum(axis=2)
            raw += sign * (log_density + np.log(count))
        hit = ((raw > 0) == y) & ~train
        right.append(hit.sum(axis=1) / (~train).sum(axis=1))
    return right[0] - right[1]


def test_false_alarms_of_five_times_ten_folds():
    """The naive paired t-test sees differences that are none in 45 % of the cases."""
    generator = np.random.default_rng(0)
    naive = corrected = 0
    n_simulations = 200
    for _ in range(n_simulations):
        differences = naive_bayes_differences(generator)
        low, high = corrected_posterior(differences, 0.0).interval()
        naive += low > 0 or high < 0
        low, high = corrected_posterior(differences, 1 / 9).interval()
        corrected += low > 0 or high < 0
    # 200 simulations: three standard errors are 10.5 and 4.6 points
    assert naive / n_simulations == pytest.approx(0.447, abs=0.105)
    assert corrected / n_simulations == pytest.approx(0.05, abs=0.046)
