import copy
import pickle
import signal
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, EarlyStopping

from mlfund import MLPClassifier, MLPRegressor
from mlfund.optimizers import get_optimizer
from mlfund.schedules import get_schedule

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X2, Y2 = make_classification(250, 12, n_informative=6, random_state=0)
X3, Y3 = make_classification(250, 12, n_informative=6, n_classes=3, random_state=0)
XR, _YR = make_regression(250, 8, noise=1.0, random_state=0)
YR = _YR / _YR.std()
YM = np.column_stack([YR, YR**2, XR[:, 0]])
COUNTS = np.abs(YM).round()
_XL, YL = make_multilabel_classification(150, 10, random_state=0)
# Scaled: scikit-learn clips the loss of saturated outputs, mlfund computes it.
XL = StandardScaler().fit_transform(_XL)
SHORT = {"random_state": 0, "max_iter": 10}

SOLVERS = {
    "adam": {},
    "adam, full batch": {"batch_size": 250},
    "adam, no shuffle": {"shuffle": False, "batch_size": 60},
    "adam, strong alpha": {"alpha": 3.0},
    "adam, betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "sgd, nesterov": {"solver": "sgd", "learning_rate_init": 0.1},
    "sgd, momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.1},
    "sgd, plain": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "sgd, invscaling": {
        "solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.5,
    },
    "sgd, adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1, "tol": 0.1,
        "n_iter_no_change": 1,
    },
    "tanh": {"activation": "tanh", "hidden_layer_sizes": (20, 10)},
    "logistic": {"activation": "logistic", "hidden_layer_sizes": [15]},
    "identity": {"activation": "identity", "hidden_layer_sizes": 7},
}  # fmt: skip


def assert_same_training(ours, theirs):
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    assert ours.out_activation_ == theirs.out_activation_
    assert (ours.n_layers_, ours.n_outputs_) == (theirs.n_layers_, theirs.n_outputs_)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-8)
    np.testing.assert_allclose(ours.best_loss_, theirs.best_loss_, rtol=1e-8)
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(("X", "y"), [(X2, Y2), (X3, Y3), (XL, YL)], ids=["2", "3", "labels"])
def test_classifier_trains_as_scikit_learns(name, X, y):
    options = {**SHORT, **SOLVERS[name]}
    with warnings.catch_warnings():
        # Both warn where 250 is more than the 150 rows of the multilabel data.
        warnings.filterwarnings("ignore", message=".*batch_size.*")
        ours, theirs = MLPClassifier(**options).fit(X, y), SklearnClassifier(**options).fit(X, y)
    assert_same_training(ours, theirs)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    ("y", "loss"), [(YR, "squared_error"), (YM, "squared_error"), (COUNTS, "poisson")]
)
def test_regressor_trains_as_scikit_learns(name, y, loss):
    options = {**SHORT, **SOLVERS[name], "loss": loss}
    if options.get("solver") == "sgd":
        options["learning_rate_init"] = 0.01
    ours, theirs = MLPRegressor(**options).fit(XR, y), SklearnRegressor(**options).fit(XR, y)
    assert_same_training(ours, theirs)
    np.testing.assert_allclose(ours.predict(XR), theirs.predict(XR), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("alpha", [1e-4, 1.0])
def test_lbfgs_is_scikit_learns(alpha):
    options = {**SHORT, "solver": "lbfgs", "alpha": alpha, "max_iter": 8}
    weight = np.random.default_rng(0).uniform(0.5, 2, 250)
    for ours, theirs, X, y in (
        (MLPClassifier(**options), SklearnClassifier(**options), X3, Y3),
        (MLPClassifier(**options), SklearnClassifier(**options), X2, Y2),
        (MLPRegressor(**options), SklearnRegressor(**options), XR, YR),
    ):
        ours.fit(X, y, weight)
        theirs.fit(X, y, weight)
        assert ours.n_iter_ == theirs.n_iter_
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-7)
        np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-4, atol=1e-6)
        assert not hasattr(ours, "loss_curve_")


