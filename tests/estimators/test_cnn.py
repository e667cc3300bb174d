"""CNNClassifier and CNNRegressor: images in, what they learn, what they refuse."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mlfund import CNNClassifier, CNNRegressor, ContrastiveEncoder
from mlfund.augmentation import Augmentation, RandomShift
from mlfund.nets.convnet import ConvNet, ReadPixels
from mlfund.nets.layers import Activate, Conv, GlobalPool, Norm, Pool
from mlfund.preprocessing._image_rows import form_of

RNG = np.random.default_rng(0)
N = 240
SMALL = [Conv(8), Norm(), Activate(), Pool(), GlobalPool("max")]


def spots(n=N, channels=None, seed=0):
    """Images with a bright spot that is wide or high, somewhere: a task of shapes."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 60, (n, 10, 10), dtype=np.uint8)
    wide = rng.integers(0, 2, n)
    for image, is_wide, (i, j) in zip(X, wide, rng.integers(0, 7, (n, 2)), strict=True):
        image[i : i + 1 + 2 * (not is_wide), j : j + 1 + 2 * is_wide] = 255
    if channels:
        X = np.repeat(X[..., None], channels, axis=-1)
    return X, np.array(["high", "wide"])[wide]


X, y = spots()
X_TEST, Y_TEST = spots(seed=1)


def net(**options):
    return CNNClassifier(**{"architecture": SMALL, "max_iter": 12, "random_state": 0, **options})


@pytest.fixture(scope="module")
def fitted():
    return net().fit(X, y)


def test_learns_shapes_wherever_they_are(fitted):
    assert fitted.score(X_TEST, Y_TEST) > 0.95
    proba = fitted.predict_proba(X_TEST)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert fitted.image_size_ == (10, 10, 1)
    assert fitted.n_features_in_ == 100
    assert len(fitted.history_) == fitted.n_iter_ == 12


def test_the_same_seed_gives_the_same_net(fitted):
    again = net().fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X_TEST), fitted.predict_proba(X_TEST))
    other = net(random_state=1).fit(X, y)
    assert not np.array_equal(other.predict_proba(X_TEST), fitted.predict_proba(X_TEST))


def test_augmentation_is_drawn_from_the_seed_and_off_at_predict():
    first, again = (net(augmentation=["shift", "cutout"], max_iter=3).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(first.predict_proba(X), first.predict_proba(X))
    plain = net(max_iter=3).fit(X, y)
    assert not np.array_equal(first.predict_proba(X), plain.predict_proba(X))
    one = net(augmentation=RandomShift(2), max_iter=3).fit(X, y)
    listed = net(augmentation=["shift"], max_iter=3).fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), listed.predict_proba(X))


def test_forms_of_the_same_images_are_one(fitted):
    expected = fitted.predict_proba(X_TEST)
    flat = X_TEST.reshape(N, -1)
    for form in (flat, X_TEST[..., None], list(X_TEST), torch.tensor(X_TEST), flat.astype(float)):
        np.testing.assert_allclose(fitted.predict_proba(form), expected, atol=1e-5)
    columns = pd.DataFrame(flat)
    np.testing.assert_allclose(fitted.predict_proba(columns), expected, atol=1e-5)
    from_flat = net().fit(X.reshape(N, -1), y)
    np.testing.assert_array_equal(from_flat.predict_proba(X_TEST), expected)


@dataclass(frozen=True)
class Noted(Augmentation):
    """Notes which rows come in which epoch."""

    name = "noted"
    seen: list = field(default_factory=list)

    def apply(self, rows, generator, target):
        self.seen.append((rows.epoch, rows.number.tolist()))
        return rows


def test_augmentations_are_told_rows_and_epochs_of_trainings_that_go_on():
    noted = Noted()
    options = {"batch_size": 16, "accumulation_steps": 2, "schedule": None}
    model = net(augmentation=[noted], max_iter=3, **options).fit(X[:40], y[:40])
    for _ in range(2):
        model.partial_fit(X[:40], y[:40])
    assert [epoch for epoch, _ in noted.seen] == [e for e in range(5) for _ in range(3)]
    for epoch in range(5):
        numbers = [n for e, part in noted.seen if e == epoch for n in part]
        assert sorted(numbers) == list(range(40))


