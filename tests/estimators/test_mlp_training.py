"""Training parameters beyond scikit-learn's: each against a plain torch loop, or its meaning."""

from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from scipy.special import softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss, roc_auc_score
from skorch.callbacks import Callback

import mlfund
from mlfund import MLPClassifier, MLPRegressor
from mlfund.averaging import get_averaging
from mlfund.initializers import get_initializer
from mlfund.losses import LOSSES, Loss, get_loss
from mlfund.nets.activations import ACTIVATIONS, get_activation
from mlfund.nets.normalisation import NORMALIZATIONS, get_normalization

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(200, 10, n_informative=6, n_classes=3, random_state=0)
X2, Y2 = make_classification(200, 10, n_informative=6, random_state=1)
XL, YL = make_multilabel_classification(150, 10, random_state=0)
XL = (XL - XL.mean(0)) / XL.std(0)
XR, _YR = make_regression(90, 6, noise=5.0, random_state=0)
YR = _YR / _YR.std()
SHORT = {"random_state": 0, "max_iter": 8}
# The loop's setting: batches of 30 rows in their own order, three epochs of plain descent.
PLAIN = {
    "hidden_layer_sizes": (7, 5),
    "activation": "tanh",
    "optimizer": "sgd",
    "learning_rate_init": 0.1,
    "batch_size": 30,
    "shuffle": False,
    "max_iter": 3,
    "alpha": 0.0,
    "random_state": 0,
}


def initial_weights(sizes):
    """scikit-learn's for random_state=0, as torch parameters of torch's layout."""
    random_state = np.random.RandomState(0)
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        bound = np.sqrt(6 / (fan_in + fan_out))
        layer = torch.nn.Linear(fan_in, fan_out, dtype=torch.float64)
        with torch.no_grad():
            drawn = random_state.uniform(-bound, bound, (fan_in, fan_out))
            layer.weight.copy_(torch.tensor(drawn.T))
            layer.bias.copy_(torch.tensor(random_state.uniform(-bound, bound, fan_out)))
        layers.append(layer)
    return layers


def torch_loop(*, lr=0.1, batches_of_a_step=1, penalty=None, on_gradient=None, after_step=None):
    """Weights of the first layer after the plain training, with what a test adds to it."""
    layers = initial_weights([6, 7, 5, 1])
    net = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2])
    rows, target = torch.tensor(XR), torch.tensor(YR)[:, None]
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(3):
        for index in torch.arange(90).split(30 * batches_of_a_step):
            optimizer.zero_grad()
            loss = 0.5 * (net(rows[index]) - target[index]).square().mean()
            if penalty is not None:
                loss = loss + penalty([layer.weight for layer in layers]) / len(index)
            loss.backward()
            if on_gradient is not None:
                on_gradient(net.parameters())
            optimizer.step()
            if after_step is not None:
                after_step(layers)
    return layers[0].weight.detach().numpy().T


def renormed(layers):
    for layer in layers:
        layer.weight.data = torch.renorm(layer.weight.data, 2, 0, 0.9)


def elastic(weights):
    return sum(0.3 * 2.0 * w.abs().sum() + 0.7 * 2.0 * 0.5 * w.square().sum() for w in weights)


