"""scikit-learn's own estimator checks, on every public estimator."""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from tests.check_estimators import expected_failures, make, public_estimators

ESTIMATORS = [make(name) for name in public_estimators()]


def cases():
    """Every check of every estimator, named alike in every process.

    The names of `parametrize_with_checks` hold the estimator's representation, which for a
    parameter that is a function ends in a memory address.
    """
    for estimator in ESTIMATORS:
        checks = estimator_checks_generator(
            estimator, expected_failed_checks=expected_failures(estimator), mark="skip"
        )
        for _, check in checks:
            # A check that is expected to fail is wrapped in a function that skips it.
            partial = getattr(check, "__wrapped__", check)
            options = "-".join(f"{key}={value}" for key, value in partial.keywords.items())
            function = partial.func.__name__
            name = "-".join(filter(None, (type(estimator).__name__, function, options)))
            yield pytest.param(estimator, check, id=name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(cases()))
def test_estimator_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_enough_checks_run(estimator):
    """An estimator whose tags opt out of 2-D input would pass by skipping nearly all."""
    assert len(list(estimator_checks_generator(estimator))) > 45
