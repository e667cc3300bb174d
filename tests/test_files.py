"""Atomic writes leave the old file or the new one; fingerprints depend on content alone."""

from __future__ import annotations

import functools
import os
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse
from sklearn.linear_model import Ridge

from mlfund._files import atomic_write, fingerprint

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX systems")


@pytest.mark.parametrize(("mode", "content"), [("wb", b"a\r\nb\x00"), ("w", "größe\n")])
def test_writes_content(tmp_path, mode, content):
    path = tmp_path / "file"
    with atomic_write(path, mode) as file:
        file.write(content)
        assert not path.exists()
    assert path.read_bytes() == (content if mode == "wb" else content.encode())
    assert os.listdir(tmp_path) == ["file"]


def write_half(path, error):
    with atomic_write(path, "w") as file:
        file.write("half of the n")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_failure_keeps_the_old_file_and_leaves_no_litter(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_no_new_file(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "file", ZeroDivisionError)
    assert os.listdir(tmp_path) == []


def test_a_killed_writer_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import os, sys\n"
        "from mlfund._files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'new'); file.flush(); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 9
    assert path.read_text() == "old"


def test_other_modes_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="mode='ab' is not known"),
        atomic_write(tmp_path / "f", "ab"),
    ):
        pass


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"), atomic_write(tmp_path):
        pass


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "no" / "file"):
        pass


@posix
def test_a_new_file_follows_the_umask_and_a_replaced_one_keeps_its_permissions(tmp_path):
    path = tmp_path / "file"
    old_umask = os.umask(0o027)
    try:
        with atomic_write(path) as file:
            file.write(b"1")
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    with atomic_write(path) as file:
        file.write(b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"), atomic_write(path) as file:
        file.write(b"new")
    assert path.read_text() == "old"


@posix
def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link, "w") as file:
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@posix
def test_a_device_is_written_to_and_not_replaced():
    with atomic_write("/dev/null") as file:
        file.write(b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_concurrent_writers_never_mix(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([65 + i]) * 200_000 for i in range(8)]
    seen = set()

    def write(content):
        for _ in range(3):
            with atomic_write(path) as file:
                for start in range(0, len(content), 10_000):
                    file.write(content[start : start + 10_000])
            seen.add(path.read_bytes())

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["file"]


@dataclass(frozen=True)
class Point:
    x: float
    y: float


class Opaque:
    def method(self):
        return self


TABLE = pd.DataFrame(
    {
        "number": [1.0, np.nan, 3.0],
        "text": ["a", None, "b"],
        "kind": pd.Categorical(["x", "y", None], categories=["x", "y", "z"]),
        "when": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
        "zone": pd.to_datetime(["2020-01-01"] * 3, utc=True),
        "whole": pd.array([1, None, 3], dtype="Int64"),
        "mixed": pd.Series([1, "a", None], dtype=object),
    }
)

SAMPLES = {
    "none": None,
    "bool": True,
    "int": 1,
    "float": 1.0,
    "half": 0.5,
    "complex": 1 + 2j,
    "str": "1",
    "bytes": b"1",
    "path": Path("a/b"),
    "list": [1, 2],
    "tuple": (1, 2),
    "nested": [[1], 2],
    "set": {1, 2},
    "dict": {"a": 1, "b": 2},
    "array": np.arange(6).reshape(2, 3),
    "flat": np.arange(6),
    "float32": np.arange(6, dtype=np.float32),
    "strings": np.array(["a", "bc"]),
    "objects": np.array(["a", 1, None], dtype=object),
    "record": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "datetime": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "masked": np.ma.MaskedArray([1, 2], mask=[True, False]),
    "sparse": sparse.csr_array(np.eye(3)),
    "tensor": torch.arange(3),
    "bfloat16": torch.ones(3, dtype=torch.bfloat16),
    "empty tensor": torch.empty(0, 3),
    "frame": TABLE,
    "series": TABLE["number"],
    "index": TABLE.columns,
    "range": TABLE.index,
    "multi": pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]),
    "missing": pd.NA,
    "timestamp": pd.Timestamp("2020-01-01"),
    "pandas dtype": pd.CategoricalDtype(["a"]),
    "dtype": np.dtype("f4"),
    "random state": np.random.RandomState(0),
    "generator": np.random.default_rng(0),
    "estimator": Ridge(alpha=2.0),
    "dataclass": Point(1.0, 2.0),
    "class": Ridge,
    "function": np.linalg.norm,
    "builtin": len,
    "partial": functools.partial(np.mean, axis=0),
    "slice": slice(1, 2),
}


