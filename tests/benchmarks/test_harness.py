"""The harness times in turn, the runner stores complete records."""

from __future__ import annotations

import json
import sys
import time
import types

import numpy as np
import pytest

from benchmarks import _harness, run
from benchmarks._harness import Unavailable, interleave, report_table, summarise, table


def test_every_round_calls_each_competitor_once_and_starts_with_another():
    calls = []
    competitors = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    seconds = interleave(competitors, repeats=3, warmup=1)
    rounds = ["".join(calls[i : i + 3]) for i in range(0, 12, 3)]
    assert rounds[1:] == ["abc", "bca", "cab"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_seconds_are_seconds():
    seconds = interleave({"sleep": lambda: time.sleep(0.02)}, repeats=2)["sleep"]
    assert all(0.02 <= value < 0.5 for value in seconds)


def test_senseless_counts_are_refused():
    with pytest.raises(ValueError, match="repeats >= 1"):
        interleave({"a": int}, repeats=0)


def test_ratios_are_taken_within_rounds():
    rows = summarise({"ours": [1.0, 10.0, 2.0], "theirs": [2.0, 20.0, 4.0]}, reference="theirs")
    assert [row["ratio"] for row in rows] == [0.5, 1.0]
    assert (rows[0]["ratio_min"], rows[0]["ratio_max"]) == (0.5, 0.5)
    assert (rows[0]["median_seconds"], rows[0]["min_seconds"], rows[0]["spread"]) == (2, 1, 4.5)


def test_tables_line_up():
    text = table([{"name": "a", "score": 0.123456}, {"name": "long", "score": None}])
    assert text.splitlines() == [
        "| name |  score |",
        "| ---- | -----: |",
        "| a    | 0.1235 |",
        "| long |        |",
    ]
    assert table([]) == "(no rows)"
    assert report_table({"a": [1.0]}).count("\n") == 2


def test_missing_tables_are_said(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFUND_DATA", str(tmp_path))
    with pytest.raises(Unavailable, match="set MLFUND_DATA"):
        _harness.shared_data()
    (tmp_path / "catalogue.csv").touch()
    assert _harness.shared_data() == tmp_path


def test_installed_does_not_import():
    assert _harness.installed("json", "sys")
    assert not _harness.installed("json", "no_such_module_of_mlfund")


@pytest.fixture
def sample(monkeypatch):
    """A benchmark of its own, added beside the real ones."""
    module = types.ModuleType("benchmarks.sample", "Claim in one line.\n\nMore.")
    module.run = lambda quick=False: {
        "repeats": 3,
        "scores": np.array([1.0, np.nan]),
        "n": np.int64(2),
        "quick": quick,
    }
    module.report = lambda result: f"scores {result['scores']}"
    monkeypatch.setitem(sys.modules, "benchmarks.sample", module)
    monkeypatch.setattr(run, "names", lambda: ["sample"])
    return module


def test_a_run_prints_and_stores_a_complete_record(sample, tmp_path, capsys):
    assert run.main(["sample", "--out", str(tmp_path / "new")]) == 0
    assert "scores [ 1. nan]" in capsys.readouterr().out
    record = json.loads((tmp_path / "new" / "sample.json").read_text())
    assert record["result"] == {"repeats": 3, "scores": [1.0, None], "n": 2, "quick": False}
    assert (record["benchmark"], record["repeats"], record["quick"]) == ("sample", 3, False)
    assert record["machine"]["versions"]["numpy"] == np.__version__
    assert record["date"].endswith("+00:00")


def test_a_quick_run_never_replaces_a_result(sample, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    assert run.main(["sample", "--quick"]) == 0
    assert "stored" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_list_shows_the_claim(sample, capsys):
    assert run.main(["--list"]) == 0
    assert capsys.readouterr().out.split(maxsplit=1) == ["sample", "Claim in one line.\n"]


def test_a_missing_need_is_one_sentence(sample, capsys):
    def unavailable(quick=False):
        raise Unavailable("set MLFUND_DATA to the folder of the tables")

    sample.run = unavailable
    assert run.main(["sample"]) == 2
    assert capsys.readouterr().err == (
        "sample cannot run here: set MLFUND_DATA to the folder of the tables\n"
    )


@pytest.mark.parametrize(("arguments", "message"), [(["no"], "is not known"), ([], "--list")])
def test_a_wrong_command_line_is_explained(sample, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        run.main(arguments)
    assert message in capsys.readouterr().err


def test_a_benchmark_without_report_is_refused(sample):
    del sample.report
    with pytest.raises(TypeError, match=r"must define report\(\)"):
        run.load("sample")