def test_lbfgs_with_several_outputs_reaches_a_stationary_point():
    options = {"alpha": 1.0, "tol": 1e-6, "max_iter": 2000, "random_state": 0}
    model = MLPRegressor("squared_error", 4, "tanh", solver="lbfgs", **options).fit(XR, YM)

    # The objective, in numpy, at the solution and beside it: no direction goes down.
    def objective(coefs):
        raw = np.tanh(XR @ coefs[0] + model.intercepts_[0]) @ coefs[1] + model.intercepts_[1]
        penalty = 0.5 * sum((coef**2).sum() for coef in coefs)
        return (0.5 * ((raw - YM) ** 2).sum() + penalty) / len(XR)

    best = objective(model.coefs_)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        steps = [rng.normal(size=coef.shape) for coef in model.coefs_]
        for sign in (1e-3, -1e-3):
            assert (
                objective([c + sign * s for c, s in zip(model.coefs_, steps, strict=True)]) > best
            )
    raw_loss = 0.5 * ((model.predict(XR) - YM) ** 2).mean()
    penalty = 0.5 * sum((coef**2).sum() for coef in model.coefs_) / len(XR)
    assert model.loss_ == pytest.approx(raw_loss + penalty, rel=1e-9)


def test_a_refit_by_lbfgs_drops_the_curves_of_the_fit_before():
    model = MLPClassifier(**SHORT).fit(X2, Y2)
    model.set_params(solver="lbfgs").fit(X2, Y2)
    assert not hasattr(model, "loss_curve_")
    assert not hasattr(model, "best_loss_")
    assert model.history_.empty


