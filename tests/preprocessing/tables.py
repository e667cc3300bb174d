"""Tables for the tests of preprocessing: one of everything, and hypothesis strategies."""

import datetime as dt
from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa

N_ROWS = 60


def everything():
    """A table of 60 rows with a column of each dtype and defect, missing values included."""
    rng = np.random.default_rng(0)

    def thirds(a, b, c=None):
        return [c, a, b] * (N_ROWS // 3)

    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "again"]
    moments = [dt.datetime(2020, 1, 1, 3), dt.datetime(2021, 5, 5)]
    plain = pd.to_datetime(["2020-01-01", "2021-01-02 03:04:05", None] * 20, format="ISO8601")
    text_code = pa.dictionary(pa.int32(), pa.string())
    return pd.DataFrame(
        {
            "int": rng.integers(0, 9, N_ROWS),
            "float32": rng.normal(size=N_ROWS).astype(np.float32),
            "Int64": pd.array(thirds(1, 2), dtype="Int64"),
            "Float64": pd.array(thirds(1.5, 2), dtype="Float64"),
            "arrow int": pd.array(thirds(1, 2), dtype="int64[pyarrow]"),
            "arrow double": pd.array(thirds(1.5, 2), dtype="double[pyarrow]"),
            "arrow decimal": pd.array(
                thirds(Decimal("1.5"), Decimal(2)), dtype=pd.ArrowDtype(pa.decimal128(9, 2))
            ),
            "sparse": pd.arrays.SparseArray(thirds(0.0, 1.5, np.nan)),
            "infinite": [np.inf, -np.inf, 1, 2] * 15,
            "number as text": ["1", "2.5", " ", "?", "1e3", "inf"] * 10,
            "Decimal": thirds(Decimal("1.5"), Decimal(2)),
            "duration": pd.to_timedelta(thirds(1, 2), unit="h"),
            "constant with gaps": [3.0, None] * 30,
            "bool": rng.random(N_ROWS) > 0.5,
            "boolean": pd.array(thirds(True, False), dtype="boolean"),
            "arrow bool": pd.array(thirds(True, False), dtype="bool[pyarrow]"),
            "object bool": thirds(True, False),
            "datetime": plain,
            "datetime tz": plain.tz_localize("US/Eastern"),
            "arrow timestamp": pd.array(thirds(*moments), dtype="timestamp[us][pyarrow]"),
            "arrow timestamp tz": pd.array(
                thirds(*moments), dtype=pd.ArrowDtype(pa.timestamp("us", tz="Europe/Paris"))
            ),
            "arrow date": pd.array(
                thirds(dt.date(2020, 1, 1), dt.date(2021, 5, 5)), dtype="date32[pyarrow]"
            ),
            "period": pd.period_range("2020-01", periods=N_ROWS, freq="M"),
            "iso date": [f"2020-01-{i % 28 + 1:02}" for i in range(N_ROWS)],
            "day first": [f"{i % 28 + 1}/{i % 12 + 1}/2020" for i in range(N_ROWS)],
            "date objects": [dt.date(2020, 1, i % 28 + 1) for i in range(N_ROWS)],
            "datetime objects": pd.Series(
                [dt.datetime(2020, 1, i % 28 + 1, i % 24) for i in range(N_ROWS)], dtype=object
            ),
            "str": thirds("a", "b"),
            "object str": pd.Series(thirds("a", "b"), dtype=object),
            "arrow string": pd.array(thirds("a", "b"), dtype="string[pyarrow]"),
            "arrow dictionary": pd.array(thirds("a", "b"), dtype=pd.ArrowDtype(text_code)),
            "category": pd.Categorical(thirds("a", "b"), categories=["b", "a", "never"]),
            "ordered": pd.Categorical(
                thirds("lo", "hi", "mid"), categories=["lo", "mid", "hi", "never"], ordered=True
            ),
            "category of numbers": pd.Categorical(rng.integers(0, 12, N_ROWS)),
            "category of dates": pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01"] * 30)),
            "intervals": pd.cut(rng.normal(size=N_ROWS), 4),
            "codes": ["01234", "02345", "99999"] * 20,
            "mixed": [1, "a", None, 2.5, True, b"x"] * 10,
            "unhashable": [[1], [2], {"a": 1}] * 20,
            "text": [" ".join(rng.choice(words, 6)) for _ in range(N_ROWS)],
            "identifier": [f"id{i}" for i in range(N_ROWS)],
            "empty": [None] * N_ROWS,
            "all NaN": np.full(N_ROWS, np.nan),
            "constant": [3] * N_ROWS,
            "constant text": ["x"] * N_ROWS,
        }
    )


KINDS_OF_EVERYTHING = {
    "numeric": [
        "int",
        "float32",
        "Int64",
        "Float64",
        "arrow int",
        "arrow double",
        "arrow decimal",
        "sparse",
        "infinite",
        "number as text",
        "Decimal",
        "duration",
        "constant with gaps",
        "constant",
    ],
    "boolean": ["bool", "boolean", "arrow bool", "object bool"],
    "datetime": [
        "datetime",
        "datetime tz",
        "arrow timestamp",
        "arrow timestamp tz",
        "arrow date",
        "period",
        "iso date",
        "day first",
        "date objects",
        "datetime objects",
    ],
    "categorical": [
        "str",
        "object str",
        "arrow string",
        "arrow dictionary",
        "category",
        "ordered",
        "category of numbers",
        "category of dates",
        "intervals",
        "codes",
        "mixed",
        "unhashable",
        "identifier",
        "constant text",
    ],
    "text": ["text"],
    "empty": ["empty", "all NaN"],
}

_FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)
_WORDS = st.text(alphabet="ab \x00é", max_size=3)
_CELLS = {
    "float": _FLOATS,
    "small int": st.integers(-3, 3),
    "flag": st.booleans(),
    "maybe flag": st.sampled_from([True, False, None]),
    "word": st.sampled_from(["red", "green", "blue", "", None]),
    "any word": st.none() | _WORDS,
    "number text": st.sampled_from(["1", "2.5", "-3e4", "", "?", "nan", "inf"]),
    "date": st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)) | st.none(),
    "date text": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)).map(str) | st.none(),
    "anything": st.one_of(
        st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0, "1", "True", b"1"])
    ),
    "nothing": st.none(),
}


@st.composite
def mixed_tables(draw, min_rows=2, max_rows=12):
    """Draw a DataFrame of 1-5 columns of the kinds in `_CELLS`; some as category dtype."""
    n_rows = draw(st.integers(min_rows, max_rows))
    names = draw(st.lists(st.sampled_from(sorted(_CELLS)), min_size=1, max_size=5, unique=True))
    columns = {}
    for name in names:
        cells = draw(st.lists(_CELLS[name], min_size=n_rows, max_size=n_rows))
        column = pd.Series(cells, dtype=_dtype_of(name))
        if name in ("word", "any word", "small int") and draw(st.booleans()):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)


def _dtype_of(name):
    if name in ("any word", "anything", "maybe flag", "nothing"):
        return object
    return "datetime64[us]" if name == "date" else None
