"""The same on faults and runs that decided nothing while the checks were made."""

import pytest

from mlfund import MLPClassifier, diagnose
from tests.conftest import shared_catalogue
from tests.diagnostics import problems
from tests.diagnostics.test_faults import named

TABLES = ["satimage", "segment", "wilt"]


@pytest.mark.parametrize("problem", named(problems.held_out_faults))
def test_held_out_faults_are_named(problem):
    assert diagnose(problem.model, problem.X, problem.y).faults == [problem.fault]


@pytest.mark.parametrize("problem", named(problems.held_out_healthy))
def test_held_out_runs_without_a_fault_do_not_fail(problem):
    assert diagnose(problem.model, problem.X, problem.y).with_status("fail") == []


@pytest.mark.parametrize("name", TABLES)
def test_public_tables_do_not_fail(name, shared_table):
    assert name in set(shared_catalogue()["name"]) or shared_catalogue().empty
    X, y, _ = shared_table(name)
    model = problems.classifier(early_stopping=True, scoring="loss")
    assert isinstance(model[-1], MLPClassifier)
    diagnosis = diagnose(model, X.to_numpy(float)[:2000], y.to_numpy()[:2000], max_rows=1500)
    assert diagnosis.with_status("fail") == []