def test_fingerprints_of_different_content_differ():
    prints = {name: fingerprint(value) for name, value in SAMPLES.items()}
    assert len(set(prints.values())) == len(prints)
    assert all(len(value) == 32 for value in prints.values())
    assert fingerprint(1, 2) != fingerprint([1, 2]) != fingerprint(12)
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


def test_fingerprints_are_equal_in_another_process():
    program = (
        "from tests.test_files import SAMPLES\n"
        "from mlfund._files import fingerprint\n"
        "print(fingerprint(list(SAMPLES.values())), fingerprint({'a', 'b', 'c'}))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=root, env=environment,
    )  # fmt: skip
    here = [fingerprint(list(SAMPLES.values())), fingerprint({"c", "b", "a"})]
    assert done.stdout.split() == here


def test_layout_order_and_byte_order_do_not_count():
    X = np.arange(12.0).reshape(3, 4)
    expected = fingerprint(X)
    assert fingerprint(np.asfortranarray(X)) == expected
    assert fingerprint(np.repeat(X, 2, axis=0)[::2]) == expected
    assert fingerprint(X.astype(">f8")) == expected
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(sparse.coo_array(X)) == fingerprint(sparse.csc_array(X))
    assert fingerprint(np.float64(0.5), np.int64(3)) == fingerprint(0.5, 3)
    assert fingerprint(float("nan")) == fingerprint(-float("nan"))


@pytest.mark.parametrize("column", TABLE.columns)
def test_a_changed_cell_name_or_type_changes_the_fingerprint(column):
    expected = fingerprint(TABLE)
    assert fingerprint(TABLE.copy()) == expected
    swapped = TABLE.copy()
    swapped[column] = swapped[column].iloc[[2, 1, 0]].array
    assert (fingerprint(swapped) == expected) == (column == "zone")  # its cells are all alike
    assert fingerprint(TABLE.rename(columns={column: "other"})) != expected
    assert fingerprint(TABLE.drop(columns=column)) != expected
    assert fingerprint(TABLE.iloc[::-1]) != expected


def test_duplicate_column_names_are_fine():
    doubled = pd.concat([TABLE[["number"]], TABLE[["number"]]], axis=1)
    assert fingerprint(doubled) != fingerprint(TABLE[["number"]])


def test_parameters_count():
    assert fingerprint(Ridge(alpha=1.0)) != fingerprint(Ridge(alpha=2.0))
    assert fingerprint(functools.partial(np.mean, axis=0)) != fingerprint(
        functools.partial(np.mean, axis=1)
    )
    assert fingerprint("a".upper) != fingerprint("b".upper)


@pytest.mark.parametrize(
    "item", [lambda: 1, Opaque(), Opaque().method, object(), sys.stdout, {"key": [Opaque()]}]
)
def test_what_has_no_stable_content_is_refused(item):
    with pytest.raises(TypeError, match="Cannot fingerprint"):
        fingerprint(item)


@given(arrays(np.float64, array_shapes(max_dims=3, max_side=4)), st.integers(0, 63))
def test_any_flipped_bit_changes_the_fingerprint(array, bit):
    changed = array.copy()
    changed.reshape(-1)[:1].view(np.uint64)[0] ^= np.uint64(1 << bit)
    assert fingerprint(array) == fingerprint(array.copy())
    assert fingerprint(array) != fingerprint(changed)
