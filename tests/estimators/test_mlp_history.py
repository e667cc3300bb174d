"""What a training of an MLP leaves: a tidy table and its picture."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from mlfund import MLPClassifier, MLPRegressor
from tests.mlp_data import PLAIN, SHORT, XR, YR, X, Y

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_history_is_tidy():
    class Recorder(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("largest_weight", float(net.parameters.weights.abs().max()))
            net.history.record("note", "not a number")

    model = MLPClassifier(**SHORT, callbacks=[Recorder()]).fit(X, Y, X_val=X, y_val=Y)
    assert list(model.history_) == [
        "epoch", "train_loss", "valid_loss", "valid_score", "lr", "gradient_norm", "update_norm",
        "seconds", "largest_weight",
    ]  # fmt: skip
    assert list(model.history_["epoch"]) == list(range(1, 9))
    assert model.history_.dtypes.drop("epoch").eq(float).all()
    assert model.history_["largest_weight"].iloc[-1] == pytest.approx(
        max(np.abs(coef).max() for coef in model.coefs_)
    )


def test_norms_are_those_of_gradient_and_step():
    one = {**PLAIN, "max_iter": 1, "batch_size": 90}
    row = MLPRegressor(**one).fit(XR, YR).history_.iloc[0]
    assert row["update_norm"] == pytest.approx(0.1 * row["gradient_norm"], rel=1e-6)
    every = MLPRegressor(**{**PLAIN, "track_norms": True}).fit(XR, YR).history_
    first = MLPRegressor(**PLAIN).fit(XR, YR).history_
    assert (every["gradient_norm"] != first["gradient_norm"]).all()
    assert (
        "gradient_norm" not in MLPRegressor(**{**PLAIN, "track_norms": False}).fit(XR, YR).history_
    )


def lines_of(axis):
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in axis.get_lines()}


def test_plot_history_draws_what_history_says():
    options = {**SHORT, "max_iter": 40, "learning_rate_init": 0.03, "n_iter_no_change": 3}
    model = MLPClassifier(**options, early_stopping=True, schedule="cosine").fit(X, Y)
    axes = model.plot_history()
    assert [axis.get_title() for axis in axes] == ["loss", "accuracy", "learning rate", "norms"]
    history = model.history_
    loss = lines_of(axes[0])
    np.testing.assert_allclose(loss["training"], history["train_loss"])
    np.testing.assert_allclose(loss["validation"], history["valid_loss"])
    np.testing.assert_allclose(lines_of(axes[1])["validation"], history["valid_score"])
    best = int(np.argmax(model.validation_scores_)) + 1
    assert axes[1].get_lines()[-1].get_xdata()[0] == best
    np.testing.assert_allclose(lines_of(axes[2])["learning rate"], history["lr"])
    assert axes[3].get_legend() is not None
    pyplot.close("all")


def test_plot_history_takes_axes_and_leaves_out_what_is_not_there():
    model = MLPRegressor(**SHORT, scoring="neg_mean_absolute_error", track_norms=False)
    model.fit(XR, YR, X_val=XR, y_val=YR)
    figure, axes = pyplot.subplots(3)
    drawn = model.plot_history(axes=axes)
    assert all(axis.figure is figure for axis in drawn)
    assert drawn[1].get_title() == "neg_mean_absolute_error"
    plain = MLPRegressor(**SHORT, track_norms=False).fit(XR, YR).plot_history()
    assert [axis.get_title() for axis in plain] == ["loss", "learning rate"]
    with pytest.raises(ValueError, match=r"2 axes \(loss, learning rate\); got 3"):
        MLPRegressor(**SHORT, track_norms=False).fit(XR, YR).plot_history(axes=axes)
    pyplot.close("all")


def test_plot_history_without_epochs_or_finite_losses():
    with pytest.raises(ValueError, match="no epochs to draw"):
        MLPRegressor(**SHORT, solver="lbfgs").fit(XR, YR).plot_history()
    with pytest.raises(NotFittedError):
        MLPRegressor().plot_history()
    diverged = MLPRegressor(solver="sgd", learning_rate_init=0.9, random_state=0)
    diverged.fit(5 * XR, YR).plot_history()
    pyplot.close("all")
