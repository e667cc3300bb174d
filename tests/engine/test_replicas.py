"""Replicas of a stack end as trainings of their own do, and leave it when they stop."""

import weakref

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mlfund._engine import replicas_steps
from mlfund._engine.replicas import (
    Stack,
    bytes_per_replica,
    train_replicas,
)
from mlfund._engine.replicas_program import Program
from mlfund.optimizers import get_optimizer
from mlfund.schedules import get_schedule
from tests.engine.replica_reference import (
    BATCH,
    FOLDS,
    TARGETS,
    D,
    N,
    X,
    assert_as_alone,
    objective_of,
    replicas_of,
    stack_of,
)

SETTINGS = {
    "penalties": [{"l1": 0.3}, {"l2": 0.5}, {"l1": 0.1, "l2": 0.2}, {}],
    "decay": [{"weight_decay": 0.1}, {}],
    "decay beside l2": [{"weight_decay": 0.5, "l2": 0.5, "lr": 0.05}, {"l2": 0.1}],
    "coupled decay": [{"optimizer": get_optimizer("adam", weight_decay=w)} for w in (0.0, 0.1)],
    "epsilon": [{"adam_epsilon": (1e-3, 0.999)}, {"lr": 0.1, "adam_epsilon": (1e-3, 0.999)}],
    "bounds": [
        {"clip_norm": 0.1},
        {"clip_value": 0.01},
        {"max_norm": 0.5},
        {"l2": 1.0, "clip_norm": 0.2},
    ],
    "momentum": [{"optimizer": get_optimizer("momentum", momentum=m)} for m in (0.0, 0.5, 0.9)],
    "nesterov": [{"optimizer": get_optimizer("nesterov", momentum=m)} for m in (0.0, 0.9)],
    "optimizers": [
        {"optimizer": get_optimizer(name, weight_decay=0.0), "lr": 0.01}
        for name in ("sgd", "adagrad", "rmsprop", "adamw", "lion")
    ],
    "schedules": [{"schedule": get_schedule(name)} for name in ("cosine", "one_cycle", "plateau")],
    "rates": [
        {"optimizer": get_optimizer("nesterov"), "rate": rate, "tol": 0.05, "patience": 1}
        for rate in ("constant", "adaptive", ("invscaling", 0.5))
    ],
    "lengths": [{"max_epochs": m} for m in (1, 4, 7)],
    "patience": [{"tol": tol, "patience": 1} for tol in (0.0, 0.01, 1.0)],
    "diverging": [{"lr": lr, "optimizer": get_optimizer("sgd")} for lr in (0.1, 1e200)],
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("tile", [1, 1 << 17])
def test_numbers_of_replicas(name, tile, monkeypatch):
    monkeypatch.setattr(replicas_steps, "TILE", tile)
    stack = stack_of("real" if name == "diverging" else "binary")
    assert_as_alone(stack, replicas_of(stack, SETTINGS[name]))


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("smoothing", [(0.0,), (0.0, 0.2)])
def test_targets(kind, smoothing):
    if kind == "real" and len(smoothing) > 1:
        return
    stack = stack_of(kind)
    assert_as_alone(stack, replicas_of(stack, [{"label_smoothing": s} for s in smoothing]))


@pytest.mark.parametrize(
    ("kind", "loss"), [("real", "huber"), ("binary", "hinge"), ("multiclass", "focal")]
)
def test_losses_without_a_closed_gradient(kind, loss):
    stack = stack_of(kind, objective=objective_of(kind, loss))
    assert_as_alone(stack, replicas_of(stack, [{}, {"lr": 0.01}]))


@pytest.mark.parametrize("hidden", [(), (4, 3)])
def test_depths(hidden):
    stack = stack_of()
    assert_as_alone(stack, replicas_of(stack, [{}, {"l2": 0.1}], hidden))


def test_streams_of_other_lengths_and_less_than_a_batch():
    stack = stack_of(rows=[np.arange(40), np.arange(17, 50), np.arange(9), np.arange(40, 49)])
    assert_as_alone(stack, replicas_of(stack, [{}, {"lr": 0.01}]))


def test_weights_and_scales():
    rng = np.random.default_rng(3)
    affine = X[FOLDS[1]].mean(0), X[FOLDS[1]].std(0)
    stack = stack_of(
        stream_0={"weight": rng.uniform(0.1, 3, len(FOLDS[0]))}, stream_1={"affine": affine}
    )
    assert_as_alone(stack, replicas_of(stack, [{"l2": 0.3}, {"l1": 0.1}]))


def test_early_stopping_keeps_the_best():
    def score(raw, y, weight):
        right = ((raw > 0) == (y > 0.5)).double().mean(2)
        return right.mean(1) if weight is None else right @ weight / weight.sum()

    rest = np.setdiff1d(np.arange(N), FOLDS[0])
    weight = np.random.default_rng(4).uniform(0.5, 2, len(rest))
    stack = stack_of(
        rows=[FOLDS[0], FOLDS[0]],
        score=score,
        stream_0={"valid": rest},
        stream_1={"valid": rest, "valid_weight": weight},
    )
    settings = [{"early_stopping": True, "patience": p, "lr": lr} for p, lr in ((1, 0.3), (5, 0.1))]
    found = assert_as_alone(stack, replicas_of(stack, [*settings, {"max_epochs": 3}]))
    assert any(trained.stopped for trained in found.values())


def test_a_diverging_replica_leaves_the_others_alone():
    stack = stack_of("real")
    sgd = get_optimizer("sgd")
    found = assert_as_alone(
        stack, replicas_of(stack, [{"optimizer": sgd, "lr": 1e160}, {"optimizer": sgd, "lr": 0.01}])
    )
    assert found[0].bad_epoch == 1
    assert len(found[0].loss_curve) == 1
    assert found[1].bad_epoch is None


def test_a_memory_limit_changes_no_result_and_is_kept():
    stack = stack_of()
    replicas = replicas_of(stack, [{"lr": 0.01 * (1 + i)} for i in range(4)])
    told = []
    whole = dict(train_replicas(stack, replicas))
    limit = 2 * bytes_per_replica((D, 5, 1), BATCH, 8)
    parts = train_replicas(stack, replicas, memory_limit=limit, report=lambda *n: told.append(n))
    numbers = []
    for number, trained in parts:
        numbers.append(number)
        np.testing.assert_allclose(trained.coefs[0], whole[number].coefs[0], rtol=1e-9)
    assert sorted(numbers) == list(range(8))
    # Programs of two, one after the other.
    assert sorted({alive for alive, _ in told}) == [0, 2, 4, 6, 8]
    assert {total for _, total in told} == {8}


def test_programs_do_not_lie_in_memory_together(monkeypatch):
    built = []

    class Watched(Program):
        def __init__(self, *given):
            assert all(held() is None for held in built)
            super().__init__(*given)
            built.extend(map(weakref.ref, (self, self.net, self.steps)))

    monkeypatch.setattr("mlfund._engine.replicas.Program", Watched)
    stack = stack_of()
    limit = bytes_per_replica((D, 5, 1), BATCH, 8)
    list(train_replicas(stack, replicas_of(stack, [{"max_epochs": 1}]), memory_limit=limit))
    assert len(built) == 6


def test_sparse_rows_and_files(tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    replicas = replicas_of(stack_of(), [{}])
    expected = dict(train_replicas(stack_of(), replicas))
    for data in (sp.csr_matrix(X), np.load(path, mmap_mode="r")):
        for number, trained in train_replicas(stack_of(data=data), replicas):
            np.testing.assert_allclose(trained.coefs[0], expected[number].coefs[0], rtol=1e-9)


def test_masks_of_a_program_depend_on_seeds_alone():
    def losses(seed):
        stack = stack_of()
        generator = torch.Generator().manual_seed(seed)
        settings = [{"dropout": (0.5,), "generator": generator}, {"dropout": (0.0,)}]
        return [
            t.loss_curve for _, t in sorted(train_replicas(stack, replicas_of(stack, settings)))
        ]

    assert losses(0) == losses(0)
    assert losses(0)[0] != losses(1)[0]
    # Those that drop nothing are as without the others.
    assert losses(0)[1] == losses(1)[1]


def test_what_cannot_be_stacked_is_refused():
    stack = stack_of()
    with pytest.raises(ValueError, match="Muon"):
        list(train_replicas(stack, replicas_of(stack, [{"optimizer": get_optimizer("muon")}])))
    dice = stack_of(objective=objective_of("binary", "dice"))
    with pytest.raises(ValueError, match="compares whole batches"):
        list(train_replicas(dice, replicas_of(dice, [{}])))
    learned = Stack(X, TARGETS["binary"], objective_of("binary"), "prelu", BATCH, stack.streams)
    with pytest.raises(ValueError, match="slopes that are trained"):
        list(train_replicas(learned, replicas_of(learned, [{}])))
