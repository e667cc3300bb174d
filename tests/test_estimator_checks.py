"""scikit-learn's own estimator checks, on every public estimator."""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from tests.check_estimators import expected_failures, make, public_estimators

ESTIMATORS = [make(name) for name in public_estimators()]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_estimator_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_enough_checks_run(estimator):
    """An estimator whose tags opt out of 2-D input would pass by skipping nearly all."""
    assert len(list(estimator_checks_generator(estimator))) > 45