def test_lbfgs_reads_rows_in_blocks(monkeypatch):
    whole = MLPClassifier(solver="lbfgs", **SHORT).fit(X3, Y3)
    monkeypatch.setattr("mlfund._engine.lbfgs.BLOCK_BYTES", 1)
    X, y = np.tile(X3, (3, 1)), np.tile(Y3, 3)
    blocks = MLPClassifier(solver="lbfgs", **{**SHORT, "alpha": 3e-4}).fit(X, y)
    # 750 rows in blocks of 256; three copies of the data, alpha divided by 3 x the rows.
    np.testing.assert_allclose(blocks.coefs_[0], whole.coefs_[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
def test_dtype_in_is_dtype_out(dtype, options):
    classifier = MLPClassifier(**SHORT, **options).fit(X3.astype(dtype), Y3)
    regressor = MLPRegressor(**SHORT, **options).fit(XR.astype(dtype), YR)
    for model in (classifier, regressor):
        assert {array.dtype for array in model.coefs_ + model.intercepts_} == {np.dtype(dtype)}
    assert classifier.predict_proba(X3.astype(dtype)).dtype == dtype
    assert regressor.predict(XR.astype(dtype)).dtype == dtype


def test_precision_on_request():
    assert MLPClassifier(**SHORT, precision="float32").fit(X2, Y2).coefs_[0].dtype == np.float32
    assert (
        MLPClassifier(**SHORT, precision="float64").fit(X2.astype(np.float32), Y2).coefs_[0].dtype
        == np.float64
    )
    bf16 = MLPClassifier(**SHORT, precision="bf16").fit(X2, Y2)
    full = MLPClassifier(**SHORT, precision="float32").fit(X2, Y2)
    assert bf16.coefs_[0].dtype == np.float32
    assert bf16.loss_ == pytest.approx(full.loss_, rel=0.05)
    assert bf16.loss_ != full.loss_


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
def test_sparse_equals_dense(solver, container):
    X = np.where(np.abs(X3) > 1, X3, 0.0)
    dense = MLPClassifier(**SHORT, solver=solver).fit(X, Y3)
    sparse = MLPClassifier(**SHORT, solver=solver).fit(container(X), Y3)
    np.testing.assert_allclose(sparse.coefs_[0], dense.coefs_[0], rtol=1e-8)
    np.testing.assert_allclose(
        sparse.predict_proba(container(X)), dense.predict_proba(X), rtol=1e-8
    )


def test_sparse_early_stopping():
    X = sp.csr_matrix(np.where(np.abs(X3) > 1, X3, 0.0))
    dense = MLPClassifier(**SHORT, early_stopping=True).fit(X.toarray(), Y3)
    sparse = MLPClassifier(**SHORT, early_stopping=True).fit(X, Y3)
    assert sparse.validation_scores_ == dense.validation_scores_


def test_partial_fit_equals_the_epochs_of_fit():
    random_state = np.random.RandomState(0)
    step = MLPClassifier(random_state=random_state)
    for _ in range(10):
        step.partial_fit(X3, Y3, classes=[0, 1, 2])
    whole = MLPClassifier(**SHORT).fit(X3, Y3)
    # The row orders differ: partial_fit shuffles anew each time. With one batch they agree.
    assert len(step.loss_curve_) == 10
    assert step.n_iter_ == 1
    assert step.t_ == whole.t_ == 2500
    one_batch = {"batch_size": 250, "random_state": 0}
    step = MLPClassifier(**one_batch)
    for _ in range(10):
        step.partial_fit(X3, Y3, classes=[0, 1, 2])
    whole = MLPClassifier(**one_batch, max_iter=10).fit(X3, Y3)
    np.testing.assert_allclose(step.loss_curve_, whole.loss_curve_, rtol=1e-8)
    np.testing.assert_allclose(step.coefs_[0], whole.coefs_[0], rtol=1e-8)


@pytest.mark.parametrize("name", ["adam", "sgd, nesterov", "sgd, invscaling"])
def test_partial_fit_is_scikit_learns(name):
    options = {**SOLVERS[name], "random_state": 0}
    ours, theirs = MLPClassifier(**options), SklearnClassifier(**options)
    for part in (slice(0, 100), slice(100, 250), slice(0, 250)):
        for model in (ours, theirs):
            model.partial_fit(X3[part], Y3[part], classes=[0, 1, 2])
        assert_same_training(ours, theirs)
    for model in (ours, theirs):
        model.set_params(max_iter=3).fit(X3, Y3).partial_fit(X3, Y3)
    assert_same_training(ours, theirs)


def test_partial_fit_survives_pickle():
    one = MLPClassifier(random_state=0, batch_size=250)
    two = MLPClassifier(random_state=0, batch_size=250)
    for _ in range(4):
        one.partial_fit(X3, Y3, classes=[0, 1, 2])
        two = pickle.loads(pickle.dumps(two)).partial_fit(X3, Y3, classes=[0, 1, 2])
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])


def test_partial_fit_errors():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X3, Y3)
    model = MLPClassifier().partial_fit(X3, Y3, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not the same as on the last call"):
        model.partial_fit(X3, Y3, classes=[0, 1])
    with pytest.raises(ValueError, match=r"`y` has classes not in"):
        model.partial_fit(X3, Y3 + 1)
    with pytest.raises(ValueError, match="needs all rows at once"):
        MLPClassifier(class_weight="balanced").partial_fit(X3, Y3, classes=[0, 1, 2])
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    failed = MLPClassifier()
    with pytest.raises(ValueError, match=r"`y` has classes not in"):
        failed.partial_fit(X3, Y3, classes=[0, 1])
    assert not hasattr(failed, "classes_")


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_warm_start_is_scikit_learns(solver):
    options = {"solver": solver, "warm_start": True, "random_state": 0, "max_iter": 4}
    ours, theirs = MLPClassifier(**options), SklearnClassifier(**options)
    for _ in range(3):
        ours.fit(X3, Y3)
        theirs.fit(X3, Y3)
        np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-4, atol=1e-7)
    if solver != "lbfgs":
        assert_same_training(ours, theirs)
        assert list(ours.history_["epoch"]) == list(range(1, 13))


