"""Categories: equal to scikit-learn's encoders where these do the same."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from mlfund import TablePreprocessor


@pytest.fixture
def words():
    """210 rows of three columns: 6 levels; 20 of 1, 2, ... rows; 3 with gaps."""
    rng = np.random.default_rng(0)
    unequal = rng.permutation(np.repeat(np.arange(20), np.arange(1, 21)))
    return pd.DataFrame(
        {
            "few": rng.choice([*"abcdef"], 210),
            "many": [f"level {i}" for i in unequal],
            "gaps": rng.choice(np.array(["x", "y", np.nan], dtype=object), 210),
        }
    )


def outputs(X, **params):
    table = TablePreprocessor(**params)
    return pd.DataFrame(table.fit_transform(X), columns=table.get_feature_names_out())


@pytest.mark.parametrize("limits", [(1, None), (5, None), (1, 10), (4, 12)])
def test_onehot_equals_scikit_learns_with_infrequent_levels(words, limits):
    min_frequency, max_categories = limits
    X = words[["few", "many"]]
    reference = OneHotEncoder(
        min_frequency=min_frequency,
        max_categories=max_categories,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    ).fit(X)
    table = TablePreprocessor(min_frequency=min_frequency, max_categories=max_categories)
    table.fit(X)
    later = X[150:].assign(many=lambda X: X["many"].where(X.index % 2 == 0, "never seen"))
    expected = pd.DataFrame(reference.transform(later), columns=_names(reference))
    found = pd.DataFrame(table.transform(later), columns=table.get_feature_names_out())
    pd.testing.assert_frame_equal(found[sorted(found)], expected[sorted(expected)])


def _names(encoder):
    names = encoder.get_feature_names_out()
    return [name.replace("_sklearn", "").replace("_", "=", 1) for name in names]


def test_missing_is_a_level_of_its_own(words):
    found = outputs(words[["gaps"]])
    assert found.columns.tolist() == ["gaps=x", "gaps=y", "gaps=missing"]
    assert found["gaps=missing"].tolist() == words["gaps"].isna().tolist()


def test_column_of_two_values_gets_one_output_for_the_rarer_one():
    table = TablePreprocessor().fit(pd.DataFrame({"a": ["no"] * 5 + ["yes"] * 3}))
    later = pd.DataFrame({"a": ["no", "yes", "perhaps", None]})
    assert table.get_feature_names_out().tolist() == ["a=yes"]
    assert table.transform(later)[:, 0].tolist() == [0, 1, 0, 0]


def test_unseen_level_is_infrequent_if_fit_met_rare_ones_else_nothing():
    later = pd.DataFrame({"a": ["z"]})
    with_rare = TablePreprocessor().fit(pd.DataFrame({"a": [*"aabbccd"]}))
    assert with_rare.get_feature_names_out()[-1] == "a=infrequent"
    assert with_rare.transform(later).tolist() == [[0, 0, 0, 1]]
    without = TablePreprocessor().fit(pd.DataFrame({"a": [*"aabbcc"]}))
    assert without.transform(later).tolist() == [[0, 0, 0]]


def test_equal_values_of_other_types_are_one_level():
    table = TablePreprocessor(kinds={"a": "categorical"}).fit(
        pd.DataFrame({"a": [1, 1, 2, 2, 3, 3]})
    )
    expected = [[1, 0, 0], [0, 1, 0]]
    for cells in ([1, 2], [1.0, 2.0], ["1", "2"], pd.array([1, 2], dtype="Int64")):
        assert table.transform(pd.DataFrame({"a": cells})).tolist() == expected
        assert table.transform(pd.DataFrame({"a": pd.Categorical(cells)})).tolist() == expected


def test_levels_that_are_numbers_come_in_the_order_of_numbers():
    found = outputs(pd.DataFrame({"a": pd.Categorical([9, 10, 100] * 2)}))
    assert found.columns.tolist() == ["a=9", "a=10", "a=100"]


def test_identifiers_are_left_out_and_the_treatment_says_why():
    X = pd.DataFrame({"id": [f"row{i}" for i in range(20)], "n": range(20)})
    table = TablePreprocessor().fit(X)
    assert table.get_feature_names_out().tolist() == ["n"]
    assert table.describe()["treatment"][0] == "dropped: no level is frequent enough"


def test_levels_declared_but_absent_in_fit_are_unseen():
    column = pd.Categorical([*"aabbcc"], categories=[*"abcdz"])
    assert outputs(pd.DataFrame({"a": column})).columns.tolist() == ["a=a", "a=b", "a=c"]


def test_min_frequency_as_a_share_of_rows():
    X = pd.DataFrame({"a": [*"a" * 50, *"b" * 45, *"cdefg"]})
    found = outputs(X, min_frequency=0.1)
    assert found.columns.tolist() == ["a=a", "a=b", "a=infrequent"]


def test_ordinal_equals_scikit_learns(words):
    table = TablePreprocessor(categorical_encoding="ordinal", min_frequency=1, impute=False)
    reference = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    later = words[100:].assign(few="never seen")
    reference.fit(words[:100])
    table.fit(words[:100])
    for rows in (words[:100], later):
        np.testing.assert_array_equal(
            table.transform(rows)[:, [0, 2]], reference.transform(rows)[:, [0, 2]]
        )


def test_ordinal_keeps_a_declared_order_and_imputes_with_a_code_of_its_own():
    levels = ["low", "middle", "high"]
    X = pd.DataFrame({"a": pd.Categorical([*levels, *levels, None], levels, ordered=True)})
    found = outputs(X, categorical_encoding="ordinal")
    assert found["a"].tolist() == [0, 1, 2, 0, 1, 2, -2]


def test_native_has_the_categories_of_fit_whatever_comes(words):
    table = TablePreprocessor(categorical_encoding="native", impute=False).fit(words)
    later = pd.DataFrame(
        {"few": ["a", "z"], "many": [None, "never seen"], "gaps": pd.Categorical(["x", "y"])},
        index=[7, 3],
    )
    found = table.transform(later)
    assert found.index.tolist() == [7, 3]
    assert found.dtypes.tolist() == table.transform(words).dtypes.tolist()
    assert found["few"].cat.categories.tolist() == [*"abcdef"]
    assert found.astype(object).where(found.notna(), None).to_numpy().tolist() == [
        ["a", None, "x"],
        [None, "infrequent", "y"],
    ]


def test_native_names_rare_and_missing_as_no_level_is_named():
    column = ["infrequent", "missing"] * 4 + ["once", None, None]
    table = TablePreprocessor(categorical_encoding="native").fit(pd.DataFrame({"a": column}))
    found = table.transform(pd.DataFrame({"a": [*column, "new"]}))["a"]
    assert found[8:].tolist() == ["infrequent_", "missing_", "missing_", "infrequent_"]


def test_native_names_please_xgboost():
    X = pd.DataFrame({"glucose [mg]": [1.0, 2], "a<b": [1.0, 3], "a_b": [2.0, 1]})
    found = TablePreprocessor(categorical_encoding="native").fit_transform(X)
    assert found.columns.tolist() == ["glucose (mg)", "a_b", "a_b__2"]


@pytest.fixture
def target(words):
    rng = np.random.default_rng(1)
    return (words["many"].str.len() + rng.normal(size=len(words)) > 8).to_numpy()


def as_codes(column):
    return pd.factorize(column, sort=True)[0].reshape(-1, 1)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "continuous"])
def test_target_encoding_equals_scikit_learns(words, target, kind):
    rng = np.random.default_rng(2)
    y = {
        "binary": np.where(target, "yes", "no"),
        "multiclass": target.astype(int) + rng.integers(0, 2, len(target)),
        "continuous": target + rng.normal(size=len(target)),
    }[kind]
    table = TablePreprocessor(
        high_cardinality="target", max_categories=10, min_frequency=1, numeric_scaling=None
    ).fit(words[["many"]], y)
    reference = TargetEncoder(target_type=kind).fit(as_codes(words["many"]), y)
    expected = reference.transform(as_codes(words["many"]))
    np.testing.assert_allclose(table.transform(words[["many"]]), expected, rtol=1e-12)
    assert len(table.get_feature_names_out()) == (3 if kind == "multiclass" else 1)
    # A level never seen gets the mean of the target.
    unseen = table.transform(pd.DataFrame({"many": ["never seen"]}))
    np.testing.assert_allclose(unseen[0], np.ravel(reference.target_mean_), rtol=1e-12)


def test_cross_fitted_rows_do_not_know_their_own_target():
    """A pure-noise identifier: its own means tell the target, cross-fitted ones do not."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": rng.integers(0, 1000, 3000).astype(str)})
    y = rng.integers(0, 2, 3000)
    table = TablePreprocessor(
        high_cardinality="target", kinds={"id": "categorical"}, max_categories=100
    )
    crossed = table.fit_transform(X, y)[:, 0]
    assert abs(np.corrcoef(crossed, y)[0, 1]) < 0.06
    assert np.corrcoef(table.transform(X)[:, 0], y)[0, 1] > 0.15
    assert crossed.mean() == pytest.approx(0, abs=1e-12)
    assert crossed.std() == pytest.approx(1)


