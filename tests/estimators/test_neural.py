"""NeuralClassifier and NeuralRegressor: what they train, on what data, with what manners."""

import copy
import inspect

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from mlfund import MLPClassifier, NeuralClassifier, NeuralRegressor
from mlfund._engine.net import Engine
from mlfund.estimators import _neural_spec as spec
from tests import own_modules as own

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X2, Y2 = make_classification(120, 6, random_state=0)
X3, Y3 = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
XR, _YR = make_regression(120, 5, noise=1.0, random_state=0)
YR = _YR / _YR.std()
XL, YL = make_multilabel_classification(100, 6, n_classes=4, random_state=0)
IMAGES = np.random.default_rng(0).normal(size=(60, 1, 6, 6)).astype(np.float32)
BRIGHT = (IMAGES[:, 0, :3].mean(axis=(1, 2)) > IMAGES[:, 0, 3:].mean(axis=(1, 2))).astype(int)
SHORT = {"random_state": 0, "max_iter": 5, "learning_rate_init": 0.01}


def net(module=own.Perceptron, **options):
    return NeuralClassifier(module, **{**SHORT, **options})


def weights(model):
    return {key: t.numpy() for key, t in model.module_.state_dict().items()}


def assert_same(first, second, **tolerance):
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], err_msg=key, **tolerance)


def bare_loop(module, X, y, epochs, batch, lr=0.01):
    """A training in plain torch, in the order of the rows."""
    module = copy.deepcopy(module).double().train()
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    for _ in range(epochs):
        for start in range(0, len(X), batch):
            part = slice(start, start + batch)
            optimizer.zero_grad()
            raw = module(torch.from_numpy(X[part]))
            nn.functional.cross_entropy(raw, torch.from_numpy(y[part])).backward()
            optimizer.step()
    return module.eval()


@pytest.mark.parametrize("batch", [32, 120])
def test_a_training_is_that_of_a_loop_in_plain_torch(batch):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.PReLU(), nn.Linear(8, 3)
    )
    model = net(module, shuffle=False, batch_size=batch).fit(X3, Y3)
    expected = bare_loop(module, X3, Y3, 5, batch)
    for ours, theirs in zip(
        model.module_.state_dict().values(), expected.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
    raw = expected(torch.from_numpy(X3)).detach()
    np.testing.assert_allclose(model.predict_proba(X3), torch.softmax(raw, dim=1), rtol=1e-7)


def test_a_perceptron_written_by_hand_trains_as_the_mlp():
    start = MLPClassifier((16,), activation="tanh", max_iter=1, learning_rate_init=1e-12, alpha=0)
    start.set_params(random_state=0, shuffle=False).fit(X3, Y3)
    module = own.Perceptron(6, 3)
    linear = [layer for layer in module.layers if isinstance(layer, nn.Linear)]
    for layer, coef, intercept in zip(linear, start.coefs_, start.intercepts_, strict=True):
        layer.weight.data = torch.from_numpy(coef.T.copy())
        layer.bias.data = torch.from_numpy(intercept.copy())
    options = {"shuffle": False, "optimizer": "adam", "weight_decay": 0.1, "schedule": "cosine"}
    ours = net(module, alpha=1e-3, **options).fit(X3, Y3)
    theirs = MLPClassifier((16,), activation="tanh", alpha=1e-3, warm_start=True, **options)
    theirs.set_params(**SHORT)
    theirs = theirs.set_params(max_iter=5)
    vars(theirs).update({k: v for k, v in vars(start).items() if k.endswith("_")})
    vars(theirs).update(_optimizer_state={}, _epochs=[], loss_curve_=[], t_=0)
    vars(theirs).update(_no_improvement_count=0, best_loss_=np.inf, _target_kind="multiclass")
    theirs.fit(X3, Y3)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-8)


