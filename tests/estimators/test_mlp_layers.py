"""Activations, normalisations and initial weights of the MLPs; parameters that contradict."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

import mlfund
from mlfund import MLPClassifier, MLPRegressor
from mlfund.initializers import get_initializer
from mlfund.losses import get_loss
from mlfund.nets.activations import ACTIVATIONS, get_activation
from mlfund.nets.normalisation import NORMALIZATIONS, get_normalization
from tests.mlp_data import SHORT, X, Y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
