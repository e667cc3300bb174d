"""How NeuralClassifier and NeuralRegressor build, check, save and load the user's module."""

import copy
import functools
import pickle
import sys

import joblib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.datasets import make_classification
from torch import nn

import mlfund
from mlfund import NeuralClassifier, NeuralRegressor
from mlfund.estimators._neural_own_build import Recipe
from mlfund.persistence import PersistenceError, UntrustedTypeError
from tests import own_modules as own

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X2, Y2 = make_classification(60, 6, random_state=0)
X3, Y3 = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
SHORT = {"random_state": 0, "max_iter": 2}


def net(module=own.Perceptron, **options):
    return NeuralClassifier(module, **{**SHORT, **options})


class Through(nn.Module):
    """One linear layer, and a function of what it returns."""

    def __init__(self, width, function, n_features):
        super().__init__()
        self.layer = nn.Linear(n_features, width)
        self.function = function

    def forward(self, X):
        return self.function(self.layer(X))


def through(width, function):
    return functools.partial(Through, width, function)


def test_sizes_are_taken_from_the_data():
    binary = net().fit(X2, Y2)
    assert binary.module_.layers[1].in_features == 6
    assert binary.module_.layers[-1].out_features == 1
    assert net().fit(X3, Y3).module_.layers[-1].out_features == 3
    assert net(own.Proba, module_output="proba").fit(X2, Y2).module_.layers[-1].out_features == 2
    targets = np.column_stack([Y2, Y2])
    regressor = NeuralRegressor(own.Perceptron, **SHORT).fit(X2, targets)
    assert regressor.module_.layers[-1].out_features == 2
    images = net(own.ConvNet).fit(np.random.default_rng(0).normal(size=(60, 2, 4, 4)), Y3)
    assert images.module_.stem.in_channels == 2


def test_what_is_given_comes_before_what_is_deduced():
    model = net(module_params={"hidden": 5, "depth": 2, "n_outputs": 2}).fit(X2, Y2)
    widths = [layer.out_features for layer in model.module_.layers if isinstance(layer, nn.Linear)]
    assert widths == [5, 5, 2]
    partial = functools.partial(own.Perceptron, hidden=4, n_outputs=2)
    assert net(partial).fit(X2, Y2).module_.layers[-1].out_features == 2


@pytest.mark.parametrize(
    "module",
    [
        own.factory,
        own.Lazy,
        lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)),
        lambda **options: own.Perceptron(6, 3, **options),
        nn.Linear(6, 3),
    ],
    ids=["function", "lazy", "lambda", "keywords", "instance"],
)
def test_anything_that_makes_a_module_will_do(module):
    first, second = net(module).fit(X3, Y3), net(module).fit(X3, Y3)
    np.testing.assert_array_equal(first.predict_proba(X3), second.predict_proba(X3))
    other = net(module, random_state=1).fit(X3, Y3)
    # An instance brings its initial weights.
    same = np.array_equal(first.predict_proba(X3), other.predict_proba(X3))
    assert same == isinstance(module, nn.Module)


def test_module_params_are_parameters_of_the_estimator():
    given = {"hidden": 5}
    model = net(module_params=given)
    assert model.get_params()["module_params__hidden"] == 5
    assert "module_params__hidden" not in model.get_params(deep=False)
    model.set_params(module_params__hidden=7, module_params__depth=2, alpha=0.1)
    assert model.module_params == {"hidden": 7, "depth": 2}
    assert given == {"hidden": 5}
    assert model.alpha == 0.1
    assert net().set_params(module_params__hidden=3).module_params == {"hidden": 3}
    copied = clone(model).set_params(module_params__hidden=9)
    assert model.module_params["hidden"] == 7
    assert copied.module_params == {"hidden": 9, "depth": 2}
    replaced = model.set_params(module_params={"depth": 1}, module_params__hidden=2)
    assert replaced.module_params == {"depth": 1, "hidden": 2}
    with pytest.raises(ValueError, match="Invalid parameter 'modul_params'"):
        model.set_params(modul_params__hidden=1)


def test_modules_among_the_parameters_are_copied_for_each_fit():
    class Headed(nn.Module):
        def __init__(self, body, n_outputs):
            super().__init__()
            self.body, self.head = body, nn.Linear(4, n_outputs)

        def forward(self, X):
            return self.head(self.body(X))

    body = nn.Linear(6, 4)
    before = body.weight.detach().clone()
    model = net(Headed, module_params={"body": body})
    first = model.fit(X3, Y3).predict_proba(X3)
    np.testing.assert_array_equal(model.fit(X3, Y3).predict_proba(X3), first)
    assert torch.equal(body.weight, before)