@pytest.mark.parametrize(("X", "y"), [(X2, Y2), (X3, Y3)], ids=["2", "3"])
def test_raw_scores_probabilities_and_their_logarithms_train_alike(X, y):
    def scored(module, output, **options):
        # Two columns in each, so that the initial weights are the same.
        options = {"n_outputs": max(2, len(np.unique(y))), **options}
        return net(module, module_output=output, module_params=options).fit(X, y)

    raw = scored(own.Perceptron, "raw")
    for module, output in ((own.Proba, "proba"), (own.LogProba, "log_proba")):
        other = scored(module, output)
        np.testing.assert_allclose(other.loss_curve_, raw.loss_curve_, rtol=1e-6)
        np.testing.assert_allclose(other.predict_proba(X), raw.predict_proba(X), rtol=1e-5)
        np.testing.assert_array_equal(other.predict(X), raw.predict(X))
    model = scored(own.Proba, "proba")
    with torch.no_grad():
        proba = model.module_(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(model.predict_proba(X), proba, rtol=1e-6, atol=1e-12)


def test_two_classes_take_one_column_two_or_a_flat_output():
    one = net().fit(X2, Y2)
    assert one.n_outputs_ == 1
    assert one.module_.layers[-1].out_features == 1
    flat = net(own.Flat).fit(X2, Y2)
    np.testing.assert_array_equal(flat.predict_proba(X2), one.predict_proba(X2))
    two = net(module_params={"n_outputs": 2}, max_iter=100).fit(X2, Y2)
    assert two.predict_proba(X2).shape == (120, 2)
    assert two.score(X2, Y2) > 0.9
    sigmoid = net(own.Proba, module_params={"n_outputs": 1}, module_output="proba").fit(X2, Y2)
    np.testing.assert_allclose(sigmoid.predict_proba(X2), one.predict_proba(X2), rtol=1e-5)


def test_labels_are_any_and_come_back():
    names = np.array(["ant", "bee", "cat"])[Y3]
    model = net(max_iter=40).fit(X3, names)
    assert list(model.classes_) == ["ant", "bee", "cat"]
    assert accuracy_score(names, model.predict(X3)) == model.score(X3, names) > 0.7
    np.testing.assert_allclose(
        model.predict_log_proba(X3), np.log(model.predict_proba(X3)), rtol=1e-6
    )


def test_several_labels_a_row():
    model = net(max_iter=30).fit(XL, YL)
    assert model.predict(XL).shape == YL.shape
    assert model.predict_proba(XL).shape == YL.shape
    proba = net(own.Perceptron, module_params={"n_outputs": 4}).fit(XL, YL)
    assert proba.n_outputs_ == 4


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_regression_of_one_target_and_of_several(loss):
    several = np.column_stack([YR, -YR, XR[:, 0]])
    options = {"loss": loss, "random_state": 0, "learning_rate_init": 0.05, "max_iter": 60}
    one = NeuralRegressor(own.Perceptron, **options).fit(XR, YR)
    assert one.predict(XR).shape == (120,)
    assert one.score(XR, YR) > 0.9
    many = NeuralRegressor(own.Perceptron, **options).fit(XR, several)
    assert many.predict(XR).shape == (120, 3)
    assert many.score(XR, several) > 0.9
    flat = NeuralRegressor(own.Flat, **options).fit(XR, YR)
    np.testing.assert_array_equal(flat.predict(XR), one.predict(XR))


def test_a_poisson_regressor_returns_the_mean_of_the_modules_logarithm():
    counts = np.abs(YR * 3).round()
    model = NeuralRegressor(own.Perceptron, loss="poisson", **SHORT).fit(XR, counts)
    with torch.no_grad():
        logarithm = model.module_(torch.from_numpy(XR)).numpy()[:, 0]
    np.testing.assert_allclose(model.predict(XR), np.exp(logarithm), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_X_is_that_of_the_weights(dtype):
    model = net().fit(X3.astype(dtype), Y3)
    assert {w.dtype for w in weights(model).values()} == {np.dtype(dtype)}
    assert model.predict_proba(X3.astype(dtype)).dtype == dtype
    regressor = NeuralRegressor(own.Perceptron, **SHORT).fit(XR.astype(dtype), YR)
    assert regressor.predict(XR).dtype == dtype


def test_precision_on_request():
    assert weights(net(precision="float32").fit(X3, Y3))["layers.1.weight"].dtype == np.float32
    full = net(precision="float32").fit(X3, Y3)
    half = net(precision="bf16").fit(X3, Y3)
    assert half.loss_ == pytest.approx(full.loss_, rel=0.05)
    assert half.loss_ != full.loss_


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16])
def test_what_is_no_float32_or_float64_is_computed_in_float32(dtype):
    X = (X3 > 0).astype(dtype)
    model = net().fit(X, Y3)
    assert weights(model)["layers.1.weight"].dtype == np.float32
    np.testing.assert_array_equal(model.predict(X), model.predict(X.astype(np.float32)))


