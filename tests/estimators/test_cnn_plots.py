"""Pictures of convolutional nets, and the numbers behind them."""

import re

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from sklearn.metrics import confusion_matrix, log_loss

from mlfund import CNNClassifier, CNNRegressor, plot_augmentation
from mlfund.augmentation import RandomFlip, RandomShift
from mlfund.nets.layers import Activate, Conv, Dense, Drop, GlobalPool, Norm, Pool

N = 120
SMALL = [Conv(6), Norm(), Activate(), Pool(), GlobalPool("max")]


def spots(channels=None, seed=0):
    """Grey noise with a bright square, in the upper or the lower half."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 60, (N, 10, 12), dtype=np.uint8)
    low = rng.integers(0, 2, N)
    for image, is_low, j in zip(X, low, rng.integers(0, 10, N), strict=True):
        image[1 + 6 * is_low : 3 + 6 * is_low, j : j + 2] = 255
    if channels:
        X = np.repeat(X[..., None], channels, axis=-1)
    return X, np.array(["above", "below"])[low]


X, y = spots()
COLOURS, _ = spots(channels=3)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def net(architecture=SMALL, **options):
    return CNNClassifier(architecture, **{"max_iter": 3, "random_state": 0, **options})


@pytest.fixture(scope="module")
def fitted():
    return net([Conv(6), Norm(), Activate(), Pool(), Dense(8), Activate()]).fit(X, y)


@pytest.fixture(scope="module")
def three():
    """Three classes, colours."""
    return net().fit(COLOURS, np.arange(N) % 3)


def image_of(axis):
    return np.asarray(axis.get_images()[0].get_array())


# Grad-CAM


def test_grad_cam_of_a_linear_net_with_a_mean_pool_is_its_class_activation_map():
    # There the gradient of a score in a map is weight / pixels, the same everywhere: Grad-CAM
    # is the rectified sum of maps weighed by the last layer (Zhou et al. 2016).
    model = net([Conv(5), Activate("tanh"), GlobalPool("average")]).fit(COLOURS, np.arange(N) % 4)
    maps = model.feature_maps(COLOURS[:6])
    weights = model.module_.head.weight.detach().numpy()
    for label in range(4):
        expected = np.maximum(maps @ weights[label], 0)
        expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
        found = model.grad_cam(COLOURS[:6], target=label)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_grad_cam_agrees_with_hooks_of_autograd(three, layer):
    module = three.module_
    found = three.grad_cam(COLOURS[:5], target=[0, 1, 2, 0, 1], layer=layer)
    kept = {}
    hooks = [
        module.body[layer].register_forward_hook(lambda m, i, o: kept.update(maps=o)),
        module.body[layer].register_full_backward_hook(lambda m, i, o: kept.update(grad=o[0])),
    ]
    rows = torch.from_numpy(COLOURS[:5].reshape(5, -1).astype(np.float32))
    # One image after the other: none may depend on another.
    for k, target in enumerate([0, 1, 2, 0, 1]):
        module.zero_grad()
        module(rows[k : k + 1].requires_grad_())[0, target].backward()
        alpha = kept["grad"].mean(dim=(2, 3))
        heat = torch.relu((alpha[..., None, None] * kept["maps"]).sum(1, keepdim=True)).detach()
        heat = F.interpolate(heat, size=(10, 12), mode="bilinear", align_corners=False)[0, 0]
        expected = heat / heat.max() if heat.max() > 0 else heat
        np.testing.assert_allclose(found[k], expected.numpy(), atol=1e-5)
    for hook in hooks:
        hook.remove()
    module.zero_grad()


def test_grad_cam_finds_the_square_and_leaves_the_net_alone(fitted):
    before = {name: t.clone() for name, t in fitted.module_.state_dict().items()}
    heat = fitted.grad_cam(X)
    assert heat.shape == (N, 10, 12)
    assert heat.min() >= 0
    assert heat.max() == 1
    for name, tensor in fitted.module_.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not fitted.module_.training
    assert not any(module._forward_hooks for module in fitted.module_.modules())
    assert all(p.grad is None for p in fitted.module_.parameters())


def test_without_a_target_the_prediction_is_explained(fitted, three):
    for model, images in ((fitted, X[:9]), (three, COLOURS[:9])):
        said = model.predict(images)
        np.testing.assert_allclose(
            model.grad_cam(images), model.grad_cam(images, target=said), atol=1e-6
        )
        one = model.grad_cam(images, target=model.classes_[0])
        assert not np.array_equal(one, model.grad_cam(images, target=model.classes_[1]))


def test_grad_cam_of_outputs_and_of_several_labels():
    targets = np.column_stack([X.mean(axis=(1, 2)), X[:, :5].mean(axis=(1, 2))])
    model = CNNRegressor(SMALL, max_iter=2, random_state=0).fit(X, targets)
    np.testing.assert_array_equal(model.grad_cam(X[:4]), model.grad_cam(X[:4], target=0))
    assert not np.array_equal(model.grad_cam(X[:4]), model.grad_cam(X[:4], target=1))
    labels = net(max_iter=2).fit(X, np.column_stack([y == "above", X[:, 0, 0] > 30]).astype(int))
    assert labels.grad_cam(X[:4], target=1).shape == (4, 10, 12)
    assert model.plot_grad_cam(X[:2], target=1)[0].get_title() == "output 1"
    labels.plot_grad_cam(X[:2])
    labels.plot_top_losses(X, np.ones((N, 2), dtype=int), k=2)


def test_maps_are_of_the_layer_asked_for(fitted):
    assert fitted.feature_maps(X[:3]).shape == (3, 10, 12, 6)
    assert fitted.feature_maps(X[:3], layer=3).shape == (3, 5, 6, 6)
    np.testing.assert_array_equal(fitted.feature_maps(X[:3], layer=2), fitted.feature_maps(X[:3]))
    rows = torch.from_numpy(X[:3].reshape(3, -1))
    with torch.no_grad():
        expected = fitted.module_.body[:4](fitted.module_.pixels.images(rows))
    found = fitted.feature_maps(X[:3], layer=-3)
    np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-6)


@pytest.mark.parametrize("layer", [4, 7, -9])
def test_layers_without_maps_are_refused(fitted, layer):
    with pytest.raises(ValueError, match=f"layer={layer} has no feature maps.*summary"):
        fitted.grad_cam(X[:2], layer=layer)


def test_a_net_without_images_inside_is_refused():
    flat = net([Dense(4), Activate()], max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="no feature maps"):
        flat.grad_cam(X[:2])
    with pytest.raises(ValueError, match="no convolution"):
        flat.plot_filters()


def test_unknown_targets_are_named(fitted, three):
    with pytest.raises(ValueError, match=r"target='abov' is no class.*'above'"):
        fitted.grad_cam(X[:2], target="abov")
    with pytest.raises(ValueError, match=r"target=7 is no class.*0, 1, 2"):
        three.grad_cam(COLOURS[:2], target=7)
    with pytest.raises(ValueError, match="one for each of the 2"):
        three.grad_cam(COLOURS[:2], target=[1, 1, 1])


# Forms of images


@pytest.mark.parametrize("form", ["last", "first", "flat", "frame", "floats", "list"])
def test_all_forms_of_images_give_the_same_pictures(three, form):
    labels = np.arange(N) % 3
    images = {
        "last": COLOURS,
        "first": COLOURS.transpose(0, 3, 1, 2),
        "flat": COLOURS.reshape(N, -1),
        "frame": pd.DataFrame(COLOURS.reshape(N, -1)).add_prefix("pixel"),
        "floats": COLOURS.astype(float),
        "list": list(COLOURS),
    }[form]
    options = {"channels": "first"} if form == "first" else {}
    if form in ("flat", "frame"):
        options["image_shape"] = (10, 12, 3)
    model = net(augmentation="shift", **options)
    before = image_of(model.plot_augmentation(images, n_draws=2))
    model.fit(images, labels)
    few = images.iloc[:4] if form == "frame" else images[:4]
    assert len(model.plot_activations(few)) == 4
    assert model.plot_grad_cam(few)[0].get_title() == str(model.predict(few)[0])
    model.plot_top_losses(images, labels, k=3)
    model.plot_confusion(images, labels)
    model.plot_filters()
    np.testing.assert_allclose(
        image_of(model.plot_augmentation(images, n_draws=2)), before, atol=1e-4
    )
    np.testing.assert_allclose(before, shown_of_bytes(), atol=0.05)


def shown_of_bytes():
    return image_of(plot_augmentation(COLOURS, "shift", n_draws=2))


def test_one_image(fitted):
    assert fitted.grad_cam(X[:1]).shape == (1, 10, 12)
    assert len(fitted.plot_activations(X[:1])) == 1
    assert len(fitted.plot_grad_cam(X[:1], target="below")) == 1
    assert len(fitted.plot_top_losses(X[:1], y[:1])) == 1
    net(augmentation=["flip", "mixup"]).plot_augmentation(X[:1])


def test_too_many_images_for_a_picture_are_refused(fitted):
    with pytest.raises(ValueError, match=r"120 images.*at most 64"):
        fitted.plot_grad_cam(X)
    with pytest.raises(ValueError, match=r"^k asks for 100 images.*at most 64; give k=64 or less"):
        fitted.plot_top_losses(X, y, k=100)
    with pytest.raises(ValueError, match=r"^n_images asks for 120 images.*give n_images=64 or"):
        plot_augmentation(X, "flip", n_images=200)
    with pytest.raises(ValueError, match=r"^n_images asks for 100 images"):
        net(augmentation="flip").plot_augmentation(X, n_images=100)


def test_axes_of_ones_own(fitted):
    _, axes = plt.subplots(1, 2)
    assert list(fitted.plot_grad_cam(X[:2], axes=axes)) == list(axes)
    with pytest.raises(ValueError, match=r"3 axes.*got 2"):
        fitted.plot_activations(X[:3], axes=axes)
    assert fitted.plot_filters(ax=axes[0]) is axes[0]


# Filters


def test_filters_of_grey_images_are_all_there(fitted):
    weight = fitted.module_.body[0].weight.detach().numpy()
    sheet = image_of(fitted.plot_filters())
    most = np.abs(weight).max()
    assert sheet.shape == (3, 6 * 4 - 1)
    for place, kernel in enumerate(weight[:, 0]):
        tile = sheet[:, 4 * place : 4 * place + 3]
        np.testing.assert_allclose((tile - 0.5) * 2 * most, kernel, atol=1e-6)


def test_filters_of_colours_are_colours_and_others_go_by_channel(three):
    assert image_of(three.plot_filters()).shape == (3, 6 * 4 - 1, 3)
    two = net(max_iter=1).fit(COLOURS[..., :2], y)
    assert image_of(two.plot_filters()).shape == (6 * 4 - 1, 2 * 4 - 1)


# Losses and confusion


def test_top_losses_are_those_of_the_probabilities(fitted):
    found = fitted.top_losses(X, y, k=5)
    proba = fitted.predict_proba(X)
    each = -np.log(proba[np.arange(N), np.searchsorted(fitted.classes_, y)])
    np.testing.assert_array_equal(found.indices, np.argsort(-each, kind="stable")[:5])
    np.testing.assert_allclose(found.losses, np.sort(each)[::-1][:5], rtol=1e-4)
    np.testing.assert_array_equal(found.predicted, fitted.predict(X)[found.indices])
    every = fitted.top_losses(X, y, k=10 * N)
    assert every.losses.mean() == pytest.approx(log_loss(y, proba), rel=1e-4)


def test_top_losses_of_numbers_and_of_names_in_a_frame():
    frame = pd.DataFrame(X.reshape(N, -1)).add_prefix("p")
    target = pd.Series(X.mean(axis=(1, 2)), index=np.arange(N)[::-1])
    model = CNNRegressor(SMALL, image_shape=(10, 12), max_iter=2, random_state=0)
    found = model.fit(frame, target).top_losses(frame, target, 4)
    squared = (model.predict(frame) - target.to_numpy()) ** 2 / 2
    np.testing.assert_array_equal(found.indices, np.argsort(-squared)[:4])
    texts = [axis.get_title() for axis in model.plot_top_losses(frame, target, 4)]
    assert f"is {target.to_numpy()[found.indices[0]]:.3g}" in texts[0]


def test_long_names_of_classes_are_cut_over_images():
    names = np.where(y == "above", "a name that is much too long to be written", "short")
    model = net(max_iter=1).fit(X, names)
    titles = [axis.get_title() for axis in model.plot_top_losses(X, names, 6)]
    assert max(len(line) for title in titles for line in title.splitlines()) <= 22
    assert any("a name that is much" in title for title in titles)


def test_top_losses_say_what_they_do_not_know(fitted):
    with pytest.raises(ValueError, match="classes not in"):
        fitted.top_losses(X, np.repeat("left", N))
    with pytest.raises(ValueError, match="inconsistent"):
        fitted.top_losses(X, y[:-1])
    with pytest.raises(ValueError, match="k must be"):
        fitted.top_losses(X, y, k=0)
    batch = net(loss="dice", max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="whole batches"):
        batch.top_losses(X, y)


def test_titles_say_what_is_predicted_and_what_is_so(fitted):
    wrong = np.where(y == "above", "below", "above")
    axes = fitted.plot_top_losses(X, wrong, k=2)
    found = fitted.top_losses(X, wrong, k=2)
    assert axes[0].get_title().startswith(f"{found.predicted[0]}\nis {wrong[found.indices[0]]}")


def test_confusion_is_that_of_scikit_learn(fitted, three):
    ax = fitted.plot_confusion(X, y)
    np.testing.assert_array_equal(image_of(ax), confusion_matrix(y, fitted.predict(X)))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["above", "below"]
    labels = np.arange(N) % 3
    shares = image_of(three.plot_confusion(COLOURS, labels, normalize="true"))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    some = image_of(three.plot_confusion(COLOURS[::3], labels[::3]))
    assert some.shape == (3, 3)
    several = net(max_iter=1).fit(X, np.column_stack([y == "above", y == "below"]).astype(int))
    with pytest.raises(ValueError, match="several labels"):
        several.plot_confusion(X, np.ones((N, 2), dtype=int))


def test_confusion_refuses_what_top_losses_refuses_and_in_the_same_words(fitted):
    strange = np.where(np.arange(N) % 2, y, "left")
    for X_, y_ in ((X, strange), (X, np.repeat("left", N)), (X, list(strange)), (X, y[:-1])):
        with pytest.raises(ValueError, match=r"not in `self\.classes_`|inconsistent") as told:
            fitted.top_losses(X_, y_)
        with pytest.raises(ValueError, match=re.escape(str(told.value))):
            fitted.plot_confusion(X_, y_)


# Augmentation


def test_augmentation_shows_each_image_and_its_draws():
    ax = plot_augmentation(X, [RandomFlip(probability=1.0)], n_images=3, n_draws=2)
    sheet = image_of(ax)
    assert sheet.shape == (3 * 11 - 1, 3 * 13 - 1)
    for k in range(3):
        row = sheet[11 * k : 11 * k + 10]
        np.testing.assert_allclose(row[:, :12] * 255, X[k], atol=1e-6)
        np.testing.assert_allclose(row[:, 13:25] * 255, X[k][:, ::-1], atol=1e-3)
        np.testing.assert_allclose(row[:, 26:] * 255, X[k][:, ::-1], atol=1e-3)


def test_draws_come_from_the_seed():
    first, again, other = (
        image_of(plot_augmentation(X, RandomShift(3), random_state=seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_the_estimator_adds_is_drawn_too():
    model = net(augmentation="shift", input_noise=0.5, mixup=1.0, label_smoothing=0.1)
    assert model.plot_augmentation(X).get_title() == "shift, gaussian_noise, mixup"
    fitted = model.fit(X, y)
    assert fitted.plot_augmentation(X).get_title() == "shift, gaussian_noise, mixup"
    with pytest.raises(ValueError, match="no augmentation"):
        net(label_smoothing=0.1).plot_augmentation(X)
    with pytest.raises(ValueError, match="no square image"):
        plot_augmentation(X.reshape(N, -1), "flip")


def test_drop_and_pool_come_after_the_maps_that_are_explained():
    model = net([Conv(4), Activate(), Pool(), Drop(0.2), Dense(5)], max_iter=1).fit(X, y)
    np.testing.assert_array_equal(model.grad_cam(X[:3]), model.grad_cam(X[:3], layer=1))
