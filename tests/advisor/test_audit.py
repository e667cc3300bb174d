import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

from mlfund.advisor.audit import SEVERITIES, audit, explained_share
from mlfund.advisor.profile import profile_table
from mlfund.advisor.target import make_problem
from mlfund.folds import FoldPlan

GENERATOR = np.random.default_rng(0)


def findings_of(X, y):
    problem = make_problem(X, y)
    profile, _ = profile_table(problem)
    plan = FoldPlan.make(problem.data.y, task=problem.data.task, random_state=0)
    return {finding.code: finding for finding in audit(problem.data, plan, profile)}


def clean_case(n=600):
    X = pd.DataFrame(GENERATOR.normal(size=(n, 5)), columns=list("abcde"))
    y = pd.Series((X["a"] + GENERATOR.normal(size=n) > 0).astype(int), name="y")
    return X, y


def test_clean_twins_raise_no_alarm():
    for _ in range(10):
        X, y = clean_case()
        assert findings_of(X, y) == {}
        assert findings_of(X, X["b"] + GENERATOR.normal(size=len(X))) == {}


@pytest.mark.parametrize("form", ["copy", "text", "shifted", "missing"])
def test_a_column_that_spells_the_target_out_is_found(form):
    X, y = clean_case()
    X["leak"] = {
        "copy": y,
        "text": y.map({0: "refused", 1: "granted"}),
        "shifted": y * 10 + GENERATOR.random(len(y)),
        "missing": np.where(y == 1, GENERATOR.normal(size=len(y)), np.nan),
    }[form]
    finding = findings_of(X, y)["target_leak"]
    assert finding.columns == ("leak",)
    assert finding.severity == "critical"
    assert finding.evidence["explained_share"] > 0.99
    assert "--ignore leak" in finding.fix


def test_a_leak_is_found_in_regression_and_with_many_classes():
    X, _ = clean_case()
    y = pd.Series(GENERATOR.normal(size=len(X)))
    assert findings_of(X.assign(leak=np.exp(y)), y)["target_leak"].columns == ("leak",)
    labels = pd.Series(GENERATOR.choice(list("pqrst"), size=len(X)))
    found = findings_of(X.assign(leak=labels.str.upper()), labels)
    assert found["target_leak"].columns == ("leak",)


def test_a_strong_honest_column_is_no_leak():
    X, _ = clean_case()
    y = pd.Series((X["a"] + 0.3 * GENERATOR.normal(size=len(X)) > 0).astype(int))
    assert findings_of(X, y) == {}


def test_sorted_rows_are_told():
    X, y = clean_case()
    order = np.argsort(y.to_numpy(), kind="stable")
    assert findings_of(X.iloc[order], y.iloc[order])["row_order"].severity == "note"


def test_copied_rows_are_counted_across_the_fold():
    X, y = clean_case(300)
    # each of 100 rows stands there twice: 200 of 400 rows have a twin,
    # and four fifths of those a twin on the other side
    X, y = pd.concat([X, X[:100]]), pd.concat([y, y[:100]])
    finding = findings_of(X.reset_index(drop=True), y.reset_index(drop=True))["duplicates"]
    assert finding.severity == "warning"
    assert finding.evidence["share"] == pytest.approx(0.4, abs=0.12)


def test_equal_rows_with_different_labels_are_told():
    X, y = clean_case(300)
    X, y = pd.concat([X, X[:50]], ignore_index=True), pd.concat([y, 1 - y[:50]], ignore_index=True)
    found = findings_of(X, y)
    assert found["conflicting_labels"].evidence["rows"] == 100
    assert "duplicates" not in found


def test_identifiers_and_constants_are_told():
    X, y = clean_case()
    found = findings_of(X.assign(user_id=GENERATOR.permutation(10**6)[: len(X)], same=3), y)
    assert found["identifier"].columns == ("user_id",)
    assert found["constant"].columns == ("same",)


def test_most_severe_first():
    X, y = clean_case()
    problem = make_problem(X.assign(same=1, leak=y), y)
    plan = FoldPlan.make(problem.data.y, task="classification", random_state=0)
    found = audit(problem.data, plan, profile_table(problem)[0])
    assert [SEVERITIES.index(one.severity) for one in found] == [0, 2]


def test_explained_share_of_labels_is_the_brier_skill_score():
    y = GENERATOR.integers(2, size=500).astype(float)
    feature = y + (GENERATOR.random(500) < 0.2)  # 1 is ambiguous
    share = explained_share(feature, np.column_stack([1 - y, y]))
    best = np.select([feature == 0, feature == 2], [0.0, 1.0], y[feature == 1].mean())
    skill = 1 - brier_score_loss(y, best) / y.var()
    assert share == pytest.approx(skill, abs=0.02)


def test_noise_explains_nothing():
    assert explained_share(GENERATOR.normal(size=500), GENERATOR.normal(size=(500, 1))) < 0