WORDS = np.random.default_rng(0).integers(0, 20, size=(80, 5))
COUNT = (WORDS < 5).sum(axis=1) > 1


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8])
def test_integers_are_kept_for_embeddings_on_request(dtype):
    X = WORDS.astype(dtype)
    model = net(own.Words, keep_integers=True, max_iter=100, learning_rate_init=0.05)
    model.fit(X, COUNT, sample_weight=np.linspace(0.5, 1.5, 80))
    assert model.score(X, COUNT) > 0.9
    assert weights(model)["head.weight"].dtype == np.float32
    with pytest.raises(ValueError, match=r"X holds float64 values, and .* fitted on integers"):
        model.predict(X.astype(float))
    model.set_params(keep_integers=False)
    assert model.score(X, COUNT) > 0.9
    model.set_params(keep_integers=True)
    frame = pd.DataFrame(X, columns=list("abcde"))
    np.testing.assert_array_equal(model.fit(frame, COUNT).predict(frame), model.predict(frame))
    regressor = NeuralRegressor(own.Words, keep_integers=True, **SHORT).fit(X, COUNT * 0.5)
    assert regressor.predict(X).dtype == np.float32


@pytest.mark.parametrize("options", [{"mixup": 0.2}, {"input_noise": 0.1}])
def test_integers_are_neither_mixed_nor_blurred(options):
    with pytest.raises(ValueError, match=f"keep_integers=True and {next(iter(options))}=0"):
        net(own.Words, keep_integers=True, **options).fit(WORDS, COUNT)
    assert np.isfinite(net(keep_integers=True, **options).fit(X3, Y3).loss_)


@pytest.mark.parametrize(
    "options",
    [
        {"mixup": 0.3, "label_smoothing": 0.1, "input_noise": 0.1},
        {"averaging": "swa", "accumulation_steps": 2, "clip_norm": 1.0},
        {"optimizer": "muon", "max_norm": 2.0, "clip_value": 0.1, "lr_scaling": "sqrt"},
        {"loss": "focal", "l1_ratio": 0.5, "alpha": 1e-3, "optimizer": torch.optim.NAdam},
    ],
)
def test_every_feature_of_the_training_takes_images_and_batch_statistics(options):
    model = net(own.ConvNet, batch_size=16, **options).fit(IMAGES, BRIGHT)
    assert model.predict_proba(IMAGES).shape == (60, 2)
    again = net(own.ConvNet, batch_size=16, **options).fit(IMAGES, BRIGHT)
    assert_same(again, model, rtol=0)


def test_a_killed_fit_with_dropout_of_its_own_goes_on_bit_by_bit(tmp_path):
    options = {"batch_size": 50, "random_state": 3, "tol": 0}
    whole = net(own.Noisy, **options).fit(X3, Y3)
    saved = {"checkpoint_dir": tmp_path, "checkpoint_every": 1}
    killed = net(own.Noisy, **options, **saved)
    one_epoch = Engine.run_single_epoch

    def dies(engine, *args, **kwargs):
        if len(engine.history) > 3:
            raise MemoryError
        return one_epoch(engine, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "run_single_epoch", dies)
        with pytest.raises(MemoryError):
            killed.fit(X3, Y3)
    resumed = net(own.Noisy, **options, **saved).fit(X3, Y3)
    assert_same(resumed, whole, rtol=0)
    assert resumed.loss_curve_ == whole.loss_curve_


def test_floats_beside_keep_integers_stay_floats():
    assert net(keep_integers=True).fit(X3, Y3).predict(X3).shape == (120,)


