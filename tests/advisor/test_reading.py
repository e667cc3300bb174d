"""Reading tables: what comes out, what is noted, and the sentence of each error."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlfund._check import DataError
from mlfund.advisor.reading import read_table, split_target

FRAME = pd.DataFrame({"size": [70.5, 81.0], "rooms": [3, 4], "town": ["Ulm", "Köln"]})


def written(tmp_path, content, name="table.csv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def error_of(file, **options):
    with pytest.raises(DataError) as caught:
        read_table(file, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_formats(tmp_path, delimiter, suffix, encoding):
    content = FRAME.to_csv(index=False, sep=delimiter).encode(encoding)
    file = written(tmp_path, gzip.compress(content) if "gz" in suffix else content, f"t{suffix}")
    table = read_table(file)
    pd.testing.assert_frame_equal(table.frame, FRAME)
    assert table.notes == ()
    assert table.name == f"t{suffix}"


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".feather", ".PARQUET"])
def test_columnar_formats(tmp_path, suffix):
    frame = FRAME.assign(town=FRAME["town"].astype("category"))
    file = tmp_path / f"t{suffix}"
    frame.to_feather(file) if suffix == ".feather" else frame.to_parquet(file)
    pd.testing.assert_frame_equal(read_table(file).frame, frame)


def test_latin1_is_read_with_a_note(tmp_path):
    table = read_table(written(tmp_path, FRAME.to_csv(index=False).encode("latin-1")))
    assert table.frame["town"].tolist() == ["Ulm", "Köln"]
    assert len(table.notes) == 1
    assert "not UTF-8" in table.notes[0]
    assert "0xf6" in table.notes[0]


def test_quoted_values_keep_delimiters_and_line_breaks(tmp_path):
    file = written(tmp_path, 'a,b\n1,"x, y"\n2,"two\nlines"\n3,"a ""quote"""\n')
    assert read_table(file).frame["b"].tolist() == ["x, y", "two\nlines", 'a "quote"']


def test_text_with_delimiters_in_one_column(tmp_path):
    file = written(tmp_path, "text;label\nyes, no, maybe;1\na, b, c;2\n")
    assert read_table(file).frame.columns.tolist() == ["text", "label"]


def test_spaces_after_the_delimiter_are_no_part_of_names_and_values(tmp_path):
    frame = read_table(written(tmp_path, 'age, job\n39, "State, gov"\n50, Private\n')).frame
    assert frame.columns.tolist() == ["age", "job"]
    assert frame["job"].tolist() == ["State, gov", "Private"]


def test_blank_lines_are_skipped(tmp_path):
    assert len(read_table(written(tmp_path, "\na,b\n\n1,2\n   \n3,4\n\n")).frame) == 2


@pytest.mark.parametrize("mark", ["", "NA", "NaN", "null", "N/A"])
def test_usual_marks_of_missing_values(tmp_path, mark):
    frame = read_table(written(tmp_path, f"a,b\n1,x\n{mark},y\n3,{mark}\n")).frame
    assert frame["a"].dtype == np.float64
    assert frame.isna().to_numpy().tolist() == [[False, False], [True, False], [False, True]]


def test_none_is_a_level_of_text_but_missing_among_numbers(tmp_path):
    table = read_table(written(tmp_path, "a,b\n1,None\nNone,Brick\n3,None\n"))
    assert table.frame["b"].tolist() == ["None", "Brick", "None"]
    assert table.frame["a"].isna().sum() == 1
    assert table.notes[0].startswith("1 cell with a placeholder such as '?' was read as missing")


def test_question_marks_are_missing_where_they_stand_alone(tmp_path):
    table = read_table(written(tmp_path, "a,b,c\n1,x,why?\n?,?,?\n3,y,no\n"))
    assert table.frame["a"].tolist()[::2] == [1.0, 3.0]
    assert table.frame["a"].isna().tolist() == [False, True, False]
    assert table.frame["b"].isna().tolist() == [False, True, False]
    assert table.frame["c"].tolist() == ["why?", "?", "no"]
    assert table.notes == (
        "2 cells with a placeholder such as '?' were read as missing, in 2 columns: 'a', 'b'.",
    )


def test_question_marks_stay_labels_in_the_target(tmp_path):
    table = read_table(written(tmp_path, "a,b\n1,x\n2,?\n"), target="b")
    assert table.frame["b"].tolist() == ["x", "?"]


