"""Planted faults are named, all of them and nothing else, and healthy runs pass."""

import pytest

from mlfund import diagnose
from tests.diagnostics import problems


def named(make):
    return [pytest.param(problem, id=f"{problem.fault}: {problem.name}") for problem in make()]


@pytest.mark.parametrize("problem", named(problems.development_faults))
def test_development_faults_are_named(problem):
    assert diagnose(problem.model, problem.X, problem.y).faults == [problem.fault]


@pytest.mark.parametrize("problem", named(problems.development_healthy))
def test_development_runs_without_a_fault_do_not_fail(problem):
    assert diagnose(problem.model, problem.X, problem.y).with_status("fail") == []