def test_going_on_with_other_layers_is_refused():
    model = MLPClassifier((5,), **SHORT, warm_start=True).fit(X3, Y3)
    with pytest.raises(ValueError, match=r"goes on from a net of \[12, 5, 3\].*\[12, 6, 3\]"):
        model.set_params(hidden_layer_sizes=(6,)).fit(X3, Y3)
    assert model.predict(X3).shape == (250,)


def test_early_stopping_keeps_the_best_weights():
    model = MLPClassifier(
        (50,), learning_rate_init=0.02, early_stopping=True, n_iter_no_change=5, random_state=3
    ).fit(X3, Y3)
    scores = model.validation_scores_
    assert len(scores) == len(model.loss_curve_) == model.n_iter_ < model.max_iter
    best = int(np.argmax(scores))
    assert best < len(scores) - 1
    assert model.best_validation_score_ == scores[best]
    assert model.best_loss_ is None
    # The same training, ended by max_iter right after the best epoch, has the same weights.
    until = clone(model).set_params(max_iter=best + 1).fit(X3, Y3)
    np.testing.assert_array_equal(model.coefs_[0], until.coefs_[0])


def test_early_stopping_scores_are_scikit_learns_metrics(monkeypatch):
    seen = []
    import mlfund._engine.scores as scores

    for name in ("accuracy", "r2"):
        original = getattr(scores, name)

        def spy(raw, rows, original=original):
            seen.append((raw, rows, original(raw, rows)))
            return seen[-1][2]

        monkeypatch.setattr(scores, name, spy)
    weight = np.random.default_rng(0).uniform(0.5, 2, 250)
    MLPClassifier(**SHORT, early_stopping=True).fit(X3, Y3, weight)
    raw, rows, ours = seen[-1]
    assert ours == pytest.approx(accuracy_score(rows.y, raw.argmax(1), sample_weight=rows.weight))
    MLPClassifier(**SHORT, early_stopping=True).fit(XL, YL)
    raw, rows, ours = seen[-1]
    assert ours == pytest.approx(accuracy_score(rows.y.int(), (raw > 0).int()))
    for y in (YR, YM):
        MLPRegressor(**SHORT, early_stopping=True).fit(XR, y, weight)
        raw, rows, ours = seen[-1]
        assert ours == pytest.approx(r2_score(rows.y, raw, sample_weight=rows.weight))
    assert len(rows) == 25


def test_early_stopping_split_is_stratified():
    y = np.repeat(["a", "b", "rare"], [150, 90, 10])
    with pytest.MonkeyPatch.context() as patch:
        held_out = []
        import mlfund._engine.scores as scores

        original = scores.accuracy
        patch.setattr(
            scores, "accuracy", lambda raw, rows: held_out.append(rows.y) or original(raw, rows)
        )
        MLPClassifier(**SHORT, early_stopping=True).fit(X3, y)
    assert np.bincount(held_out[0].numpy()).tolist() == [15, 9, 1]


def test_a_held_out_row_leaves_no_trace_in_the_weights():
    model = MLPRegressor(**SHORT, early_stopping=True, n_iter_no_change=np.inf)
    from mlfund.folds import FoldPlan

    random_state = np.random.RandomState(0)
    for shape in [(8, 100), 100, (100, 1), 1]:
        random_state.uniform(size=shape)
    _, valid = FoldPlan.holdout(
        YR[:, None], task="regression", fraction=0.1, random_state=random_state
    )[0]
    changed = XR.copy()
    changed[valid] += 1e6
    a, b = clone(model).fit(XR, YR), clone(model).fit(changed, YR)
    assert a.loss_curve_ == b.loss_curve_


