"""solver="sgd" of LogisticRegression against gradient descent by hand and the optimum."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning

from mlfund import LogisticRegression
from mlfund.optimizers import OPTIMIZERS, Adam
from mlfund.schedules import SCHEDULES, get_schedule

EVER = {"n_iter_no_change": np.inf, "tol": 0.0}
# Muon is for the matrices of nets.
LINEAR = [name for name, entry in OPTIMIZERS.items() if not entry.per_matrix]


def fit(X, y, sample_weight=None, **options):
    """Fit by sgd; running out of epochs is what these tests want."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(solver="sgd", **options).fit(X, y, sample_weight)


def standardised(n, d, seed=0):
    """Rows whose columns have mean 0 and spread 1, so that their coordinates are their own."""
    X = np.random.RandomState(seed).standard_normal((n, d))
    X -= X.mean(axis=0)
    return X / np.sqrt((X**2).mean(axis=0))


def objective(model, X, y):
    """Return the mean loss plus the penalty for it."""
    scores = X @ model.coef_.T + model.intercept_
    if len(model.coef_) == 1:
        loss = np.logaddexp(0, np.where(y == model.classes_[1], -1, 1) * scores[:, 0]).mean()
    else:
        code = np.searchsorted(model.classes_, y)
        loss = (np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(y)), code]).mean()
    W, ratio = model.coef_, model.l1_ratio
    penalty = ratio * np.abs(W).sum() + (1 - ratio) / 2 * (W**2).sum()
    return loss + penalty / model.C / len(y)


def by_hand(X, y, batches, rate, k):
    """Plain gradient descent over given batches, from zero."""
    W, b = np.zeros((k, X.shape[1])), np.zeros(k)
    for rows in batches:
        raw = X[rows] @ W.T + b
        mean = expit(raw) if k == 1 else softmax(raw, axis=1)
        R = mean - (y[rows][:, None] if k == 1 else np.eye(k)[y[rows]])
        W -= rate * R.T @ X[rows] / len(R)
        b -= rate * R.mean(axis=0)
    return W, b


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("batch_size", ["full", 200, 1, 32])
def test_plain_steps_are_those_of_the_textbook(k, batch_size):
    X = standardised(200, 4)
    y = np.random.RandomState(1).randint(0, max(k, 2), 200)
    size = 200 if batch_size == "full" else batch_size
    one_epoch = [np.arange(s, min(s + size, 200)) for s in range(0, 200, size)]
    model = fit(
        X, y, C=np.inf, optimizer="sgd", schedule="constant", learning_rate_init=0.3,
        batch_size=batch_size, shuffle=False, max_iter=5, **EVER,
    )  # fmt: skip
    W, b = by_hand(X, y, one_epoch * 5, 0.3, k)
    np.testing.assert_allclose(model.coef_, W, atol=1e-10)
    np.testing.assert_allclose(model.intercept_, b, atol=1e-10)
    assert len(model.loss_curve_) == 6
    np.testing.assert_allclose(model.loss_curve_[-1], objective(model, X, y), rtol=1e-10)