def test_images_reach_the_module_as_they_are():
    model = net(own.ConvNet, max_iter=60, learning_rate_init=0.02).fit(IMAGES, BRIGHT)
    assert model.input_shape_ == (1, 6, 6)
    assert model.n_features_in_ == 36
    assert model.score(IMAGES, BRIGHT) > 0.8
    for same in (IMAGES.tolist(), torch.from_numpy(IMAGES), np.asfortranarray(IMAGES)):
        np.testing.assert_allclose(model.predict_proba(same), model.predict_proba(IMAGES))
    for wrong, message in (
        (IMAGES[:, :, :5], r"rows of shape \(1, 5, 6\), and .* shape \(1, 6, 6\)"),
        (IMAGES.reshape(60, -1), r"rows of one dimension, and .* shape \(1, 6, 6\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(wrong)
    with pytest.raises(ValueError, match=r"shape \(6, 1\), and .* shape \(6,\)"):
        net().fit(X3, Y3).predict(X3[:, :, None])


def test_images_with_weights_early_stopping_and_rows_of_weight_zero():
    weight = np.r_[np.zeros(10), np.ones(50)]
    model = net(own.ConvNet, early_stopping=True).fit(IMAGES, BRIGHT, sample_weight=weight)
    assert len(model.validation_scores_) == model.n_iter_
    short = net(own.ConvNet, early_stopping=True).fit(IMAGES[10:], BRIGHT[10:])
    np.testing.assert_allclose(model.loss_curve_, short.loss_curve_, rtol=1e-6)
    valid = net(own.ConvNet, early_stopping=True)
    valid.fit(IMAGES[:40], BRIGHT[:40], X_val=IMAGES[40:], y_val=BRIGHT[40:])
    assert len(valid.validation_scores_) == valid.n_iter_


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_array])
def test_sparse_equals_dense(container):
    X = np.where(np.abs(X3) > 1, X3, 0.0)
    dense, sparse = net().fit(X, Y3), net().fit(container(X), Y3)
    assert_same(sparse, dense, rtol=1e-9)
    np.testing.assert_allclose(
        sparse.predict_proba(container(X)), dense.predict_proba(X), rtol=1e-8
    )


def test_a_data_frame_leaves_its_names():
    frame = pd.DataFrame(X3, columns=list("abcdef"))
    model = net().fit(frame, Y3)
    assert list(model.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))


def test_predictions_in_parts_are_those_at_once():
    model = net(own.Noisy).fit(X3, Y3)
    whole = model.predict_proba(X3)
    flop, _ = model._pass_costs
    model._pass_costs = (flop, 7)
    np.testing.assert_allclose(model.predict_proba(X3), whole, rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X3[:1]), whole[:1], rtol=1e-12)


def test_rows_at_once_follow_the_largest_tensor_of_a_pass():
    class Wide(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.head = nn.Linear(n_features, n_outputs)

        def forward(self, X):
            wide = X[:, :1].repeat(1, 1 << 20)
            return self.head(X) + 0 * wide.mean(dim=1, keepdim=True)

    model = net(Wide, max_iter=1).fit(X2[:12].astype(np.float32), Y2[:12])
    # 64 MiB of rows of 4 MiB.
    assert model._pass_costs[1] == 16


def test_work_is_measured_so_that_threads_and_precision_fit_it():
    model = net(own.ConvNet, max_iter=1).fit(IMAGES, BRIGHT)
    # Two 3 x 3 convolutions over 36 pixels and the head, two operations for each product.
    assert model._pass_costs[0] == 2 * (36 * 9 * (1 * 8 + 8 * 8) + 8)


def test_batch_statistics_and_dropout_are_off_in_predict():
    model = net(own.Noisy).fit(X3, Y3)
    np.testing.assert_array_equal(model.predict_proba(X3), model.predict_proba(X3))
    assert not model.module_.training
    assert float(model.module_.body[1].num_batches_tracked) == 5
    assert np.abs(weights(model)["body.1.running_mean"]).min() > 0
    model.module_.train()
    again = net(own.Noisy).fit(X3, Y3)
    np.testing.assert_array_equal(model.predict_proba(X3), again.predict_proba(X3))


def test_a_last_batch_of_one_row_trains_under_batch_statistics():
    model = net(own.Noisy, batch_size=7).fit(X3[:50], Y3[:50])
    assert np.isfinite(model.loss_)


def test_frozen_parameters_stay():
    torch.manual_seed(1)
    module = own.Noisy(6, 3)
    before = module.frozen.weight.detach().clone()
    model = net(module).fit(X3, Y3)
    np.testing.assert_array_equal(model.module_.frozen.weight.numpy(), before.double().numpy())
    assert not model.module_.frozen.weight.requires_grad


def test_early_stopping_brings_back_the_statistics_of_the_best_epoch():
    module = own.Noisy(6, 3, rate=0.0)
    seen = []

    class Keep(Callback):
        def on_epoch_end(self, net, **kwargs):
            state = net.module_.module.state_dict()
            seen.append({key: value.clone() for key, value in state.items()})

    model = net(module, early_stopping=True, max_iter=30, callbacks=[Keep()]).fit(X3, Y3)
    best = seen[int(np.argmax(model.validation_scores_))]
    for key, value in model.module_.state_dict().items():
        # Not the count of batches, which nothing but a log reads.
        if value.is_floating_point():
            torch.testing.assert_close(value, best[key], msg=key)


def test_one_seed_one_result_and_the_generators_of_torch_as_before():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = net(own.Noisy).fit(X3, Y3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    assert_same(net(own.Noisy).fit(X3, Y3), first, rtol=0)
    other = net(own.Noisy, random_state=1).fit(X3, Y3)
    assert other.loss_ != first.loss_


def test_threads_and_default_dtype_are_left_alone():
    torch.set_num_threads(2)
    try:
        net().fit(X3, Y3).predict(X3)
        assert torch.get_num_threads() == 2
        assert torch.get_default_dtype() == torch.float32
    finally:
        torch.set_num_threads(1)


def test_a_caller_under_no_grad_can_fit():
    with torch.no_grad():
        model = net().fit(X3, Y3)
        assert not torch.is_grad_enabled()
    assert_same(model, net().fit(X3, Y3), rtol=0)


def test_calls_of_partial_fit_draw_other_masks():
    module = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.5))
    masks = []

    def keep(module, X, out):
        if module.training:
            masks.append((out == 0).clone())

    module.register_forward_hook(keep)
    model = net(module, shuffle=False, learning_rate_init=1e-9)
    for _ in range(2):
        model.partial_fit(X3, Y3, classes=[0, 1, 2])
    assert not torch.equal(masks[0], masks[-1])