def test_cross_fitting_keeps_groups_together():
    """Each group has levels of its own, so its rows are encoded as unseen: one value a fold."""
    groups = np.repeat(np.arange(10), 20)
    X = pd.DataFrame({"a": [f"{g}-{i % 4}" for i, g in enumerate(groups)]})
    y = np.random.default_rng(0).normal(size=200)
    table = TablePreprocessor(high_cardinality="target", max_categories=10)
    grouped = table.fit_transform(X, y, groups=groups)[:, 0]
    assert len(np.unique(grouped)) == 5
    assert len(np.unique(table.fit_transform(X, y)[:, 0])) > 100


def test_target_encoding_takes_many_whole_numbers_as_a_quantity():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.integers(0, 60, 500).astype(str)})
    table = TablePreprocessor(
        high_cardinality="target", kinds={"a": "categorical"}, max_categories=50
    )
    assert table.fit_transform(X, rng.integers(0, 1000, 500)).shape == (500, 1)


def test_target_encoding_is_the_same_twice_and_survives_a_class_of_one(words, target):
    y = target.astype(int)
    y[0] = 2
    table = TablePreprocessor(high_cardinality="target", max_categories=10)
    first = table.fit_transform(words, y)
    np.testing.assert_array_equal(first, table.fit_transform(words, y))


