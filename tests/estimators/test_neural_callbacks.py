"""scikit-learn's callbacks on neural estimators, and what `verbose` prints."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import MLPClassifier, MLPRegressor, NeuralClassifier
from tests.own_modules import Perceptron

X, Y = load_iris(return_X_y=True)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MODELS = {
    "mlp": lambda: MLPClassifier((6,), max_iter=5, random_state=0),
    "stopping early": lambda: MLPClassifier(
        (6,), max_iter=5, random_state=0, early_stopping=True, dropout=0.2
    ),
    "normalised": lambda: MLPClassifier((6,), max_iter=5, random_state=0, normalization="batch"),
    "own module": lambda: NeuralClassifier(Perceptron, max_iter=5, random_state=0),
}


class Watch:
    """A callback that writes down what it is told."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events, self.scores, self.shapes = [], [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.events.append(f"end {context.task_name}")
        self.shapes.append((X.shape, y.shape, metadata))
        if fitted_estimator is not None:
            self.scores.append(accuracy_score(y, fitted_estimator.predict(X)))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


@pytest.mark.parametrize("name", MODELS)
def test_callbacks_watch_each_epoch(name):
    watch = Watch()
    model = MODELS[name]().set_callbacks(watch).fit(X, Y)
    epochs = ["begin epoch", "end epoch"] * model.n_iter_
    assert watch.events == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    assert len(watch.scores) == model.n_iter_ + 1
    assert watch.scores[-1] == model.score(X, Y)
    assert watch.shapes[0] == (X.shape, Y.shape, None)


@pytest.mark.parametrize("name", MODELS)
def test_watching_changes_nothing(name):
    model, plain = MODELS[name]().set_callbacks(Watch()).fit(X, Y), MODELS[name]().fit(X, Y)
    assert model.loss_curve_ == plain.loss_curve_
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert vars(model).keys() - vars(plain).keys() == {"_skl_callbacks"}


def test_a_callback_may_stop():
    model = MODELS["mlp"]().set_callbacks(Watch(stop_after=3)).fit(X, Y)
    assert model.n_iter_ == 3


def test_the_estimator_of_an_epoch_is_that_of_a_shorter_fit():
    watch = Watch()
    MODELS["mlp"]().set_callbacks(watch).fit(X, Y)
    for epoch in (1, 3):
        short = MODELS["mlp"]().set_params(max_iter=epoch).fit(X, Y)
        assert watch.scores[epoch - 1] == short.score(X, Y)


def test_scoring_monitor_on_a_frame():
    frame = pd.DataFrame(X, columns=list("abcd"))
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    model = MODELS["mlp"]().set_callbacks(monitor).fit(frame, Y)
    log = monitor.get_logs().data_as_pandas
    assert len(log) == model.n_iter_ + 1
    assert log["accuracy"].iloc[-1] == model.score(frame, Y)
    assert (log["task_name"] == "epoch").sum() == model.n_iter_


def test_weights_reach_the_callbacks():
    watch = Watch()
    weight = np.ones(len(Y))
    MODELS["mlp"]().set_callbacks(watch).fit(X, Y, weight)
    assert watch.shapes[0][2]["sample_weight"] is weight


def test_a_regressor_and_lbfgs():
    watch, monitor = Watch(), ScoringMonitor(scoring="r2")
    model = MLPRegressor(hidden_layer_sizes=4, max_iter=3, random_state=0)
    model.set_callbacks(monitor).fit(X, X[:, 0])
    assert monitor.get_logs().data_as_pandas["r2"].iloc[-1] == model.score(X, X[:, 0])
    MLPClassifier((4,), solver="lbfgs", max_iter=30).set_callbacks(watch).fit(X, Y)
    assert watch.events == ["setup", "begin fit", "end fit", "teardown"]


def test_partial_fit_is_not_watched():
    watch = Watch()
    MODELS["mlp"]().set_callbacks(watch).partial_fit(X, Y, classes=[0, 1, 2])
    assert watch.events == []


def test_a_failed_fit_is_torn_down():
    watch = Watch()
    model = MODELS["mlp"]().set_callbacks(watch)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), Y)
    assert watch.events == ["setup", "begin fit", "teardown"]
    assert not hasattr(model, "_fit_task")


def test_an_epoch_that_diverged_has_no_estimator():
    class Missing(Watch):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.scores.append(fitted_estimator is None)

    watch = Missing()
    model = MLPRegressor(hidden_layer_sizes=4, solver="sgd", max_iter=9, random_state=0)
    with pytest.raises(ValueError, match="non-finite"):
        model.set_callbacks(watch).fit(X * 1e300, X[:, 0])
    assert watch.scores == [True]


def test_progress_bars_of_a_search_reach_the_epochs(capsys):
    bar = ProgressBar(max_propagation_depth=None)
    model = make_pipeline(StandardScaler(), MODELS["mlp"]())
    GridSearchCV(model, {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2).set_callbacks(bar).fit(X, Y)
    out = capsys.readouterr().out
    assert "GridSearchCV - fit" in out
    assert "MLPClassifier - fit" in out


def test_clones_keep_their_callbacks():
    watch = Watch()
    clone(MODELS["mlp"]().set_callbacks(watch)).fit(X, Y)
    assert watch.events[0] == "setup"


def test_verbose_two_tells_scores_pace_and_time_left(capsys):
    model = MODELS["stopping early"]().set_params(verbose=2, max_iter=12).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    first, last = lines[0], lines[model.n_iter_ - 1]
    assert first.startswith(f"Iteration  1/12  loss {model.loss_curve_[0]:.5f}*  validation loss ")
    assert f"score {model.validation_scores_[0]:.5f}*  lr 0.001  " in first
    assert "at most" in first
    assert last.startswith(f"Iteration {model.n_iter_:2d}/12")
    stars = [
        f"score {score:.5f}*" in line
        for score, line in zip(model.validation_scores_, lines, strict=False)
    ]
    best = np.maximum.accumulate([-1.0, *model.validation_scores_])
    assert stars == list(np.diff(best) > 0)
