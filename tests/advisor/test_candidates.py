import ast

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_diabetes

import mlfund
from mlfund.advisor.advice import FAMILIES
from mlfund.advisor.candidates import CANDIDATES, Setting, get_candidate
from mlfund.advisor.code import reproducing_code
from mlfund.advisor.demo import load_adult

ALL = [(task, one) for task, table in CANDIDATES.items() for one in table]
IDS = [f"{task}-{one.name}" for task, one in ALL]
NOTHING_DROPPED = {"rows_without_target": 0, "classes_dropped": []}


@pytest.fixture(scope="module")
def tables():
    X, y = load_adult()
    numbers, target = load_diabetes(return_X_y=True, as_frame=True)
    # the Adult columns serve as mixed columns for the regression, too
    mixed = pd.concat([X[: len(numbers)].add_prefix("adult_"), numbers], axis=1)
    return {"classification": (X[:800], y[:800]), "regression": (mixed, target)}


@pytest.mark.parametrize(("task", "candidate"), ALL, ids=IDS)
def test_each_candidate_takes_a_raw_table(task, candidate, tables):
    X, y = tables[task]
    X_train, X_test = X[:350], X[350:]
    model = candidate.build(Setting(task, 350))
    assert is_classifier(model) == (task == "classification")
    assert is_regressor(model) == (task == "regression")
    model.fit(X_train, np.asarray(y)[:350]).set_params(**candidate.serving)
    method = "predict_proba" if task == "classification" else "predict"
    together = getattr(model, method)(X_test[:5])
    alone = [getattr(model, method)(X_test[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("task", "candidate"), ALL, ids=IDS)
def test_levels_of_held_out_rows_do_not_leak_through_the_dtype(task, candidate, tables):
    """A slice of a category column still knows the levels of all rows."""
    X, y = tables[task]
    train, target = X[:100], np.asarray(y)[:100]
    narrow = train.copy()
    for name in narrow.select_dtypes("category").columns:
        narrow[name] = narrow[name].cat.remove_unused_categories()
    setting = Setting(task, 100)
    wide = candidate.build(setting).fit(train, target).predict(X[100:150])
    np.testing.assert_array_equal(
        wide, candidate.build(setting).fit(narrow, target).predict(X[100:150])
    )


@pytest.mark.parametrize(("task", "candidate"), ALL, ids=IDS)
def test_the_code_makes_the_same_model(task, candidate, tables):
    X, y = tables[task]
    X, y = X[:200], y[:200]
    setting = Setting(task, 200, seed=3)
    code = reproducing_code(candidate, setting, {"load_code": "# given"}, NOTHING_DROPPED)
    ast.parse(code)
    names = {"X": X, "y": y}
    exec(code, names)
    mine = candidate.build(setting).fit(X, y)
    np.testing.assert_array_equal(names["model"].predict(X), mine.predict(X))


def test_the_code_drops_what_was_dropped():
    y = pd.Series(["a", "b"] * 20 + ["alone", None])
    X = pd.DataFrame({"x": range(42)})
    dropped = {"rows_without_target": 1, "classes_dropped": [{"label": "alone", "rows": 1}]}
    code = reproducing_code(
        get_candidate("prior", "classification"), Setting("classification", 40), {}, dropped
    )
    names = {"X": X, "y": y}
    exec(code, names)
    assert names["model"].classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(("task", "candidate"), ALL, ids=IDS)
def test_each_candidate_can_be_saved_and_cloned(task, candidate, tables, tmp_path):
    X, y = tables[task]
    model = clone(candidate.build(Setting(task, 150))).fit(X[:150], np.asarray(y)[:150])
    mlfund.save(model, tmp_path / "model.skops")
    again = mlfund.load(tmp_path / "model.skops")
    method = "predict_proba" if task == "classification" else "predict"
    np.testing.assert_array_equal(getattr(model, method)(X), getattr(again, method)(X))


def test_the_baseline_comes_first_and_families_are_known():
    for table in CANDIDATES.values():
        assert table[0].family == "baseline"
        assert {one.family for one in table} <= set(FAMILIES)
        assert len({one.name for one in table}) == len(table)


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'xgboost'"):
        get_candidate("xgbost", "classification")
