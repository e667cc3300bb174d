import json

import numpy as np
import pandas as pd
import pytest

from mlfund._check import DataError
from mlfund.advisor.profile import profile_table, row_hashes
from mlfund.advisor.target import make_problem


@pytest.fixture(scope="module")
def profile():
    n = 100
    generator = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": np.r_[generator.normal(size=n - 3), np.nan, np.inf, -np.inf],
            "city": pd.Series(["Rome", "Oslo", None, "Rome"] * 25, dtype="category"),
            "same": 1,
            "nothing": np.full(n, np.nan),
            "customer_id": generator.permutation(10 * n)[:n],
            "row": np.arange(n) + 7,
            "token": [f"t{i:03d}" for i in range(n)],
            "price": np.arange(n) * 3,
            "flag": generator.random(n) < 0.5,
        }
    )
    X = pd.concat([X, X.iloc[:1]], ignore_index=True)
    y = pd.Series(np.r_[np.tile([0, 1], n // 2), 0], name="goal")
    found, notes = profile_table(make_problem(X, y))
    return found, notes


def test_counts(profile):
    found, _ = profile
    assert (found["rows"], found["columns"]) == (101, 9)
    assert found["infinite_cells"] == 2
    assert found["duplicated_rows"] == 1
    assert found["constant_columns"] == ["same"]
    assert found["empty_columns"] == ["nothing"]
    assert found["missing_cells"] == 1 + 25 + 101
    assert found["kinds"]["empty"] == 1


def test_columns_that_name_rows_are_suspected(profile):
    found, _ = profile
    assert found["suspected_identifiers"] == ["customer_id", "row", "token"]


def test_features_and_target_are_described(profile):
    found, _ = profile
    features = {feature["name"]: feature for feature in found["features"]}
    assert features["city"]["most_frequent"] == "Rome"
    assert features["city"]["distinct"] == 2
    assert features["age"]["infinite"] == 2
    assert np.isfinite(features["age"]["max"])
    assert features["price"]["max"] == 297.0
    classes = found["target"]["classes"]
    assert [(one["label"], one["rows"]) for one in classes] == [("0", 51), ("1", 50)]


def test_warnings_say_what_matters(profile):
    _, notes = profile
    assert "2 infinite values are treated as missing." in notes
    assert any("without any value" in note and "'nothing'" in note for note in notes)
    assert any("--ignore customer_id" in note for note in notes)


def test_it_is_json(profile):
    found, _ = profile
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_regression_target_is_described():
    found, _ = profile_table(make_problem(pd.DataFrame({"a": range(50)}), np.arange(50) / 3))
    assert found["target"]["distinct"] == 50
    assert found["target"]["max"] == pytest.approx(49 / 3)


def test_a_table_in_which_nothing_varies_is_refused():
    X = pd.DataFrame({"a": [1] * 30, "b": [None] * 30})
    with pytest.raises(DataError, match="No column varies"):
        profile_table(make_problem(X, pd.Series([0, 1] * 15)))


def test_a_column_whose_gaps_vary_can_be_used():
    X = pd.DataFrame({"a": [1.0, None] * 15})
    found, _ = profile_table(make_problem(X, pd.Series([0, 1] * 15)))
    assert found["constant_columns"] == []


def test_equal_rows_have_equal_hashes_whatever_the_cells():
    X = pd.DataFrame({"a": [[1], [1], "x"], "b": [None, None, 2.0]}, dtype=object)
    hashes = row_hashes(X)
    assert hashes[0] == hashes[1] != hashes[2]