@dataclass(frozen=True)
class Seen(Augmentation):
    """Keeps what the changes before it made of the images."""

    name = "seen"
    images: list = field(default_factory=list)

    def apply(self, rows, generator, target):
        self.images.append(rows.X.clone())
        return rows


@pytest.mark.parametrize("go_on", ["partial_fit", "warm_start"])
def test_calls_that_go_on_change_images_anew(go_on):
    seen = Seen()
    model = net(augmentation=[RandomShift(3), seen], max_iter=1, shuffle=False, warm_start=True)
    model.schedule = None
    for _ in range(4):
        if go_on == "partial_fit":
            model.partial_fit(X[:40], y[:40], classes=np.unique(y))
        else:
            model.fit(X[:40], y[:40])
        model = pickle.loads(pickle.dumps(model)).set_params(augmentation=[RandomShift(3), seen])
    assert len(seen.images) == 4
    for place, images in enumerate(seen.images):
        assert not any(torch.equal(images, other) for other in seen.images[:place])


def test_images_alternate_from_one_partial_fit_to_the_next():
    seen = Seen()
    model = net(augmentation=["alternating_flip", seen], shuffle=False)
    for _ in range(3):
        model.partial_fit(X[:40], y[:40], classes=np.unique(y))
    first, second, third = seen.images
    assert torch.equal(first, third)
    assert torch.equal(first, second.flip(-1))


@pytest.mark.parametrize("channels", ["last", "first"])
@pytest.mark.parametrize("shape", [None, "named"])
def test_a_scorer_of_ones_own_is_given_images_as_they_came(channels, shape):
    images, labels = spots(channels=3)
    images = images.copy()
    images[..., 1] //= 2
    end = images if channels == "last" else images.transpose(0, 3, 1, 2)
    given = []

    def scorer(estimator, X, y):
        given.append(X.shape)
        return estimator.score(X, y)

    options = {"channels": channels, "max_iter": 4, "early_stopping": True}
    if shape is not None:
        shape = end.shape[1:]
        end = end.reshape(N, -1)
    own = net(scoring=scorer, image_shape=shape, **options).fit(end, labels)
    named = net(scoring="accuracy", image_shape=shape, **options).fit(end, labels)
    assert own.validation_scores_ == pytest.approx(named.validation_scores_)
    assert {one[1:] for one in given} == {end.shape[1:]}


def test_a_scorer_of_ones_own_is_given_no_warning_of_names(recwarn):
    rows = pd.DataFrame(X[:60].reshape(60, -1)).add_prefix("pixel")
    net(max_iter=1, scoring=lambda e, X, y: e.score(X, y), early_stopping=True).fit(rows, y[:60])
    assert not [w for w in recwarn if "feature names" in str(w.message)]


@pytest.mark.parametrize("channels", ["last", "first"])
def test_channels_at_either_end(channels):
    images, labels = spots(channels=3)
    end = images if channels == "last" else images.transpose(0, 3, 1, 2)
    model = net(channels=channels, max_iter=2).fit(end, labels)
    expected = net(max_iter=2).fit(images, labels)
    assert model.image_size_ == (10, 10, 3)
    np.testing.assert_array_equal(model.predict_proba(end), expected.predict_proba(images))
    shape = (10, 10, 3) if channels == "last" else (3, 10, 10)
    flat = net(channels=channels, image_shape=shape, max_iter=2).fit(end.reshape(N, -1), labels)
    np.testing.assert_array_equal(flat.predict_proba(end), expected.predict_proba(images))


@pytest.mark.parametrize("factor", [1 / 255, 1.0, 1000.0])
def test_the_unit_of_pixels_does_not_matter(factor):
    model = net().fit(X * np.float64(factor), y)
    assert model.score(X_TEST * np.float64(factor), Y_TEST) > 0.95