def test_thousands_are_left_alone_and_decimal_commas_are_read(tmp_path):
    file = written(tmp_path, "a;b;c\n1,5;1,500;7\n2,25;20,000;8\n")
    table = read_table(file)
    assert table.frame["a"].tolist() == [1.5, 2.25]
    assert table.frame["b"].tolist() == ["1,500", "20,000"]
    assert len(table.notes) == 1
    assert "'a' has decimal commas" in table.notes[0]


def test_huge_integers_become_floating_point(tmp_path):
    table = read_table(written(tmp_path, "a,b\n99999999999999999999,1\n12,2\n,3\n"))
    assert table.frame["a"].dtype == np.float64
    assert table.frame["a"].iloc[0] == 1e20
    assert "64 bits" in table.notes[0]


def test_digits_stay_text_on_request(tmp_path):
    frame = read_table(written(tmp_path, "zip,b\n01234,1\n98765,2\n"), as_text=["zip"]).frame
    assert frame["zip"].tolist() == ["01234", "98765"]


def test_codes_with_leading_zeros_stay_text(tmp_path):
    frame = read_table(written(tmp_path, "zip,share\n98765,0.5\n01234,0\n")).frame
    assert frame["zip"].tolist() == ["98765", "01234"]
    assert frame["share"].tolist() == [0.5, 0.0]


def test_dates_are_left_to_the_preprocessor(tmp_path):
    frame = read_table(written(tmp_path, "day,b\n2024-01-31,1\n2024-02-01,2\n")).frame
    assert frame["day"].tolist() == ["2024-01-31", "2024-02-01"]


def test_a_column_without_a_name(tmp_path):
    table = read_table(written(tmp_path, ",b\n0,1\n1,2\n"))
    assert table.frame.columns.tolist() == ["Unnamed: 0", "b"]
    assert "--ignore 'Unnamed: 0'" in table.notes[0]


def test_a_delimiter_at_the_end_of_each_line(tmp_path):
    table = read_table(written(tmp_path, "a,b,\n0,1,\n1,2,\n"))
    assert table.frame.columns.tolist() == ["a", "b"]
    assert table.notes == ()


def test_a_field_longer_than_the_limit_of_the_csv_module(tmp_path):
    frame = read_table(written(tmp_path, f"a,b\n1,{'x' * 200_000}\n")).frame
    assert len(frame["b"].iloc[0]) == 200_000


def test_columnar_dtypes_become_plain(tmp_path):
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "whole": pd.array([1, 2, 3], dtype="Int32"),
            "flag": pd.array([True, False, True], dtype="boolean"),
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "day": [pd.Timestamp("2024-01-01").date()] * 3,
            "lists": [[1], [2], [3]],
            "half": np.array([1, 2, 3], dtype="float32"),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    kinds = table.frame.dtypes.map(str).to_dict()
    assert kinds.pop("day").startswith("datetime64")
    assert kinds == {
        "nullable": "float64",
        "whole": "int32",
        "flag": "bool",
        "maybe": "object",
        "half": "float32",
    }
    assert "'lists' holds lists" in table.notes[0]


