"""Laws that hold for every loss, by what it declares."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn._loss import loss as sklearn_loss
from sklearn.neural_network import _base as sklearn_mlp

from mlfund.losses import LOSSES, BinaryFocal, CallableLoss, Huber, Loss, get_loss, loss_for


def steep(raw, y):
    """A loss of a user's own."""
    return (raw - y).pow(4).sum(-1)


VARIANTS = [
    *LOSSES.values(),
    get_loss("huber", delta=0.3),
    get_loss("quantile", quantile=0.9),
    get_loss("focal_binary", gamma=0.5, alpha=0.25),
    get_loss("focal_multiclass", gamma=0.5),
    get_loss("focal_multilabel", gamma=0.0, alpha=0.9),
    get_loss("dice_binary", smoothing=1.0),
    CallableLoss(steep),
]


def named(value):
    """Name a case alike in every process: without the address of a function."""
    return re.sub(r" at 0x\w+", "", repr(value))


def such(condition):
    """Parametrise over the losses that declare something."""
    return pytest.mark.parametrize("loss", [x for x in VARIANTS if condition(x)], ids=named)


every_loss = such(lambda loss: True)
soft = such(lambda loss: loss.soft_targets)
pointwise = such(lambda loss: loss.reduction == "pointwise")
batchwise = such(lambda loss: loss.reduction == "batch")
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
    if loss.zero_at_best:
        assert (value >= 0).all()


@pytest.mark.parametrize(
    ("loss", "soft"),
    [(loss, soft) for loss in VARIANTS for soft in (False, True) if loss.soft_targets or not soft],
    ids=named,
)
def test_gradient_is_that_of_finite_differences(loss, soft):
    raw, y = draw(loss, 1, soft=soft)
    raw.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda scores: loss.value(scores, y), (raw,), eps=1e-7)
    weight = torch.linspace(0.5, 2.0, N).double()
    assert torch.autograd.gradcheck(lambda scores: loss.mean(scores, y, weight), (raw,), eps=1e-7)


@every_loss
def test_canonical_is_declared_where_the_gradient_is_prediction_minus_target(loss):
    raw, y = draw(loss, 14)
    raw.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss.value(raw, y).sum(), raw)
    if loss.over_outputs == "mean":
        gradient = gradient * raw.shape[1]
    onehot = torch.nn.functional.one_hot(y, K) if loss.target == "multiclass" else y
    link = loss.inverse_link
    mean = None if link is None else link(raw)
    closed = mean is not None and mean.shape == gradient.shape
    assert loss.canonical == (closed and torch.allclose(gradient, mean - onehot, rtol=1e-10))


@pointwise
def test_a_row_does_not_see_the_others_and_the_mean_is_that_of_the_rows(loss):
    raw, y = draw(loss, 2)
    alone = torch.cat([loss.value(raw[[i]], y[[i]]) for i in range(N)])
    torch.testing.assert_close(alone, loss.value(raw, y), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(alone.mean(), loss.mean(raw, y), rtol=1e-12, atol=0)


@batchwise
def test_the_value_of_a_row_is_the_loss_of_that_row_as_a_batch(loss):
    raw, y = draw(loss, 2)
    alone = torch.stack([loss.mean(raw[[i]], y[[i]]) for i in range(N)])
    torch.testing.assert_close(alone, loss.value(raw, y), rtol=1e-14, atol=0)
    assert not torch.isclose(alone.mean(), loss.mean(raw, y))


@every_loss
def test_the_order_of_rows_is_nothing(loss):
    raw, y = draw(loss, 15)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss.mean(raw[order], y[order]), loss.mean(raw, y))


def perfect_raw(loss, y):
    """Raw scores that predict hard targets as well as the link allows."""
    if loss.target == "multiclass":
        return torch.nn.functional.one_hot(y, K).double() * 1000
    if loss.target in ("binary", "multilabel"):
        return (2 * y - 1) * 1000
    if loss.target == "nonnegative":
        return torch.where(y > 0, y, 0).log().clamp_min(-1000)
    return y.clone()


@such(lambda loss: loss.zero_at_best)
def test_a_perfect_prediction_costs_nothing_and_any_other_more(loss):
    raw, y = draw(loss, 3)
    best = perfect_raw(loss, y)
    torch.testing.assert_close(loss.value(best, y), torch.zeros(N).double(), rtol=0, atol=1e-12)
    assert (loss.value(raw, y) > loss.value(best, y)).any()
    if loss.inverse_link is not None and loss.target != "multiclass":
        torch.testing.assert_close(loss.inverse_link(best), y, rtol=1e-12, atol=1e-12)


