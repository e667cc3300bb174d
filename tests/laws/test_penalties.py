"""Laws that hold for every penalty."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.linear_model import ElasticNet as SklearnElasticNet

from mlfund.penalties import PENALTIES, get_penalty

VARIANTS = [
    *PENALTIES.values(),
    get_penalty("l1", alpha=0.0),
    get_penalty("l2", alpha=0.3),
    get_penalty("elasticnet", alpha=2.0, l1_ratio=0.9),
    get_penalty("elasticnet", l1_ratio=0.0),
    get_penalty("elasticnet", l1_ratio=1.0),
]
every_penalty = pytest.mark.parametrize("penalty", VARIANTS, ids=repr)


@every_penalty
@pytest.mark.parametrize("v", [-3.0, -0.6, -0.01, 0.0, 0.2, 1.7])
@pytest.mark.parametrize("step", [0.0, 0.1, 1.0, 3.0])
def test_prox_is_the_minimiser_it_promises(penalty, v, step):
    def objective(w):
        return 0.5 * (v - w) ** 2 + step * float(
            penalty.value(torch.tensor([w], dtype=torch.float64))
        )

    numeric = minimize_scalar(objective, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    ours = float(penalty.prox(torch.tensor([v], dtype=torch.float64), step))
    assert ours == pytest.approx(numeric.x, abs=2e-5)
    assert objective(ours) <= numeric.fun + 1e-12


@settings(max_examples=30, deadline=None)
@given(
    v=st.lists(st.floats(-100, 100), min_size=1, max_size=6),
    u=st.lists(st.floats(-100, 100), min_size=6, max_size=6),
    step=st.floats(0, 10),
)
@every_penalty
def test_prox_never_moves_two_points_apart(penalty, v, u, step):
    v = torch.tensor(v, dtype=torch.float64)
    u = torch.tensor(u, dtype=torch.float64)[: len(v)]
    before = torch.linalg.vector_norm(v - u)
    after = torch.linalg.vector_norm(penalty.prox(v, step) - penalty.prox(u, step))
    assert after <= before * (1 + 1e-12) + 1e-12


@every_penalty
def test_gradient_is_that_of_the_value_where_the_penalty_is_smooth(penalty):
    w = torch.tensor([[-2.0, 0.0], [0.3, 1.0]], dtype=torch.float64, requires_grad=True)
    if not penalty.smooth:
        with pytest.raises(ValueError, match=f"The penalty '{penalty.name}' has no gradient"):
            penalty.gradient(w)
        return
    if penalty.value(w).requires_grad:
        assert torch.autograd.gradcheck(penalty.value, (w,))
        (expected,) = torch.autograd.grad(penalty.value(w), w)
    else:
        expected = torch.zeros_like(w)
    torch.testing.assert_close(penalty.gradient(w.detach()), expected)


@every_penalty
def test_smoothness_is_what_the_kink_at_zero_shows(penalty):
    def slope(w):
        return float(penalty.value(torch.tensor([w], dtype=torch.float64))) / w

    kink = slope(1e-9) - slope(-1e-9)
    assert penalty.smooth == (abs(kink) < 1e-6)


@every_penalty
def test_value_is_a_scalar_zero_at_zero_and_even(penalty):
    w = torch.tensor([[1.0, -2.0, 0.5]])
    assert penalty.value(w).shape == ()
    assert penalty.value(torch.zeros(3)) == 0
    assert penalty.value(w) == penalty.value(-w)


@every_penalty
def test_step_broadcasts_over_stacked_weights(penalty):
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([[0.1], [0.5], [2.0]])
    stacked = penalty.prox(w, steps)
    one_by_one = torch.stack([penalty.prox(w[r], float(steps[r])) for r in range(3)])
    torch.testing.assert_close(stacked, one_by_one)


def test_elastic_net_ends_are_l1_and_l2():
    w = torch.tensor([1.0, -2.0, 0.1])
    for ratio, name in [(1.0, "l1"), (0.0, "l2")]:
        ours = get_penalty("elasticnet", alpha=0.7, l1_ratio=ratio)
        plain = get_penalty(name, alpha=0.7)
        assert ours.value(w) == plain.value(w)
        assert torch.equal(ours.prox(w, 0.4), plain.prox(w, 0.4))
        assert ours.smooth == plain.smooth


def test_proximal_gradient_reaches_the_elastic_net_of_sklearn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8))
    y = x[:, 0] - 2 * x[:, 1] + 0.1 * rng.normal(size=60)
    theirs = SklearnElasticNet(alpha=0.3, l1_ratio=0.6, fit_intercept=False, tol=1e-12).fit(x, y)
    penalty = get_penalty("elasticnet", alpha=0.3, l1_ratio=0.6)
    step = 60 / np.linalg.norm(x, 2) ** 2
    w, x, y = torch.zeros(8, dtype=torch.float64), torch.tensor(x), torch.tensor(y)
    for _ in range(500):
        w = penalty.prox(w - step * x.T @ (x @ w - y) / 60, step)
    np.testing.assert_allclose(w, theirs.coef_, atol=1e-10)
    np.testing.assert_array_equal(w.numpy() == 0, theirs.coef_ == 0)


@every_penalty
def test_entries_compare_hash_and_survive_pickling(penalty):
    again = pickle.loads(pickle.dumps(penalty))
    assert again == penalty
    assert hash(again) == hash(penalty)


def test_table_is_keyed_by_the_names_of_its_entries():
    assert all(penalty.name == name for name, penalty in PENALTIES.items())
    assert get_penalty(None) == PENALTIES["none"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("elastic_net", {}, "Did you mean 'elasticnet'"),
        ("l2", {"alpha": -1}, "alpha must be a finite number at least 0"),
        ("elasticnet", {"l1_ratio": 1.5}, "l1_ratio must lie between 0 and 1"),
        (
            "l1",
            {"l1_ratio": 0.5},
            "The penalty 'l1' has no option 'l1_ratio'; allowed are 'alpha'.",
        ),
    ],
)
def test_get_penalty_says_what_is_wrong(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_penalty(name, **options)