def test_partial_fit_goes_on_as_fit_does():
    whole = net(shuffle=False, tol=0, max_iter=4).fit(X3, Y3)
    parts = net(shuffle=False)
    for _ in range(4):
        parts.partial_fit(X3, Y3, classes=[0, 1, 2])
    assert_same(parts, whole, rtol=1e-12)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-12)
    regressor = NeuralRegressor(own.Perceptron, **SHORT).partial_fit(XR, YR).partial_fit(XR, YR)
    assert regressor.t_ == 240


def test_warm_start_goes_on_and_refuses_another_module():
    model = net(warm_start=True).fit(X3, Y3)
    first = copy.deepcopy(model)
    model.fit(X3, Y3)
    assert len(model.loss_curve_) == 10
    assert model.loss_ < first.loss_
    model.set_params(module_params__hidden=3)
    with pytest.raises(ValueError, match=r"module_params\['hidden'\] has changed"):
        model.fit(X3, Y3)
    model.set_params(module_params={}, module=own.Proba)
    with pytest.raises(ValueError, match="and module has changed since"):
        model.fit(X3, Y3)
    model.set_params(warm_start=False, module_output="proba").fit(X3, Y3)
    assert len(model.loss_curve_) == 5


class Interrupt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupt_leaves_the_estimator_unfitted_or_as_it_was():
    model = net(callbacks=[Interrupt(2)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X3, Y3)
    assert set(vars(model)) == set(vars(net()))
    with pytest.raises(NotFittedError):
        model.predict(X3)
    model.set_params(callbacks=None, warm_start=True).fit(X3, Y3)
    before = copy.deepcopy(model)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=[Interrupt(2)]).fit(X3, Y3)
    assert_same(model, before, rtol=0)
    assert model.loss_curve_ == before.loss_curve_


def test_weights_of_classes_and_rows():
    classes = net(class_weight={0: 1, 1: 0, 2: 3}).fit(X3, Y3)
    rows = net().fit(X3, Y3, sample_weight=np.array([1.0, 0.0, 3.0])[Y3])
    assert_same(classes, rows, rtol=0)
    repeated = net(batch_size=240, shuffle=False).fit(np.repeat(X3, 2, axis=0), np.repeat(Y3, 2))
    weighted = net(batch_size=120, shuffle=False).fit(X3, Y3, sample_weight=np.full(120, 2.0))
    assert_same(repeated, weighted, rtol=1e-9, atol=1e-12)