def test_bytes_stay_bytes_until_they_are_in_a_batch(monkeypatch):
    seen = []
    forward = ConvNet.forward
    monkeypatch.setattr(
        ConvNet, "forward", lambda self, X: (seen.append((X.dtype, X.ndim)), forward(self, X))[1]
    )
    net(max_iter=1, test_time_augmentation=None).fit(X, y).predict(X)
    assert set(seen) == {(torch.uint8, 2)}


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int64, np.float16, np.float32])
def test_images_of_integers_are_learned_in_float32(dtype):
    images, options = X.astype(dtype), {"precision": None, "max_iter": 1}
    model = net(**options).fit(images, y)
    assert {p.dtype for p in model.module_.parameters()} == {torch.float32}
    expected = net(**options).fit(images.astype(np.float32), y).predict_proba(images)
    np.testing.assert_array_equal(model.predict_proba(images), expected)
    flat = images.reshape(N, -1)
    forms = [flat, torch.tensor(flat)]
    if np.dtype(dtype).kind in "biu":
        forms += [flat.tolist(), pd.DataFrame(flat), sp.csr_array(flat)]
    for rows in forms:
        found = net(**options, image_shape=(10, 10)).fit(rows, y)
        assert {p.dtype for p in found.module_.parameters()} == {torch.float32}
        np.testing.assert_allclose(found.predict_proba(rows), expected, rtol=1e-4, atol=1e-5)


def test_images_of_float64_are_learned_in_float64_where_nothing_else_is_said():
    model = net(precision=None, max_iter=1).fit(X.astype(np.float64), y)
    assert {p.dtype for p in model.module_.parameters()} == {torch.float64}


def test_pixels_are_standardised_by_the_training_images():
    read = ReadPixels((10, 10, 1), (X.mean(),), (X.std(),), "float64")
    images = read.images(torch.tensor(X.reshape(N, -1)))
    assert images.shape == (N, 1, 10, 10)
    assert images.mean().item() == pytest.approx(0, abs=1e-12)
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-12)
    colours = torch.arange(2 * 3 * 4 * 5).view(2, 3 * 4 * 5)
    found = ReadPixels((3, 4, 5), (0.0,) * 5, (1.0,) * 5).images(colours)
    torch.testing.assert_close(found, colours.view(2, 3, 4, 5).permute(0, 3, 1, 2).float())
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_held_out_images_do_not_change_the_fit(fitted):
    before = pickle.dumps(fitted._recipe.options["pixels"])
    fitted.predict(255 - X_TEST)
    assert pickle.dumps(fitted._recipe.options["pixels"]) == before


def test_pickles_and_clones(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X_TEST), fitted.predict_proba(X_TEST))
    assert clone(fitted).get_params()["architecture"] == SMALL


def test_warm_start_and_partial_fit_go_on():
    model = net(max_iter=2, warm_start=True).fit(X, y)
    first = model.loss_
    assert model.fit(X, y).loss_ < first
    with pytest.raises(ValueError, match="other layers"):
        model.set_params(architecture=[*SMALL[:-1], GlobalPool()]).fit(X, y)
    step = net().partial_fit(X, y, classes=np.unique(y))
    assert len(step.partial_fit(X, y).history_) == 2


def test_early_stopping_and_own_validation_images():
    model = net(early_stopping=True, n_iter_no_change=2, max_iter=30).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
    given = net(max_iter=2, scoring="accuracy").fit(X, y, X_val=X_TEST, y_val=Y_TEST)
    assert given.validation_scores_[-1] == pytest.approx(given.score(X_TEST, Y_TEST))


def test_in_a_grid_search_and_a_pipeline():
    grid = {"cnnclassifier__augmentation": [None, "shift"]}
    pipeline = make_pipeline(FunctionTransformer(lambda images: 255 - images), net(max_iter=2))
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert set(search.best_params_) == set(grid)