@pytest.mark.parametrize("X", ["words", "numbers"])
def test_sparse_equals_dense(words, X):
    X = words.assign(n=range(210), pair=["u", "v", "v"] * 70) if X == "words" else np.eye(4)
    dense = TablePreprocessor(sparse_output=False).fit(X)
    thin = TablePreprocessor(sparse_output=True).fit(X)
    found = thin.transform(X)
    assert isinstance(found, sparse.csr_array)
    assert found.has_canonical_format
    assert found.indices.dtype == found.indptr.dtype == np.int32
    np.testing.assert_array_equal(found.toarray(), dense.transform(X))


def wide_table(n_levels):
    return pd.DataFrame({"a": [f"level{i % n_levels}" for i in range(3000)], "n": range(3000)})


def test_auto_is_sparse_when_wide_and_keeps_more_levels():
    X = wide_table(500)
    table = TablePreprocessor().fit(X)
    assert sparse.issparse(table.transform(X[:2]))
    assert table.transform(X).shape == (3000, 501)
    assert TablePreprocessor(sparse_output=False).fit_transform(X).shape == (3000, 101)
    framed = TablePreprocessor().set_output(transform="pandas").fit_transform(X)
    assert framed.shape == (3000, 101)
    assert not sparse.issparse(TablePreprocessor().fit_transform(wide_table(200)))


def test_set_output_after_fit_makes_a_wide_output_dense():
    X = wide_table(500)
    table = TablePreprocessor().fit(X)
    assert table.set_output(transform="pandas").transform(X[:3]).shape == (3, 501)
