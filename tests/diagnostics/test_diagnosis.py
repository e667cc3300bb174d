"""The result of a diagnosis, and what `diagnose` takes and leaves alone."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_classification, make_friedman1, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from torch import nn

from mlfund import MLPClassifier, MLPRegressor, NeuralClassifier, diagnose
from mlfund.diagnostics import CHECKS, Finding
from mlfund.diagnostics.diagnosis import Diagnosis

X, Y = make_classification(240, 6, n_informative=4, random_state=0)
QUICK = {
    "hidden_layer_sizes": 16,
    "learning_rate_init": 0.02,
    "max_iter": 30,
    "random_state": 0,
}
OWN = {"learning_rate_init": 0.02, "max_iter": 30, "random_state": 0}


@pytest.fixture(scope="module")
def unscaled():
    return diagnose(MLPClassifier(**QUICK), X * 1e4, Y)


def found(**statuses):
    return Diagnosis.of([Finding(name, status, fault=name) for name, status in statuses.items()])


def test_every_check_has_one_finding_in_the_order_of_the_table(unscaled):
    assert [finding.check for finding in unscaled.findings] == list(CHECKS)
    for finding in unscaled.findings:
        assert finding.status in ("fail", "warn", "pass", "skip")
        assert finding.text
        assert (finding.status in ("fail", "warn")) <= bool(finding.cure), finding
        assert np.isfinite(finding.number) or finding.status == "skip", finding


def test_the_text_begins_with_the_verdict_and_holds_every_check(unscaled):
    text = str(unscaled)
    assert text.startswith("Verdict: 1 fault found: unscaled input.")
    assert "Cure: Standardise X" in text
    assert all(name in text for name in CHECKS)
    assert max(map(len, text.splitlines())) <= 100
    assert repr(unscaled) == text


def test_the_table_has_a_row_for_each_check(unscaled):
    table = unscaled.to_frame()
    assert list(table.index) == list(CHECKS)
    assert table.loc["input_scale", "status"] == "fail"
    assert table.loc["input_scale", "fault"] == "unscaled input"
    assert table.loc["initial_loss", "explained_by"] == "input_scale"


def test_the_html_is_escaped_and_loads_nothing():
    finding = Finding("signal", "fail", 1.0, "p", "<script>alert(1)</script>", "a & b", "x < y")
    page = Diagnosis.of([finding])._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page
    assert page.index("1 fault found") < page.index("<table")


def test_findings_are_found_by_name(unscaled):
    assert unscaled["input_scale"].status == "fail"
    with pytest.raises(KeyError, match="'scale' is no check; they are finite_values"):
        unscaled["scale"]


@pytest.mark.parametrize(
    ("statuses", "causes"),
    [
        ({"input_scale": "fail", "initial_loss": "fail", "beats_baseline": "fail"}, 1),
        ({"input_scale": "fail", "signal": "fail"}, 2),
        ({"target_leak": "fail", "capacity": "fail"}, 2),
        ({"target_leak": "fail", "overfitting": "fail"}, 1),
        ({"initial_loss": "fail", "initial_activations": "fail"}, 2),
        ({"learning_rate": "fail", "overfitting": "fail", "dead_units": "fail"}, 1),
        ({"beats_baseline": "fail"}, 1),
    ],
)
def test_earlier_failures_explain_later_ones(statuses, causes):
    diagnosis = found(**statuses)
    assert len(diagnosis.causes) == causes
    assert len(diagnosis.causes) + len(diagnosis.consequences) == len(statuses)


def test_a_verdict_without_a_fault_names_what_is_worth_a_look():
    assert found(signal="pass").verdict == "No fault found."
    assert found(update_size="warn").verdict == "No fault found; worth a look: update_size."


def test_plots_draw_what_there_is(unscaled):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    figure = unscaled.plot()
    titles = {axis.get_title() for axis in figure.axes}
    assert titles == {
        "learning-rate range test",
        "learning curves",
        "signal before the first step",
        "gradients and steps by layer",
    }
    pyplot.close("all")
    with pytest.raises(ValueError, match="before there was anything to draw"):
        found(signal="pass").plot()


class Counting(FunctionTransformer):
    """Counts the rows it is fitted on."""

    rows = ()

    def fit(self, X, y=None):
        type(self).rows = (*type(self).rows, len(X))
        return super().fit(X, y)


def test_steps_are_fitted_on_the_training_rows_only():
    diagnose(make_pipeline(Counting(), StandardScaler(), MLPClassifier(**QUICK)), X, Y)
    assert Counting.rows == (180,)


def test_held_out_rows_of_the_user_are_taken():
    diagnosis = diagnose(MLPClassifier(**QUICK), X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    assert len(diagnosis._outcome.last_rows) == 40
    with pytest.raises(ValueError, match="give both or neither"):
        diagnose(MLPClassifier(), X, Y, X_val=X)


def test_groups_are_kept_together():
    groups = np.repeat(np.arange(24), 10)
    material = diagnose(MLPClassifier(**QUICK), X, Y, groups=groups)._outcome.material
    held_out = {
        int(groups[i]) for row in material.X_valid for i in np.flatnonzero((row == X).all(axis=1))
    }
    kept = {int(groups[i]) for row in material.X for i in np.flatnonzero((row == X).all(axis=1))}
    assert held_out.isdisjoint(kept)


def test_a_fitted_estimator_and_all_random_state_are_left_alone():
    model = MLPClassifier(**QUICK, early_stopping=True).fit(X, Y)
    before = model.coefs_[0].copy()
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    threads = torch.get_num_threads()
    diagnose(model, X, Y)
    np.testing.assert_array_equal(model.coefs_[0], before)
    assert model.callbacks is None
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads


def test_the_same_call_gives_the_same_findings():
    model = MLPClassifier(**{**QUICK, "random_state": None})
    first, second = (diagnose(model, X, Y, random_state=3).to_frame() for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def table():
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": np.where(X[:, 2] > 0, "x", "y")})
    encode = ColumnTransformer(
        [("numbers", StandardScaler(), ["a", "b"]), ("codes", OneHotEncoder(), ["kind"])]
    )
    return make_pipeline(encode, MLPClassifier(**QUICK)), frame, np.where(Y, "yes", "no")


def outputs():
    features, y = make_friedman1(240, random_state=0)
    y = np.c_[y, -y] / y.std()
    return make_pipeline(StandardScaler(), MLPRegressor(**QUICK)), features, y - y.mean(0)


def labels():
    features, y = make_multilabel_classification(240, 8, random_state=0)
    return make_pipeline(StandardScaler(), MLPClassifier(**QUICK)), features, y


class Pictures(nn.Module):
    """A small convolution net."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8, 2)

    def forward(self, X):
        return self.last(torch.relu(self.norm(self.convolution(X))).mean((2, 3)))