def test_class_weight_is_a_sample_weight():
    weights = {0: 0.5, 1: 2.0, 2: 1.0}
    for class_weight in (weights, "balanced"):
        by_class = MLPClassifier(**SHORT, class_weight=class_weight).fit(X3, Y3)
        by_row = MLPClassifier(**SHORT).fit(X3, Y3, compute_sample_weight(class_weight, Y3))
        np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])
    plain = MLPClassifier(**SHORT).fit(X3, Y3)
    assert not np.array_equal(by_class.coefs_[0], plain.coefs_[0])


def test_sample_weight_is_scikit_learns():
    weight = np.random.default_rng(0).uniform(0.5, 2, 250)
    for ours, theirs, X, y in (
        (MLPClassifier(**SHORT), SklearnClassifier(**SHORT), X3, Y3),
        (MLPRegressor(**SHORT), SklearnRegressor(**SHORT), XR, YM),
    ):
        assert_same_training(ours.fit(X, y, weight), theirs.fit(X, y, weight))


def test_rows_of_weight_zero_take_no_part():
    weight = np.ones(250)
    weight[::3] = 0
    kept = weight > 0
    a = MLPClassifier(**SHORT, batch_size=50).fit(X3, Y3, weight)
    b = MLPClassifier(**SHORT, batch_size=50).fit(X3[kept], Y3[kept])
    assert a.loss_curve_ == pytest.approx(b.loss_curve_, rel=1e-12)


def test_string_labels_and_frames():
    frame = pd.DataFrame(X3, columns=[f"c{i}" for i in range(12)])
    labels = pd.Series(np.array(["x", "y", "z"], dtype=object)[Y3])
    model = MLPClassifier(**SHORT).fit(frame, labels)
    assert model.classes_.tolist() == ["x", "y", "z"]
    assert list(model.feature_names_in_) == list(frame.columns)
    assert set(model.predict(frame)) <= {"x", "y", "z"}
    one = MLPClassifier(**SHORT).fit(X2, np.full(250, "only"))
    assert set(one.predict(X2)) == {"only"}


def test_history_is_a_tidy_frame():
    model = MLPClassifier(**SHORT, early_stopping=True, schedule="cosine").fit(X3, Y3)
    frame = model.history_
    assert list(frame.columns) == [
        "epoch", "train_loss", "valid_loss", "valid_score", "lr", "gradient_norm", "update_norm",
        "seconds",
    ]  # fmt: skip
    assert list(frame["train_loss"]) == model.loss_curve_
    assert list(frame["valid_score"]) == model.validation_scores_
    assert (frame["seconds"] > 0).all()
    with pytest.raises(NotFittedError):
        _ = MLPClassifier().history_


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_optimizer_by_name_and_by_instance(name):
    by_name = MLPClassifier(**SHORT, optimizer=name).fit(X3, Y3)
    assert by_name.loss_ < by_name.loss_curve_[0]
    entry = get_optimizer(name)
    if name == "nesterov" or name.startswith("adam"):
        by_instance = MLPClassifier(**SHORT, optimizer=entry).fit(X3, Y3)
        np.testing.assert_array_equal(by_name.coefs_[0], by_instance.coefs_[0])


def test_weight_decay_is_decoupled_and_for_weights_only():
    # One full-batch step of plain gradient descent, in closed form.
    base = {"random_state": 0, "max_iter": 1, "batch_size": 250, "alpha": 0.0, "optimizer": "sgd"}
    lr = 0.1
    plain = MLPClassifier(**base, learning_rate_init=lr).fit(X3, Y3)
    decayed = MLPClassifier(**base, learning_rate_init=lr, weight_decay=0.5).fit(X3, Y3)
    start = MLPClassifier(**base, learning_rate_init=1e-300).fit(X3, Y3)
    np.testing.assert_allclose(decayed.coefs_[0], plain.coefs_[0] - lr * 0.5 * start.coefs_[0])
    np.testing.assert_allclose(decayed.intercepts_[0], plain.intercepts_[0])


