"""Laws that hold for every augmentation."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from mlfund._engine.data import Batch
from mlfund.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    GaussianNoise,
    LabelSmoothing,
    Mixup,
    Rows,
    get_augmentation,
    transforms_of,
)
from mlfund.losses import LOSSES, loss_for

every_augmentation = pytest.mark.parametrize(
    "augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS
)
KINDS = ["binary", "multiclass", "multilabel"]
N, D, K = 60, 4, 3
IMAGE = (2, 10, 12)


def rows(kind="multiclass", weighted=False, shape=(D,), seed=0):
    rng = np.random.default_rng(seed)
    X = torch.tensor(rng.normal(size=(N, *shape)), dtype=torch.float32)
    if kind == "multiclass":
        y = torch.nn.functional.one_hot(torch.tensor(rng.integers(K, size=N)), K).float()
    else:
        y = torch.tensor(rng.integers(2, size=(N, 1 if kind == "binary" else K))).float()
    weight = torch.tensor(rng.uniform(size=N), dtype=torch.float32) if weighted else None
    return Rows(X, y, weight)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rows_for(augmentation):
    return rows(shape=IMAGE if augmentation.of_images else (D,))


def clones(given):
    return [None if part is None else part.clone() for part in given[:4]]


@every_augmentation
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(D,), IMAGE])
def test_shapes_and_dtypes_stay_and_nothing_is_changed_in_place(
    augmentation, kind, weighted, shape
):
    if augmentation.of_images and shape != IMAGE:
        with pytest.raises(ValueError, match=f"{augmentation.name} is for images"):
            augmentation.apply(rows(kind, weighted, shape), seeded(), kind)
        return
    given = rows(kind, weighted, shape)._replace(number=torch.arange(N), epoch=3)
    before = clones(given)
    found = augmentation.apply(given, seeded(), kind)
    assert (given.epoch, found.epoch) == (3, 3)
    for old, kept, new in zip(before, given[:4], found[:4], strict=True):
        assert (old is None) == (new is None)
        if old is not None:
            torch.testing.assert_close(kept, old, rtol=0, atol=0)
            assert (new.shape, new.dtype) == (old.shape, old.dtype)
    assert not torch.equal(torch.cat([found.X.flatten(), found.y.flatten()]),
                           torch.cat([given.X.flatten(), given.y.flatten()]))  # fmt: skip


@every_augmentation
def test_a_seed_gives_the_same_rows_and_leaves_the_global_state(augmentation):
    state = torch.random.get_rng_state()
    first = augmentation.apply(rows_for(augmentation), seeded(1), "multiclass")
    again = augmentation.apply(rows_for(augmentation), seeded(1), "multiclass")
    other = augmentation.apply(rows_for(augmentation), seeded(2), "multiclass")
    assert torch.equal(first.X, again.X)
    assert torch.equal(first.y, again.y)
    if augmentation.changes_X:
        assert not torch.equal(first.X, other.X)
    else:
        assert torch.equal(first.X, rows_for(augmentation).X)
    assert torch.equal(torch.random.get_rng_state(), state)


@every_augmentation
def test_targets_of_classes_stay_probabilities(augmentation):
    found = augmentation.apply(rows_for(augmentation), seeded(), "multiclass").y
    assert ((found >= 0) & (found <= 1)).all()
    torch.testing.assert_close(found.sum(1), torch.ones(N))
    assert augmentation.softens == bool(((found > 0) & (found < 1)).any())


def test_noise_has_its_standard_deviation_and_no_bias():
    given = Rows(torch.ones(20_000, 2), torch.ones(20_000, 1))
    added = GaussianNoise(0.3).apply(given, seeded(), "real").X - 1
    assert stats.kstest(added.flatten().numpy() / 0.3, "norm").pvalue > 1e-3
    assert torch.equal(GaussianNoise(0.0).apply(given, seeded(), "real").X, given.X)


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_shares_of_mixup_are_beta_distributed_and_the_same_for_features_and_target(alpha):
    # Features and target are the number of the row, so that a mix tells both rows apart.
    n = 4000
    code = torch.zeros(n, 2, dtype=torch.float64)
    code[:, 0] = torch.arange(n)
    code[:, 1] = torch.arange(n).double() ** 2 / n
    found = Mixup(alpha).apply(Rows(code, code[:, :1]), seeded(), "real")
    torch.testing.assert_close(found.X[:, :1], found.y)
    # a + b share, with a and b two rows: solve for the other row and the share of this one.
    shift, square = found.X[:, 0] - code[:, 0], found.X[:, 1] - code[:, 1]
    moved = shift.abs() > 1e-6 * n
    other = square[moved] / shift[moved] * n - code[moved, 0]
    share = 1 - shift[moved] / (other - code[moved, 0])
    assert (other - other.round()).abs().max() < 1e-2
    assert len(other.round().unique()) == len(other)
    assert stats.kstest(share.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_mixup_with_small_shares_has_the_variance_of_the_beta_distribution():
    share = (
        Mixup(0.1)
        .apply(
            Rows(torch.tensor([[0.0], [1.0]]).repeat(5000, 1), torch.zeros(10_000, 1)),
            seeded(),
            "real",
        )
        .X
    )
    # A mix of 0 and 1 in half of the pairs, else an unmixed row.
    expected = 0.25 * 0.5 + 0.5 * (0.25 * 1 / (2 * 0.1 + 1))
    assert share.var().item() == pytest.approx(expected, rel=0.03)


def test_weights_of_mixup_are_repetitions():
    given = rows(weighted=True)
    given.weight[:20] = 0
    found = Mixup().apply(given, seeded(), "multiclass")
    poisoned = Rows(given.X.clone(), given.y, given.weight)
    poisoned.X[:20] = 1e6
    other = Mixup().apply(poisoned, seeded(), "multiclass")
    counted = found.weight > 0
    torch.testing.assert_close(found.X[counted], other.X[counted])
    assert torch.equal(found.weight, other.weight)
    totals = [Mixup().apply(given, seeded(s), "multiclass").weight.sum() for s in range(300)]
    assert torch.stack(totals).mean() == pytest.approx(given.weight.sum().item(), rel=0.03)
    equal = Mixup().apply(given._replace(weight=torch.full((N,), 0.2)), seeded(), "multiclass")
    torch.testing.assert_close(equal.weight, torch.full((N,), 0.2))
    none = Mixup().apply(given._replace(weight=torch.zeros(N)), seeded(), "multiclass")
    assert (none.weight == 0).all()


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
def test_label_smoothing_is_that_of_torch(amount):
    raw, codes = torch.randn(N, K, generator=seeded()), rows().y.argmax(1)
    smooth = LabelSmoothing(amount).apply(rows(), None, "multiclass").y
    value = LOSSES["log_loss_multinomial"].value(raw, smooth)
    expected = torch.nn.functional.cross_entropy(
        raw, codes, reduction="none", label_smoothing=amount
    )
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_label_smoothing_of_a_label_is_towards_one_half(kind):
    given = rows(kind)
    found = LabelSmoothing(0.2).apply(given, None, kind).y
    torch.testing.assert_close(found, 0.8 * given.y + 0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_transforms_take_and_give_batches_of_the_engine(kind, weighted):
    given = rows(kind, weighted, IMAGE)
    y = given.y.argmax(1) if kind == "multiclass" else given.y
    total = float(given.weight.sum()) if weighted else float(N)
    batch = Batch.of(given.X, y, given.weight, total)
    entries = list(AUGMENTATIONS.values())
    generator = seeded(3)
    for transform in transforms_of(entries, loss_for("log_loss", kind), K):
        batch = transform(batch, generator)
    expected, generator = given, seeded(3)
    for entry in entries:
        expected = entry.apply(expected, generator, kind)
    assert isinstance(batch, Batch)
    assert batch.total == total
    torch.testing.assert_close(batch[0], expected.X)
    torch.testing.assert_close(batch[1], expected.y)
    if weighted:
        torch.testing.assert_close(batch.weight, expected.weight)
    raw = torch.zeros(N, batch[1].shape[1])
    assert loss_for("log_loss", kind).value(raw, batch[1]).shape == (N,)


def test_noise_leaves_class_codes_and_integer_features_are_refused():
    codes = torch.zeros(N, dtype=torch.int64)
    loss = loss_for("hinge", "multiclass")
    (noisy,) = transforms_of([GaussianNoise()], loss, K)
    assert noisy(Batch.of(rows().X, codes, None, N), seeded())[1] is codes
    with pytest.raises(ValueError, match=r"gaussian_noise needs floating-point features.*int64"):
        noisy(Batch.of(codes[:, None], codes, None, N), seeded())


@pytest.mark.parametrize("name", ["mixup", "label_smoothing"])
def test_losses_without_soft_targets_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} makes probabilities.*'hinge' does not take"):
        transforms_of([AUGMENTATIONS[name]], LOSSES["hinge"], 2)
    assert len(transforms_of([Mixup()], LOSSES["squared_error"], 0)) == 1


def test_label_smoothing_is_for_classes():
    with pytest.raises(ValueError, match="classes, and these are real"):
        LabelSmoothing().apply(rows(), None, "real")


@every_augmentation
def test_entries_compare_hash_and_survive_pickling(augmentation):
    again = pickle.loads(pickle.dumps(augmentation))
    assert (again, hash(again)) == (augmentation, hash(augmentation))
    assert get_augmentation(augmentation.name) is augmentation
    assert isinstance(augmentation, Augmentation)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mixp", {}, "Did you mean 'mixup'"),
        ("mixup", {"alpha": 0}, "alpha must be a finite number greater than 0"),
        ("gaussian_noise", {"std": -1}, "std must be a finite number at least 0"),
        ("label_smoothing", {"amount": 1.0}, "amount must be at least 0 and less than 1"),
        ("flip", {"axis": "left"}, "axis"),
        ("shift", {"pixels": 1.5}, "pixels"),
        ("affine", {"degrees": 181}, "degrees must be at most 180"),
        ("affine", {"shear": 8}, "shear must be at most 1, a slant of 45 degrees; got 8"),
        ("affine", {"scale": 1}, "scale must be at least 0 and less than 1"),
        ("affine", {"shear": -0.1}, "shear must be a finite number at least 0"),
        ("elastic", {"amount": -0.1}, "amount must be a finite number at least 0"),
        ("elastic", {"cells": 0}, "cells"),
        ("color_jitter", {"contrast": 2}, "contrast"),
        ("cutout", {"size": 0}, "size"),
        ("erasing", {"probability": -1}, "probability"),
        ("cutmix", {"alpha": 0}, "alpha must be a finite number greater than 0"),
    ],
)
def test_get_augmentation_says_what_is_wrong(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_augmentation(name, **options)
