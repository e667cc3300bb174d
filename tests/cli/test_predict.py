"""The command `mlfund predict`: columns are matched, rows keep their order."""

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

import mlfund
from mlfund.preprocessing import TablePreprocessor
from tests.cli.conftest import churn_frame


@pytest.fixture
def model(tmp_path):
    """Return a saved pipeline for the target ``churned``."""
    frame = churn_frame()
    fitted = make_pipeline(TablePreprocessor(), LogisticRegression()).fit(
        frame.drop(columns="churned"), frame["churned"]
    )
    mlfund.save(fitted, tmp_path / "model.skops")
    return fitted


def test_predictions_keep_the_rows_and_give_probabilities(run, model):
    new = churn_frame().drop(columns="churned").iloc[::-1]
    new[["plan", "age"]].to_csv("new.csv", index=False)
    outcome = run("predict", "model.skops", "new.csv", "--out", "predictions.csv")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "80 predictions are in predictions.csv.\n"
    found = pd.read_csv("predictions.csv")
    assert found.columns.tolist() == ["prediction", "probability_no", "probability_yes"]
    assert found["prediction"].tolist() == model.predict(new).tolist()
    np.testing.assert_allclose(found.iloc[:, 1:], model.predict_proba(new), rtol=1e-12)


def test_standard_output_and_quiet(run, model):
    churn_frame().drop(columns="churned").head(2).to_csv("new.csv", index=False)
    outcome = run("predict", "model.skops", "new.csv")
    assert outcome.out.splitlines()[0] == "prediction,probability_no,probability_yes"
    assert len(outcome.out.splitlines()) == 3
    assert run("predict", "model.skops", "new.csv", "--out", "p.csv", "--quiet").out == ""


def test_regression_has_no_probabilities(run, tmp_path):
    X = pd.DataFrame({"a": np.arange(10.0)})
    fitted = make_pipeline(TablePreprocessor(), LinearRegression()).fit(X, 2 * X["a"])
    mlfund.save(fitted, tmp_path / "model.skops")
    X.to_parquet("new.parquet")
    assert run("predict", "model.skops", "new.parquet", "--out", "p.csv").code == 0
    found = pd.read_csv("p.csv")
    assert found.columns.tolist() == ["prediction"]
    np.testing.assert_allclose(found["prediction"], 2 * X["a"], atol=1e-12)


def test_columns_left_over_are_left_out_with_a_warning(run, model):
    churn_frame().assign(note="x").to_csv("new.csv", index=False)
    outcome = run("predict", "model.skops", "new.csv", "--out", "p.csv")
    assert outcome.code == 0
    assert outcome.err == (
        "mlfund: warning: new.csv has the columns 'churned', 'note' that the model was not "
        "fitted on; they were left out.\n"
    )


def test_missing_columns(refused, model):
    churn_frame().drop(columns=["churned", "plan"]).to_csv("new.csv", index=False)
    message = refused("predict", "model.skops", "new.csv")
    assert message == "new.csv lacks the column 'plan' that the model needs."
    churn_frame().rename(columns={"plan": "plans"}).to_csv("new.csv", index=False)
    message = refused("predict", "model.skops", "new.csv")
    assert message.endswith("is 'plan' the one called 'plans' there?")


def test_digits_in_a_column_of_text_stay_text(run, tmp_path):
    X = pd.DataFrame({"code": ["01", "x2"] * 20, "a": np.arange(40.0)})
    y = np.where(X["code"] == "01", "first", "second")
    fitted = make_pipeline(TablePreprocessor(), LogisticRegression()).fit(X, y)
    mlfund.save(fitted, tmp_path / "model.skops")
    Path("new.csv").write_text("code,a\n01,20\n01,21\n")
    outcome = run("predict", "model.skops", "new.csv")
    assert [line.split(",")[0] for line in outcome.out.splitlines()[1:]] == ["first", "first"]


def test_missing_model(refused, churn):
    assert refused("predict", "model.skops", churn).lower().startswith("there is no model file")


@pytest.mark.parametrize("damage", ["text", "cut", "foreign zip"])
def test_a_corrupt_model_file(refused, model, churn, damage):
    path = Path("model.skops")
    if damage == "text":
        path.write_text("no model")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
    assert "model.skops" in refused("predict", "model.skops", churn)


def test_a_missing_table(refused, model):
    assert refused("predict", "model.skops", "new.csv") == "There is no file new.csv."


def test_a_model_that_knows_no_columns(refused, tmp_path, churn):
    fitted = LogisticRegression().fit(np.arange(10.0)[:, None], [0, 1] * 5)
    mlfund.save(fitted, tmp_path / "model.skops")
    assert "does not know column names" in refused("predict", "model.skops", churn)


@pytest.mark.parametrize("out", ["nowhere/p.csv", "."])
def test_predictions_that_cannot_be_written(refused, model, out):
    churn_frame().drop(columns="churned").to_csv("new.csv", index=False)
    assert "choose another --out" in refused("predict", "model.skops", "new.csv", "--out", out)


@pytest.mark.filterwarnings("default")
def test_warnings_of_libraries_are_one_line(run, model, monkeypatch):
    def warn(options):
        warnings.warn("the file is\nold", UserWarning, stacklevel=1)
        return model

    monkeypatch.setattr("mlfund.persistence.load", warn)
    churn_frame().drop(columns="churned").to_csv("new.csv", index=False)
    before = warnings.showwarning
    outcome = run("predict", "model.skops", "new.csv", "--out", "p.csv")
    assert (outcome.code, outcome.err) == (0, "mlfund: warning: the file is old.\n")
    assert warnings.showwarning is before


def test_missing_arguments(refused):
    assert "required: MODEL, FILE" in refused("predict")