def test_schedule_sets_the_rate_of_every_step():
    model = MLPClassifier(**SHORT, batch_size=100, schedule="cosine").fit(X3, Y3)
    schedule = get_schedule("cosine")
    expected = [1e-3 * schedule.factor(3 * epoch + 2, 30, 3) for epoch in range(10)]
    np.testing.assert_allclose(model.history_["lr"], expected)


def test_adaptive_schedule_with_any_optimizer():
    schedule = get_schedule("adaptive", patience=1, tol=10.0)
    model = MLPClassifier(random_state=0, max_iter=50, optimizer="rmsprop", schedule=schedule)
    model.fit(X3, Y3)
    lr = model.history_["lr"].to_numpy()
    assert lr[0] == pytest.approx(1e-3)
    assert np.unique(np.round(lr[:-1] / lr[1:], 6)).tolist() == [1.0, 5.0]
    assert model.n_iter_ < 50


@pytest.mark.parametrize("initializer", ["he_normal", "orthogonal", "glorot_sklearn"])
def test_initializer(initializer):
    still = {
        "max_iter": 1,
        "learning_rate_init": 1e-300,
        "random_state": 0,
        "initializer": initializer,
    }
    model = MLPClassifier((60, 60), **still).fit(X3, Y3)
    again = MLPClassifier((60, 60), **still).fit(X3, Y3)
    np.testing.assert_array_equal(model.coefs_[1], again.coefs_[1])
    if initializer == "orthogonal":
        np.testing.assert_allclose(model.coefs_[1] @ model.coefs_[1].T, 2 * np.eye(60), atol=1e-4)
    if initializer == "he_normal":
        assert model.coefs_[1].std() == pytest.approx(np.sqrt(2 / 60), rel=0.05)


def test_dropout_trains_and_predicts_without_noise():
    model = MLPClassifier(**SHORT, dropout=[0.3]).fit(X3, Y3)
    again = MLPClassifier(**SHORT, dropout=0.3).fit(X3, Y3)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    assert model.loss_curve_ != MLPClassifier(**SHORT).fit(X3, Y3).loss_curve_
    np.testing.assert_array_equal(model.predict_proba(X3), model.predict_proba(X3))


CONTRADICTIONS = [
    ({"solver": "sgd", "optimizer": "adam"}, "solver", "optimizer"),
    ({"solver": "lbfgs", "optimizer": "adam"}, "solver", "optimizer"),
    ({"solver": "lbfgs", "dropout": 0.1}, "solver", "dropout"),
    ({"solver": "lbfgs", "schedule": "cosine"}, "solver", "schedule"),
    ({"solver": "lbfgs", "callbacks": []}, "solver", "callbacks"),
    ({"solver": "lbfgs", "precision": "bf16"}, "solver", "precision"),
    ({"learning_rate": "adaptive", "schedule": "cosine"}, "learning_rate", "schedule"),
    (
        {"optimizer": get_optimizer("adamw"), "weight_decay": 0.5},
        "optimizer",
        "weight_decay",
    ),
]


