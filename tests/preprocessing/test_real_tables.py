"""The benchmark tables: all of them pass, and XGBoost takes native categories with new levels."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mlfund import TablePreprocessor
from tests.conftest import shared_catalogue

NAMES = shared_catalogue()["name"].tolist()
N_ROWS = 2000


def test_all_benchmark_tables(shared_table):
    """Fit on two thirds, transform the rest: all finite, without a warning."""
    if not NAMES:
        pytest.skip("no benchmark tables: set MLFUND_DATA to their folder")
    for name in NAMES:
        X, _, _ = shared_table(name)
        X = X.sample(min(N_ROWS, len(X)), random_state=0)
        n_train = len(X) * 2 // 3
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = TablePreprocessor(sparse_output=False).fit(X[:n_train])
            out = table.transform(X[n_train:])
            alone = table.transform(X[-1:])
        assert np.isfinite(out).all(), name
        np.testing.assert_array_equal(alone[0], out[-1], err_msg=name)
        assert set(table.column_kinds_.values()) <= {"numeric", "categorical", "empty"}, name


def test_empty_columns_of_sick_are_left_out(shared_table):
    X, _, _ = shared_table("sick")
    table = TablePreprocessor().fit(X)
    empty = [name for name in X if X[name].isna().all()]
    assert empty
    assert [n for n, kind in table.column_kinds_.items() if kind == "empty"] == empty


def test_airlines_keeps_the_most_frequent_of_its_levels(shared_table):
    X, y, _ = shared_table("airlines_44k")
    table = TablePreprocessor(sparse_output=False).fit(X)
    summary = table.describe().set_index("column")
    assert X["TailNum"].nunique() > 3000
    assert summary.loc["TailNum", "n_outputs"] in (100, 101)  # with missing, if there is any
    encoded = TablePreprocessor(high_cardinality="target").fit(X, y == y.iloc[0])
    assert encoded.describe().set_index("column").loc["TailNum", "n_outputs"] == 1


@pytest.fixture
def trees():
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBClassifier(n_estimators=10, tree_method="hist", enable_categorical=True)


def native():
    return TablePreprocessor(
        categorical_encoding="native", impute=False, numeric_scaling=None, min_frequency=3
    )


def test_xgboost_takes_native_categories(trees):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "city": rng.choice(["Oslo", "Rome", "Kyiv", None], 300).astype(object),
            "plate": [f"p{i}" for i in np.minimum(rng.geometric(0.1, 300), 60)],
            "level [%]": rng.normal(size=300),
            "flag": rng.choice([True, False, None], 300),
            "when": pd.date_range("2020-01-01", periods=300, freq="31h"),
        }
    )
    X.loc[::7, "level [%]"] = np.nan
    y = (X["city"] == "Rome") ^ (X["plate"].str.len() > 2)
    table = native().fit(X[:200])
    trees.fit(table.transform(X[:200]), y[:200])
    assert trees.score(table.transform(X[200:]), y[200:]) > 0.9
    unseen = pd.DataFrame(
        {
            "city": pd.Categorical(["Lima", "Rome"]),
            "plate": [None, "never seen"],
            "level [%]": ["no number", "1.5"],
            "flag": [None, "?"],
            "when": [None, "2021-01-01"],
        }
    )
    proba = trees.predict_proba(table.transform(unseen))
    assert np.isfinite(proba).all()
    np.testing.assert_array_equal(proba[[1]], trees.predict_proba(table.transform(unseen[1:])))


def test_xgboost_takes_the_levels_of_airlines(shared_table, trees):
    X, y, _ = shared_table("airlines_44k")
    X = X.sample(9000, random_state=0)
    y = y[X.index] == y.iloc[0]
    table = native().fit(X[:6000])
    trees.fit(table.transform(X[:6000]), y[:6000])
    later = table.transform(X[6000:])
    assert later["TailNum"].dtype == table.transform(X[:1])["TailNum"].dtype
    assert trees.predict_proba(later).shape == (3000, 2)
