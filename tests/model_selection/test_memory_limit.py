"""Memory limits are read as people write them, and the free memory is what the system says."""

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlfund.model_selection import _memory
from mlfund.model_selection._memory import (
    PLENTY,
    UNITS,
    free_memory_bytes,
    memory_bytes,
    stack_bytes,
)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, None),
        (1, 1),
        (10**12, 10**12),
        ("512", 512),
        ("512 B", 512),
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        (" 1.5GiB ", 3 * 2**29),
        ("500MB", 500 * 10**6),
        ("64MiB", 2**26),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("3TB", 3 * 10**12),
    ],
)
def test_a_limit_is_bytes_or_a_text_with_a_unit(limit, expected):
    assert memory_bytes(limit) == expected


@pytest.mark.parametrize(
    "limit", [0, -1, True, 2.5, "", "GB", "two GB", "2 G", "-1GB", "0.1", "1e9", "2GB2", [1], "0GB"]
)
def test_anything_else_is_refused_with_examples(limit):
    with pytest.raises(ValueError, match=r"memory_limit must be .*'2GB'"):
        memory_bytes(limit)


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)))
def test_a_limit_is_the_number_times_its_unit(number, unit):
    assert memory_bytes(f"{number}{unit}") == number * UNITS[unit]


def test_free_memory_is_what_the_system_has_available():
    free = free_memory_bytes()
    if free is None:
        pytest.skip("this system does not tell")
    assert 0 < free <= 1.2 * psutil.virtual_memory().available


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    (tmp_path / "max").write_text("3000000\n")
    (tmp_path / "current").write_text("1000000\n")
    group = (str(tmp_path / "max"), str(tmp_path / "current"))
    monkeypatch.setattr(_memory, "_GROUPS", (group,))
    assert free_memory_bytes() == 2_000_000
    (tmp_path / "max").write_text("max\n")
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "none")
    assert free_memory_bytes() is None


@pytest.mark.parametrize(
    ("limit", "free", "expected"),
    [
        ("1GB", 100, 10**9),
        (None, None, None),
        (None, 2 * PLENTY, None),
        (None, 2 * PLENTY - 2, PLENTY - 1),
        (None, 1000, 500),
        (None, 0, 1),
    ],
)
def test_without_a_limit_half_of_what_is_free_is_one(monkeypatch, limit, free, expected):
    monkeypatch.setattr(_memory, "free_memory_bytes", lambda: free)
    assert stack_bytes(limit) == expected
