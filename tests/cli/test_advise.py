"""The command `mlfund advise`: what it passes on, prints and writes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlfund
from mlfund._arguments import METRICS
from mlfund.advisor.demo import load_adult
from mlfund.advisor.scores import METRICS as KNOWN_METRICS
from tests.cli.conftest import churn_frame

FILES = {"report.html", "advice.json", "model.skops"}


def strict(text):
    """Parse JSON as the standard says, without NaN and Infinity."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_files_and_page(run, churn, fake_advise):
    outcome = run("advise", churn, "--target", "churned", "--out", "out")
    assert outcome.code == 0
    assert {path.name for path in Path("out").iterdir()} == FILES
    advice = strict(Path("out/advice.json").read_text())
    assert advice["status"] == "complete"
    assert advice["data"]["file"] == "churn.csv"
    assert "<!doctype html>" in Path("out/report.html").read_text()
    model = mlfund.load("out/model.skops")
    assert set(model.predict(churn_frame().drop(columns="churned"))) == {"yes", "no"}
    for expected in (
        "Use gradient boosted trees (XGBoost)",
        "This is a clear result.",
        "Leaderboard (log-loss, lower is better)",
        "failed: MemoryError: cannot allocate 3 GiB",
        "out/report.html  open it in a browser",
        "mlfund predict out/model.skops new.csv --out predictions.csv",
    ):
        assert expected in outcome.out
    assert outcome.out.index("Use gradient") < outcome.out.index("Leaderboard")


def test_options_reach_the_advisor(run, churn, fake_advise):
    run(
        *("advise", churn, "--target", "churned", "--ignore", "plan", "--positive", "yes"),
        *("--task", "classification", "--metric", "roc_auc", "--folds", "3", "--seed", "7"),
        *("--time-budget", "60", "--max-latency-ms", "5", "--interpretable", "--device", "cpu"),
    )
    call = fake_advise.calls[0]
    assert call.pop("X").columns.tolist() == ["age"]
    assert call.pop("y").name == "churned"
    assert call == {
        "task": "classification",
        "metric": "roc_auc",
        "n_folds": 3,
        "time_budget_seconds": 60.0,
        "max_latency_ms": 5.0,
        "interpretable": True,
        "positive": "yes",
        "device": "cpu",
        "random_state": 7,
        "data_description": {
            "file": "churn.csv",
            "load_code": (
                "from mlfund.advisor.reading import read_table, split_target\n\n"
                f"table = read_table({str(churn)!r}, target='churned')\n"
                "X, y = split_target(table, 'churned', ignore=['plan'])"
            ),
        },
    }


@pytest.mark.parametrize("options", [[], ["--ignore", "sex"], ["--target", "sex"]])
def test_the_code_that_reads_the_demonstration(run, fake_advise, options):
    fake_advise.error = mlfund._check.DataError("enough")
    run("advise", "--demo", *options)
    call, found = fake_advise.calls[0], {}
    exec(call["data_description"]["load_code"], found)
    assert found["X"].equals(call["X"])
    assert found["y"].equals(call["y"])


def test_the_code_that_reads_a_file(run, churn, fake_advise):
    run("advise", churn, "--target", "churned", "--delimiter", ",", "--ignore", "age")
    call, found = fake_advise.calls[0], {}
    exec(call["data_description"]["load_code"], found)
    assert found["X"].equals(call["X"])
    assert found["y"].equals(call["y"])


def test_the_metrics_are_those_of_the_advisor():
    assert set(METRICS) == {"auto", *KNOWN_METRICS}


@pytest.mark.parametrize("target", [[0, 1] * 10, [0.0, 1.0] * 9 + [np.nan] * 2, ["0", "1"] * 10])
def test_a_positive_label_is_found_as_it_is_written(run, fake_advise, target):
    pd.DataFrame({"a": np.arange(20), "y": target}).to_csv("t.csv", index=False)
    fake_advise.error = mlfund._check.DataError("enough")
    assert run("advise", "t.csv", "--target", "y", "--positive", "1").code == 2
    assert fake_advise.calls[0]["positive"] == "1"