@pytest.mark.parametrize(("options", "first", "second"), CONTRADICTIONS)
def test_contradictions_name_both(options, first, second):
    with pytest.raises(ValueError, match=rf"{first}=.* and {second}=.* contradict"):
        MLPClassifier(**options).fit(X2, Y2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"initializer": "he"}, "initializer='he'"),
        ({"dropout": [0.1, 0.2]}, "2 rates for 1 hidden layers"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"hidden_layer_sizes": (5, 0)}, "must be > 0"),
        ({"callbacks": [3]}, "must be skorch callbacks"),
        ({"early_stopping": True, "validation_fraction": 0.0}, "validation set is too small"),
    ],
)
def test_errors_say_what_is_wrong(options, message):
    model = MLPClassifier(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(X2, Y2)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_divergence_keeps_the_last_good_weights():
    model = MLPRegressor(
        solver="sgd", activation="identity", learning_rate_init=0.5, max_iter=200, random_state=0
    )
    with pytest.warns(
        ConvergenceWarning, match=r"diverged in epoch 3.*learning rate, 0.5.*epoch 2 are"
    ):
        model.fit(XR, YR)
    assert not np.isfinite(model.loss_curve_[-1])
    assert model.loss_curve_[2] > 1e3 * model.loss_curve_[0]
    assert model.loss_ == model.loss_curve_[1]
    assert model.n_iter_ == len(model.loss_curve_)
    until = clone(model).set_params(max_iter=2).fit(XR, YR)
    np.testing.assert_array_equal(until.coefs_[0], model.coefs_[0])


def test_partial_fit_recovers_from_a_divergence():
    model = MLPRegressor(
        solver="sgd", activation="identity", learning_rate_init=0.5, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.fit(XR, YR)
    model.set_params(learning_rate_init=1e-4).partial_fit(XR, YR)
    assert np.isfinite(model.coefs_[0]).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_divergence_in_the_first_epoch_raises(early_stopping):
    model = MLPRegressor(**SHORT, early_stopping=early_stopping)
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*X holds values up to"):
        model.fit(XR * 1e300, YR)
    assert not hasattr(model, "coefs_")


class Interrupt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_leaves_the_estimator_unfitted():
    model = MLPClassifier(**SHORT, callbacks=[Interrupt(2)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X2, Y2)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError):
        model.predict(X2)


def test_ctrl_c_under_warm_start_leaves_the_last_fit():
    model = MLPClassifier(**SHORT, warm_start=True).fit(X2, Y2)
    before, curve = model.coefs_[0].copy(), list(model.loss_curve_)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=[Interrupt(2)]).fit(X2, Y2)
    np.testing.assert_array_equal(model.coefs_[0], before)
    assert model.loss_curve_ == curve


def test_callbacks_see_the_training():
    class Curve(Callback):
        def __init__(self):
            self.losses = []

        def on_epoch_end(self, net, **kwargs):
            self.losses.append(net.history[-1, "train_loss"])

    curve = Curve()
    stopper = EarlyStopping("train_loss", patience=1, threshold=10.0, sink=lambda *_: None)
    model = MLPClassifier(**SHORT, callbacks=[stopper, curve]).fit(X2, Y2)
    assert curve.losses == model.loss_curve_
    assert model.n_iter_ == 2


def test_manners(monkeypatch):
    torch.manual_seed(7)
    np.random.seed(7)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
    threads = torch.get_num_threads()
    model = MLPClassifier(**SHORT, dropout=0.2, initializer="he_normal", early_stopping=True)
    model.fit(X3, Y3)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert all(
        np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_state, strict=True)
    )
    assert torch.get_num_threads() == threads
    assert torch.get_default_dtype() == torch.float32


def test_the_same_in_threads_side_by_side():
    threads = torch.get_num_threads()
    fits = [MLPClassifier(**SHORT, dropout=0.2) for _ in range(4)]
    away = joblib.Parallel(n_jobs=2, backend="threading")(
        joblib.delayed(m.fit)(X3, Y3) for m in fits
    )
    home = clone(fits[0]).fit(X3, Y3)
    for model in away:
        np.testing.assert_allclose(model.coefs_[0], home.coefs_[0], rtol=1e-8)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "copier", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_predict_alike(copier):
    model = MLPClassifier(**SHORT, early_stopping=True, optimizer="adamw").fit(X3, Y3)
    np.testing.assert_array_equal(copier(model).predict_proba(X3), model.predict_proba(X3))
    assert clone(model).get_params() == model.get_params()


