import numpy as np
import pandas as pd
import pytest

from mlfund._check import DataError
from mlfund.advisor.target import make_problem

TABLE = pd.DataFrame({"a": np.arange(60.0), "b": ["u", "v"] * 30})


def test_rows_without_a_target_are_dropped_and_counted():
    y = pd.Series(["x", "y", None] * 20, name="label")
    problem = make_problem(TABLE, y)
    assert problem.counts["rows"] == 60
    assert problem.counts["rows_without_target"] == 20
    assert len(problem.data.X) == len(problem.data.y) == 40
    assert problem.warnings == ("20 rows without a target were dropped.",)
    np.testing.assert_array_equal(problem.keep, y.notna())


def test_infinite_numbers_are_no_target():
    y = pd.Series(np.r_[np.linspace(0, 1, 58), np.inf, np.nan])
    problem = make_problem(TABLE, y)
    assert problem.counts["rows_without_target"] == 2
    assert np.isfinite(problem.data.y).all()


def test_classes_with_a_single_row_are_dropped_and_named():
    y = pd.Series(["x", "y"] * 29 + ["odd", "rare"])
    problem = make_problem(TABLE, y)
    assert problem.data.classes.tolist() == ["x", "y"]
    assert problem.counts["classes_dropped"] == [
        {"label": "odd", "rows": 1},
        {"label": "rare", "rows": 1},
    ]
    assert "2 classes with a single row each were dropped" in problem.warnings[0]
    assert problem.keep.sum() == 58


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["a", "b"] * 30, "classification"),
        ([True, False] * 30, "classification"),
        ([0, 1] * 30, "classification"),
        ([0.0, 1.0, np.nan] * 20, "classification"),
        (np.arange(60) % 4, "classification"),
        (np.arange(60), "regression"),
        (np.linspace(0, 1, 60), "regression"),
        ([0.5, 1.5] * 30, "regression"),
    ],
)
def test_task_is_found_and_explained(y, task):
    problem = make_problem(TABLE, pd.Series(y, name="goal"))
    assert problem.data.task == task
    assert "'goal'" in problem.task_reason


def test_many_even_labels_are_classes_and_counts_are_not():
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"a": np.zeros(2600)})
    letters = pd.Series(np.repeat(np.arange(26), 100))
    assert make_problem(table, letters).data.task == "classification"
    rings = pd.Series(generator.poisson(10, 2600))
    rings[:3] = [28, 29, 30]
    assert make_problem(table, rings).data.task == "regression"


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (pd.Series(["b", "a"] * 30, dtype="category"), "U"),
        (pd.Series(["b", "a"] * 30, dtype="string"), "U"),
        (pd.Series([0.0, 1.0] * 30), "i"),
        (pd.Series([0, 1] * 30, dtype="Int64"), "i"),
        (pd.Series([True, None, False] * 20, dtype="boolean"), "b"),
        (pd.Series([True, None, False] * 20, dtype=object), "b"),
        (pd.Series([1, "one"] * 30, dtype=object), "U"),
    ],
)
def test_labels_have_one_type(y, kind):
    problem = make_problem(TABLE, y, "classification")
    assert problem.data.y.dtype.kind == kind
    assert len(problem.data.classes) == 2


def test_numbers_kept_as_text_can_be_a_regression_target():
    problem = make_problem(TABLE, pd.Series([str(i / 7) for i in range(60)]), "regression")
    assert problem.data.y[7] == pytest.approx(1.0)
    assert "is text and was read as numbers" in problem.warnings[0]


@pytest.mark.parametrize(
    ("X", "y", "task", "message"),
    [
        (TABLE, [None] * 60, "auto", "has no value in any row"),
        (TABLE, ["x"] * 60, "auto", "has one class only, 'x'"),
        (TABLE, ["x"] * 59 + ["y"], "auto", "has one class only, 'x'"),
        (TABLE, [f"name {i}" for i in range(60)], "auto", "occurs only once"),
        (TABLE, ["low", "high"] * 30, "regression", "holds text such as 'low'"),
        (TABLE, [3.5] * 60, "regression", "the same value in every row"),
        (TABLE[[]], [0, 1] * 30, "auto", "no column to learn from"),
        (TABLE.set_axis(["a", "a"], axis=1), [0, 1] * 30, "auto", "'a' occurs more than once"),
        (TABLE, [0, 1], "auto", "60 rows and the target 2"),
        (pd.DataFrame({"a": [None] * 60}), [0, 1] * 30, "auto", "No column has a value"),
    ],
)
def test_bad_data_get_one_sentence(X, y, task, message):
    with pytest.raises(DataError, match=message) as caught:
        make_problem(X, pd.Series(y, name="goal"), task)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith(".")


def test_several_targets_and_channels_in_front_are_refused():
    images = np.random.default_rng(0).integers(0, 255, (20, 3, 8, 8), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"channels go last: give X.transpose\(0, 2, 3, 1\)"):
        make_problem(images, np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"one column; got an array of shape \(20, 2\)"):
        make_problem(images.transpose(0, 2, 3, 1), np.zeros((20, 2)))
