"""What each augmentation of images does to the pixels."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mlfund.augmentation import (
    AlternatingFlip,
    ColorJitter,
    CutMix,
    Cutout,
    RandomAffine,
    RandomElastic,
    RandomErasing,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomShift,
    Rows,
)

N = 400


def images(n=N, shape=(2, 8, 10), seed=0):
    X = torch.tensor(np.random.default_rng(seed).normal(size=(n, *shape)), dtype=torch.float32)
    return Rows(X, torch.zeros(n, 1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def same(first, second):
    return (first == second).flatten(1).all(dim=1)


@pytest.mark.parametrize(("axis", "dim"), [("horizontal", 3), ("vertical", 2)])
def test_a_flip_mirrors_its_share_of_the_images(axis, dim):
    given = images()
    found = RandomFlip(axis, probability=0.3).apply(given, seeded(), "real").X
    mirrored, kept = same(found, given.X.flip(dim)), same(found, given.X)
    assert (mirrored ^ kept).all()
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.1)


def test_flips_of_both_axes_are_drawn_apart():
    given = images()
    found = RandomFlip("both").apply(given, seeded(), "real").X
    for dims in ((), (2,), (3,), (2, 3)):
        part = same(found, given.X.flip(dims)).float().mean().item()
        assert part == pytest.approx(0.25, abs=0.1)


def test_an_alternating_flip_shows_each_image_and_its_mirror_image_in_turn():
    flip, given = AlternatingFlip(), images()._replace(number=torch.arange(N))
    epochs = [flip.apply(given._replace(epoch=e), seeded(), "real").X for e in range(3)]
    mirrored = same(epochs[0], given.X.flip(3))
    assert (mirrored ^ same(epochs[0], given.X)).all()
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.1)
    # Neighbours are not in one half, nor in turn in both.
    assert (mirrored[1:] == mirrored[:-1]).float().mean().item() == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(epochs[1], epochs[0].flip(3), rtol=0, atol=0)
    torch.testing.assert_close(epochs[2], epochs[0], rtol=0, atol=0)


def test_an_alternating_flip_goes_by_the_row_and_the_seed_alone():
    flip, given = AlternatingFlip(), images()._replace(number=torch.arange(N))
    order = torch.randperm(N, generator=seeded(1))
    used = seeded()
    torch.rand(5, generator=used)
    shuffled = given._replace(X=given.X[order], number=order)
    expected = flip.apply(given, seeded(), "real").X
    torch.testing.assert_close(flip.apply(shuffled, used, "real").X, expected[order])
    other = flip.apply(given, seeded(7), "real").X
    assert same(other, expected).float().mean().item() == pytest.approx(0.5, abs=0.1)
    # Rows that nobody counted are drawn for.
    drawn = [flip.apply(images(), used, "real").X for _ in range(2)]
    assert same(*drawn).float().mean().item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("fill", ["zeros", "reflect"])
def test_a_shift_is_a_crop_of_the_padded_image(fill):
    given, most = images(), 2
    found = RandomShift(most, fill=fill).apply(given, seeded(), "real").X
    mode = "constant" if fill == "zeros" else "reflect"
    padded = torch.nn.functional.pad(given.X, (most,) * 4, mode=mode)
    high, wide = given.X.shape[2:]
    matches = torch.stack(
        [
            same(found, padded[:, :, down : down + high, right : right + wide])
            for down in range(2 * most + 1)
            for right in range(2 * most + 1)
        ]
    )
    assert (matches.sum(dim=0) == 1).all()
    # 25 shifts, 16 images each on average.
    assert matches.sum(dim=1).min() >= 3


def test_a_reflection_needs_pixels_enough():
    with pytest.raises(ValueError, match="needs larger images than 8 x 10"):
        RandomShift(8, fill="reflect").apply(images(), seeded(), "real")


def test_an_affine_change_by_nothing_changes_nothing():
    given = images()
    found = RandomAffine(0, 0).apply(given, seeded(), "real").X
    torch.testing.assert_close(found, given.X, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 21, 21), (1, 21, 31)])
def test_a_rotation_is_that_of_scipy(shape, monkeypatch):
    from mlfund.augmentation import _images

    degrees = 25.0
    monkeypatch.setattr(
        _images, "_uniform", lambda X, low, high, *rest: torch.full((len(X),), float(high))
    )
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape[1:]), 2)
    X = torch.tensor(smooth)[None, None].float()
    found = RandomAffine(degrees, 0).apply(Rows(X, torch.zeros(1, 1)), None, "real").X[0, 0]
    expected = ndimage.rotate(smooth, degrees, reshape=False, order=1)
    inner = (slice(7, -7), slice(9, -9) if shape[2] > 21 else slice(7, -7))
    np.testing.assert_allclose(found.numpy()[inner], expected[inner], atol=1e-4)


def test_a_scale_moves_what_is_off_the_centre(monkeypatch):
    from mlfund.augmentation import _images

    monkeypatch.setattr(
        _images, "_uniform", lambda X, low, high, *rest: torch.full((len(X),), float(high))
    )
    X = torch.zeros(1, 1, 41, 41)
    X[0, 0, 20, 30] = 1.0
    found = RandomAffine(0, 0.5).apply(Rows(X, torch.zeros(1, 1)), None, "real").X[0, 0]
    assert divmod(int(found.argmax()), 41) == (20, 35)


@pytest.mark.parametrize("shape", [(21, 21), (21, 31)])
def test_a_slant_is_that_of_scipy(shape, monkeypatch):
    from mlfund.augmentation import _images

    monkeypatch.setattr(
        _images, "_uniform", lambda X, low, high, *rest: torch.full((len(X),), float(high))
    )
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 2)
    X = torch.tensor(smooth)[None, None].float()
    found = RandomAffine(0, 0, shear=0.3).apply(Rows(X, torch.zeros(1, 1)), None, "real").X[0, 0]
    # What a pixel takes lies 0.3 columns further right for each row below the middle.
    matrix = np.array([[1, 0], [0.3, 1]])
    offset = np.array([0, -0.3 * (shape[0] - 1) / 2])
    expected = ndimage.affine_transform(smooth, matrix, offset, order=1)
    inner = (slice(4, -4), slice(5, -5))
    np.testing.assert_allclose(found.numpy()[inner], expected[inner], atol=1e-4)


def test_an_elastic_change_by_nothing_changes_nothing():
    given = images()
    found = RandomElastic(0).apply(given, seeded(), "real").X
    torch.testing.assert_close(found, given.X, atol=1e-5, rtol=0)


def test_elastic_moves_are_smooth_and_as_large_as_said():
    side, n = 40, 200
    # The value of a pixel is its column: what is found says where it came from.
    X = torch.arange(side).float().expand(n, 1, side, side)
    found = RandomElastic(0.05).apply(Rows(X, torch.zeros(n, 1)), seeded(), "real").X
    moved = (found - X)[:, 0, 10:-10, 10:-10]
    assert 0.6 * 0.05 * side < moved.std() < 1.1 * 0.05 * side
    assert moved.diff(dim=1).abs().max() < 0.5 * moved.abs().max()
    assert len({float(one.mean()) for one in moved}) > 0.9 * n


def test_brightness_moves_the_mean_and_contrast_the_spread():
    given = images()
    brighter = ColorJitter(0.5, 0, 0).apply(given, seeded(), "real").X - given.X
    flat = brighter.flatten(1)
    torch.testing.assert_close(flat, flat[:, :1].expand_as(flat), atol=1e-5, rtol=0)
    assert 0.4 < flat.abs().max() <= 0.5
    spread = ColorJitter(0, 0.5, 0).apply(given, seeded(), "real").X.flatten(1)
    ratio = spread.std(dim=1) / given.X.flatten(1).std(dim=1)
    assert 0.5 <= ratio.min() < 0.6 < 1.4 < ratio.max() <= 1.5
    torch.testing.assert_close(spread.mean(1), given.X.flatten(1).mean(1), atol=1e-5, rtol=0)


def test_saturation_leaves_grey_as_it_is():
    given = images()
    found = ColorJitter(0, 0, 0.5).apply(given, seeded(), "real").X
    torch.testing.assert_close(found.mean(1), given.X.mean(1), atol=1e-5, rtol=0)
    assert not torch.allclose(found, given.X)
    grey = Rows(given.X[:, :1], given.y)
    torch.testing.assert_close(ColorJitter(0, 0, 0.5).apply(grey, seeded(), "real").X, grey.X)


def test_cutout_zeroes_a_square():
    given = images(shape=(2, 30, 30))
    zero = (Cutout(6).apply(given, seeded(), "real").X == 0).all(dim=1)
    area = zero.sum(dim=(1, 2))
    assert area.max() == 36
    assert area.min() >= 9
    for box in zero[:20]:
        rows, columns = box.any(1).nonzero(), box.any(0).nonzero()
        assert len(rows) * len(columns) == box.sum()
        assert len(rows) == int(rows.max() - rows.min()) + 1


def test_erasing_fills_boxes_of_its_area_with_noise():
    given = Rows(torch.full((2000, 1, 40, 40), 9.0), torch.zeros(2000, 1))
    found = RandomErasing(0.25, largest=0.2).apply(given, seeded(), "real").X
    erased = found != 9
    touched = erased.flatten(1).any(1)
    assert touched.float().mean().item() == pytest.approx(0.25, abs=0.03)
    part = erased[touched].float().mean(dim=(1, 2, 3))
    assert part.max() <= 0.22
    noise = found[erased]
    assert abs(float(noise.mean())) < 0.02
    assert float(noise.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_cutmix_mixes_targets_by_the_area_that_stayed(alpha):
    n = 300
    code = torch.arange(n).float()
    X = code[:, None, None, None].expand(n, 1, 16, 16).clone()
    target = torch.nn.functional.one_hot(torch.arange(n), n).float()
    found = CutMix(alpha).apply(Rows(X, target), seeded(), "multiclass")
    own = (found.X == X).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found.y.sum(1), torch.ones(n))
    partnered = own < 1
    at = torch.arange(n)
    torch.testing.assert_close(found.y[at, at][partnered], own[partnered])
    # Where boxes are not cut off, the part that stays is Beta(alpha, alpha).
    assert own.mean() >= 0.5
    assert math.isclose(own.std().item(), (1 / (4 * (2 * alpha + 1))) ** 0.5, rel_tol=0.35)


def test_a_resized_crop_is_a_part_of_the_image():
    # Pixels that say where they were: one channel runs down, the other to the right.
    down, right = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    given = Rows(torch.stack([down, right]).expand(N, 2, 8, 10), torch.zeros(N, 1))
    found = RandomResizedCrop(0.25, aspect=1.5).apply(given, seeded(), "real").X
    assert found.shape == given.X.shape
    inner = found[:, :, 1:-1, 1:-1]
    high = inner[:, 0].diff(dim=1).amax(dim=(1, 2)) * 8
    wide = inner[:, 1].diff(dim=2).amax(dim=(1, 2)) * 10
    area = high * wide / 80
    assert (area > 0.2).all()
    assert (area < 1.02).all()
    assert area.std() > 0.1
    assert ((high / 8) / (wide / 10)).amax() < 1.55
    # All parts of the image are seen.
    centres = found.mean(dim=(2, 3))
    assert centres.amin() < 3
    assert centres.amax() > 5.5


def test_a_crop_of_everything_is_the_image():
    given = images(20)
    found = RandomResizedCrop(1.0, aspect=1.0).apply(given, seeded(), "real").X
    torch.testing.assert_close(found, given.X, atol=1e-5, rtol=1e-5)


def test_grayscale_gives_its_share_of_the_images_one_colour():
    given = images(shape=(3, 4, 4))
    found = RandomGrayscale(0.3).apply(given, seeded(), "real").X
    grey, kept = same(found, given.X.mean(dim=1, keepdim=True)), same(found, given.X)
    assert (grey ^ kept).all()
    assert grey.float().mean().item() == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smallest": 0.0}, "smallest must be .* greater than 0"),
        ({"smallest": 1.5}, "smallest must be a number from 0 to 1"),
        ({"aspect": 0.5}, "aspect must be at least 1"),
    ],
)
def test_crops_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**options)
