"""Laws that hold for every loss, by what it declares."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn._loss import loss as sklearn_loss
from sklearn.neural_network import _base as sklearn_mlp

from mlfund.losses import LOSSES, Loss, get_loss

VARIANTS = [
    *LOSSES.values(),
    get_loss("huber", delta=0.3),
    get_loss("quantile", quantile=0.9),
]
every_loss = pytest.mark.parametrize("loss", VARIANTS, ids=repr)
N, K = 12, 3


def targets(loss, rng, n=N, k=K, soft=False):
    """Draw targets as numpy, of the shape the tensors have."""
    if loss.target == "multiclass":
        return rng.dirichlet(np.ones(k), n) if soft else rng.integers(k, size=n)
    if loss.target == "binary":
        k = 1
    if loss.target in ("binary", "multilabel"):
        return rng.uniform(size=(n, k)) if soft else rng.integers(2, size=(n, k)).astype(float)
    if loss.target == "nonnegative":
        return rng.poisson(2.0, size=(n, k)).astype(float)
    return rng.normal(size=(n, k))


def raws(loss, rng, n=N, k=K, scale=2.0):
    return torch.tensor(rng.normal(scale=scale, size=(n, loss.raw_width(k))))


def draw(loss, seed, soft=False):
    rng = np.random.default_rng(seed)
    return raws(loss, rng), torch.as_tensor(targets(loss, rng, soft=soft))


@every_loss
def test_one_value_a_row_and_it_is_not_negative(loss):
    raw, y = draw(loss, 0)
    value = loss.value(raw, y)
    assert value.shape == (N,)
    assert value.dtype == raw.dtype
    assert (value >= 0).all()


@pytest.mark.parametrize(
    ("loss", "soft"),
    [(loss, soft) for loss in VARIANTS for soft in (False, True) if loss.soft_targets or not soft],
    ids=repr,
)
def test_gradient_is_that_of_finite_differences(loss, soft):
    raw, y = draw(loss, 1, soft=soft)
    raw.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda scores: loss.value(scores, y), (raw,), eps=1e-7)


@every_loss
def test_canonical_is_declared_where_the_gradient_is_prediction_minus_target(loss):
    raw, y = draw(loss, 14)
    raw.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss.value(raw, y).sum(), raw)
    if loss.over_outputs == "mean":
        gradient = gradient * raw.shape[1]
    onehot = torch.nn.functional.one_hot(y, K) if loss.target == "multiclass" else y
    link = loss.inverse_link
    closed = link is not None and torch.allclose(gradient, link(raw) - onehot, rtol=1e-10)
    assert loss.canonical == closed


@every_loss
def test_a_row_does_not_see_the_others(loss):
    assert loss.reduction == "pointwise"
    raw, y = draw(loss, 2)
    alone = torch.cat([loss.value(raw[[i]], y[[i]]) for i in range(N)])
    torch.testing.assert_close(alone, loss.value(raw, y), rtol=1e-14, atol=0)


def perfect_raw(loss, y):
    """Raw scores that predict hard targets as well as the link allows."""
    if loss.target == "multiclass":
        return torch.nn.functional.one_hot(y, K).double() * 1000
    if loss.target in ("binary", "multilabel"):
        return (2 * y - 1) * 1000
    if loss.target == "nonnegative":
        return torch.where(y > 0, y, 0).log().clamp_min(-1000)
    return y.clone()


@every_loss
def test_a_perfect_prediction_costs_nothing_and_any_other_more(loss):
    raw, y = draw(loss, 3)
    best = perfect_raw(loss, y)
    torch.testing.assert_close(loss.value(best, y), torch.zeros(N).double(), rtol=0, atol=1e-12)
    assert (loss.value(raw, y) > loss.value(best, y)).any()
    if loss.inverse_link is not None and loss.target != "multiclass":
        torch.testing.assert_close(loss.inverse_link(best), y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if loss.soft_targets])
def test_soft_targets_are_best_predicted_by_themselves(name):
    loss = LOSSES[name]
    raw, p = draw(loss, 4, soft=True)
    best = p.log() if loss.target == "multiclass" else torch.logit(p)
    entropy = loss.value(best, p)
    assert (loss.value(raw, p) > entropy).all()
    pure = -torch.special.xlogy(p, p)
    other = 0 if loss.target == "multiclass" else -torch.special.xlogy(1 - p, 1 - p)
    torch.testing.assert_close(entropy, (pure + other).sum(-1))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_out_scores_give_no_nan_and_no_needless_infinity(loss, dtype):
    _, y = draw(loss, 5)
    y = y if loss.target == "multiclass" else y.to(dtype)
    signs = torch.tensor([[1.0], [-1.0]]).repeat(N // 2, loss.raw_width(K)).to(dtype)
    signs[:, 0] *= -1
    raw = (1000 * signs).requires_grad_(True)
    value = loss.value(raw, y)
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    assert not value.isnan().any()
    assert not gradient.isnan().any()
    if loss.target != "nonnegative":
        assert value.isfinite().all()
        assert gradient.isfinite().all()
    else:
        # exp(1000) is beyond float64: infinity is the honest answer there, only there.
        assert value[(raw < 0).all(dim=1)].isfinite().all()
        assert gradient[raw < 0].isfinite().all()


@every_loss
def test_inverse_link_has_the_range_of_the_target(loss):
    raw = torch.tensor(np.random.default_rng(6).normal(scale=300, size=(200, loss.raw_width(K))))
    if loss.inverse_link is None:
        assert loss.name == "hinge"
        return
    mean = loss.inverse_link(raw)
    assert mean.shape == raw.shape
    assert not mean.isnan().any()
    if loss.target in ("binary", "multilabel", "multiclass"):
        assert ((mean >= 0) & (mean <= 1)).all()
    if loss.target == "multiclass":
        torch.testing.assert_close(mean.sum(1), torch.ones(200).double())
    if loss.target == "nonnegative":
        assert (mean >= 0).all()
    if loss.target == "real":
        assert torch.equal(mean, raw)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
@every_loss
def test_weights_are_repetitions(loss, seed):
    rng = np.random.default_rng(seed)
    raw, y = draw(loss, seed)
    repeats = torch.as_tensor(rng.integers(0, 4, size=N))
    repeats[0] = 1
    weighted = loss.mean(raw, y, repeats.double())
    repeated = loss.mean(raw.repeat_interleave(repeats, 0), y.repeat_interleave(repeats, 0))
    torch.testing.assert_close(weighted, repeated, rtol=1e-12, atol=1e-14)


@every_loss
def test_mean_without_weights_is_that_with_equal_ones_and_zero_weights_are_harmless(loss):
    raw, y = draw(loss, 7)
    equal = torch.full((N,), 0.3).double()
    for scale in (1.0, 1e-12, 1e12):
        torch.testing.assert_close(loss.mean(raw, y), loss.mean(raw, y, scale * equal))
    raw.requires_grad_(True)
    nothing = loss.mean(raw, y, torch.zeros(N).double())
    (gradient,) = torch.autograd.grad(nothing, raw)
    assert nothing == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize(
    "loss", [loss for loss in VARIANTS if loss.target not in ("binary", "multiclass")], ids=repr
)
def test_outputs_are_summed_or_averaged_as_declared(loss):
    raw, y = draw(loss, 8)
    one_by_one = torch.stack([loss.value(raw[:, [j]], y[:, [j]]) for j in range(K)], dim=1)
    expected = one_by_one.mean(1) if loss.over_outputs == "mean" else one_by_one.sum(1)
    torch.testing.assert_close(loss.value(raw, y), expected)


SKLEARN_POINTWISE = {
    "log_loss_binary": sklearn_loss.HalfBinomialLoss(),
    "squared_error": sklearn_loss.HalfSquaredError(),
    "absolute_error": sklearn_loss.AbsoluteError(),
    "poisson": sklearn_loss.HalfPoissonLoss(),
    "quantile": sklearn_loss.PinballLoss(quantile=0.9),
}


@pytest.mark.parametrize("name", SKLEARN_POINTWISE)
def test_values_and_gradients_are_those_of_sklearn_loss(name):
    loss = get_loss(name, quantile=0.9) if name == "quantile" else LOSSES[name]
    rng = np.random.default_rng(9)
    raw = torch.tensor(rng.normal(size=(N, 1)), requires_grad=True)
    y = targets(loss, rng, k=1)
    theirs = SKLEARN_POINTWISE[name]
    value = loss.value(raw, torch.tensor(y))
    scores = raw.detach().numpy().ravel()
    expected = theirs.loss(y.ravel(), scores) + theirs.constant_to_optimal_zero(y.ravel())
    np.testing.assert_allclose(value.detach(), expected, rtol=1e-10, atol=1e-12)
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    np.testing.assert_allclose(gradient.ravel(), theirs.gradient(y.ravel(), scores), rtol=1e-10)


def test_multinomial_and_huber_are_those_of_sklearn_loss():
    raw, y = draw(LOSSES["log_loss_multinomial"], 10)
    theirs = sklearn_loss.HalfMultinomialLoss(n_classes=K)
    expected = theirs.loss(y.numpy().astype(float), raw.numpy())
    np.testing.assert_allclose(LOSSES["log_loss_multinomial"].value(raw, y), expected, rtol=1e-12)
    raw, y = draw(LOSSES["huber"], 10)
    theirs = sklearn_loss.HuberLoss(delta=0.7)
    expected = theirs.loss(y[:, 0].numpy().copy(), raw[:, 0].numpy().copy())
    value = get_loss("huber", delta=0.7).value(raw[:, :1], y[:, :1])
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("log_loss_binary", sklearn_mlp.binary_log_loss),
        ("log_loss_multilabel", sklearn_mlp.binary_log_loss),
        ("log_loss_multinomial", sklearn_mlp.log_loss),
        ("squared_error", sklearn_mlp.squared_loss),
        ("poisson", sklearn_mlp.poisson_loss),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_is_what_sklearn_mlps_report(name, theirs, weighted):
    loss = LOSSES[name]
    raw, y = draw(loss, 11)
    weight = np.random.default_rng(0).uniform(size=N) if weighted else None
    onehot = np.eye(K)[y] if loss.target == "multiclass" else y.numpy()
    expected = theirs(onehot, loss.inverse_link(raw).numpy(), weight)
    ours = loss.mean(raw, y, None if weight is None else torch.tensor(weight))
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


def test_means_are_those_of_sklearn_metrics():
    raw, y = draw(LOSSES["log_loss_multinomial"], 12)
    proba = torch.softmax(raw, 1)
    expected = metrics.log_loss(y, proba, labels=range(K))
    np.testing.assert_allclose(LOSSES["log_loss_multinomial"].mean(raw, y), expected)
    raw, y = (tensor[:, :1] for tensor in draw(LOSSES["absolute_error"], 12))
    flat_raw, flat_y = raw.numpy().ravel(), y.numpy().ravel()
    for name, expected in {
        "absolute_error": metrics.mean_absolute_error(flat_y, flat_raw),
        "squared_error": metrics.mean_squared_error(flat_y, flat_raw) / 2,
        "quantile": metrics.mean_pinball_loss(flat_y, flat_raw, alpha=0.5),
    }.items():
        np.testing.assert_allclose(LOSSES[name].mean(raw, y), expected)
    labels = (y > 0).double()
    expected = metrics.hinge_loss(labels.numpy().ravel(), flat_raw)
    np.testing.assert_allclose(LOSSES["hinge"].mean(raw, labels), expected)
    counts = labels * 3
    expected = metrics.mean_poisson_deviance(counts.numpy().ravel(), np.exp(flat_raw)) / 2
    np.testing.assert_allclose(LOSSES["poisson"].mean(raw, counts), expected)


def test_poisson_keeps_its_digits_in_single_precision():
    y = torch.tensor([[1e4], [3e5]], dtype=torch.float64)
    raw = y.log() + 0.001
    exact = LOSSES["poisson"].value(raw, y)
    single = LOSSES["poisson"].value(raw.float(), y.float())
    np.testing.assert_allclose(single, exact, rtol=0.02)


BAD_TARGETS = {
    "binary": [([0, 1, 2], "0"), ([[0, 1], [1, 0]], r"shape \(n,\) or \(n, 1\)")],
    "multiclass": [([0, 1, -1], "class codes"), ([0.5, 1.0], "class codes")],
    "multilabel": [([0, 1], r"\(n, n_labels\)"), ([[0, 3]], "0")],
    "real": [([[[1.0]]], r"\(n, n_outputs\)")],
    "nonnegative": [([1.0, -2.0], "smallest is -2.0")],
}


@every_loss
def test_check_target_takes_good_targets_and_refuses_bad_ones_in_a_sentence(loss):
    rng = np.random.default_rng(13)
    loss.check_target(targets(loss, rng))
    if loss.soft_targets:
        loss.check_target(targets(loss, rng, soft=True))
    bad = [*BAD_TARGETS[loss.target], ([np.nan, 1.0], "finite"), (["a", "b"], "numbers")]
    for y, message in bad:
        with pytest.raises(ValueError, match=message) as caught:
            loss.check_target(y)
        assert str(caught.value).startswith(f"The loss {loss.name!r} needs targets that are ")
        assert str(caught.value).endswith(".")


def test_soft_targets_where_they_are_not_declared_are_refused():
    with pytest.raises(ValueError, match="0 or 1"):
        LOSSES["hinge"].check_target([0.3, 0.7])
    with pytest.raises(ValueError, match="sum to 1"):
        LOSSES["log_loss_multinomial"].check_target([[0.3, 0.3]])


@every_loss
def test_entries_compare_hash_and_survive_pickling(loss):
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss
    assert hash(again) == hash(loss)
    assert replace(loss) == loss
    assert get_loss(loss) is loss


def test_table_is_keyed_by_the_names_of_its_entries():
    assert all(isinstance(loss, Loss) and loss.name == name for name, loss in LOSSES.items())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("log_los_binary", {}, "Did you mean 'log_loss_binary'"),
        ("huber", {"delt": 1.0}, "Did you mean 'delta'"),
        ("huber", {"delta": -1.0}, "delta must be a finite number greater than 0"),
        ("quantile", {"quantile": 1.0}, "strictly between 0 and 1"),
        ("hinge", {"delta": 1.0}, "takes no options"),
        (None, {}, "loss=None is not known"),
    ],
)
def test_get_loss_says_what_is_wrong(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_loss(name, **options)


def test_an_entry_of_another_table_is_not_a_loss():
    from mlfund.penalties import PENALTIES

    with pytest.raises(ValueError, match="is not known"):
        get_loss(PENALTIES["l2"])


def test_raw_width_follows_the_target():
    widths = {name: loss.raw_width(4) for name, loss in LOSSES.items()}
    assert {name for name, width in widths.items() if width == 1} == {"log_loss_binary", "hinge"}
    assert set(widths.values()) == {1, 4}


def test_a_subclass_written_by_a_user_is_accepted_as_an_instance():
    class Cubed(type(LOSSES["squared_error"])):
        def elementwise(self, raw, y):
            return (raw - y).abs() ** 3

    mine = Cubed()
    assert get_loss(mine) is mine
    assert not mine.canonical
    assert mine.value(torch.tensor([[2.0]]), torch.tensor([[0.0]])) == 8