def pictures():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 240)
    waves = np.sin(np.arange(8) * np.where(y, 2.5, 0.6)[:, None])
    X = waves[:, None, :, None] * waves[:, None, None, :] + 0.3 * rng.normal(size=(240, 1, 8, 8))
    return NeuralClassifier(module=Pictures, **OWN), X.astype(np.float32), y


class Words(nn.Module):
    """The mean of embedded words."""

    def __init__(self):
        super().__init__()
        self.embedding, self.last = nn.Embedding(500, 8), nn.Linear(8, 2)

    def forward(self, X):
        return self.last(self.embedding(X).mean(1))


def words():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 240)
    second_half = rng.random((240, 12)) < 0.3 + 0.4 * y[:, None]
    X = rng.integers(0, 250, (240, 12)) + 250 * second_half
    return NeuralClassifier(module=Words, keep_integers=True, **OWN), X, y


@pytest.mark.parametrize(
    "case",
    [
        table,
        pictures,
        words,
        outputs,
        labels,
        lambda: (MLPClassifier(**QUICK), sp.csr_array(np.maximum(X, 0)), Y),
        lambda: (MLPClassifier(**QUICK, solver="lbfgs"), X, Y),
        lambda: (MLPClassifier(**QUICK, class_weight="balanced"), X.astype(np.float32), Y),
        lambda: (MLPRegressor(**QUICK, loss="poisson"), X, np.floor(np.exp(X[:, 0]))),
        lambda: (
            TransformedTargetRegressor(MLPRegressor(**QUICK), func=np.log1p, inverse_func=np.expm1),
            X,
            np.exp(X[:, 0] + 3),
        ),
    ],
    ids=[
        "table",
        "pictures",
        "words",
        "outputs",
        "labels",
        "sparse",
        "lbfgs",
        "weights",
        "poisson",
        "log of y",
    ],
)
def test_all_kinds_of_data_are_taken(case):
    diagnosis = diagnose(*case())
    assert diagnosis["beats_baseline"].status in ("pass", "warn")
    assert diagnosis["finite_training"].status == "pass"


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="diagnose takes MLPClassifier"):
        diagnose(make_pipeline(StandardScaler(), LogisticRegression()), X, Y)


def test_parameters_that_fit_refuses_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'adam'"):
        diagnose(MLPClassifier(optimizer="adm"), X, Y)


def test_progress_is_told(capsys):
    told = []
    diagnose(MLPClassifier(**QUICK), X, Y, progress=told.append)
    assert told[0] == "looking at the data"
    assert "training the network as it is" in told
    diagnose(MLPClassifier(**QUICK), X * np.nan, Y, progress=True)
    assert "diagnose: looking at the data" in capsys.readouterr().err


def test_many_rows_are_drawn_from_and_the_report_says_so():
    diagnosis = diagnose(MLPClassifier(**QUICK), X, Y, max_rows=100)
    assert len(diagnosis._outcome.material.y) == 100
    assert "100 of 180 training rows" in str(diagnosis)
