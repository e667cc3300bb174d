"""Stacks of replicas next to trainings by an engine of their own."""

import math
from itertools import pairwise

import numpy as np

from mlfund._engine import rules
from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.callbacks import (
    FollowAdaptive,
    InverseScaling,
    RecordLearningRate,
    StopOnPlateau,
    lower_adaptively,
)
from mlfund._engine.data import DeviceRows
from mlfund._engine.divergence import DivergenceGuard
from mlfund._engine.net import Engine
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer
from mlfund._engine.replicas import (
    Replica,
    Stack,
    Stream,
    train_replicas,
)
from mlfund.augmentation import LabelSmoothing, transforms_of
from mlfund.losses import loss_for
from mlfund.nets.mlp import MLP
from mlfund.optimizers import get_optimizer
from mlfund.penalties import ElasticNet

N, D, BATCH = 70, 4, 16
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
CODES = (X[:, 0] + 0.5 * RNG.standard_normal(N) > 0).astype(np.int64) + (X[:, 1] > 1)
TARGETS = {
    "binary": (CODES > 0).astype(float)[:, None],
    "multiclass": CODES,
    "multilabel": np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(float),
    "real": X[:, :2] @ RNG.standard_normal((2, 2)),
}
FOLDS = [np.flatnonzero(np.arange(N) % 3 != f) for f in range(2)]


def objective_of(kind, loss=None):
    entry = loss_for(loss or ("squared_error" if kind == "real" else "log_loss"), kind)
    width = entry.raw_width(3 if kind == "multiclass" else 2)
    return Objective(entry, width)


def start(seed, width, hidden=(5,)):
    rng = np.random.default_rng(seed)
    sizes = [D, *hidden, width]
    pairs = list(pairwise(sizes))
    return [0.5 * rng.standard_normal(p) for p in pairs], [
        0.1 * rng.standard_normal(p[1]) for p in pairs
    ]


def stack_of(kind="binary", *, rows=FOLDS, objective=None, data=X, **options):
    streams = [
        Stream(
            index,
            ShuffledOrder(len(index), np.random.RandomState(seed)),
            **options.pop(f"stream_{seed}", {}),
        )
        for seed, index in enumerate(rows)
    ]
    objective = objective or objective_of(kind)
    return Stack(data, TARGETS[kind], objective, "tanh", BATCH, streams, **options)


def replicas_of(stack, settings, hidden=(5,)):
    """Return one replica for each stream and setting, each with weights of its own."""
    width = stack.y.shape[1] if stack.y.ndim == 2 else 3
    made = []
    for stream in range(len(stack.streams)):
        for setting in settings:
            coefs, intercepts = start(len(made), width, hidden)
            given = {"lr": 0.05, "optimizer": get_optimizer("adam"), "max_epochs": 10}
            made.append(Replica(stream, coefs, intercepts, **{**given, **setting}))
    return made


def alone(stack, replica):
    """Train one replica with an engine of its own; return engine, module and guard."""
    stream = stack.streams[replica.stream]
    seen = stack.X if stream.affine is None else (stack.X - stream.affine[0]) / stream.affine[1]
    rows = DeviceRows(seen[stream.rows], stack.y[stream.rows], stream.weight)
    valid = None
    if stream.valid is not None:
        valid = DeviceRows(seen[stream.valid], stack.y[stream.valid], stream.valid_weight)
    module = MLP(replica.coefs, replica.intercepts, activation=stack.activation)
    smoothing = [LabelSmoothing(replica.label_smoothing)] if replica.label_smoothing else []
    strength, guard = replica.l1 + replica.l2, DivergenceGuard()
    engine = Engine(
        module,
        stack.objective,
        optimizer=FlatOptimizer(replica.optimizer.build),
        lr=replica.lr,
        batch_size=min(BATCH, len(rows)),
        max_epochs=replica.max_epochs,
        order=ShuffledOrder(len(rows), np.random.RandomState(replica.stream)),
        valid=valid,
        score=lambda raw, held: float(stack.score(raw[None], held.y, held.weight)[0]),
        penalty=ElasticNet(strength, replica.l1 / strength) if strength else None,
        rules=rules_of(replica, len(rows)),
        after_step=[] if replica.max_norm is None else [rules.max_norm(replica.max_norm, 1)],
        transforms=transforms_of(smoothing, stack.objective.loss, module.sizes[-1]),
        callbacks=[guard, RecordLearningRate(), *courses_of(replica)],
    )
    engine.partial_fit(rows)
    return engine, module, guard


def rules_of(replica, n_rows):
    """Return what runs before each step, in the order in which estimators list it."""
    found, steps = [], -(-n_rows // BATCH)
    if replica.schedule is not None and not replica.schedule.adaptive:
        total = steps * replica.max_epochs
        found.append(rules.follow_schedule(replica.schedule, replica.lr, total, n_rows, steps))
    for name, rule in (("clip_value", rules.clip_value), ("clip_norm", rules.clip_norm)):
        if getattr(replica, name) is not None:
            found.append(rule(getattr(replica, name)))
    if replica.weight_decay:
        found.append(rules.decoupled_decay(replica.weight_decay))
    if replica.adam_epsilon is not None:
        found.append(rules.adam_epsilon(*replica.adam_epsilon))
    return found


def courses_of(replica):
    """Return the callbacks that set rates and stop, in the order in which they are told."""
    found = []
    if isinstance(replica.rate, tuple):
        found.append(InverseScaling(replica.lr, replica.rate[1], 0))
    if replica.schedule is not None and replica.schedule.adaptive:
        found.append(FollowAdaptive(replica.schedule, replica.lr))
    plateau = StopOnPlateau(
        tol=replica.tol,
        patience=replica.patience,
        on_score=replica.early_stopping,
        best=-math.inf if replica.early_stopping else math.inf,
        lower=lower_adaptively if replica.rate == "adaptive" else None,
    )
    return [*found, plateau]


def assert_as_alone(stack, replicas, rtol=1e-9):
    found = dict(train_replicas(stack, replicas))
    assert sorted(found) == list(range(len(replicas)))
    for number, replica in enumerate(replicas):
        trained = found[number]
        engine, module, guard = alone(stack, replica)
        history = engine.history
        np.testing.assert_allclose(trained.loss_curve, history[:, "train_loss"], rtol=rtol)
        np.testing.assert_allclose(trained.rates, history[:, "lr"], rtol=1e-12)
        assert trained.stopped == engine.stop_reason_
        assert trained.bad_epoch == guard.bad_epoch_
        if trained.scores:
            np.testing.assert_allclose(trained.valid_losses, history[:, "valid_loss"], rtol=rtol)
            np.testing.assert_allclose(trained.scores, history[:, "valid_score"], rtol=rtol)
        if trained.bad_epoch is None:
            pairs = zip(
                trained.coefs + trained.intercepts,
                module.coefs() + module.intercepts(),
                strict=True,
            )
            for mine, theirs in pairs:
                np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)
    return found