LOOPS = {
    "nothing": ({}, {}),
    "clip_norm": (
        {"clip_norm": 0.05},
        {"on_gradient": lambda p: torch.nn.utils.clip_grad_norm_(list(p), 0.05)},
    ),
    "clip_value": (
        {"clip_value": 0.01},
        {"on_gradient": lambda p: torch.nn.utils.clip_grad_value_(list(p), 0.01)},
    ),
    "max_norm": ({"max_norm": 0.9}, {"after_step": renormed}),
    "elastic net": ({"alpha": 2.0, "l1_ratio": 0.3}, {"penalty": elastic}),
    "accumulation": ({"accumulation_steps": 2}, {"batches_of_a_step": 2}),
    "linear scaling": ({"lr_scaling": "linear", "base_batch_size": 60}, {"lr": 0.05}),
    "square root": ({"lr_scaling": "sqrt", "base_batch_size": 120}, {"lr": 0.05}),
    "scaling of accumulated batches": (
        {"lr_scaling": "linear", "base_batch_size": 60, "accumulation_steps": 3},
        {"lr": 0.15, "batches_of_a_step": 3},
    ),
    "torch's own class": ({"optimizer": torch.optim.SGD}, {}),
    "own loss": ({"loss": lambda raw, y: 0.5 * (raw - y).square().sum(-1)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_training_equals_a_loop_in_torch(name):
    ours, theirs = LOOPS[name]
    model = MLPRegressor(**{**PLAIN, **ours}).fit(XR, YR)
    np.testing.assert_allclose(model.coefs_[0], torch_loop(**theirs), rtol=1e-9, atol=1e-12)


def test_the_loops_differ():
    assert len({torch_loop(**theirs).tobytes() for _, theirs in LOOPS.values()}) >= 8


def test_a_schedule_is_stretched_over_accumulated_steps():
    rates = MLPRegressor(
        **{**PLAIN, "accumulation_steps": 3, "schedule": "linear_warmup", "max_iter": 10}
    ).fit(XR, YR).history_["lr"]  # fmt: skip
    whole = MLPRegressor(
        **{**PLAIN, "batch_size": 90, "schedule": "linear_warmup", "max_iter": 10}
    ).fit(XR, YR).history_["lr"]  # fmt: skip
    np.testing.assert_allclose(rates, whole)


def test_lr_scaling_reaches_schedules_and_scikit_learns_rates():
    for options in ({"schedule": "cosine"}, {"solver": "sgd", "learning_rate": "invscaling"}):
        common = {**PLAIN, "optimizer": None, **options}
        scaled = MLPRegressor(**{**common, "lr_scaling": "linear", "base_batch_size": 15})
        double = MLPRegressor(**{**common, "learning_rate_init": 0.2})
        np.testing.assert_allclose(
            scaled.fit(XR, YR).history_["lr"], double.fit(XR, YR).history_["lr"]
        )


# Losses ------------------------------------------------------------------------------


def assert_fits(model, X, y):
    """A training goes well, whatever it minimises."""
    curve = model.fit(X, y).loss_curve_
    assert curve[-1] < curve[0]
    assert np.isfinite(model.loss_)


@pytest.mark.parametrize("family", ["log_loss", "focal", "hinge", "dice", "jaccard"])
@pytest.mark.parametrize(
    ("X", "y"), [(X2, Y2), (X, Y), (XL, YL)], ids=["binary", "multiclass", "multilabel"]
)
def test_every_classification_loss_trains_and_predicts(family, X, y):
    model = MLPClassifier(loss=family, learning_rate_init=0.02, max_iter=25, random_state=0)
    assert_fits(model, X, y)
    assert model.score(X, y) > (0.4 if y.ndim == 2 else 0.7)
    if family == "hinge":
        assert not hasattr(model, "predict_proba")
        scores = model.decision_function(X)
        assert scores.shape == ((len(X),) if y is Y2 else (len(X), 3 if y is Y else 5))
    else:
        assert not hasattr(model, "decision_function")
        proba = model.predict_proba(X)
        if y.ndim == 1:
            np.testing.assert_allclose(proba.sum(axis=1), 1)
            np.testing.assert_array_equal(model.predict(X), proba.argmax(axis=1))
        else:
            np.testing.assert_array_equal(model.predict(X), proba > 0.5)


def test_the_log_loss_by_name_is_the_default():
    for rows, y in ((X2, Y2), (X, Y), (XL, YL)):
        default = MLPClassifier(**SHORT).fit(rows, y)
        named = MLPClassifier(**SHORT, loss="log_loss").fit(rows, y)
        assert named.loss_curve_ == default.loss_curve_
        np.testing.assert_allclose(named.predict_proba(rows), default.predict_proba(rows))


@pytest.mark.parametrize(
    "name", [name for name, loss in LOSSES.items() if loss.target in ("real", "nonnegative")]
)
@pytest.mark.parametrize("k", [1, 2])
def test_every_regression_loss_trains_and_predicts(name, k):
    y = np.abs(np.column_stack([YR, YR**2])[:, :k]) + 0.1
    y = y.ravel() if k == 1 else y
    model = MLPRegressor(name, **SHORT, learning_rate_init=0.01)
    assert_fits(model, XR, y)
    assert model.predict(XR).shape == y.shape


def test_a_quantile_is_the_share_of_rows_below():
    model = MLPRegressor(
        get_loss("quantile", quantile=0.9), hidden_layer_sizes=(3,), max_iter=400,
        learning_rate_init=0.03, random_state=0, schedule="cosine",
    ).fit(XR, YR)  # fmt: skip
    assert np.mean(model.predict(XR) > YR) == pytest.approx(0.9, abs=0.05)


def test_a_gaussian_likelihood_predicts_its_own_spread():
    rng = np.random.default_rng(0)
    rows = rng.uniform(-1, 1, (2000, 1))
    y = 2 * rows[:, 0] + np.exp(rows[:, 0]) * rng.normal(size=2000)
    model = MLPRegressor(
        "gaussian_nll", hidden_layer_sizes=(20,), learning_rate_init=0.01, max_iter=40,
        random_state=0,
    ).fit(rows, y)  # fmt: skip
    probes = np.array([[-0.5], [0.5]])
    mean, std = model.predict(probes, return_std=True)
    np.testing.assert_allclose(mean, [-1, 1], atol=0.2)
    np.testing.assert_allclose(std, np.exp([-0.5, 0.5]), rtol=0.2)
    np.testing.assert_array_equal(mean, model.predict(probes))
    assert model.n_outputs_ == 2
    two = MLPRegressor("gaussian_nll", **SHORT).fit(XR, np.column_stack([YR, YR]))
    mean, std = two.predict(XR[:4], return_std=True)
    assert mean.shape == std.shape == (4, 2)
    assert (std > 0).all()


def test_only_a_loss_with_a_spread_returns_it():
    model = MLPRegressor(**SHORT).fit(XR, YR)
    with pytest.raises(ValueError, match=r"return_std=True needs.*'squared_error' does not"):
        model.predict(XR, return_std=True)


def focal_by_hand(raw, y):
    p = torch.softmax(raw, dim=1).gather(1, y[:, None])[:, 0]
    return (1 - p) ** 2 * -p.log()


def test_a_function_is_a_loss():
    by_hand = MLPClassifier(**SHORT, loss=focal_by_hand).fit(X, Y)
    entry = MLPClassifier(**SHORT, loss=get_loss("focal_multiclass", gamma=2.0)).fit(X, Y)
    np.testing.assert_allclose(by_hand.loss_curve_, entry.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(by_hand.coefs_[0], entry.coefs_[0], rtol=1e-5, atol=1e-9)
    # Of a function it is not known that it calls for another link than the softmax.
    raw = by_hand._raw(X)
    np.testing.assert_allclose(by_hand.predict_proba(X), softmax(raw, axis=1))
    with pytest.raises(ValueError, match="one number a row"):
        MLPClassifier(loss=lambda raw, y: raw.sum()).fit(X, Y)


class Exponential(Loss):
    """exp(-margin) of boosting: a loss of one's own with a link of its own."""

    name = "exponential"
    target = "binary"

    @property
    def inverse_link(self):
        return lambda raw: torch.sigmoid(2 * raw)

    def elementwise(self, raw, y):
        return torch.exp(-(2 * y - 1) * raw)


def test_an_entry_of_ones_own():
    model = MLPClassifier(**SHORT, loss=Exponential(), learning_rate_init=0.01).fit(X2, Y2)
    raw = model._raw(X2)
    np.testing.assert_allclose(model.predict_proba(X2)[:, 1:], 1 / (1 + np.exp(-2 * raw)))
    assert log_loss(Y2, model.predict_proba(X2)) < 0.6


def test_scores_without_probabilities_serve_scikit_learn():
    model = MLPClassifier(**SHORT, loss="hinge", learning_rate_init=0.01)
    with pytest.raises(AttributeError) as caught:
        model.predict_proba(X2)
    assert "no probabilities; use decision_function" in str(caught.value.__cause__)
    assert roc_auc_score(Y2, model.fit(X2, Y2).decision_function(X2)) > 0.8
    calibrated = CalibratedClassifierCV(model, cv=2).fit(X2, Y2)
    np.testing.assert_allclose(calibrated.predict_proba(X2).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("kind", "loss", "message"),
    [
        (MLPClassifier, "huber", "is for real"),
        (MLPRegressor, "focal", "is for"),
        (MLPRegressor, "absolute", "Did you mean 'absolute_error'"),
        (MLPClassifier, "log_los", "Did you mean 'log_loss'"),
        (MLPRegressor, "poisson", "0 or more"),
    ],
)
def test_losses_that_do_not_fit_the_target(kind, loss, message):
    with pytest.raises(ValueError, match=message):
        kind(loss=loss).fit(XR, YR if kind is MLPRegressor else (YR > 0))


# Layers ------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalization", [None, "layer"])
def test_prediction_in_numpy_is_what_torch_trained(activation, normalization):
    options = {**SHORT, "activation": activation, "normalization": normalization}
    model = MLPClassifier((8, 6), **options, scoring="neg_log_loss")
    model.fit(X, Y, X_val=X[:50], y_val=Y[:50])
    # The named scorer read torch's raw scores, the model predicts in numpy.
    assert model.validation_scores_[-1] == pytest.approx(
        -log_loss(Y[:50], model.predict_proba(X[:50])), rel=1e-6
    )
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_every_normalisation_in_both_places(normalization, position, activation):
    place = {} if normalization == "none" else {"normalization_position": position}
    model = MLPClassifier(
        (16, 6), activation, normalization=normalization, **place, **SHORT,
        learning_rate_init=0.02, warm_start=True, scoring="neg_log_loss", batch_size=64,
    )  # fmt: skip
    for _ in range(2):
        model.fit(X, Y, X_val=X[:50], y_val=Y[:50])
        expected = -log_loss(Y[:50], model.predict_proba(X[:50]))
        assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)
    assert model.score(X, Y) > 0.6
    keys = set(model.layer_state_[0])
    assert ("slope" in keys) == (activation == "prelu")
    assert ("mean" in keys) == (normalization == "batch")
    if normalization == "batch":
        # Statistics of the rows went on from where the first fit left them.
        assert model.layer_state_[0]["n_batches"] == 2 * 8 * 4


def test_plain_nets_have_empty_layer_state():
    assert MLPClassifier((8, 6), **SHORT).fit(X, Y).layer_state_ == [{}, {}]


def test_entries_with_options():
    model = MLPClassifier(
        (8,), get_activation("leaky_relu", slope=0.3),
        normalization=get_normalization("group", n_groups=2), **SHORT,
    )  # fmt: skip
    same = clone(model).fit(X, Y)
    np.testing.assert_array_equal(model.fit(X, Y).predict_proba(X), same.predict_proba(X))


def all_quarters(tensor, generator):
    tensor.fill_(0.25)


def test_initializers():
    start = {"max_iter": 1, "learning_rate_init": 1e-12, "random_state": 0}
    zeros = MLPClassifier(**start, last_layer_initializer="zeros").fit(X, Y)
    np.testing.assert_allclose(zeros.coefs_[1], 0, atol=1e-9)
    np.testing.assert_allclose(zeros.predict_proba(X), 1 / 3, rtol=1e-6)
    default = MLPClassifier(**start).fit(X, Y)
    np.testing.assert_allclose(zeros.coefs_[0], default.coefs_[0], atol=1e-9)
    both = MLPClassifier(
        **start, initializer="orthogonal", last_layer_initializer=get_initializer("small_random")
    ).fit(X, Y)
    gram = both.coefs_[0] @ both.coefs_[0].T
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(10), atol=1e-5)
    assert np.abs(both.coefs_[1]).max() < 0.1
    own = MLPClassifier(**start, initializer=all_quarters).fit(X, Y)
    np.testing.assert_allclose(own.coefs_[0], 0.25, atol=1e-9)


# Contradictions and manners ----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "lbfgs", "l1_ratio": 0.5}, "smooth penalty"),
        ({"solver": "lbfgs", "normalization": "batch"}, "all rows at once"),
        ({"solver": "lbfgs", "clip_norm": 1.0}, "contradict"),
        ({"solver": "lbfgs", "max_norm": 1.0}, "contradict"),
        ({"normalization_position": "after"}, "contradict"),
        ({"normalization": "none", "normalization_position": "after"}, "contradict"),
        ({"base_batch_size": 64}, "contradict"),
        ({"activation": "reluu"}, "Did you mean 'relu'"),
        ({"normalization": "bach"}, "Did you mean 'batch'"),
        ({"l1_ratio": 1.5}, "l1_ratio"),
        ({"lr_scaling": "cubic"}, "lr_scaling"),
        ({"accumulation_steps": 0}, "accumulation_steps"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**options).fit(X, Y)


def test_lbfgs_takes_what_is_smooth():
    model = MLPClassifier(
        (8,), "gelu", solver="lbfgs", normalization="layer", loss="focal", random_state=0
    )
    assert model.fit(X, Y).score(X, Y) > 0.95


def test_saved_and_loaded(tmp_path):
    model = MLPClassifier(
        (8,), get_activation("prelu"), normalization="batch", loss=get_loss("focal_multiclass"),
        optimizer="adamw", lr_scaling="sqrt", **SHORT,
    ).fit(X, Y)  # fmt: skip
    mlfund.save(model, tmp_path / "model.skops")
    again = mlfund.load(tmp_path / "model.skops")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_every_added_parameter_is_none_by_default_and_documented_alike():
    """Parameters that classifier and regressor share are described in the same words."""

    def documented(kind):
        text = kind.__doc__.split("Parameters\n")[1].split("Attributes\n")[0]
        lines = [line[4:] for line in text.splitlines()[1:]]
        parts, name = {}, None
        for line in lines:
            if line and not line.startswith(" ") and " : " in line:
                name = line.split(" : ")[0]
                parts[name] = []
            if name:
                parts[name].append(line)
        return {name: "\n".join(part).strip() for name, part in parts.items()}

    classifier, regressor = documented(MLPClassifier), documented(MLPRegressor)
    differ = {
        name for name in classifier.keys() & regressor.keys() if classifier[name] != regressor[name]
    }
    assert differ == {"loss", "scoring"}


def test_a_warning_names_the_end_of_epochs_once():
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as caught:
        MLPClassifier(**SHORT, clip_norm=1.0, lr_scaling="linear").fit(X, Y)
    assert len(caught) == 1


# What a training leaves -----------------------------------------------------------------


def test_averages_are_validated_and_kept():
    options = {**SHORT, "learning_rate_init": 0.03, "max_iter": 20}
    for averaging in ("ema", "swa", get_averaging("ema", decay=0.9)):
        model = MLPClassifier(**options, averaging=averaging, scoring="neg_log_loss")
        model.fit(X, Y, X_val=X[:50], y_val=Y[:50])
        plain = MLPClassifier(**options).fit(X, Y)
        assert not np.allclose(model.coefs_[0], plain.coefs_[0])
        np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_)
        expected = -log_loss(Y[:50], model.predict_proba(X[:50]))
        assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)


