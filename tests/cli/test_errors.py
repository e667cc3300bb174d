"""Each way to be wrong: one sentence on standard error, exit code 2, no traceback."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import churn_frame


def test_a_missing_file(refused):
    assert refused("advise", "customers.csv", "--target", "y") == "There is no file customers.csv."


def test_a_missing_file_with_a_similar_neighbour(refused, churn):
    message = refused("advise", "chrun.csv", "--target", "churned")
    assert message == "There is no file chrun.csv; did you mean 'churn.csv'?"


def test_a_folder_in_place_of_a_file(refused, tmp_path):
    assert "name one file of it if you mean a table" in refused("advise", tmp_path, "--target", "y")


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file(refused, content):
    name = "t.csv.gz" if content[:1] == b"\x1f" else "t.csv"
    Path(name).write_bytes(content)
    assert refused("advise", name, "--target", "y") == f"{name} is empty."


def test_a_header_without_rows(refused):
    Path("t.csv").write_text("a,y\n")
    assert refused("advise", "t.csv", "--target", "y") == "t.csv has a header line but no rows."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"no parquet", "t.parquet cannot be read as parquet"),
        ("t.feather", b"no feather", "t.feather cannot be read as feather"),
        ("t.csv.gz", b"\x1f\x8b\x08broken", "t.csv.gz is a damaged gzip file"),
        ("t.csv", b"a,y\n\x00\x01,1\n", "t.csv is not a text file"),
        ("t.csv", b"a,y\n1,2\n1,2,3\n", "t.csv, line 3, has 3 fields where the header has 2"),
        ("t.csv", b'a,y\n1,"2\n1,2\n', "line 2: a quotation mark opens there"),
    ],
)
def test_an_unreadable_file(refused, name, content, message):
    Path(name).write_bytes(content)
    assert message in refused("advise", name, "--target", "y")


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.json"])
def test_an_unknown_type_of_file(refused, name):
    Path(name).write_text("a,y\n1,2\n")
    message = refused("advise", name, "--target", "y")
    assert message.endswith("are unknown; give csv, tsv, csv.gz, tsv.gz, parquet or feather.")


def test_a_delimiter_that_nobody_expects(refused):
    Path("t.csv").write_text("age:job:income\n1:2:3\n")
    message = refused("advise", "t.csv", "--target", "income")
    assert message == (
        "t.csv was read as a single column named 'age:job:income'; values look separated by ':', "
        "so add --delimiter ':'."
    )


def test_the_wrong_delimiter(refused, churn):
    message = refused("advise", churn, "--target", "churned", "--delimiter", ";")
    assert "values look separated by 'comma', so add --delimiter ','." in message


def test_a_target_that_is_not_there(refused, churn):
    message = refused("advise", churn, "--target", "churnd")
    assert message == "churn.csv has no column 'churnd'; did you mean 'churned'?"
    message = refused("advise", churn, "--target", "zzz")
    assert message == "churn.csv has no column 'zzz'; there is 'age', 'plan', 'churned'."


def test_a_file_without_a_header(refused):
    Path("t.csv").write_text("1,2\n3,4\n")
    assert "holds numbers, not names" in refused("advise", "t.csv", "--target", "y")


def test_duplicate_column_names(refused):
    Path("t.csv").write_text("a,b,a\n1,2,3\n")
    message = refused("advise", "t.csv", "--target", "b")
    assert "several columns named 'a' (columns 1, 3)" in message


def test_no_column_besides_the_target(refused):
    Path("t.csv").write_text("y\n1\n2\n")
    assert "no column left to learn from" in refused("advise", "t.csv", "--target", "y")


def test_an_unknown_column_in_ignore(refused, churn):
    message = refused("advise", churn, "--target", "churned", "--ignore", "plam")
    assert message == (
        "--ignore names the column 'plam', which churn.csv does not have; did you mean 'plan'?"
    )


def test_the_target_in_ignore(refused, churn):
    message = refused("advise", churn, "--target", "churned", "--ignore", "churned")
    assert "both the target and in --ignore" in message


def test_an_unknown_positive_label(refused, churn):
    message = refused("advise", churn, "--target", "churned", "--positive", "Yess")
    assert message == ("--positive 'Yess' is no label of the target 'churned'; did you mean 'yes'?")
    message = refused("advise", churn, "--target", "churned", "--positive", "7")
    assert message.endswith("'churned'; there is 'no', 'yes'.") or message.endswith(
        "'churned'; there is 'yes', 'no'."
    )


def advise_on(refused, frame, *options):
    frame.to_csv("t.csv", index=False)
    return refused("advise", "t.csv", "--target", "y", *options)


def test_a_target_with_one_class(refused):
    message = advise_on(refused, pd.DataFrame({"a": np.arange(30), "y": "same"}))
    assert "'y'" in message
    assert "'same'" in message


def test_a_target_without_values(refused):
    message = advise_on(refused, pd.DataFrame({"a": np.arange(30), "y": [np.nan] * 30}))
    assert "'y' has no value in any row" in message


def test_a_regression_target_that_is_text(refused):
    frame = pd.DataFrame({"a": np.arange(30), "y": ["low", "high", "mid"] * 10})
    message = advise_on(refused, frame, "--task", "regression")
    assert "'y'" in message
    assert "'low'" in message or "text" in message


def test_no_usable_feature(refused):
    frame = pd.DataFrame({"a": [np.nan] * 30, "b": [np.nan] * 30, "y": [0, 1] * 15})
    assert "nothing to learn from" in advise_on(refused, frame)


def test_a_metric_of_the_other_task(refused):
    message = advise_on(refused, churn_frame().rename(columns={"churned": "y"}), "--metric", "rmse")
    assert message.startswith("metric='rmse' is for regression, and this is classification;")
    assert "log_loss" in message


@pytest.mark.parametrize("out", ["taken", "taken/below", "/proc/nowhere/advice"])
def test_an_output_folder_that_cannot_be_written(refused, churn, out):
    Path("taken").write_text("a file")
    message = refused("advise", churn, "--target", "churned", "--out", out)
    assert message.startswith(f"The output folder {out} cannot be written to (")
    assert message.endswith("choose another with --out.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "1"], "Argument --folds: must be a whole number from 2 to 50, got '1'"),
        (["--folds", "2.5"], "must be a whole number from 2 to 50, got '2.5'"),
        (["--seed", "-1"], "must be a whole number from 0"),
        (["--time-budget", "0"], "Argument --time-budget: must be a number above 0, got '0'"),
        (["--time-budget", "soon"], "must be a number above 0, got 'soon'"),
        (["--max-latency-ms", "-3"], "must be a number above 0, got '-3'"),
        (["--max-latency-ms", "nan"], "must be a number above 0, got 'nan'"),
        (["--task", "clasification"], "is not known, did you mean 'classification'?"),
        (["--metric", "auc"], "'auc' is not known"),
        (["--metric", "logloss"], "did you mean 'log_loss'?"),
        (["--delimiter", "ab"], "must be one character or 'tab', got 'ab'"),
        (["--device", "gpu"], "device='gpu' is not known; allowed are 'cpu'"),
        (["--device", "cuda:99"], "use device='auto' or 'cpu'"),
        (["--target"], "Argument --target: expected one argument"),
        (["--frobnicate"], "Unrecognized arguments: --frobnicate"),
    ],
)
def test_bad_values_of_options(refused, churn, options, message):
    assert message in refused("advise", churn, "--target", "churned", *options)


def test_arguments_that_do_not_go_together(refused, churn):
    assert "and not both" in refused("advise", churn, "--demo")
    assert "Give one FILE, or --demo" in refused("advise")
    assert refused("advise", "x.csv") == (
        "--target is missing: say which column of x.csv to predict."
    )
    assert "'frobnicate'" in refused("frobnicate")


def test_option_names_cannot_be_shortened(refused, churn):
    # --time would otherwise change its meaning when another option begins like it
    assert "--time" in refused("advise", churn, "--target", "churned", "--time", "5")


def test_an_unexpected_error_is_short_unless_asked(run, churn, fake_advise):
    fake_advise.error = RuntimeError("the reactor\nmelts")
    outcome = run("advise", churn, "--target", "churned")
    assert outcome.code == 1
    assert outcome.err == (
        "mlfund: error: Unexpected RuntimeError: the reactor melts. "
        "Run the same command with --debug for the traceback.\n"
    )
    outcome = run("advise", churn, "--target", "churned", "--debug")
    assert outcome.code == 1
    assert "Traceback (most recent call last)" in outcome.err
    assert "raise self.error" in outcome.err
