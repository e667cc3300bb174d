"""Measured memory, latency and size agree with what is known about them."""

from __future__ import annotations

import json
import pickle
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from mlfund import _measure
from mlfund._measure import (
    current_memory_bytes,
    latency_ms,
    machine,
    model_bytes,
    peak_memory_bytes,
    reset_peak_memory,
)

MEBIBYTE = 2**20
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
def test_the_peak_remembers_memory_given_back():
    before = current_memory_bytes()
    block = np.ones(64 * MEBIBYTE, dtype=np.uint8)
    held = current_memory_bytes()
    del block
    assert 50 * MEBIBYTE < held - before < 90 * MEBIBYTE
    assert current_memory_bytes() < held - 50 * MEBIBYTE
    # the kernel batches its counters: the two figures differ by some pages
    assert peak_memory_bytes() > held - MEBIBYTE


@linux
def test_a_reset_forgets_the_peak():
    block = np.ones(64 * MEBIBYTE, dtype=np.uint8)
    high = peak_memory_bytes()
    del block
    if not reset_peak_memory():
        pytest.skip("this container protects /proc/self/clear_refs")
    assert peak_memory_bytes() < high - 50 * MEBIBYTE


def test_without_proc_the_peak_comes_from_the_system_and_cannot_be_reset(monkeypatch, tmp_path):
    monkeypatch.setattr(_measure, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(_measure, "_CLEAR_REFS", tmp_path / "none" / "none")
    assert 10 * MEBIBYTE < peak_memory_bytes() < 100_000 * MEBIBYTE
    assert current_memory_bytes() > 10 * MEBIBYTE
    assert not reset_peak_memory()


def test_latency_measures_milliseconds_and_calls_as_often_as_asked():
    calls = []

    def slow():
        calls.append(1)
        time.sleep(0.002)

    quantiles = latency_ms(slow, repeats=15, warmup=3)
    assert len(calls) == 18
    assert 2.0 <= quantiles["p50"] <= quantiles["p95"] <= quantiles["p99"]
    assert quantiles["p50"] < 50


def test_warmup_calls_are_not_timed():
    durations = iter([0.05] * 2 + [0.0] * 10)
    assert latency_ms(lambda: time.sleep(next(durations)), repeats=10, warmup=2)["p50"] < 40


@pytest.mark.parametrize("arguments", [{"repeats": 0}, {"warmup": -1}])
def test_latency_refuses_senseless_counts(arguments):
    with pytest.raises(ValueError, match="repeats >= 1"):
        latency_ms(lambda: None, **arguments)


@pytest.mark.parametrize(
    "model", [np.zeros(100_000), LinearRegression().fit([[0.0], [1.0]], [0, 1]), {"a": "b"}]
)
def test_model_bytes_is_the_length_of_the_pickle(model):
    assert model_bytes(model) == len(pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL))


def test_machine_says_what_ran_and_names_neither_host_nor_path():
    description = machine()
    assert description["versions"]["numpy"] == np.__version__
    assert description["cores"] >= 1
    assert description["memory_bytes"] is None or description["memory_bytes"] > 100 * MEBIBYTE
    text = json.dumps(description)
    assert platform.node() not in text or not platform.node()
    assert str(Path.home()) not in text


def test_a_missing_library_has_no_version(monkeypatch):
    monkeypatch.setattr(_measure, "_LIBRARIES", {"nothing": ("no-such-distribution-mlfund",)})
    assert machine()["versions"] == {"nothing": None}


def test_measuring_imports_none_of_the_libraries():
    program = (
        "import sys\n"
        "from mlfund._measure import machine\n"
        "assert machine()['versions']['torch']\n"
        "print([name for name in ('torch', 'xgboost', 'pandas', 'sklearn', 'skorch')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