def test_swa_is_the_mean_of_the_last_epochs():
    options = {**PLAIN, "max_iter": 4}
    model = MLPRegressor(**options, averaging=get_averaging("swa", start=0.5)).fit(XR, YR)
    late = [MLPRegressor(**{**options, "max_iter": n}).fit(XR, YR).coefs_[0] for n in (3, 4)]
    np.testing.assert_allclose(model.coefs_[0], np.mean(late, axis=0), rtol=1e-10)


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


# Augmentation ----------------------------------------------------------------------------


def test_label_smoothing_trains_on_smoothed_labels():
    """One epoch of descent on soft targets, against the log-loss of these in torch."""
    model = MLPClassifier(
        (5,), "tanh", optimizer="sgd", learning_rate_init=0.5, batch_size=200, shuffle=False,
        max_iter=1, alpha=0.0, random_state=0, label_smoothing=0.2,
    ).fit(X, Y)  # fmt: skip
    layers = initial_weights([10, 5, 3])
    raw = layers[1](torch.tanh(layers[0](torch.tensor(X))))
    loss = torch.nn.functional.cross_entropy(raw, torch.tensor(Y), label_smoothing=0.2)
    assert model.loss_ == pytest.approx(loss.item())
    loss.backward()
    expected = layers[0].weight.detach() - 0.5 * layers[0].weight.grad
    np.testing.assert_allclose(model.coefs_[0], expected.numpy().T, rtol=1e-9)