def test_the_demonstration_uses_the_bundled_data(run, fake_advise):
    fake_advise.error = mlfund._check.DataError("enough")
    assert run("advise", "--demo").err == "mlfund: error: enough.\n"
    X, y = load_adult()
    assert fake_advise.calls[0]["X"].equals(X)
    assert fake_advise.calls[0]["y"].equals(y)


def test_json_is_all_that_standard_output_gets(run, churn, fake_advise):
    outcome = run("advise", churn, "--target", "churned", "--json")
    assert strict(outcome.out) == strict(Path("mlfund-advice/advice.json").read_text())
    assert "model 1 [bold]" in outcome.err


def test_quiet_leaves_warnings_only(run, churn, fake_advise):
    outcome = run("advise", churn, "--target", "churned", "--quiet")
    assert outcome.out == ""
    assert outcome.err == "mlfund: warning: 2 rows without a target were dropped.\n"
    assert {path.name for path in Path("mlfund-advice").iterdir()} == FILES


def test_progress_is_a_line_a_step_where_there_is_no_terminal(run, churn, fake_advise):
    lines = run("advise", churn, "--target", "churned").err.splitlines()
    assert lines[:2] == [
        "[0/3] model 0 [bold] (0.00 ms so far, about 3 s left)",
        "[1/3] model 1 [bold] (1.5 s so far, about 2 s left)",
    ]


def test_notes_of_the_reader_become_warnings(run, fake_advise):
    churn_frame().replace({"plan": {"plus": "?"}}).to_csv("t.csv", index=False)
    frame = pd.read_csv("t.csv")
    n_marks = int((frame["plan"] == "?").sum())
    outcome = run("advise", "t.csv", "--target", "churned", "--quiet")
    first = f"{n_marks} cells with a placeholder such as '?' were read as missing"
    assert outcome.code == 0
    assert outcome.err.startswith(f"mlfund: warning: {first}")
    assert outcome.err.count("\n") == 2
    warnings = strict(Path("mlfund-advice/advice.json").read_text())["warnings"]
    assert warnings[0].startswith(first)
    assert warnings[1] == "2 rows without a target were dropped."
    assert fake_advise.calls[0]["X"]["plan"].isna().sum() == n_marks


def test_an_interrupt_leaves_what_was_finished(run, churn, fake_advise):
    fake_advise.interrupt_after = 1
    outcome = run("advise", churn, "--target", "churned", "--out", "out")
    assert outcome.code == 130
    assert outcome.out == ""
    assert outcome.err.splitlines()[-1] == (
        "mlfund: Interrupted; what was finished is in out/advice.json, marked incomplete."
    )
    assert strict(Path("out/advice.json").read_text())["status"] == "incomplete"
    assert "stopped before it ended" in Path("out/report.html").read_text()
    assert not Path("out/model.skops").exists()


def test_an_interrupt_says_that_the_model_is_an_older_one(run, churn, fake_advise):
    run("advise", churn, "--target", "churned", "--out", "out")
    fake_advise.interrupt_after = 1
    outcome = run("advise", churn, "--target", "churned", "--out", "out")
    assert "(model.skops beside it is from an earlier run)" in outcome.err


def test_an_interrupt_before_anything_is_finished(run, churn, fake_advise):
    fake_advise.interrupt_after = 0
    outcome = run("advise", churn, "--target", "churned", "--out", "out")
    assert outcome.code == 130
    assert "nothing was written" in outcome.err
    assert not list(Path("out").iterdir())


def test_help_and_version(run):
    assert run("--version").out == f"mlfund {mlfund.__version__}\n"
    assert "advise" in run("--help").out
    assert run().code == 0
    outcome = run("advise", "--help")
    assert outcome.code == 0
    for option in ("--target", "--ignore", "--positive", "--demo", "--json", "--time-budget"):
        assert option in outcome.out
