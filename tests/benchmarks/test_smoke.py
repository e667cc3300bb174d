"""Every benchmark runs on small data and reports something."""

from __future__ import annotations

import json

import pytest

from benchmarks import run
from benchmarks._harness import Unavailable


@pytest.mark.parametrize("name", run.names())
def test_benchmark_runs_quickly(name):
    try:
        record, report = run.execute(name, quick=True)
    except Unavailable as error:
        pytest.skip(str(error))
    assert report.strip()
    assert record["repeats"] >= 1
    json.dumps(record, allow_nan=False)