def test_weights_of_zero_are_rows_left_out():
    weight = np.ones(N)
    weight[::3] = 0
    found = net(max_iter=2).fit(X, y, weight).predict_proba(X_TEST)
    expected = net(max_iter=2).fit(X[weight > 0], y[weight > 0]).predict_proba(X_TEST)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_regression_of_one_and_several_targets():
    images = RNG.integers(0, 256, (N, 6, 6), dtype=np.uint8)
    mean, corner = images.mean(axis=(1, 2)), images[:, 0, 0].astype(float)
    target = (mean - mean.mean()) / mean.std()
    layers = [Conv(8), Activate(), GlobalPool()]
    model = CNNRegressor(layers, max_iter=40, random_state=0, learning_rate_init=0.02)
    assert model.fit(images, target).score(images, target) > 0.5
    both = clone(model).set_params(max_iter=1).fit(images, np.c_[target, corner])
    assert both.predict(images).shape == (N, 2)
    again = pickle.loads(pickle.dumps(both))
    np.testing.assert_array_equal(again.predict(images), both.predict(images))


def test_summary_counts_what_the_module_has(fitted):
    summary = fitted.summary()
    trained = sum(p.numel() for p in fitted.module_.parameters())
    assert summary.n_parameters == trained
    assert summary.rows[0].shape == (8, 10, 10)
    assert "Conv(filters=8)" in str(summary)


def test_no_warning_that_the_epochs_of_the_schedule_ran_out():
    net(max_iter=1).fit(X, y)  # warnings are errors here


@pytest.mark.parametrize("initializer", ["he_normal", "orthogonal"])
def test_initializers_set_the_weights(initializer):
    model = net(initializer=initializer, max_iter=1, learning_rate_init=1e-12).fit(X, y)
    start = net(max_iter=1, learning_rate_init=1e-12).fit(X, y)
    first, other = (m.module_.body[0].weight.detach() for m in (model, start))
    assert not torch.allclose(first, other)
    if initializer == "orthogonal":
        flat = first.flatten(1)
        torch.testing.assert_close(flat @ flat.T, 2 * torch.eye(8), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: net().fit(X.reshape(N, -1)[:, :99], y), "99 values are no square image"),
        (lambda: net(channels="last").fit(np.zeros((4, 3, 8, 8)), [0, 1] * 2), "channels='first'"),
        (lambda: net().fit(np.where(X > 250, np.nan, X), y), "NaN or infinite"),
        (lambda: net().fit([np.zeros((4, 4)), np.zeros((5, 4))], [0, 1]), "differ in size"),
        (lambda: net(architecture="lenet5").fit(X, y), "Did you mean 'lenet'"),
        (lambda: net(architecture=[Pool(kernel=11)]).fit(X, y), "its window takes 11"),
        (lambda: net(architecture=[Pool(kernel=3)]).fit(X, y), "is not an integer"),
        (lambda: net(augmentation="blur").fit(X, y), "blur"),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_image_is_learnt():
    model = net(max_iter=1).fit(X[:1], y[:1])
    assert model.predict(X[:5]).tolist() == y[:1].tolist() * 5


def test_images_of_another_size_are_refused_at_predict(fitted):
    with pytest.raises(ValueError, match="fitted on images of 10 x 10"):
        fitted.predict(np.zeros((3, 8, 8)))
    with pytest.raises(ValueError, match="features"):
        fitted.predict(np.zeros((3, 64)))