def test_early_stopping_through_a_pipeline_with_rows_of_the_users_own():
    with config_context(enable_metadata_routing=True):
        inner = net(early_stopping=True).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), inner, transform_input=["X_val"])
        pipeline.fit(100 * X3[:90], Y3[:90], X_val=100 * X3[90:], y_val=Y3[90:])
    scaler = StandardScaler().fit(100 * X3[:90])
    direct = net(early_stopping=True).fit(
        scaler.transform(100 * X3[:90]),
        Y3[:90],
        X_val=scaler.transform(100 * X3[90:]),
        y_val=Y3[90:],
    )
    assert pipeline[-1].validation_scores_ == direct.validation_scores_


def test_callbacks_see_batches_and_hooks_of_the_module_run():
    class Count(Callback):
        batches = 0

        def on_batch_end(self, net, training, **kwargs):
            Count.batches += training

    module = own.Perceptron(6, 3)
    calls = []
    module.register_forward_hook(lambda m, X, out: calls.append(len(out)) if m.training else None)
    model = net(module, callbacks=[Count()], batch_size=60).fit(X3, Y3)
    assert Count.batches == 10
    assert calls == [60] * 10
    np.testing.assert_allclose(
        model.loss_curve_, net(own.Perceptron(6, 3), batch_size=60).fit(X3, Y3).loss_curve_, rtol=1
    )


def test_a_divergence_names_the_cause_and_leaves_the_estimator_unfitted():
    model = net(own.factory, optimizer="sgd", learning_rate_init=1e30, batch_size=10)
    with pytest.raises(ValueError, match=r"learning rate, 1e\+30"):
        model.fit(X3, Y3)
    with pytest.raises(NotFittedError):
        model.predict(X3)


def test_scores_named_and_own():
    loss = net(early_stopping=True, scoring="loss").fit(X3, Y3)
    assert max(loss.validation_scores_) < 0
    named = net(early_stopping=True).fit(X3, Y3)
    ours = net(early_stopping=True, scoring=lambda e, X, y: accuracy_score(y, e.predict(X)))
    assert ours.fit(X3, Y3).validation_scores_ == named.validation_scores_


def test_search_over_parameters_of_the_module():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), net(max_iter=3)),
        {"neuralclassifier__module_params__hidden": [2, 9], "neuralclassifier__alpha": [0, 0.1]},
        cv=2,
    ).fit(X3, Y3)
    hidden = search.best_params_["neuralclassifier__module_params__hidden"]
    assert search.best_estimator_[-1].module_.layers[1].out_features == hidden
    assert search.estimator[-1].module_params is None


def test_an_instance_is_a_start_that_nothing_changes():
    torch.manual_seed(5)
    module = own.Perceptron(6, 3)
    before = {key: t.clone() for key, t in module.state_dict().items()}
    model = net(module).fit(X3, Y3)
    again = clone(model).fit(X3, Y3)
    assert_same(again, model, rtol=0)
    assert all(torch.equal(module.state_dict()[key], before[key]) for key in before)
    ours = {p.data_ptr() for p in model.module_.parameters()}
    assert ours.isdisjoint(p.data_ptr() for p in module.parameters())
    assert ours.isdisjoint(p.data_ptr() for p in again.module_.parameters())
    copied = clone(model)
    assert copied.module is not module
    assert {p.data_ptr() for p in copied.module.parameters()}.isdisjoint(
        p.data_ptr() for p in module.parameters()
    )


def test_the_fitted_module_is_an_ordinary_one():
    model = net().fit(X3, Y3)
    assert isinstance(model.module_, own.Perceptron)
    assert all(p.grad is None and p.is_leaf for p in model.module_.parameters())
    assert all(p.untyped_storage().nbytes() == p.nbytes for p in model.module_.parameters())


def test_training_parameters_are_those_of_the_mlps():
    shared = set(spec.CONSTRAINTS)
    for estimator in (NeuralClassifier, NeuralRegressor):
        assert shared <= set(inspect.signature(estimator).parameters)
    mine = set(inspect.signature(NeuralClassifier).parameters)
    architecture = {
        "hidden_layer_sizes", "activation", "initializer", "dropout", "normalization",
        "normalization_position", "last_layer_initializer",
    }  # fmt: skip
    by_solver = {
        "solver", "learning_rate", "power_t", "momentum", "nesterovs_momentum", "beta_1",
        "beta_2", "epsilon", "max_fun",
    }  # fmt: skip
    assert set(inspect.signature(MLPClassifier).parameters) - mine <= architecture | by_solver


def test_an_unconverged_training_says_so():
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        net(max_iter=1).fit(X3, Y3)
