"""Losses and tasks of pretraining against slow references, and their laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlfund.augmentation import GaussianNoise, Rows
from mlfund.augmentation._pretraining import (
    CorruptColumns,
    HideParts,
    RowsAsTargets,
    TwoViews,
    some_of,
)
from mlfund.losses._self_supervised import MaskedReconstruction, NTXent, Reconstruction
from mlfund.nets.convnet import ReadPixels
from mlfund.nets.decoders import image_decoder
from mlfund.nets.encoders import AutoencoderNet, ContrastiveNet, MaskedNet
from mlfund.nets.layers import Activate, Conv, Dense, GlobalPool, Pool

NO_TARGET = torch.zeros(1, 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def nt_xent_in_numpy(raw, temperature):
    """The loss of Chen et al. (2020), equation 1, summed in loops."""
    z = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    n, total = len(z) // 2, 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [math.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(z[i] @ z[partner] / temperature) / sum(others))
    return total / (2 * n)


@given(
    n=st.integers(1, 6),
    k=st.integers(1, 5),
    temperature=st.floats(0.05, 5),
    seed=st.integers(0, 2**16),
)
def test_nt_xent_is_that_of_the_paper(n, k, temperature, seed):
    raw = np.random.default_rng(seed).normal(size=(2 * n, k))
    found = NTXent(temperature).mean(torch.tensor(raw), NO_TARGET)
    assert float(found) == pytest.approx(nt_xent_in_numpy(raw, temperature), rel=1e-9, abs=1e-12)


def test_nt_xent_has_the_gradient_of_finite_differences():
    raw = torch.randn(8, 3, dtype=torch.float64, generator=generator()).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: NTXent(0.3).mean(z, NO_TARGET), raw)


@given(n=st.integers(2, 8), seed=st.integers(0, 2**16))
def test_nt_xent_does_not_look_at_the_order_of_rows_or_at_lengths(n, seed):
    raw = torch.randn(2 * n, 4, dtype=torch.float64, generator=generator(seed))
    order = torch.randperm(n, generator=generator(seed))
    loss = NTXent(0.5)
    expected = loss.mean(raw, NO_TARGET)
    torch.testing.assert_close(loss.mean(raw[torch.cat([order, order + n])], NO_TARGET), expected)
    # Which view comes first does not count either.
    torch.testing.assert_close(loss.mean(raw.roll(n, 0), NO_TARGET), expected)
    lengths = 0.1 + torch.rand(2 * n, 1, dtype=torch.float64, generator=generator(seed))
    torch.testing.assert_close(loss.mean(raw * lengths, NO_TARGET), expected)


def test_nt_xent_between_its_limits():
    # Hot: all others are equally likely. Cold: the partner is certain, where it is closest.
    raw = torch.eye(4, dtype=torch.float64).repeat(2, 1)
    assert float(NTXent(1e6).mean(raw, NO_TARGET)) == pytest.approx(math.log(7), abs=1e-5)
    assert float(NTXent(1e-3).mean(raw, NO_TARGET)) == pytest.approx(0, abs=1e-12)
    assert float(NTXent(0.5).mean(raw[[0, 4]], NO_TARGET)) == 0


def test_reconstructions_count_what_they_should():
    rng = np.random.default_rng(0)
    raw, rows = rng.normal(size=(2, 5, 7))
    hidden = rng.integers(0, 2, (5, 7)).astype(float)
    hidden[0], hidden[1] = 0, 1
    expected = [
        sum(m * (a - b) ** 2 for a, b, m in zip(*row, strict=True)) / max(1, row[2].sum())
        for row in zip(raw, rows, hidden, strict=True)
    ]
    y = torch.tensor(np.stack([rows, hidden], axis=1))
    found = MaskedReconstruction().value(torch.tensor(raw), y)
    np.testing.assert_allclose(found.numpy(), expected)
    whole = Reconstruction().value(torch.tensor(raw), torch.tensor(rows))
    np.testing.assert_allclose(whole.numpy(), ((raw - rows) ** 2).mean(axis=1))
    assert found[1] == pytest.approx(float(whole[1]))


def test_masked_reconstruction_has_the_gradient_of_finite_differences_and_none_where_seen():
    rows = torch.randn(3, 4, dtype=torch.float64, generator=generator())
    hidden = torch.tensor([[1.0, 0, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.float64)
    y = torch.stack([rows, hidden], dim=1)
    raw = torch.randn(3, 4, dtype=torch.float64, generator=generator(1)).requires_grad_()
    loss = MaskedReconstruction()
    assert torch.autograd.gradcheck(lambda z: loss.mean(z, y), raw)
    gradient = torch.autograd.grad(loss.mean(raw, y), raw)[0]
    assert (gradient[hidden == 0] == 0).all()
    assert (gradient[hidden == 1] != 0).all()


@given(n_parts=st.integers(1, 30), share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_as_many_parts_of_each_row_at_least_one_and_not_all(n_parts, share, seed):
    chosen = some_of(torch.zeros(6, 2), n_parts, share, generator(seed))
    expected = min(max(1, round(share * n_parts)), max(1, n_parts - 1))
    assert (chosen.sum(dim=1) == expected).all()


def test_hidden_squares_are_zero_and_whole():
    X = 1 + torch.rand(20, 3, 10, 9, generator=generator())
    rows = HideParts(0.5, 4).apply(Rows(X, torch.zeros(20, 1)), generator(), "real")
    given_back, hidden = (part.view(X.shape) for part in rows.y.unbind(dim=1))
    torch.testing.assert_close(given_back, X)
    torch.testing.assert_close(rows.X, X * (1 - hidden))
    # 3 x 3 squares, the last ones cut off; the same in all channels.
    corners = hidden[:, 0, ::4, ::4]
    assert (corners.sum(dim=(1, 2)) == 4).all()
    assert len({tuple(mask.flatten().tolist()) for mask in corners}) > 1
    widened = corners.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :10, :9]
    torch.testing.assert_close(hidden, widened[:, None].expand(X.shape))


def test_what_is_hidden_leaves_something_to_see():
    X = 1 + torch.rand(20, 3, 8, 8, generator=generator())
    for patch, n_parts in ((7, 4), (4, 4), (8, 1), (3, 9)):
        change = HideParts(0.95, patch)
        assert change.n_parts((8, 8, 3)) == n_parts
        seen = change.apply(Rows(X, torch.zeros(20, 1)), generator(), "real").X
        assert ((seen != 0).any(dim=(1, 2, 3)) == (n_parts > 1)).all()
    assert HideParts(0.5, 4).n_parts((1, 1, 5)) == 5


def test_hidden_columns_of_a_table():
    X = 1 + torch.rand(20, 5, 1, 1, generator=generator())
    rows = HideParts(0.4).apply(Rows(X, torch.zeros(20, 1)), generator(), "real")
    assert ((rows.X == 0).sum(dim=1) == 2).all()
    torch.testing.assert_close(rows.y[:, 1].view(X.shape), (rows.X == 0).float())


def test_corrupted_columns_come_from_the_same_column():
    X = torch.arange(40.0).view(8, 5, 1, 1)
    changed = CorruptColumns(0.6).apply(Rows(X, torch.zeros(8, 1)), generator(), "real").X
    assert changed.shape == X.shape
    for column in range(5):
        assert set(changed[:, column].flatten().tolist()) <= set(X[:, column].flatten().tolist())
    moved = (changed != X).sum(dim=1)
    assert 0 < moved.float().mean() <= 3
    assert moved.max() <= 3


def test_two_views_are_of_one_row_and_come_from_the_generator():
    rows = Rows(torch.arange(6.0).view(6, 1, 1, 1), torch.ones(6, 1))
    views = TwoViews((GaussianNoise(1e-3),))
    first = views.apply(rows, generator(), "real")
    assert first.X.shape == (12, 1, 1, 1)
    torch.testing.assert_close(first.X[:6], first.X[6:], atol=1e-2, rtol=0)
    assert not torch.equal(first.X[:6], first.X[6:])
    torch.testing.assert_close(first.X, views.apply(rows, generator(), "real").X, rtol=0, atol=0)
    assert torch.equal(first.y, rows.y)
    one = TwoViews((GaussianNoise(1e-3),), first_too=False).apply(rows, generator(), "real")
    assert torch.equal(one.X[:6], rows.X)
    assert torch.equal(RowsAsTargets().apply(rows, None, "real").y, rows.X.flatten(1))


@pytest.mark.parametrize(
    ("given_shape", "shape"),
    [
        ((20,), (1, 8, 8)),
        ((20,), (2, 7, 30)),
        ((16, 3, 3), (3, 32, 32)),
        ((8, 7, 7), (1, 28, 28)),
        ((4, 1, 20), (1, 1, 64)),
        ((4, 28, 28), (1, 28, 28)),
    ],
)
def test_decoders_reach_any_size(given_shape, shape):
    decoder = image_decoder(given_shape, shape, "relu", "group")
    assert decoder(torch.zeros(2, *given_shape)).shape == (2, *shape)


def test_pooling_at_the_end_is_for_embeddings_alone():
    torch.manual_seed(0)
    layers = [Conv(4), Activate(), Pool(), GlobalPool("max")]
    pixels = ReadPixels((8, 8, 1))
    options = {"activation": "relu", "normalization": "batch"}
    net = MaskedNet(layers, pixels, **options).eval()
    X = torch.randn(3, 64, generator=generator())
    assert net.embed(X).shape == (3, 4)
    assert net(X).shape == (3, 64)
    assert next(iter(net.decoder.parameters())).shape[1] == 4
    code = AutoencoderNet(layers, pixels, n_components=5, **options).eval()
    assert code.embed(X).shape == (3, 5)
    torch.testing.assert_close(code(X), code.decode(code.embed(X)))


def test_rows_of_a_table_are_images_of_one_pixel():
    pixels = ReadPixels((1, 1, 6), tuple(range(6)), (2.0,) * 6)
    net = ContrastiveNet([Dense(7), Activate()], pixels, projection=[5, 3], activation="relu")
    X = torch.randn(4, 6, generator=generator())
    assert net.eval()(X).shape == (4, 3)
    torch.testing.assert_close(net.images(X).flatten(1), (X - torch.arange(6.0)) / 2)
    torch.testing.assert_close(pixels.rows(net.images(X)), X)


def test_rows_of_pixels_are_the_inverse_of_images():
    X = torch.rand(4, 5 * 6 * 3, generator=generator())
    pixels = ReadPixels((5, 6, 3), (1.0, 2.0, 3.0), (0.5, 1.0, 2.0))
    torch.testing.assert_close(pixels.rows(pixels.images(X)), X)
    torch.testing.assert_close(pixels.rows(pixels.images(X).flatten(1)), X)