ERRORS = {
    "unknown option": (
        own.Perceptron, {"hiden": 3},
        "module_params has 'hiden', which Perceptron does not take; .* Did you mean 'hidden'",
    ),
    "missing option": (
        Through, {"width": 3},
        r"Through cannot be built without 'function': give module_params=\{'function': ...\}",
    ),
    "instance and options": (
        nn.Linear(6, 3), {"bias": False}, "is an instance of Linear, which is built already",
    ),
    "no module": (lambda: 3, None, "returned int; it must be a torch.nn.Module class"),
    "no parameters": (lambda: nn.Identity(), None, "has no parameters, so there is nothing"),
    "frozen": (lambda: nn.Linear(6, 3).requires_grad_(False), None, "all its parameters frozen"),
    "tuple": (own.Tuple, None, "Tuple returned a tuple of 2; forward must return one tensor"),
    "labels": (through(3, lambda z: z.argmax(1)), None, "returned int64; .* not labels"),
    "too few": (lambda: nn.Linear(6, 2), None, r"shape \(3, 2\) for 3 rows, where \(3, 3\) is"),
    "flat": (through(1, lambda z: z[:, 0]), None, r"returned shape \(3,\) for 3 rows"),
    "pooled": (through(3, lambda z: z.mean(0)), None, r"returned shape \(3,\) for 3 rows"),
    "images": (through(3, lambda z: z[:, :, None]), None, r"returned shape \(3, 3, 1\)"),
    "sizes": (
        lambda: nn.Linear(5, 3), None,
        r"failed in a first pass over 3 rows, given as one float64 tensor of shape \(3, 6\): mat1",
    ),
    "floats to an embedding": (own.Words, None, "set keep_integers=True"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_with_a_module_is_said_before_the_training(name):
    module, options, message = ERRORS[name]
    model = net(module, module_params=options)
    with pytest.raises(ValueError, match=message):
        model.fit(X3, Y3)
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


@pytest.mark.parametrize(
    ("width", "function", "output", "message"),
    [
        (3, lambda z: z, "proba", "it returned values from"),
        (3, torch.sigmoid, "proba", "it returned rows that sum to"),
        (3, lambda z: F.softmax(z, dim=0), "proba", "it returned rows that sum to"),
        (3, lambda z: F.softmax(z, dim=1), "log_proba", "it returned values from"),
        (3, lambda z: z.abs(), "log_proba", "it returned values from"),
    ],
)
def test_an_output_that_is_not_what_module_output_says_is_refused(width, function, output, message):
    with pytest.raises(ValueError, match=message):
        net(through(width, function), module_output=output).fit(X3, Y3)


@pytest.mark.parametrize(
    ("y", "width", "function", "message"),
    [
        (Y3, 3, lambda z: F.softmax(z, dim=1), "Through ends in a softmax"),
        (Y3, 3, lambda z: z.exp() / z.exp().sum(1, keepdim=True), "Through ends in a softmax"),
        (Y2, 2, lambda z: F.softmax(z, dim=1), "Through ends in a softmax"),
        (Y2, 1, lambda z: F.softmax(z, dim=1), "a softmax over one column"),
        (Y2, 1, lambda z: F.log_softmax(z, dim=1), "a softmax over one column"),
        (Y2, 1, torch.sigmoid, "Through ends in a sigmoid"),
        (Y2, 1, lambda z: torch.sigmoid(z).squeeze(1), "Through ends in a sigmoid"),
        (np.eye(3)[Y3], 3, torch.sigmoid, "Through ends in a sigmoid"),
    ],
)
def test_a_second_softmax_or_sigmoid_is_warned_of(y, width, function, message):
    X = X2 if y is Y2 else X3
    with pytest.warns(UserWarning, match=message) as caught:
        net(through(width, function)).fit(X, y)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("y", "width", "function"),
    [
        (Y3, 3, lambda z: F.log_softmax(z, dim=1)),
        (Y3, 3, lambda z: z * torch.sigmoid(z)),
        (Y3, 3, lambda z: torch.sigmoid(z)),
        (Y2, 1, lambda z: F.softmax(z.expand(-1, 2), dim=1)[:, :1] + z),
    ],
)
def test_gates_and_log_softmax_are_not_warned_of(y, width, function):
    net(through(width, function)).fit(X2 if y is Y2 else X3, y)


def test_a_regressor_may_end_in_a_sigmoid():
    NeuralRegressor(through(1, torch.sigmoid), **SHORT).fit(X2, Y2)


@pytest.mark.parametrize("parameter", ["module", "module_output", "module_params", "keep_integers"])
def test_parameters_are_checked(parameter):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of NeuralClassifier"):
        net().set_params(**{parameter: "linear"}).fit(X3, Y3)


def test_a_first_pass_leaves_the_statistics_of_batches_alone():
    seen = []

    class Watched(own.Noisy):
        def forward(self, X):
            seen.append((self.training, int(self.body[1].num_batches_tracked)))
            return super().forward(X)

    net(Watched, max_iter=1).fit(X3, Y3)
    assert seen == [(False, 0), (True, 0)]


MODELS = {
    "class": lambda: net(own.Noisy),
    "function": lambda: net(own.factory, module_params={"hidden": 3}),
    "lazy": lambda: net(own.Lazy),
    "partial": lambda: net(functools.partial(own.Perceptron, hidden=3)),
    "float32": lambda: net(own.Perceptron, precision="float32"),
}


@functools.cache
def fitted(name):
    return MODELS[name]().fit(X3, Y3)


def assert_predicts_alike(loaded, model):
    np.testing.assert_array_equal(loaded.predict_proba(X3), model.predict_proba(X3))
    assert not loaded.module_.training
    theirs = {p.data_ptr() for p in model.module_.parameters()}
    assert theirs.isdisjoint(p.data_ptr() for p in loaded.module_.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_copies_and_pickles_predict_alike_and_share_nothing(name, tmp_path):
    model = fitted(name)
    joblib.dump(model, tmp_path / "model.joblib")
    for loaded in (
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model.joblib"),
        copy.deepcopy(model),
        copy.copy(model),
    ):
        assert_predicts_alike(loaded, model)


def test_a_fitted_instance_is_pickled_and_goes_on_training():
    model = net(nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)), warm_start=True).fit(X3, Y3)
    loaded = pickle.loads(pickle.dumps(model))
    assert_predicts_alike(loaded, model)
    loaded.fit(X3, Y3), model.fit(X3, Y3)
    assert_predicts_alike(loaded, model)