def test_one_step_moves_badly_scaled_columns_by_the_gradient_over_the_variance():
    Z = standardised(300, 3)
    scale, shift = np.array([1e-6, 1.0, 1e8]), np.array([1e-3, -5.0, 1e9])
    y = (Z[:, 0] + Z[:, 2] > 0.3).astype(int)
    options = {
        "C": np.inf, "optimizer": "sgd", "schedule": "constant", "learning_rate_init": 0.5,
        "batch_size": "full", "max_iter": 20, **EVER,
    }  # fmt: skip
    plain, scaled = fit(Z, y, **options), fit(Z * scale + shift, y, **options)
    np.testing.assert_allclose(scaled.coef_ * scale, plain.coef_, rtol=1e-6)
    np.testing.assert_allclose(scaled.loss_curve_, plain.loss_curve_, rtol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", LINEAR)
def test_every_optimizer_goes_with_every_schedule(optimizer, schedule):
    X, y = load_iris(return_X_y=True)
    model = fit(X, y, optimizer=optimizer, schedule=schedule, max_iter=8)
    assert min(model.loss_curve_) < 0.7 * model.loss_curve_[0]
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize(
    ("load", "scale"), [(load_iris, 1.0), (load_breast_cancer, 1e5), (load_iris, 1e-5)]
)
def test_defaults_come_near_the_optimum(load, scale):
    X, y = load(return_X_y=True)
    X = X * np.where(np.arange(X.shape[1]) % 2, scale, 1.0)
    model = LogisticRegression(solver="sgd").fit(X, y)
    best = LogisticRegression(tol=1e-6, max_iter=1000).fit(X, y)
    assert objective(model, X, y) < objective(best, X, y) + 0.01
    assert model.score(X, y) > best.score(X, y) - 0.01


@pytest.mark.parametrize(
    ("optimizer", "ratio"), [("sgd", 1.0), ("sgd", 0.5), ("nesterov", 1.0), ("adam", 1.0)]
)
def test_l1_gives_exact_zeros_and_the_optimum(optimizer, ratio):
    X, y = make_classification(
        200, 12, n_informative=3, n_redundant=0, random_state=0, shuffle=False
    )
    model = fit(
        X, y, C=0.1, l1_ratio=ratio, optimizer=optimizer, batch_size="full", max_iter=400, tol=1e-9
    )
    best = LogisticRegression(C=0.1, l1_ratio=ratio, solver="auto", tol=1e-9, max_iter=1000)
    best.fit(X, y)
    assert objective(model, X, y) < objective(best, X, y) + 1e-4
    assert (best.coef_ == 0).sum() >= 3
    np.testing.assert_array_equal(model.coef_ == 0, best.coef_ == 0)


def test_l1_gives_exact_zeros_in_small_batches():
    X, y = load_breast_cancer(return_X_y=True)
    model = fit(X, y, C=0.05, l1_ratio=1)
    best = LogisticRegression(C=0.05, l1_ratio=1, solver="auto", max_iter=1000).fit(X, y)
    assert (model.coef_ == 0).sum() >= 0.7 * (best.coef_ == 0).sum()
    assert objective(model, X, y) < objective(best, X, y) + 0.002


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("batch_size", [1, 16, "full"])
def test_sparse_equals_dense(k, batch_size):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((120, 9)) * (rng.random_sample((120, 9)) < 0.3) * 10.0 ** np.arange(9)
    y = rng.randint(0, k, 120)
    options = {"batch_size": batch_size, "max_iter": 4, "l1_ratio": 0.2}
    dense = fit(X, y, **options)
    for make in (sp.csr_array, sp.csr_matrix):
        sparse = fit(make(X), y, **options)
        np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-9)


def test_weights_are_repetitions_in_full_batches():
    X, y = load_iris(return_X_y=True)
    weight = np.random.RandomState(0).randint(0, 4, len(y)).astype(float)
    index = np.repeat(np.arange(len(y)), weight.astype(int))
    options = {"batch_size": "full", "max_iter": 30, "class_weight": {0: 2.0}}
    np.testing.assert_allclose(
        fit(X, y, weight, **options).coef_, fit(X[index], y[index], **options).coef_, rtol=1e-7
    )


def test_weights_count_in_online_learning_and_their_unit_does_not():
    X, y = load_breast_cancer(return_X_y=True)
    options = {"batch_size": 1, "max_iter": 2}
    heavy = np.where(y == 1, 20.0, 1.0)
    plain, weighted = fit(X, y, **options), fit(X, y, heavy, **options)
    assert weighted.predict(X).mean() > plain.predict(X).mean() + 0.01
    again = fit(X, y, heavy * 8.0, C=1 / 8, **options)
    np.testing.assert_allclose(again.coef_, weighted.coef_, rtol=1e-9)


