"""TablePreprocessor as a scikit-learn transformer: names, containers, copies, errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import mlfund
from mlfund import TablePreprocessor
from mlfund._check import DataError
from tests.preprocessing.tables import everything

ENCODINGS = ["onehot", "ordinal", "native"]


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, 100).astype(float),
            "city": rng.choice(["Oslo", "Rome", "Kyiv"], 100),
            "member": rng.random(100) > 0.4,
            "since": pd.date_range("2020-01-01", periods=100, freq="17h"),
        },
        index=np.arange(100)[::-1],
    )


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"categorical_encoding": "ordinal"},
        {"categorical_encoding": "native", "impute": False, "numeric_scaling": None},
        {"sparse_output": True, "numeric_scaling": "robust"},
        {"high_cardinality": "target", "max_categories": 2},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_check_estimator(params):
    results = check_estimator(TablePreprocessor(**params), on_skip=None, on_fail=None)
    failed = [result["check_name"] for result in results if result["status"] == "failed"]
    assert failed == []
    assert len(results) >= 40


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("X", ["frame", "array"])
def test_names_are_one_an_output_and_all_different(encoding, X):
    X = everything() if X == "frame" else np.arange(12.0).reshape(4, 3)
    table = TablePreprocessor(categorical_encoding=encoding)
    out = table.fit_transform(X)
    names = table.get_feature_names_out()
    assert len(names) == len(set(names)) == out.shape[1]
    assert all(isinstance(name, str) for name in names)


def test_names_that_meet_get_a_number():
    X = pd.DataFrame({"a": ["1", "b", "c"] * 2, "a=b": range(6)})
    names = TablePreprocessor().fit(X).get_feature_names_out().tolist()
    assert names == ["a=b", "a=1", "a=b__2", "a=c"]


def test_names_out_check_the_names_in(people):
    table = TablePreprocessor().fit(people)
    assert len(table.get_feature_names_out(people.columns)) > 4
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        table.get_feature_names_out(["a", "b", "c", "d"])


def test_set_output_pandas_keeps_index_and_names(people):
    table = TablePreprocessor().set_output(transform="pandas")
    out = table.fit_transform(people)
    assert out.columns.tolist() == table.get_feature_names_out().tolist()
    assert out.index.tolist() == people.index.tolist()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_clone_pickle_and_skops_give_the_same_outputs(encoding, tmp_path):
    X = everything()
    table = TablePreprocessor(categorical_encoding=encoding).fit(X)
    assert not hasattr(clone(table), "column_kinds_")
    expected = pd.DataFrame(_dense(table.transform(X)))
    mlfund.save(table, tmp_path / "table.skops")
    for copy in (pickle.loads(pickle.dumps(table)), mlfund.load(tmp_path / "table.skops")):
        found = pd.DataFrame(_dense(copy.transform(X)))
        pd.testing.assert_frame_equal(found, expected, rtol=0, atol=0)
        assert copy.describe().equals(table.describe())


def test_use_adds_nothing_to_the_pickle(people):
    table = TablePreprocessor(categorical_encoding="native").fit(people)
    before = pickle.dumps(table)
    table.transform(people)
    assert pickle.dumps(table) == before


def _dense(out):
    return out.toarray() if sparse.issparse(out) else out


def test_pipeline_and_search(people):
    y = (people["age"] > 50) ^ people["member"]
    model = make_pipeline(TablePreprocessor(), LogisticRegression())
    assert cross_val_score(model, people, y).shape == (5,)
    grid = {"tablepreprocessor__numeric_scaling": ["standard", "robust"]}
    search = GridSearchCV(model, grid, cv=2).fit(people, y)
    assert set(search.predict(people)) <= {True, False}


def test_groups_are_routed(people):
    y = np.arange(100) % 2
    with sklearn.config_context(enable_metadata_routing=True):
        table = TablePreprocessor(high_cardinality="target", max_categories=2)
        table.set_fit_request(groups=True)
        model = make_pipeline(table, LogisticRegression())
        model.fit(people, y, groups=np.arange(100) // 10)


def test_describe_says_what_becomes_of_each_column(people):
    summary = TablePreprocessor().fit(people.assign(nothing=None)).describe()
    assert summary["column"].tolist() == [*people, "nothing"]
    assert summary["kind"].tolist() == ["numeric", "categorical", "boolean", "datetime", "empty"]
    assert summary["treatment"][1] == "one-hot, 3 levels"
    assert summary["outputs"][1] == ["city=Kyiv", "city=Oslo", "city=Rome"]
    assert summary["n_outputs"].sum() == TablePreprocessor().fit_transform(people).shape[1]


@pytest.mark.parametrize(
    "names", [[1, 2, 3, 4], ["a", 1, "b", 2.5], [("a", 1), ("a", 2), ("b", 1), ("b", 2)]]
)
def test_column_names_need_not_be_strings(people, names):
    people.columns = pd.Index(names, tupleize_cols=False)
    table = TablePreprocessor().fit(people)
    assert list(table.column_kinds_) == names
    assert table.get_feature_names_out()[0] == str(names[0])
    assert table.transform(people.iloc[[3]]).shape[1] == len(table.get_feature_names_out())
    with pytest.raises(ValueError, match="are not those of fit"):
        table.transform(people[names[::-1]])


def test_multiindex_columns(people):
    people.columns = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
    table = TablePreprocessor().fit(people)
    assert table.column_kinds_["a", 1] == "numeric"
    assert table.transform(people[:2]).shape[0] == 2


def test_names_of_fit_are_checked_as_scikit_learn_does(people):
    table = TablePreprocessor().fit(people)
    with pytest.raises(ValueError, match="feature names should match"):
        table.transform(people.rename(columns={"age": "years"}))
    with pytest.raises(ValueError, match="feature names should match"):
        table.transform(people[["city", "age", "member", "since"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        table.transform(people.to_numpy(object))


def test_lists_of_numbers_and_words():
    table = TablePreprocessor(min_frequency=1).fit([[1, "a"], [2, "b"], [3, "c"]])
    assert table.column_kinds_ == {"x0": "numeric", "x1": "categorical"}
    assert table.transform([[2, "c"]]).tolist() == [[0, 0, 0, 1]]


def test_array_of_objects_is_read_as_its_columns():
    X = np.array([[1, "a", None], [2, "b", 1.5], [3, "a", 2.5]], dtype=object)
    assert list(TablePreprocessor().fit(X).column_kinds_.values()) == [
        "numeric",
        "categorical",
        "numeric",
    ]


def test_other_tables_come_through_to_pandas(people):
    import pyarrow as pa

    arrow = pa.Table.from_pandas(people, preserve_index=False)
    expected = TablePreprocessor().fit_transform(people)
    np.testing.assert_allclose(TablePreprocessor().fit_transform(arrow), expected)


def test_transform_before_fit_raises(people):
    with pytest.raises(NotFittedError):
        TablePreprocessor().transform(people)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"a": [1, 1], "b": [None, None]}), "No column is usable: all 2 are empty"),
        (pd.DataFrame({"a": [1]}), r"n_samples=1"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), "unique, but .* once: 'a'; rename"),
        (pd.DataFrame({"a": []}), r"0 sample\(s\) \(shape=\(0, 1\)\)"),
        (pd.DataFrame(index=[0, 1]), r"0 feature\(s\) \(shape=\(2, 0\)\)"),
        (np.zeros(3), "Expected 2D array, got 1D array instead"),
        (np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), "structured array"),
    ],
    ids=["constant", "one row", "duplicates", "no rows", "no columns", "1-D", "structured"],
)
def test_unusable_tables_raise_data_error(X, message):
    with pytest.raises(DataError, match=message):
        TablePreprocessor().fit(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"categorical_encoding": "one-hot"}, "Did you mean 'onehot'"),
        ({"high_cardinality": "hash"}, "allowed are 'group', 'target'"),
        ({"numeric_scaling": "minmax"}, "allowed are 'standard', 'robust', None"),
        ({"impute": "median"}, "impute='median' is not known; allowed are True, False"),
        ({"sparse_output": 1}, "sparse_output=1 is not known"),
        ({"max_categories": 1}, "max_categories must be at least 2"),
        ({"max_categories": "all"}, "max_categories must be an integer"),
        ({"min_frequency": 0}, "min_frequency must be an integer greater than 0"),
        ({"min_frequency": 1.5}, "min_frequency must be a number strictly between 0 and 1"),
        ({"text_components": 0}, "text_components must be an integer greater than 0"),
        ({"dtype": "float16"}, "dtype='float16' is not known"),
        ({"dtype": "flot32"}, "dtype='flot32' is not known"),
        (
            {"categorical_encoding": "native", "sparse_output": True},
            "'native' and sparse_output=True contradict",
        ),
        (
            {"categorical_encoding": "native", "high_cardinality": "target"},
            "'native' and high_cardinality='target' contradict",
        ),
        ({"high_cardinality": "target"}, "requires y to be passed"),
    ],
    ids=str,
)
def test_bad_parameters_raise_one_clear_sentence(people, params, message):
    with pytest.raises(ValueError, match=message):
        TablePreprocessor(**params).fit(people)


def test_sparse_input_raises():
    with pytest.raises(TypeError, match="Sparse X is not supported"):
        TablePreprocessor().fit(sparse.csr_array(np.eye(3)))
