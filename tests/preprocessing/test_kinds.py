"""The kind that is found for a column, and what the user may override."""

import pandas as pd
import pytest

from mlfund import TablePreprocessor
from mlfund._check import DataError
from tests.preprocessing.tables import KINDS_OF_EVERYTHING, everything

CASES = [(name, kind) for kind, names in KINDS_OF_EVERYTHING.items() for name in names]


@pytest.fixture(scope="module")
def found():
    return TablePreprocessor().fit(everything()).column_kinds_


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_kind_of_each_dtype(found, name, kind):
    assert found[name] == kind


def test_every_column_is_listed(found):
    assert sorted(found) == sorted(name for name, _ in CASES)


def kind_of(cells, **params):
    X = pd.DataFrame({"c": cells, "filler": range(len(cells))})
    return TablePreprocessor(min_frequency=1, **params).fit(X).column_kinds_["c"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", "3"], "numeric"),
        (["1", "2", "unknown"], "categorical"),
        (["01", "02", "10"], "categorical"),  # codes: as numbers they would lose the zero
        (["0.1", "0", "-0.5"], "numeric"),
        (["", "NA", "?"], "categorical"),  # words for missing only: no numbers
        (["2020-01-31", "2020-02-30x", "2020-03-01"], "categorical"),
        (["31/01/2020", "01/02/2020", None], "datetime"),
        (["2020-01-31T10:00:00+01:00", "2020-07-31T10:00:00+02:00", ""], "datetime"),
        (["12-3", "13-4", "14-5"], "categorical"),
        ([1, 2.0, None], "numeric"),
        ([1, "2", 3.0], "numeric"),
    ],
)
def test_cells_of_text_decide(cells, kind):
    assert kind_of(cells) == kind


def test_sentences_are_text_only_when_there_are_many_different_ones():
    sentence = "a sentence with the number {}".format
    assert kind_of([sentence(i) for i in range(60)]) == "text"
    assert kind_of([sentence(i % 9) for i in range(60)]) == "categorical"
    assert kind_of([f"word{i}" for i in range(60)]) == "categorical"


def test_declared_category_stays_one():
    sentences = pd.Series([f"a sentence with the number {i}" for i in range(60)])
    assert kind_of(sentences.astype("category")) == "categorical"


@pytest.mark.parametrize(
    ("kind", "first"), [("categorical", "zip=10115"), ("numeric", "zip"), ("text", "zip:topic0")]
)
def test_kinds_override(kind, first):
    X = pd.DataFrame({"zip": [10115, 20095, 10115, 30159, 20095], "n": range(5)})
    table = TablePreprocessor(kinds={"zip": kind, "n": "drop"}).fit(X)
    assert table.column_kinds_ == {"zip": kind, "n": "drop"}
    assert table.get_feature_names_out()[0] == first


def test_override_to_numeric_takes_the_rest_as_missing():
    X = pd.DataFrame({"a": ["1", "2", "many", "5"]})
    table = TablePreprocessor(kinds={"a": "numeric"}, numeric_scaling=None)
    assert table.fit_transform(X).tolist() == [[1, 0], [2, 0], [2, 1], [5, 0]]


def test_override_to_datetime_reads_dates_kept_as_text():
    X = pd.DataFrame({"a": ["2020-01-01", "2020-01-03", "some day"]})
    table = TablePreprocessor(kinds={"a": "datetime"}, numeric_scaling=None).fit(X)
    assert table.transform(X)[:2, 0].tolist() == [18262, 18264]


def test_override_to_datetime_takes_the_format_that_reads_most():
    X = pd.DataFrame({"a": ["31/01/2020", "01/02/2020", "unknown"]})
    table = TablePreprocessor(kinds={"a": "datetime"}, numeric_scaling=None).fit(X)
    assert table.transform(X)[:2, 0].tolist() == [18292, 18293]


@pytest.mark.parametrize("kind", ["numeric", "boolean", "datetime"])
def test_override_that_reads_nothing_raises(kind):
    X = pd.DataFrame({"a": ["yes", "no", None], "n": range(3)})
    with pytest.raises(DataError, match=f"kinds\\['a'\\]='{kind}', but .*the first is 'yes'"):
        TablePreprocessor(kinds={"a": kind}).fit(X)
    # In a fold where the column happens to be all missing there is nothing to object to.
    assert TablePreprocessor(kinds={"a": kind}).fit(X.assign(a=None)).column_kinds_["a"] == "empty"


def test_kinds_of_array_columns():
    table = TablePreprocessor(kinds={"x1": "categorical"}, min_frequency=1)
    table.fit([[0.5, 1], [1.5, 2], [2.5, 3]])
    assert table.get_feature_names_out().tolist() == ["x0", "x1=1", "x1=2", "x1=3"]


def test_kinds_of_an_unknown_column_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"kinds names 'ag', .* Did you mean 'age'\?"):
        TablePreprocessor(kinds={"ag": "numeric"}).fit(pd.DataFrame({"age": [1, 2]}))


def test_unknown_kind_lists_the_allowed_ones():
    with pytest.raises(ValueError, match=r"kinds\['a'\]='number' is not known.*'numeric'"):
        TablePreprocessor(kinds={"a": "number"}).fit(pd.DataFrame({"a": [1, 2]}))
