import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlfund.nets.architectures import ARCHITECTURES, layers_for
from mlfund.nets.layer_summary import as_text, summarise
from mlfund.nets.layers import (
    Activate,
    Conv,
    Dense,
    Drop,
    Flatten,
    GlobalPool,
    Norm,
    Pool,
    Residual,
    build,
)

SIZES = st.integers(1, 12)
SMALL = st.integers(1, 4)
STRIDED = ("tiny", "strided", "strided_wide")
PARAMETERS = {"resnet20": 0.27e6, "resnet32": 0.46e6, "resnet56": 0.85e6}


def run(layer, shape):
    return tuple(layer.module(shape).eval()(torch.zeros(2, *shape)).shape[1:])


@given(SIZES, SIZES, SMALL, SMALL, SMALL)
def test_same_padding_gives_a_pixel_a_stride(high, wide, kernel, stride, filters):
    layer = Conv(filters, kernel=kernel, stride=stride)
    expected = (filters, math.ceil(high / stride), math.ceil(wide / stride))
    assert layer.output((3, high, wide)) == run(layer, (3, high, wide)) == expected


@given(SIZES, SMALL, SMALL, st.integers(0, 2), st.booleans())
def test_sizes_are_whole_or_refused(n, kernel, stride, padding, pooled):
    if pooled and 2 * padding > kernel:
        return  # torch's rule for pooling
    layer = (
        Pool(kernel=kernel, stride=stride, padding=padding)
        if pooled
        else Conv(2, kernel=kernel, stride=stride, padding=padding)
    )
    left = n + 2 * padding - kernel
    if left < 0:
        with pytest.raises(ValueError, match="its window takes"):
            layer.output((2, n, n))
    elif left % stride:
        with pytest.raises(ValueError, match="is not an integer"):
            layer.output((2, n, n))
    else:
        assert layer.output((2, n, n)) == run(layer, (2, n, n))


def test_height_and_width_may_differ():
    layer = Conv(5, kernel=(3, 1), stride=(2, 1), padding=(1, 0))
    assert layer.output((2, 7, 4)) == run(layer, (2, 7, 4)) == (5, 4, 4)
    assert Pool("average", kernel=(1, 2)).output((2, 7, 4)) == (2, 7, 2)


def test_same_padding_of_a_strided_convolution_is_that_of_residual_nets():
    conv = Conv(4, stride=2).module((3, 32, 32))
    assert isinstance(conv, torch.nn.Conv2d)
    assert conv.padding == (1, 1)


def test_what_is_left_over_may_be_dropped():
    layer = Pool(drop_rest=True)
    assert layer.output((2, 7, 7)) == run(layer, (2, 7, 7)) == (2, 3, 3)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (GlobalPool("max"), (6, 3, 4)),
        (GlobalPool(), (6, 3, 4)),
        (Flatten(), (6, 3, 4)),
        *((Norm(kind), (12, 3, 4)) for kind in ("batch", "layer", "group", "instance")),
        *((Norm(kind), (12,)) for kind in ("batch", "layer", "group")),
        (Activate("gelu"), (6, 3, 4)),
        (Drop(0.1), (6, 3, 4)),
        (Drop(0.1), (6,)),
        (Dense(5), (6, 3, 4)),
        (Dense(5, bias=False), (6,)),
        (Residual([Conv(6), Activate()]), (6, 3, 4)),
        (Residual([Conv(8, stride=2)]), (6, 5, 4)),
        (Residual([Conv(8, stride=2)], shortcut="pad"), (6, 5, 4)),
    ],
)
def test_modules_give_the_shape_that_is_said(layer, shape):
    assert layer.output(shape) == run(layer, shape)
    assert pickle.loads(pickle.dumps(layer)) == layer


def test_global_pools_are_the_largest_and_the_mean_pixel():
    X = torch.randn(2, 3, 4, 5)
    largest, mean = (GlobalPool(kind).module((3, 4, 5))(X) for kind in ("max", "average"))
    torch.testing.assert_close(largest, X.flatten(2).max(dim=2).values)
    torch.testing.assert_close(mean, X.flatten(2).mean(dim=2))