def test_fitted_state_is_numpy_and_python():
    allowed = (np.ndarray, str, int, float, bool, list, tuple, dict, type(None))

    def walk(value):
        assert isinstance(value, allowed), type(value)
        assert type(value).__module__ in ("builtins", "numpy")
        if isinstance(value, list | tuple | dict):
            for item in value.values() if isinstance(value, dict) else value:
                walk(item)

    for options in ({}, {"solver": "lbfgs"}, {"solver": "sgd", "early_stopping": True}):
        for model, X, y in ((MLPClassifier, X3, Y3), (MLPRegressor, XR, YM)):
            state = vars(model(**SHORT, **options).fit(X, y))
            walk(state)


def test_in_scikit_learns_compositions():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((20,), max_iter=15, random_state=0))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2).fit(X3, Y3)
    assert search.best_score_ > 0.4
    scores = cross_validate(
        pipeline, X3, Y3, cv=2, scoring=["neg_log_loss", "accuracy"], error_score="raise"
    )
    assert (scores["test_accuracy"] > 0.4).all()
    voting = VotingClassifier([("a", pipeline), ("b", clone(pipeline))], voting="soft").fit(X3, Y3)
    assert voting.predict_proba(X3).shape == (250, 3)
    calibrated = CalibratedClassifierCV(pipeline, cv=2).fit(X3, Y3)
    np.testing.assert_allclose(calibrated.predict_proba(X3).sum(axis=1), 1)


def test_metadata_routing():
    weight = np.random.default_rng(0).uniform(0.5, 2, 250)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(**SHORT).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipeline.fit(X3, Y3, sample_weight=weight)
    direct = MLPClassifier(**SHORT).fit(StandardScaler().fit_transform(X3), Y3, weight)
    np.testing.assert_array_equal(pipeline[-1].coefs_[0], direct.coefs_[0])


def test_a_batch_size_above_the_rows_is_clipped():
    with pytest.warns(UserWarning, match="batch_size=1000 is larger than the 250 rows"):
        model = MLPClassifier(**SHORT, batch_size=1000).fit(X2, Y2)
    reference = MLPClassifier(**SHORT, batch_size=250).fit(X2, Y2)
    assert model.loss_curve_ == reference.loss_curve_


def test_who_is_warned_of_the_end():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(10\) reached"):
        MLPClassifier(**SHORT).fit(X2, Y2)
    with pytest.warns(ConvergenceWarning, match=r"lbfgs failed to converge after 3 iterations"):
        MLPClassifier(solver="lbfgs", max_iter=3, random_state=0).fit(X2, Y2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(max_iter=1).partial_fit(X2, Y2, classes=[0, 1])
        MLPClassifier(tol=10.0, n_iter_no_change=2, random_state=0).fit(X2, Y2)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_warning_names_the_line_that_calls_fit(solver):
    model = MLPClassifier(solver=solver, max_iter=2, random_state=0)
    for fitted in (model, make_pipeline(StandardScaler(), model)):
        with pytest.warns(ConvergenceWarning) as caught:
            fitted.fit(X2, Y2)
        assert [warning.filename for warning in caught] == [__file__]


def test_verbose_prints_a_line_an_epoch(capsys):
    model = MLPClassifier(**SHORT, verbose=True, early_stopping=True).fit(X2, Y2)
    out = capsys.readouterr().out
    assert f"Iteration 10, loss = {model.loss_:.8f}" in out
    assert out.count("Validation score") == 10


@pytest.mark.gpu
def test_device_cuda_trains_as_the_cpu():
    gpu = MLPClassifier(**SHORT, device="cuda").fit(X3, Y3)
    cpu = MLPClassifier(**SHORT).fit(X3, Y3)
    assert gpu.device_.startswith("cuda")
    np.testing.assert_allclose(gpu.loss_curve_, cpu.loss_curve_, rtol=1e-8)
    np.testing.assert_allclose(gpu.predict_proba(X3), cpu.predict_proba(X3), rtol=1e-6)