def descend(objective, start):
    """Return the minimiser of a smooth function, to about the root of the precision."""
    raw = start.clone().requires_grad_(True)
    options = {"max_iter": 500, "tolerance_grad": 1e-12, "tolerance_change": 0.0}
    optimizer = torch.optim.LBFGS([raw], line_search_fn="strong_wolfe", **options)

    def closure():
        optimizer.zero_grad()
        value = objective(raw)
        value.backward()
        return value

    optimizer.step(closure)
    return raw.detach()


@such(lambda loss: loss.soft_targets and loss.reduction == "pointwise")
def test_link_is_calibrated(loss):
    """At the scores that cost least under probabilities p, the inverse link gives p."""
    _, p = draw(loss, 4, soft=True)
    best = descend(lambda raw: loss.value(raw, p).sum(), torch.zeros(N, loss.raw_width(K)).double())
    if getattr(loss, "alpha", None):
        # As weights of classes do, alpha moves the odds by a known factor.
        odds = p / (1 - p) * loss.alpha / (1 - loss.alpha)
        p = odds / (1 + odds)
    torch.testing.assert_close(loss.inverse_link(best), p, rtol=0, atol=1e-6)


@such(lambda loss: loss.name in ("squared_error", "poisson", "gaussian_nll"))
def test_link_gives_the_mean_of_the_target_at_the_least_loss(loss):
    y = torch.tensor([[0.0], [1.0], [1.0], [5.0]]).double()
    start = torch.zeros(1, loss.raw_width(1)).double()
    best = descend(lambda raw: loss.value(raw.expand(4, -1), y).sum(), start)
    torch.testing.assert_close(loss.inverse_link(best), y.mean().reshape(1, 1))
    if loss.name == "gaussian_nll":
        torch.testing.assert_close(loss.variance(best), y.var(correction=0).reshape(1, 1))


@soft
def test_a_soft_target_that_is_certain_is_the_hard_one(loss):
    raw, y = draw(loss, 16)
    certain = torch.nn.functional.one_hot(y, K).double() if loss.target == "multiclass" else y
    torch.testing.assert_close(loss.value(raw, certain), loss.value(raw, y), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(loss.mean(raw, certain), loss.mean(raw, y), rtol=1e-12, atol=1e-14)


@such(lambda loss: loss.soft_targets and loss.reduction == "pointwise")
def test_a_soft_target_costs_the_mean_over_the_hard_ones(loss):
    raw, p = draw(loss, 17, soft=True)
    if loss.target == "multiclass":
        hard = [loss.value(raw, torch.full((N,), j)) for j in range(K)]
        expected = sum(p[:, j] * hard[j] for j in range(K))
    else:
        ones = loss.elementwise(raw, torch.ones_like(p))
        zeros = loss.elementwise(raw, torch.zeros_like(p))
        expected = (p * ones + (1 - p) * zeros).sum(-1)
    torch.testing.assert_close(loss.value(raw, p), expected, rtol=1e-12, atol=1e-14)


@batchwise
def test_soft_targets_of_a_batch_are_best_predicted_by_themselves(loss):
    raw, p = draw(loss, 4, soft=True)
    best = p.log() if loss.target == "multiclass" else torch.logit(p)
    torch.testing.assert_close(loss.mean(best, p), torch.tensor(0.0).double())
    assert loss.mean(raw, p) > 0.1


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
    assert (loss.mean(raw, y) - value.mean()).abs() < 1 or loss.reduction == "pointwise"
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
        assert loss.family == "hinge"
        return
    mean = loss.inverse_link(raw)
    assert mean.shape == (200, loss.raw_width(K) // loss.raw_width(1))
    assert not mean.isnan().any()
    if loss.target in ("binary", "multilabel", "multiclass"):
        assert ((mean >= 0) & (mean <= 1)).all()
    if loss.target == "multiclass":
        torch.testing.assert_close(mean.sum(1), torch.ones(200).double())
    if loss.target == "nonnegative":
        assert (mean >= 0).all()
    if loss.target == "real":
        assert torch.equal(mean, raw[:, : mean.shape[1]])


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


@such(lambda x: x.target not in ("binary", "multiclass") and x.reduction == "pointwise")
def test_outputs_are_summed_or_averaged_as_declared(loss):
    raw, y = draw(loss, 8)
    parts = [raw[:, j::K] for j in range(K)]
    one_by_one = torch.stack([loss.value(parts[j], y[:, [j]]) for j in range(K)], dim=1)
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


FOCAL_AT = np.linspace(0.02, 0.98, 9)


@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, None), (2.0, None), (0.5, 0.25), (5.0, 0.9)])
def test_focal_is_the_formula_of_the_paper(gamma, alpha):
    p = torch.tensor(FOCAL_AT)[:, None]
    loss = get_loss("focal_binary", gamma=gamma, alpha=alpha)
    for y, p_true, weight in ((1.0, p, alpha), (0.0, 1 - p, None if alpha is None else 1 - alpha)):
        expected = (1.0 if weight is None else weight) * -((1 - p_true) ** gamma) * p_true.log()
        value = loss.elementwise(torch.logit(p), torch.full_like(p, y))
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