def test_pixels_in_another_unit_than_those_of_fit_are_noticed(fitted):
    with pytest.warns(UserWarning, match=r"largest pixel of X is 1, .* in the unit that fit saw"):
        fitted.predict(X_TEST / 255)
    scaled = net(max_iter=1).fit(X / 255, y)
    with pytest.warns(UserWarning, match="largest pixel of X is 255"):
        scaled.predict(X_TEST)
    # Dark images are none.
    fitted.predict(X_TEST[:3] // 200)
    fitted.predict(np.zeros((2, 10, 10)))
    scaled.predict(X_TEST / 1000)


def test_pixels_in_another_unit_are_noticed_wherever_they_come_in(fitted):
    told = pytest.warns(UserWarning, match="largest pixel of X is 1, ")
    with told:
        clone(fitted).set_params(max_iter=1).fit(X, y, X_val=X_TEST / 255, y_val=Y_TEST)
    going_on = net(max_iter=1, warm_start=True, schedule=None).fit(X, y)
    with told:
        going_on.fit(X / 255, y)
    with told:
        going_on.partial_fit(X / 255, y)


def test_validation_images_of_another_size_are_told_as_such():
    with pytest.raises(ValueError, match=r"images of 8 x 8 .* fitted on images of 10 x 10"):
        net().fit(X, y, X_val=np.zeros((3, 8, 8)), y_val=y[:3])


@pytest.mark.parametrize("wrap", [list, np.array, pd.Series, lambda paths: [*map(Path, paths)]])
def test_paths_are_read_before(wrap):
    with pytest.raises(ValueError, match=r"paths such as 'a.png', .* load_image_folder"):
        net().fit(wrap(["a.png", "b.png"]), [0, 1])


def test_paths_are_refused_in_predictions_and_by_encoders(fitted):
    with pytest.raises(ValueError, match="CNNClassifier takes arrays"):
        fitted.predict(["a.png", "b.png"])
    with pytest.raises(ValueError, match="ContrastiveEncoder takes arrays"):
        ContrastiveEncoder().fit(["a.png", "b.png"])


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 1), (1, 10, 10)])
def test_one_image_is_told_from_several(fitted, shape):
    image = X_TEST[0].reshape(shape)
    if shape[0] == 1:
        assert fitted.predict(image).shape == (1,)
        return
    with pytest.raises(ValueError, match=r"that of one image; .* X\[None\] for one"):
        fitted.predict(image)
    assert fitted.predict(image[None]).shape == (1,)


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 1), (1, 10, 10), (5, 4, 3)])
def test_fit_on_one_image_says_how_to_give_it(shape):
    net = CNNClassifier(max_iter=1, channels="first" if shape[0] == 1 else "last")
    image = np.zeros(shape)
    if shape[0] == 1:
        # One image, grey, of 10 x 10 pixels.
        assert net.fit(image, ["a"]).classes_.tolist() == ["a"]
        return
    with pytest.raises(ValueError, match=r"one label, .* that of one image; .* X\[None\] for one"):
        net.fit(image, ["a"])


def test_flattened_images_are_of_the_size_that_was_fitted():
    high, labels = X[:, :6], y
    model = net(max_iter=1).fit(high, labels)
    expected = model.predict_proba(high)
    np.testing.assert_array_equal(model.predict_proba(high.reshape(N, -1)), expected)


def test_many_channels_of_few_pixels_are_taken_where_the_shape_says_so():
    images = RNG.random((20, 3, 3, 5))
    model = net(architecture=[Conv(4)], max_iter=1, image_shape=(3, 3, 5)).fit(images, y[:20])
    assert model.predict(images).shape == (20,)


def test_another_number_of_channels_is_refused_at_predict():
    coloured, labels = spots(40, channels=3)
    model = net(max_iter=1).fit(coloured, labels)
    with pytest.raises(ValueError, match="3 channels"):
        model.predict(coloured[..., :1])
    with pytest.raises(ValueError, match="fitted on images of 10 x 10"):
        model.predict(coloured[..., 0])


def test_flattened_colours_of_torch_are_warned_of():
    rows = np.zeros((2, 3 * 8 * 8))
    with pytest.warns(UserWarning, match="means images 3 pixels high with 8 channels"):
        form_of(rows, "last", (3, 8, 8))
    # Warnings are errors otherwise.
    assert form_of(rows, "first", (3, 8, 8)).size == (8, 8, 3)
    assert form_of(rows, "last", (1, 12, 16)).n_channels == 16
