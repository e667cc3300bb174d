"""Run the command line in this process, on small tables, with the benchmark itself replaced."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import mlfund.advisor
from mlfund.advisor.progress import ProgressEvent
from mlfund.cli import main
from mlfund.preprocessing import TablePreprocessor
from tests.advisor.sample import sample_advice_dict


@dataclass
class Outcome:
    """Exit code and output of one call."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Call the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        code = main([str(arg) for arg in argv])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def refused(run):
    """Call the command line and return the one sentence with which it refuses."""

    def call(*argv):
        outcome = run(*argv)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert outcome.err.startswith("mlfund: error: ")
        assert outcome.err.count("\n") == 1
        assert "Traceback" not in outcome.err
        return outcome.err.removeprefix("mlfund: error: ").rstrip("\n")

    return call


def churn_frame(n_rows=80):
    """Return a table that two columns explain."""
    rng = np.random.default_rng(0)
    age, plan = rng.integers(18, 80, n_rows), rng.choice(["basic", "plus"], n_rows)
    churned = np.where((age > 45) ^ (rng.random(n_rows) < 0.1), "yes", "no")
    return pd.DataFrame({"age": age, "plan": plan, "churned": churned})


@pytest.fixture
def churn(tmp_path):
    """Return the path of a small csv file with the target ``churned``."""
    path = tmp_path / "churn.csv"
    churn_frame().to_csv(path, index=False)
    return path


def fake_advice(content, best_estimator=None):
    """Return what the command line uses of an Advice."""
    return SimpleNamespace(to_dict=lambda: content, best_estimator=best_estimator)


@dataclass
class FakeAdvise:
    """Stands in for `advise`: notes its arguments, reports progress, returns a fixed advice."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    interrupt_after: int | None = None
    error: Exception | None = None

    def __call__(self, X, y, *, progress, on_checkpoint, **options):
        self.calls.append({"X": X, "y": y, **options})
        if self.error is not None:
            raise self.error
        content = sample_advice_dict()
        for done in range(3):
            progress(ProgressEvent(done, 3, f"model {done} [bold]", done * 1.5, 3.0 - done))
            if self.interrupt_after == done:
                raise KeyboardInterrupt
            on_checkpoint(fake_advice({**content, "status": "incomplete"}))
        model = make_pipeline(TablePreprocessor(), LogisticRegression()).fit(X, y)
        return fake_advice(content, model)


@pytest.fixture
def fake_advise(monkeypatch):
    """Replace the benchmark, which takes seconds, by one that returns at once."""
    fake = FakeAdvise()
    monkeypatch.setitem(vars(mlfund.advisor), "advise", fake)
    return fake