@pytest.mark.parametrize("rows", [(X2, Y2), (X, Y), (XL, YL)], ids=["2", "3", "labels"])
def test_augmented_classifiers_train(rows):
    options = {**SHORT, "max_iter": 25, "learning_rate_init": 0.02}
    model = MLPClassifier(**options, label_smoothing=0.1, mixup=0.4, input_noise=0.1).fit(*rows)
    assert model.score(*rows) > 0.4
    again = clone(model).fit(*rows)
    np.testing.assert_array_equal(again.coefs_[0], model.coefs_[0])
    other = clone(model).set_params(random_state=1).fit(*rows)
    assert not np.array_equal(other.coefs_[0], model.coefs_[0])


def test_augmented_regressors_train():
    model = MLPRegressor(
        max_iter=150, learning_rate_init=0.01, random_state=0, mixup=0.2, input_noise=0.05
    ).fit(XR, YR)
    assert model.score(XR, YR) > 0.9


def test_augmentation_regularises():
    """Smoothed labels and mixed rows make predictions less sure of themselves."""
    options = {"max_iter": 60, "learning_rate_init": 0.02, "random_state": 0}
    plain = MLPClassifier(**options).fit(X, Y).predict_proba(X).max(axis=1).mean()
    for added in ({"label_smoothing": 0.3}, {"mixup": 1.0}, {"input_noise": 1.0}):
        proba = MLPClassifier(**options, **added).fit(X, Y).predict_proba(X)
        assert proba.max(axis=1).mean() < plain - 0.02


def test_none_and_zero_leave_the_stream_alone():
    zeros = MLPClassifier(**SHORT, label_smoothing=0.0, mixup=0.0, input_noise=0.0).fit(X, Y)
    assert zeros.loss_curve_ == MLPClassifier(**SHORT).fit(X, Y).loss_curve_


@pytest.mark.parametrize("added", [{"label_smoothing": 0.1}, {"mixup": 0.2}])
def test_losses_without_soft_targets_refuse_them(added):
    with pytest.raises(ValueError, match=r"which the loss 'hinge.*' does not take"):
        MLPClassifier(**SHORT, **added, loss="hinge").fit(X, Y)


def test_a_batch_that_fits_the_device():
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(3000, 5)), rng.normal(size=3000)
    model = MLPRegressor(
        batch_size="fit_device", lr_scaling="linear", max_iter=2, random_state=0
    ).fit(rows, y)  # fmt: skip
    # The largest power of two that leaves an epoch 16 steps, small as the net is.
    expected = MLPRegressor(
        batch_size=128, learning_rate_init=0.001 * 128 / 200, max_iter=2, random_state=0
    ).fit(rows, y)  # fmt: skip
    assert model.loss_curve_ == expected.loss_curve_
