import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlfund.losses import get_loss
from mlfund.nets.raw_scores import RawScores

Z = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Through(nn.Module):
    """Returns what a function makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, X):
        return self.function(X)


def scores(function, X, output, kind):
    return RawScores(Through(function), output=output, kind=kind)(X)


@pytest.mark.parametrize(
    ("function", "output"),
    [
        (lambda z: z, "raw"),
        (lambda z: F.softmax(z, dim=1), "proba"),
        (lambda z: F.log_softmax(z, dim=1), "log_proba"),
        (lambda z: F.log_softmax(z, dim=1), "raw"),
    ],
)
@pytest.mark.parametrize("k", [2, 3, 4])
def test_several_classes_have_the_modules_own_probabilities(function, output, k):
    z = Z[:, :k]
    kind = "binary" if k == 2 else "multiclass"
    raw = scores(function, z, output, kind)
    assert raw.shape == (50, 1 if k == 2 else k)
    proba = torch.sigmoid(raw) if k == 2 else torch.softmax(raw, dim=1)
    torch.testing.assert_close(
        proba, torch.softmax(z, dim=1)[:, -proba.shape[1] :], rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
@pytest.mark.parametrize(
    ("function", "output"),
    [(lambda z: z, "raw"), (torch.sigmoid, "proba"), (F.logsigmoid, "log_proba")],
)
def test_one_probability_for_each_column_becomes_its_log_odds(function, output, kind):
    z = Z[:, :1] if kind == "binary" else Z
    torch.testing.assert_close(scores(function, z, output, kind), z, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "real"])
def test_a_flat_output_is_one_column(kind):
    torch.testing.assert_close(scores(lambda z: z[:, 0], Z, "raw", kind), Z[:, :1])


def test_real_outputs_pass_as_they_are():
    assert scores(lambda z: z, Z, "raw", "real") is Z
    assert scores(lambda z: z, Z[:, :2], "raw", "real").shape == (50, 2)


@pytest.mark.parametrize("output", ["proba", "log_proba"])
def test_probabilities_of_a_real_target_are_refused(output):
    with pytest.raises(ValueError, match=f"output='{output}' is not known; allowed are 'raw'"):
        RawScores(nn.Linear(1, 1), output=output, kind="real")


@pytest.mark.parametrize(
    ("function", "output", "k"),
    [
        (lambda z: F.softmax(z, dim=1), "proba", 3),
        (lambda z: F.log_softmax(z, dim=1), "log_proba", 3),
        (lambda z: F.softmax(z, dim=1), "proba", 2),
        (torch.sigmoid, "proba", 1),
        (F.logsigmoid, "log_proba", 1),
    ],
)
def test_loss_and_gradient_are_those_of_the_raw_scores(function, output, k):
    kind = "multiclass" if k > 2 else "binary"
    loss = get_loss("log_loss_multinomial" if k > 2 else "log_loss_binary")
    y = torch.arange(50) % max(k, 2)
    y = y if k > 2 else y[:, None].double()
    z = Z[:, :k].clone().requires_grad_()
    plain = z if k != 2 else z[:, 1:] - z[:, :1]
    expected = loss.value(plain, y).mean()
    found = loss.value(scores(function, z, output, kind), y).mean()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(found, z)[0], torch.autograd.grad(expected, z)[0], rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize(("output", "k"), [("proba", 1), ("proba", 2), ("proba", 3)])
def test_a_probability_that_underflowed_has_finite_loss_and_gradient(output, k):
    z = torch.tensor([[200.0, -200.0, -200.0]])[:, :k].requires_grad_()
    function = torch.sigmoid if k == 1 else (lambda z: F.softmax(z, dim=1))
    raw = scores(function, z, output, "multiclass" if k > 2 else "binary")
    assert bool(torch.isfinite(raw).all())
    gradient = torch.autograd.grad(raw.sum(), z)[0]
    assert bool(torch.isfinite(gradient).all())


def test_parameters_and_buffers_are_the_modules():
    inner = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net = RawScores(inner, kind="multiclass")
    assert {id(p) for p in net.parameters()} == {id(p) for p in inner.parameters()}
    assert net.module.state_dict().keys() == inner.state_dict().keys()