def test_weights_are_pickled_as_arrays_and_read_without_the_random_state():
    state = fitted("class").__getstate__()
    assert "module_" not in state
    assert all(isinstance(array, np.ndarray) for array in state["_module_weights"].values())
    before = torch.get_rng_state()
    pickle.loads(pickle.dumps(fitted("class")))
    assert torch.equal(torch.get_rng_state(), before)


def test_buffers_outside_the_state_are_drawn_again_from_the_same_seed():
    class Fourier(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.register_buffer("waves", torch.randn(n_features, 9), persistent=False)
            self.head = nn.Linear(9, n_outputs)

        def forward(self, X):
            return self.head(torch.cos(X @ self.waves))

    model = net(Fourier).fit(X3, Y3)
    assert_predicts_alike(copy.deepcopy(model), model)


@pytest.mark.parametrize("name", ["class", "function", "lazy", "float32"])
@pytest.mark.filterwarnings("ignore:mlfund.load will refuse:UserWarning")
def test_a_saved_model_loads_for_those_who_vouch_for_its_module(name, tmp_path):
    model, path = fitted(name), tmp_path / "model.skops"
    mlfund.save(model, path)
    with pytest.raises(UntrustedTypeError, match=r"tests.own_modules.*load\(path, trusted=\['"):
        mlfund.load(path)
    for trusted in (model.module, f"tests.own_modules.{model.module.__name__}"):
        assert_predicts_alike(mlfund.load(path, trusted=[trusted]), model)
    with pytest.raises(TypeError, match="give classes, functions, or their import paths"):
        mlfund.load(path, trusted=[model])


def test_saving_says_how_to_load(tmp_path):
    with pytest.warns(UserWarning, match=r"load\(path, trusted=\['tests.own_modules.Noisy'\]\)"):
        mlfund.save(fitted("class"), tmp_path / "model.skops")


def test_what_has_no_import_path_is_not_saved(tmp_path):
    lambdas = net(lambda: nn.Linear(6, 3)).fit(X3, Y3)
    with pytest.raises(PersistenceError, match=r"is a lambda\. Move it to the top level"):
        mlfund.save(lambdas, tmp_path / "model.skops")
    instance = net(nn.Linear(6, 3)).fit(X3, Y3)
    with pytest.raises(PersistenceError, match=r"holds a torch tensor, .* give the class"):
        mlfund.save(instance, tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []


def test_a_module_of_a_script_is_not_saved(tmp_path, monkeypatch):
    class Net(own.Perceptron):
        pass

    Net.__module__, Net.__qualname__ = "__main__", "Net"
    monkeypatch.setattr(sys.modules["__main__"], "Net", Net, raising=False)
    message = r"__main__.Net cannot be saved: .* script or a notebook\. Move it to the top level"
    with pytest.raises(PersistenceError, match=message):
        mlfund.save(net(Net), tmp_path / "model.skops")


def test_what_a_file_calls_must_return_a_module():
    model = copy.deepcopy(fitted("class"))
    vars(model)["_recipe"] = Recipe(np.float64, {}, 0, "float64", "raw", "binary", False)
    with pytest.raises(ValueError, match=r"float64 returned float64; it must be a torch\.nn"):
        pickle.loads(pickle.dumps(model))
