"""Data that is odd but usable: exit code 0, one line each, and the same in advice.json.

These runs use the real advisor; their time budget lets it measure little more than the prior.
"""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlfund.cli import main


def odd_frame():
    """Return a table with every oddity that is worth a warning."""
    rng = np.random.default_rng(0)
    n = 90
    frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)})
    frame["town"] = rng.choice(["Ulm", "Köln"], n)
    frame["y"] = np.where(frame["a"] > 0, "yes", "no")
    frame.loc[0:2, "y"] = "rare"
    frame.loc[3, "y"] = "single"
    frame.loc[4:7, "y"] = np.nan
    frame.loc[10:14, "b"] = [np.inf, -np.inf, np.inf, np.inf, -np.inf]
    frame.loc[20:22, "town"] = "?"
    frame["constant"] = 1
    return frame


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Run once: exit code, lines of standard error, advice.json, folder."""
    folder = tmp_path_factory.mktemp("odd")
    odd_frame().to_csv(folder / "odd.csv", index=False, encoding="latin-1")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    argv = ["advise", "odd.csv", "--target", "y", "--quiet", "--time-budget", "1"]
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = main(argv)
    patch.undo()
    content = json.loads((folder / "mlfund-advice" / "advice.json").read_text("utf-8"))
    return code, err.getvalue().splitlines(), content, folder


def test_the_exit_code_is_zero(outcome):
    code, lines, advice, folder = outcome
    assert code == 0, lines
    assert advice["status"] == "complete"
    assert (folder / "mlfund-advice" / "model.skops").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("4 rows without a target", "dropped"),
        ("'single'", "dropped"),
        ("Folds reduced from 5 to 3", "rarest class"),
        ("5 infinite values", "missing"),
        ("not UTF-8", "Latin-1"),
        ("3 cells with a placeholder such as '?' were read as missing", "'town'"),
    ],
)
def test_each_warning_is_one_line_and_recorded(outcome, words):
    _, lines, advice, _ = outcome
    found = [line for line in lines if all(word in line for word in words)]
    assert len(found) == 1, lines
    assert found[0].startswith("mlfund: warning: ")
    recorded = [text for text in advice["warnings"] if all(word in text for word in words)]
    assert [f"mlfund: warning: {text}" for text in recorded] == found


def test_nothing_else_is_on_standard_error(outcome):
    _, lines, advice, _ = outcome
    assert lines == [f"mlfund: warning: {text}" for text in advice["warnings"]]


def test_the_saved_model_predicts_such_a_file(outcome, capsys, monkeypatch):
    _, _, _, folder = outcome
    monkeypatch.chdir(folder)
    code = main(["predict", "mlfund-advice/model.skops", "odd.csv", "--out", "p.csv", "--quiet"])
    assert code == 0
    assert "'y'" in capsys.readouterr().err
    assert len(pd.read_csv(Path("p.csv"))) == len(odd_frame())


def test_a_regression_in_json(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    frame = odd_frame().assign(number=lambda table: table["a"] * 2 + 0.1)
    frame[["a", "town", "number"]].to_parquet("t.parquet")
    argv = ["advise", "t.parquet", "--target", "number", "--json", "--time-budget", "1"]
    assert main(argv) == 0
    advice = json.loads(capsys.readouterr().out)
    assert advice["data"]["task"] == "regression"
    assert {row["status"].split(":")[0] for row in advice["leaderboard"]} >= {"ok", "skipped"}
    assert "from mlfund.advisor.reading import read_table" in advice["code"]