def test_focal_with_two_classes_is_the_binary_one():
    raw, y = draw(LOSSES["focal_binary"], 18)
    both = torch.cat([torch.zeros_like(raw), raw], dim=1)
    binary, multiclass = get_loss("focal_binary"), get_loss("focal_multiclass")
    value = multiclass.value(both, y[:, 0].long())
    torch.testing.assert_close(value, binary.value(raw, y), rtol=1e-12, atol=0)
    proba = multiclass.inverse_link(both)[:, 1:]
    torch.testing.assert_close(proba, binary.inverse_link(raw), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_focal_without_focus_is_the_log_loss(kind):
    focal, log_loss = loss_for("focal", kind, gamma=0.0), loss_for("log_loss", kind)
    raw, y = draw(focal, 19)
    torch.testing.assert_close(focal.value(raw, y), log_loss.value(raw, y), rtol=1e-10, atol=1e-14)
    proba = focal.inverse_link(raw)
    torch.testing.assert_close(proba, log_loss.inverse_link(raw), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_overlaps_of_certain_predictions_are_the_metrics_of_sklearn(kind):
    """Dice is 1 - F1 and Jaccard 1 - the Jaccard score, but for the smoothing."""
    dice, jaccard = loss_for("dice", kind, smoothing=1e-12), loss_for("jaccard", kind)
    jaccard = replace(jaccard, smoothing=1e-12)
    rng = np.random.default_rng(20)
    y, predicted, weight = targets(dice, rng), targets(dice, rng), rng.uniform(0.2, 2, size=N)
    raw = perfect_raw(dice, torch.tensor(predicted))
    average = "binary" if kind == "binary" else "macro"
    for loss, score in ((dice, metrics.f1_score), (jaccard, metrics.jaccard_score)):
        for sample_weight in (None, weight):
            expected = 1 - score(y, predicted, average=average, sample_weight=sample_weight)
            weights = None if sample_weight is None else torch.tensor(weight)
            np.testing.assert_allclose(loss.mean(raw, torch.tensor(y), weights), expected)


def test_overlaps_are_the_usual_soft_ones_for_hard_targets():
    rng = np.random.default_rng(21)
    p, y = torch.tensor(rng.uniform(size=(N, K))), torch.tensor(rng.integers(2, size=(N, K)) * 1.0)
    both, sums = (p * y).mean(0), p.mean(0) + y.mean(0)
    dice = 1 - (2 * both + 0.01) / (sums + 0.01)
    jaccard = 1 - (both + 0.01) / (sums - both + 0.01)
    for name, expected in (("dice_multilabel", dice), ("jaccard_multilabel", jaccard)):
        value = get_loss(name, smoothing=0.01).mean(torch.logit(p), y)
        torch.testing.assert_close(value, expected.mean(), rtol=1e-12, atol=0)


def test_multiclass_hinge_is_that_of_sklearn():
    raw, y = draw(LOSSES["hinge_multiclass"], 22)
    expected = metrics.hinge_loss(y, raw, labels=range(K))
    np.testing.assert_allclose(LOSSES["hinge_multiclass"].mean(raw, y), expected, rtol=1e-12)


def test_gaussian_nll_is_the_log_density_of_scipy():
    loss = LOSSES["gaussian_nll"]
    raw, y = draw(loss, 23)
    mean, scale = loss.inverse_link(raw).numpy(), np.sqrt(loss.variance(raw).numpy())
    np.testing.assert_allclose(scale, np.exp(raw.numpy()[:, K:] / 2), rtol=1e-12)
    expected = -stats.norm(mean, scale).logpdf(y.numpy()).sum(1)
    np.testing.assert_allclose(loss.value(raw, y), expected, rtol=1e-10)


def test_gaussian_nll_is_a_density_beyond_the_smallest_variance_and_comes_back_from_it():
    loss, y = LOSSES["gaussian_nll"], torch.tensor([[1.0]])
    for log_variance in (-29.9, -30.0, -30.1, -80.0, -1e6):
        raw = torch.tensor([[0.0, log_variance]], dtype=torch.float64, requires_grad=True)
        variance = loss.variance(raw).item()
        expected = -stats.norm(0, np.sqrt(variance)).logpdf(1.0)
        value = loss.value(raw, y.double())
        assert value.item() == pytest.approx(expected, rel=1e-12)
        (gradient,) = torch.autograd.grad(value.sum(), raw)
        assert gradient[0, 1] < -1e10
    below = torch.tensor([[0.0, -30.0 - 1e-9], [0.0, -30.0 + 1e-9]]).double()
    assert loss.variance(below).diff(dim=0).abs() < 1e-21


@every_loss
def test_entries_compare_hash_and_survive_pickling(loss):
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss
    assert hash(again) == hash(loss)
    assert replace(loss) == loss
    assert get_loss(loss) is loss


FAMILIES = ["log_loss", "focal", "hinge", "dice", "jaccard"]
KINDS = ["binary", "multiclass", "multilabel"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_a_member_for_every_kind_of_classes(family):
    members = {kind: loss_for(family, kind) for kind in KINDS}
    assert all(member.target == kind for kind, member in members.items())
    assert all(member.family == family for member in members.values())
    for member in members.values():
        # By its own name, or as an instance, a member stands for its family.
        assert {kind: loss_for(member.name, kind) for kind in KINDS} == members
        assert {kind: loss_for(member, kind) for kind in KINDS} == members


def test_loss_for_keeps_options_and_what_fits_already():
    assert loss_for(BinaryFocal(gamma=1.0), "multiclass") == get_loss("focal_multiclass", gamma=1.0)
    assert loss_for("poisson", "real") is LOSSES["poisson"]
    assert loss_for("huber", "real", delta=0.5) == Huber(delta=0.5)
    own = loss_for(steep, "multilabel")
    assert own == CallableLoss(steep, target="multilabel")
    assert own.inverse_link is torch.sigmoid


class Own(BinaryFocal):
    """Inherits a family whose other members do not do what it does."""


@pytest.mark.parametrize(
    ("loss", "target", "message"),
    [
        ("huber", "binary", "'huber' is for real targets, and these are binary; use one of 'log_l"),
        (
            "focal",
            "real",
            "'focal' is for binary or multiclass or multilabel targets",
        ),
        ("focl", "binary", "Did you mean 'focal'"),
        (BinaryFocal(alpha=0.5), "multiclass", "'focal_multiclass' has no option 'alpha'"),
        (Own(), "multiclass", "for binary targets"),
        (CallableLoss(steep), "binary", "'callable' is for real targets"),
        (Huber, "real", "loss=Huber is a class; give an instance"),
        (None, "real", "loss=None is not known"),
    ],
)
def test_loss_for_says_what_is_wrong(loss, target, message):
    with pytest.raises(ValueError, match=message):
        loss_for(loss, target)


@pytest.mark.parametrize(
    "function", [lambda raw, y: (raw - y).mean(), lambda raw, y: raw - y, lambda raw, y: None]
)
def test_a_callable_that_does_not_return_one_number_a_row_is_told_so(function):
    raw, y = draw(LOSSES["squared_error"], 24)
    with pytest.raises(ValueError, match=rf"must return a tensor of shape \(n,\).*here \({N},\)"):
        CallableLoss(function).value(raw, y)


def test_modules_of_torch_are_callables_too():
    raw, y = (tensor[:, :1] for tensor in draw(LOSSES["huber"], 25))
    theirs = torch.nn.HuberLoss(reduction="none", delta=1.35)
    torch.testing.assert_close(
        loss_for(theirs, "real").value(raw, y), LOSSES["huber"].value(raw, y)
    )


def test_classes_say_that_they_live_in_the_package():
    assert {type(loss).__module__ for loss in LOSSES.values()} == {"mlfund.losses"}


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
        ("focal_binary", {"gamma": -1.0}, "gamma must be a finite number at least 0"),
        ("focal_binary", {"alpha": 1.0}, "alpha must be a number strictly between 0 and 1"),
        ("dice_binary", {"smoothing": 0.0}, "smoothing must be a finite number greater than 0"),
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
    assert {LOSSES[name].target for name, width in widths.items() if width == 1} == {"binary"}
    assert {name for name, width in widths.items() if width == 8} == {"gaussian_nll"}
    assert set(widths.values()) == {1, 4, 8}


def test_a_subclass_written_by_a_user_is_accepted_as_an_instance():
    class Cubed(type(LOSSES["squared_error"])):
        def elementwise(self, raw, y):
            return (raw - y).abs() ** 3

    mine = Cubed()
    assert get_loss(mine) is mine
    assert not mine.canonical
    assert mine.value(torch.tensor([[2.0]]), torch.tensor([[0.0]])) == 8


def test_a_loss_that_says_none_names_the_methods_to_write():
    class Silent(Loss):
        name = "silent"
        target = "real"

    with pytest.raises(NotImplementedError, match=r"Silent says no loss; .* `elementwise` or"):
        Silent().value(torch.zeros(2, 1), torch.zeros(2, 1))