def test_fits_repeat_and_the_seed_matters():
    X, y = load_iris(return_X_y=True)
    first, again = fit(X, y, max_iter=3), fit(X, y, max_iter=3)
    other = fit(X, y, max_iter=3, random_state=1)
    np.testing.assert_array_equal(first.coef_, again.coef_)
    assert not np.array_equal(first.coef_, other.coef_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_in_is_dtype_out(dtype):
    X, y = load_iris(return_X_y=True)
    model = fit(X.astype(dtype), y)
    assert model.coef_.dtype == model.intercept_.dtype == dtype
    assert model.score(X, y) > 0.95
    model = LogisticRegression(solver="sgd").partial_fit(X.astype(dtype), y, classes=[0, 1, 2])
    assert model.coef_.dtype == dtype


def test_warm_start_goes_on():
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(solver="sgd", warm_start=True).fit(X, y)
    reached = model.loss_curve_[-1]
    assert model.fit(X, y).loss_curve_[0] == pytest.approx(reached, rel=1e-9)


def test_early_stopping_keeps_the_weights_of_the_best_score():
    X, y = load_breast_cancer(return_X_y=True)
    model = LogisticRegression(
        solver="sgd", early_stopping=True, validation_fraction=0.3, n_iter_no_change=5
    )
    model.fit(X, y)
    assert model.n_iter_[0] < 100
    assert model.score(X, y) > 0.93
    with pytest.raises(ValueError, match="validation_fraction"):
        clone(model).set_params(validation_fraction=1.5).fit(X, y)


def test_callbacks_and_verbose_see_every_epoch(capsys):
    X, y = load_iris(return_X_y=True)
    model = fit(X, y, max_iter=3, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert f"objective {model.loss_curve_[1]:.8g}" in lines[0]


# --- streams ---------------------------------------------------------------------------


def chunks(n_chunks, rows=200, d=5, seed=0):
    rng = np.random.RandomState(seed)
    truth = rng.standard_normal((d, 3))
    for _ in range(n_chunks):
        X = rng.standard_normal((rows, d)) * 10.0 ** np.arange(d)
        yield X, (X / 10.0 ** np.arange(d) @ truth + rng.gumbel(size=(rows, 3))).argmax(axis=1)


def test_a_stream_reaches_the_batch_fit():
    parts = list(chunks(50))
    model = LogisticRegression(solver="sgd")
    for X, y in parts:
        model.partial_fit(X, y, classes=[0, 1, 2])
    X, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    batch = LogisticRegression(max_iter=1000).fit(X, y)
    test_X, test_y = next(chunks(1, rows=20_000))
    assert model.score(test_X, test_y) > batch.score(test_X, test_y) - 0.01
    assert model.n_iter_[0] == len(model.loss_curve_) == 50
    assert np.mean(model.loss_curve_[-5:]) < 0.8 * model.loss_curve_[0]


@pytest.mark.parametrize("optimizer", LINEAR)
def test_a_stream_goes_on_through_a_pickle(optimizer):
    plain = LogisticRegression(solver="sgd", optimizer=optimizer, schedule="linear_warmup")
    carried = clone(plain)
    for X, y in chunks(4):
        plain.partial_fit(X, y, classes=[0, 1, 2])
        carried = pickle.loads(pickle.dumps(carried.partial_fit(X, y, classes=[0, 1, 2])))
    np.testing.assert_array_equal(plain.coef_, carried.coef_)


@pytest.mark.parametrize("optimizer", LINEAR)
def test_two_calls_are_one_call_with_both_chunks(optimizer):
    """Without a penalty and with the same columns, only the boundaries of batches count."""
    X, y = next(chunks(1, rows=128))
    model = LogisticRegression(
        solver="sgd", C=np.inf, optimizer=optimizer, batch_size=32, shuffle=False
    )
    twice = clone(model)
    for _ in range(2):
        twice.partial_fit(X, y, classes=[0, 1, 2])
    once = model.partial_fit(np.tile(X, (2, 1)), np.tile(y, 2), classes=[0, 1, 2])
    np.testing.assert_allclose(twice.coef_, once.coef_, rtol=1e-6)


def test_a_column_that_wakes_up_late_is_learned():
    rng = np.random.RandomState(0)
    model = LogisticRegression(solver="sgd", batch_size=16)
    for i in range(60):
        X = rng.standard_normal((100, 2))
        y = (X[:, 0] + 3 * X[:, 1] * (i >= 20) > 0).astype(int)
        X[:, 1] *= i >= 20
        model.partial_fit(X, y, classes=[0, 1])
        if i == 19:
            assert model.coef_[0, 1] == 0
    assert model.coef_[0, 1] > 1.5 * model.coef_[0, 0] > 0
    assert model.score(X, y) > 0.9


def test_a_stream_is_told_its_classes_once():
    X, y = next(chunks(1))
    model = LogisticRegression(solver="sgd")
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, y)
    model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="label 7, which is not among the classes"):
        model.partial_fit(X, np.full(len(y), 7))
    with pytest.raises(ValueError, match="is not the same as on the last call"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="'balanced' needs all rows"):
        LogisticRegression(solver="sgd", class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    with pytest.raises(AttributeError) as refused:
        LogisticRegression().partial_fit(X, y)
    assert "partial_fit needs solver='sgd'" in str(refused.value.__cause__)


def test_a_chunk_that_diverges_leaves_the_model_as_it_was():
    X, y = next(chunks(1))
    model = LogisticRegression(solver="sgd", optimizer="sgd", C=1e-3)
    model.partial_fit(X, y, classes=[0, 1, 2])
    before = model.coef_.copy()
    model.set_params(optimizer="momentum", learning_rate_init=1e300)
    with pytest.raises(ValueError, match=r"partial_fit diverged in call 2.*learning_rate_init"):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(model.coef_, before)


# --- arguments and ends ----------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        {"optimizer": "adam"}, {"schedule": "cosine"}, {"learning_rate_init": 0.1},
        {"batch_size": 10}, {"shuffle": True}, {"early_stopping": False},
        {"validation_fraction": 0.2},
    ],
)  # fmt: skip
def test_options_of_gradient_descent_need_it(option):
    X, y = load_iris(return_X_y=True)
    (name,) = option
    with pytest.raises(ValueError, match=rf"solver='lbfgs' and {name}=.* contradict"):
        LogisticRegression(**option).fit(X, y)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"learning_rate_init": 0}, "learning_rate_init must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": 2.5}, "batch_size must be"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be"),
        ({"shuffle": "yes"}, "shuffle='yes'"),
    ],
)
def test_bad_options_are_named(option, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        LogisticRegression(solver="sgd", **option).fit(X, y)


def test_an_optimizer_of_ones_own_class_is_refused():
    class Mine(Adam):
        pass

    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="cannot run the optimizer"):
        LogisticRegression(solver="sgd", optimizer=Mine()).fit(X, y)


def test_instances_bring_their_options():
    X, y = load_iris(return_X_y=True)
    schedule = get_schedule("step", every_epochs=1, gamma=1e-12)
    model = fit(X, y, optimizer=Adam(beta_1=0.5), schedule=schedule, max_iter=3, **EVER)
    np.testing.assert_allclose(model.loss_curve_[1:], model.loss_curve_[1], rtol=1e-6)


def test_running_out_of_epochs_says_what_to_do():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2 epochs.*Raise max_iter"):
        LogisticRegression(solver="sgd", max_iter=2).fit(X, y)


def test_divergence_keeps_the_last_good_weights_and_names_the_cure():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=r"diverged in epoch 1.*learning_rate_init"):
        LogisticRegression(solver="sgd", optimizer="sgd", C=1e-3, learning_rate_init=1e200).fit(
            X, y
        )
    late = LogisticRegression(
        solver="sgd", optimizer="sgd", schedule="triangular", C=1e-2, learning_rate_init=25.0,
        batch_size="full", max_iter=300, **EVER,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning, match=r"diverged in epoch \d+.*are kept"):
        late.fit(X, y)
    assert np.isfinite(late.coef_).all()
    assert objective(late, X, y) < 1e3
