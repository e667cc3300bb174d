"""ContrastiveEncoder, MaskedAutoencoder, Autoencoder: rows in, embeddings out, what is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

import mlfund
from mlfund import Autoencoder, CNNClassifier, CNNRegressor, ContrastiveEncoder, MaskedAutoencoder
from mlfund.augmentation import RandomShift
from mlfund.nets.layers import Activate, Conv, GlobalPool, Norm, Pool

SMALL = (Conv(8), Norm(), Activate(), Pool(), GlobalPool("max"))
TABLE, Y = load_digits(return_X_y=True)
TABLE, Y = TABLE[:300], Y[:300]
IMAGES = TABLE.reshape(-1, 8, 8).astype(np.uint8)
ENCODERS = (ContrastiveEncoder, MaskedAutoencoder, Autoencoder)
each = pytest.mark.parametrize("cls", ENCODERS)


def make(cls, **options):
    given = {"architecture": SMALL, "hidden_layer_sizes": 16, "max_iter": 2, "random_state": 0}
    return cls(**{**given, **options})


@pytest.fixture(scope="module")
def fitted():
    return {cls: make(cls).fit(IMAGES) for cls in ENCODERS}


@each
@pytest.mark.parametrize("rows", [TABLE, IMAGES], ids=["table", "images"])
def test_learns_and_embeds(cls, rows):
    encoder = make(cls, max_iter=6).fit(rows)
    assert encoder.loss_curve_[-1] < encoder.loss_curve_[0]
    assert list(encoder.history_["epoch"]) == [1, 2, 3, 4, 5, 6]
    embeddings = encoder.transform(rows)
    width = 32 if cls is Autoencoder else (16 if rows is TABLE else 8)
    assert embeddings.shape == (300, width)
    assert embeddings.std(axis=0).max() > 0
    assert encoder.get_feature_names_out()[0] == f"{cls.__name__.lower()}0"
    assert len(encoder.get_feature_names_out()) == width
    np.testing.assert_allclose(encoder.transform(rows[7:8]), embeddings[7:8], rtol=1e-4, atol=1e-5)


@each
def test_the_same_seed_gives_the_same_embeddings(cls, fitted):
    expected = fitted[cls].transform(IMAGES)
    np.testing.assert_array_equal(make(cls).fit_transform(IMAGES), expected)
    np.testing.assert_array_equal(make(cls).fit(IMAGES, Y).transform(IMAGES), expected)
    other = make(cls, random_state=1).fit_transform(IMAGES)
    assert not np.array_equal(other, expected)


@each
def test_forms_of_the_same_images_are_one(cls, fitted):
    encoder = fitted[cls]
    expected = encoder.transform(IMAGES)
    flat = IMAGES.reshape(len(IMAGES), -1)
    for form in (flat, IMAGES[..., None], list(IMAGES), torch.tensor(IMAGES), flat.astype(float)):
        np.testing.assert_allclose(encoder.transform(form), expected, atol=1e-4)
    from_flat = make(cls, image_shape=(8, 8)).fit(flat)
    assert from_flat.image_size_ == (8, 8, 1)
    np.testing.assert_array_equal(from_flat.transform(flat), expected)
    assert make(cls).fit(flat).image_size_ is None


@each
def test_channels_at_either_end(cls):
    colours = np.repeat(IMAGES[:60, ..., None], 3, axis=-1)
    colours[..., 1] //= 2
    last = make(cls, max_iter=1).fit(colours)
    first = make(cls, max_iter=1, channels="first").fit(colours.transpose(0, 3, 1, 2))
    assert first.image_size_ == last.image_size_ == (8, 8, 3)
    expected = last.transform(colours)
    np.testing.assert_array_equal(first.transform(colours.transpose(0, 3, 1, 2)), expected)
    flat = colours.transpose(0, 3, 1, 2).reshape(60, -1)
    np.testing.assert_array_equal(first.transform(flat), expected)


@each
def test_goes_through_files_and_searches(cls, fitted, tmp_path):
    encoder = fitted[cls]
    expected = encoder.transform(IMAGES)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(IMAGES), expected)
    mlfund.save(encoder, tmp_path / "encoder.skops")
    np.testing.assert_array_equal(
        mlfund.load(tmp_path / "encoder.skops").transform(IMAGES), expected
    )
    assert not hasattr(clone(encoder), "module_")
    model = make_pipeline(make(cls, max_iter=1), KNeighborsClassifier())
    assert cross_val_score(model, IMAGES, Y, cv=2, error_score="raise").shape == (2,)


@each
def test_a_backbone_starts_the_nets(cls, fitted):
    encoder = fitted[cls]
    backbone = encoder.export_backbone()
    assert backbone == encoder.export_backbone()
    assert backbone.source == cls.__name__
    assert backbone.image_size == (8, 8, 1)
    frozen = {"backbone": backbone, "strategy": "feature_extraction", "max_iter": 1}
    net = CNNClassifier(**frozen, random_state=0).fit(IMAGES, Y)
    read = net.module_.pixels.images(torch.tensor(IMAGES.reshape(300, -1)))
    features = net.module_.body(read).flatten(1).detach().numpy()
    expected = fitted[cls].module_.body(
        encoder.module_.images(torch.tensor(IMAGES.reshape(300, -1)))
    )
    np.testing.assert_allclose(features, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    CNNRegressor(**frozen, random_state=0).fit(IMAGES, Y)


@each
@pytest.mark.parametrize("is_fitted", [False, True])
def test_an_encoder_is_no_backbone(cls, fitted, is_fitted):
    encoder = fitted[cls] if is_fitted else make(cls)
    with pytest.raises(ValueError, match=r"give backbone=encoder\.export_backbone\(\)"):
        CNNClassifier(backbone=encoder).fit(IMAGES, Y)
    with pytest.raises(ValueError, match=r"give backbone=encoder\.export_backbone\(\)"):
        GridSearchCV(
            CNNClassifier(max_iter=1), {"backbone": [encoder]}, cv=2, error_score="raise"
        ).fit(IMAGES, Y)


@each
def test_goes_on(cls, fitted):
    # Views are drawn at random: fewer epochs may end with harder ones.
    encoder = make(cls, warm_start=True, max_iter=5).fit(IMAGES)
    before = encoder.loss_
    assert encoder.fit(IMAGES).loss_ < before
    assert len(encoder.loss_curve_) == 10
    with pytest.raises(ValueError, match="ask for another"):
        encoder.set_params(architecture="lenet").fit(IMAGES)
    step = make(cls, max_iter=9).partial_fit(IMAGES).partial_fit(IMAGES[:100])
    assert step.t_ == 400
    assert step.n_features_in_ == 64


@each
def test_a_killed_training_goes_on_to_the_same_end(cls, tmp_path):
    class Kill(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    options = {"checkpoint_dir": tmp_path, "checkpoint_every": 1, "max_iter": 3}
    # A callback is part of what identifies a training, so that it is told to go away.
    encoder = make(cls, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlfund.estimators._neural_training.reports", lambda _: [])
        patch.setattr(
            "mlfund.estimators._neural_training.checkpoints",
            lambda e, make=mlfund.estimators._neural_training.checkpoints: [*make(e), Kill()],
        )
        with pytest.raises(KeyboardInterrupt):
            encoder.fit(IMAGES)
    assert not hasattr(encoder, "module_")
    expected = make(cls, max_iter=3).fit_transform(IMAGES)
    np.testing.assert_array_equal(make(cls, **options).fit_transform(IMAGES), expected)


@each
def test_pandas_out_and_names_in(cls):
    frame = pd.DataFrame(TABLE[:50, :6], columns=list("abcdef"))
    encoder = make(cls, max_iter=1).set_output(transform="pandas").fit(frame)
    assert list(encoder.transform(frame).columns) == list(encoder.get_feature_names_out())
    assert list(encoder.feature_names_in_) == list("abcdef")


@each
@pytest.mark.parametrize("precision", ["float64", "float32", "bf16"])
def test_precision(cls, precision):
    encoder = make(cls, precision=precision).fit(IMAGES)
    assert np.isfinite(encoder.loss_)
    dtype = np.float64 if precision == "float64" else np.float32
    assert encoder.transform(IMAGES).dtype == dtype


@each
@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int64, np.float16, np.float32])
def test_images_of_integers_are_learned_in_float32(cls, dtype):
    images = IMAGES[:60].astype(dtype)
    expected = make(cls, max_iter=1).fit(images.astype(np.float32)).transform(images)
    flat = images.reshape(60, -1)
    forms = [(images, None), (flat, (8, 8)), (pd.DataFrame(flat), (8, 8)), (flat.tolist(), (8, 8))]
    for X, shape in forms if np.dtype(dtype).kind in "biu" else forms[:2]:
        encoder = make(cls, max_iter=1, image_shape=shape).fit(X)
        assert encoder._recipe.dtype == "float32"
        assert encoder.transform(X).dtype == np.float32
        np.testing.assert_allclose(encoder.transform(X), expected, rtol=1e-4, atol=1e-5)
    assert make(cls, max_iter=1).fit(images.astype(np.float64))._recipe.dtype == "float64"
    assert make(cls, max_iter=1).fit(TABLE[:60].astype(np.int64))._recipe.dtype == "float64"


@each
def test_other_architectures_and_seeds_of_layers(cls):
    for architecture in ("lenet", "resnet20"):
        encoder = make(cls, architecture=architecture, max_iter=1).fit(IMAGES[:40])
        assert (
            encoder.export_backbone().n_features
            == encoder.module_.body(torch.zeros(1, 1, 8, 8)).flatten(1).shape[1]
        )
    group = make(cls, normalization="group", activation="gelu", max_iter=1).fit(TABLE)
    assert np.isfinite(group.loss_)


def test_learned_embeddings_are_better_than_random_ones():
    digits, y = load_digits(return_X_y=True)
    images = digits.reshape(-1, 8, 8).astype(np.uint8)
    layers = [Conv(16), Norm(), Activate(), Pool(), Conv(32), Norm(), Activate(), GlobalPool()]
    scores = {}
    for rate in (1e-9, 0.01):
        options = {"learning_rate_init": rate, "max_iter": 8, "random_state": 0}
        embedded = ContrastiveEncoder(layers, **options).fit(images[:1400]).transform(images)
        probe = KNeighborsClassifier(1).fit(embedded[:50], y[:50])
        scores[rate] = probe.score(embedded[1400:], y[1400:])
    assert scores[0.01] > scores[1e-9] + 0.1


def test_contrastive_views_are_as_told(fitted):
    given = make(ContrastiveEncoder, augmentation=[RandomShift(1), "erasing"]).fit(IMAGES)
    named = make(ContrastiveEncoder, augmentation=RandomShift(1)).fit(IMAGES)
    auto = fitted[ContrastiveEncoder]
    assert len({given.loss_, named.loss_, auto.loss_}) == 3
    with pytest.raises(ValueError, match=r"augmentation='shft' is not known.*'shift'"):
        make(ContrastiveEncoder, augmentation="shft").fit(IMAGES)
    with pytest.raises(ValueError, match="projection is empty"):
        make(ContrastiveEncoder, projection=()).fit(IMAGES)


def test_masks_of_a_given_size():
    small = make(MaskedAutoencoder, patch_size=1).fit(IMAGES)
    large = make(MaskedAutoencoder, patch_size=4, mask_ratio=0.5).fit(IMAGES)
    assert small.loss_ != large.loss_
    with pytest.raises(ValueError, match="'mask_ratio' parameter"):
        make(MaskedAutoencoder, mask_ratio=1.0).fit(IMAGES)


def test_of_few_columns_some_are_left_to_see():
    model = make(MaskedAutoencoder, mask_ratio=0.9, max_iter=15).fit(TABLE[:, 2:5])
    # Of rows without anything to see the mean is the best guess, with a loss of 1.
    assert model.loss_ < 0.95


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (IMAGES, {"patch_size": 8}, r"patch_size=8 makes one .* 8 x 8 .*patch_size=7 or less"),
        (IMAGES[:, :5], {"patch_size": 9}, r"patch_size=9 .* 5 x 8 pixels.*patch_size=7 or less"),
        (TABLE[:, 3:4], {}, r"X has 1 feature\(s\).*two columns"),
        (IMAGES[:, 3:4, 3:4], {"patch_size": 1}, r"X has 1 feature\(s\)"),
    ],
)
def test_one_part_cannot_be_hidden_and_seen(rows, options, message):
    with pytest.raises(ValueError, match=message):
        make(MaskedAutoencoder, architecture=(Conv(4), GlobalPool()), **options).fit(rows)


def test_statistics_are_those_of_rows_without_masks(fitted):
    encoder = fitted[MaskedAutoencoder]
    images = encoder.module_.images(torch.tensor(IMAGES.reshape(300, -1)))
    filtered = encoder.module_.body[0](images)
    expected = filtered.mean(dim=(0, 2, 3)).detach()
    torch.testing.assert_close(encoder.module_.body[1].running_mean, expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("channels", [None, "last", "first"])
def test_codes_lead_back_to_rows(channels):
    rows, options = IMAGES, {}
    if channels:
        rows = np.stack([IMAGES, IMAGES // 2, 200 - IMAGES], axis=-1)
        rows = rows if channels == "last" else rows.transpose(0, 3, 1, 2)
        options = {"channels": channels}
    model = make(Autoencoder, max_iter=8, **options).fit(rows)
    back = model.inverse_transform(model.transform(rows))
    assert back.shape == rows.shape
    error = model.reconstruction_error(rows)
    assert error.shape == (300,)
    assert error.mean() < 0.8
    # The error is one of standardised values.
    axes = (0, 1, 2) if channels != "first" else (0, 2, 3)
    spread = rows.std(axis=axes, keepdims=True) if channels else rows.std()
    expected = (((back - rows) / spread) ** 2).reshape(300, -1).mean(axis=1)
    np.testing.assert_allclose(error, expected, rtol=1e-3)
    np.testing.assert_array_equal(model.score_samples(rows), -error)
    assert model.score(rows) == pytest.approx(-error.mean())


def test_strange_rows_are_given_back_worse():
    model = Autoencoder(n_components=8, hidden_layer_sizes=64, max_iter=15, random_state=0)
    model.fit(TABLE)
    shuffled = np.random.default_rng(0).permuted(TABLE, axis=1)
    assert model.score_samples(TABLE).mean() > 2 * model.score_samples(shuffled).mean()
    flat = model.inverse_transform(model.transform(TABLE))
    assert flat.shape == TABLE.shape
    with pytest.raises(ValueError, match=r"X has 3 columns, and codes .* have 8"):
        model.inverse_transform(np.zeros((2, 3)))


def test_constant_columns_do_no_harm():
    rows = TABLE.copy()
    rows[:, 5] = 7.0
    for cls in ENCODERS:
        assert np.isfinite(make(cls).fit_transform(rows)).all()


@each
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TABLE[:1], "minimum of 2"),
        (np.where(TABLE == 3, np.nan, TABLE), "NaN"),
        (np.full(IMAGES.shape, np.inf), "NaN or infinite"),
        ([IMAGES[0], IMAGES[1, :4]], "differ in size"),
    ],
)
def test_bad_rows_are_refused(cls, rows, message):
    with pytest.raises(ValueError, match=message):
        make(cls).fit(rows)


@each
def test_rows_of_another_kind_are_refused(cls, fitted):
    with pytest.raises(ValueError, match=r"6 x 8 pixels .* was fitted on images of 8 x 8"):
        fitted[cls].transform(IMAGES[:, :6])
    table = make(cls, max_iter=1).fit(TABLE)
    with pytest.raises(ValueError, match="was fitted on rows of a table"):
        table.transform(IMAGES)
    with pytest.raises(ValueError, match="fitted on rows of a table: put it into a Pipeline"):
        table.export_backbone()


@each
@pytest.mark.parametrize("rows", [TABLE, IMAGES], ids=["table", "images"])
def test_a_summary_leads_from_rows_to_embeddings(cls, rows):
    encoder = make(cls, max_iter=1).fit(rows)
    summary = encoder.summary()
    assert summary.rows[-1].shape[0] == encoder.transform(rows).shape[1]
    assert summary.shape == ((64, 1, 1) if rows is TABLE else (1, 8, 8))
    trained = sum(p.numel() for p in encoder.module_.parameters() if p.requires_grad)
    beside = trained - summary.n_parameters
    assert beside > 0
    assert f"{beside:,} parameters" in str(summary).splitlines()[-1]