def test_a_named_index_becomes_a_column(tmp_path):
    FRAME.set_index("town").to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").frame.columns.tolist() == ["town", "size", "rooms"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "t.csv is empty."),
        ("t.csv", b"\n \n", "t.csv is empty."),
        ("t.csv", b"\xef\xbb\xbf", "t.csv is empty."),
        ("t.csv", b",,\n1,2,3\n", "has no column names in its first line"),
        ("t.csv", b'"', "has no column names in its first line"),
        ("t.csv", b"a,b\n", "has a header line but no rows"),
        ("t.csv", b"a,b\n1,2\n3\n", "line 3, has 1 field where the header has 2"),
        ("t.csv", b"a,b\n1,2\n\n3,4,5\n", "line 4, has 3 fields where the header has 2"),
        ("t.csv", b"a,b\nr1,1,2\nr2,3,4\n", "give that column a name in line 1"),
        (
            "t.csv",
            b'a,b\n1,"x\n' + b"2,y\n" * 20,
            "line 2: a quotation mark opens there and is never closed",
        ),
        ("t.csv", b"a,b,a\n1,2,3\n", "several columns named 'a' (columns 1, 3)"),
        ("t.csv", b"a,b\n1,\x00\x00\n", "not a text file: it holds null bytes"),
        ("t.csv", b"PK\x03\x04rest", "a zip archive or an Excel workbook"),
        ("t.csv", b"PAR1rest", "a parquet file; name it .parquet"),
        ("t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 9999, mtime=0)[:60], "damaged gzip file"),
        ("t.csv", b"\xff\xfea", "not valid UTF-16 text"),
        ("t.parquet", b"not parquet at all", "cannot be read as parquet"),
        ("t.feather", b"not feather at all", "cannot be read as feather"),
        ("t.parquet", b"", "t.parquet is empty."),
        ("t.xlsx", b"x", "files of type '.xlsx' are unknown; give csv"),
        ("table", b"x", "files without a suffix are unknown"),
        ("t.parquet.gz", b"x", "files of type '.parquet.gz' are unknown"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    assert message in error_of(written(tmp_path, content, name))


def test_an_open_quotation_mark_is_named_with_its_line(tmp_path):
    rows = "".join(f"{i},{i}\n" for i in range(30))
    assert "line 2, has 1 field" in error_of(written(tmp_path, f'a,b\n"1,x\n{rows}'))
    assert "quotation mark that opens there" in error_of(written(tmp_path, f'a,b\n"1,x\n{rows}'))


def test_missing_files_and_folders(tmp_path):
    written(tmp_path, "a,b\n1,2\n", "customers.csv")
    assert "did you mean 'customers.csv'?" in error_of(tmp_path / "custommers.csv")
    assert "There is no file" in error_of(tmp_path / "nowhere" / "x.csv")
    assert "is a folder" in error_of(tmp_path)


def test_duplicate_names_in_a_parquet_file(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    assert "several columns named 'a'" in error_of(tmp_path / "t.parquet")


def test_the_limit_of_the_csv_module_is_left_as_found(tmp_path):
    import csv

    before = csv.field_size_limit()
    read_table(written(tmp_path, "a,b\n1,2\n"))
    assert csv.field_size_limit() == before


def split_error(tmp_path, content, target, ignore=(), **options):
    table = read_table(written(tmp_path, content), **options)
    with pytest.raises(DataError) as caught:
        split_target(table, target, ignore)
    return str(caught.value)


def test_split_target(tmp_path):
    X, y = split_target(read_table(written(tmp_path, "id,a,y\n1,2,3\n")), "y", ["id"])
    assert X.columns.tolist() == ["a"]
    assert y.tolist() == [3]


@pytest.mark.parametrize(
    ("content", "target", "ignore", "message"),
    [
        ("age,income\n1,2\n", "incom", (), "has no column 'incom'; did you mean 'income'?"),
        ("age,income\n1,2\n", "zzz", (), "has no column 'zzz'; there is 'age', 'income'."),
        ("age:job:income\n1:2:3\n", "income", (), "add --delimiter ':'."),
        ("1,2,3\n4,5,6\n", "y", (), "its first line holds numbers, not names"),
        ("a,y\n1,2\n", "y", ("b",), "--ignore names the column 'b', which table.csv does not have"),
        ("a,y\n1,2\n", "y", ("y",), "both the target and in --ignore"),
        ("a,y\n1,2\n", "y", ("a",), "no column left to learn from besides the target 'y' and"),
        ("y\n1\n2\n", "y", (), "no column left to learn from besides the target 'y'."),
    ],
)
def test_targets_that_cannot_be_split_off(tmp_path, content, target, ignore, message):
    assert message in split_error(tmp_path, content, target, ignore)


def test_a_wrong_delimiter_is_recognised(tmp_path):
    message = split_error(tmp_path, "age,job,income\n1,2,3\n", "income", delimiter=";")
    assert "single column named 'age,job,income'" in message
    assert "--delimiter ','" in message


CELLS = st.text(st.sampled_from("ab01?-,;\t|\"'\n\r \x00é€.N/A"), max_size=6)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.lists(CELLS, max_size=30).map("".join), encoding=st.sampled_from(["utf-8", "cp1252"])
)
def test_any_text_is_a_table_or_a_sentence(tmp_path, text, encoding):
    file = written(tmp_path, text.encode(encoding))
    message = ""
    try:
        table = read_table(file)
    except DataError as error:
        message = str(error)
    else:
        assert len(table.frame) > 0
        assert table.frame.columns.is_unique
    assert "\n" not in message


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.binary(max_size=200),
    name=st.sampled_from(["t.csv", "t.tsv.gz", "t.parquet", "t.feather"]),
)
def test_any_bytes_are_a_table_or_a_sentence(tmp_path, content, name):
    file = written(tmp_path, content, name)
    message = ""
    try:
        read_table(file)
    except DataError as error:
        message = str(error)
    assert "\n" not in message


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**62), 2**62),
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(
                lambda text: f"x{text}"
            ),
        ),
        min_size=1,
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
)
def test_what_pandas_writes_is_read_back(tmp_path, rows, delimiter):
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "t.csv", index=False, sep=delimiter)
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "t.csv").frame, frame, check_dtype=False, check_exact=False
    )