def test_a_residual_block_adds_its_input():
    X = torch.randn(2, 3, 4, 4)
    block = Residual([Conv(3)]).module((3, 4, 4))
    torch.testing.assert_close(block(X), block.body(X) + X)
    padded = Residual([Conv(5, stride=2)], shortcut="pad").module((3, 4, 4))
    with torch.no_grad():
        for p in padded.body.parameters():
            p.zero_()
        out = padded(X)
    torch.testing.assert_close(out[:, :3], X[:, :, ::2, ::2])
    assert not out[:, 3:].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(0), "filters"),
        (lambda: Conv(4, kernel=0), "kernel must be an integer of at least 1"),
        (lambda: Conv(4, kernel=(1, 2, 3)), "two of them"),
        (lambda: Conv(4, padding="full"), "padding"),
        (lambda: Conv(4, padding=-1), "padding must be an integer of at least 0"),
        (lambda: Conv(4, groups=2).output((3, 8, 8)), "both must be multiples"),
        (lambda: Conv(4).output((3,)), "takes images"),
        (lambda: Pool("median"), "kind"),
        (lambda: Norm("local"), "kind"),
        (lambda: Norm("instance").output((3,)), "takes images"),
        (lambda: Activate("prelu"), "learned slopes"),
        (lambda: Drop(2), "rate"),
        (lambda: Residual([Conv(2)], shortcut="pad").output((3, 4, 4)), "adds channels"),
        (lambda: Residual([Dense(2)]).output((3, 4, 4)), "no Dense"),
        (lambda: Residual([Conv(3, kernel=3, padding=0)]).output((3, 8, 8)), "no stride"),
        (lambda: layers_for("resnet", (3, 32, 32)), "Did you mean 'resnet"),
        (lambda: layers_for([Conv(3), "pool"], (3, 32, 32)), "Layer 1 of the architecture"),
        (lambda: layers_for([Pool(), Pool(), Pool()], (1, 28, 28)), "not an integer"),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 5, 9)])
def test_named_architectures_take_images_of_any_size(name, shape):
    layers = layers_for(name, shape)
    rows = summarise(layers, shape)
    module = build(layers, shape).eval()
    assert tuple(module(torch.zeros(2, *shape)).shape[1:]) == rows[-1].shape
    assert len(rows[-1].shape) == 1
    assert sum(row.n_parameters for row in rows) == sum(p.numel() for p in module.parameters())


@given(st.integers(3, 70), st.integers(3, 70), st.sampled_from(STRIDED))
def test_strided_nets_end_with_three_to_five_pixels_a_side(high, wide, name):
    rows = summarise(layers_for(name, (1, high, wide)), (1, high, wide))
    _, *left = [row.shape for row in rows if len(row.shape) == 3][-1]
    assert all(3 <= side <= 5 for side in left)


def test_strided_nets_see_a_quarter_of_the_pixels_of_larger_images():
    for side, first in ((28, 14), (16, 8), (15, 15)):
        rows = summarise(layers_for("strided", (1, side, side)), (1, side, side))
        assert rows[0].shape == (16, first, first)
        assert layers_for("strided", (1, side, side))[-1] == (
            GlobalPool("max") if side == 15 else Flatten()
        )
    # A signal has one pixel of height, which stays.
    assert layers_for("strided", (1, 1, 100))[0].stride == (1, 2)


@pytest.mark.parametrize("name", PARAMETERS)
def test_residual_nets_have_the_published_number_of_parameters(name):
    # Table 6 of He et al., with the last layer of 10 outputs.
    rows = summarise([*layers_for(name, (3, 32, 32)), Dense(10)], (3, 32, 32))
    total = sum(row.n_parameters for row in rows)
    assert total == pytest.approx(PARAMETERS[name], rel=0.02)


def test_resnet20_takes_the_published_work():
    # 40.6 million multiplications for an image of CIFAR-10.
    rows = summarise(layers_for("resnet20", (3, 32, 32)), (3, 32, 32))
    assert sum(row.flop for row in rows) / 2 == pytest.approx(40.6e6, rel=0.01)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=4))
def test_receptive_fields_are_what_reaches_an_output(windows):
    layers = [Conv(1, kernel=k, stride=s, padding="valid") for k, s in windows]
    size = 64
    try:
        field = summarise(layers, (1, size, size))[-1].receptive_field[0]
    except ValueError:
        return  # a size that is not whole
    module = build(layers, (1, size, size)).double()
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(1.0)
    X = torch.zeros(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    module(X)[0, 0, 0, 0].backward()
    assert int((X.grad[0, 0, 0] != 0).sum()) <= field
    assert int(X.grad[0, 0, 0].nonzero().max()) + 1 == field


def test_summary_reads_as_a_table():
    text = as_text(summarise([Conv(4), GlobalPool(), Dense(2)], (1, 8, 8)), (1, 8, 8))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "MFLOP", "field"]
    assert lines[-1].split()[:2] == ["total", "50"]
    assert len({line.index("x") for line in lines[1:3]}) == 1
