"""A small problem for tests of the engine, and a bare torch loop that trains on it."""

import numpy as np
import torch
import torch.nn.functional as F

from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.data import DeviceRows
from mlfund._engine.net import Engine
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer
from mlfund.losses import get_loss
from mlfund.nets.mlp import MLP
from mlfund.optimizers import get_optimizer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] + 0.3 * RNG.normal(size=60) > 0).astype(np.int64) + (X[:, 1] > 0)


def make_mlp(**options):
    rng = np.random.RandomState(1)
    sizes = [(4, 8), (8, 3)]
    return MLP([rng.normal(size=s) for s in sizes], [np.zeros(s[1]) for s in sizes], **options)


def make_engine(module=None, *, optimizer="adam", epochs=3, batch_size=16, state=None, **options):
    entry = get_optimizer(optimizer)
    module = make_mlp() if module is None else module
    options = {"order": ShuffledOrder(60, np.random.RandomState(0)), **options}
    per_matrix = getattr(entry, "per_matrix", False)
    return Engine(
        module,
        Objective(get_loss("log_loss_multinomial"), 3),
        optimizer=FlatOptimizer(entry.build, state, per_matrix=per_matrix),
        lr=0.01,
        batch_size=batch_size,
        max_epochs=epochs,
        **options,
    )


def data(weight=None):
    return DeviceRows(X, Y, weight)


def weights_of(engine):
    return [*engine.module_.coefs(), *engine.module_.intercepts()]


def bare_loop(optimizer="adam", epochs=3, *, l1=0.0, l2=0.0, before=None, after=None):
    """The reference: autograd, torch's own modules and optimizers, no engine.

    ``before(parameters)`` runs between gradient and step, ``after(parameters)`` after it.
    """
    start = make_mlp()
    arrays = [*start.coefs(), *start.intercepts()]
    w1, w2, b1, b2 = parameters = [torch.tensor(a, requires_grad=True) for a in arrays]
    kind = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
    opt = kind[optimizer](parameters, lr=0.01)
    order, losses = ShuffledOrder(60, np.random.RandomState(0)), []
    features, target = torch.from_numpy(X), torch.from_numpy(Y)
    for _ in range(epochs):
        index, total = order(), 0.0
        for i in range(0, 60, 16):
            part = index[i : i + 16]
            opt.zero_grad()
            raw = torch.relu(features[part] @ w1 + b1) @ w2 + b2
            squares = w1.square().sum() + w2.square().sum()
            penalty = (0.5 * l2 * squares + l1 * (w1.abs().sum() + w2.abs().sum())) / len(part)
            loss = F.cross_entropy(raw, target[part]) + penalty
            loss.backward()
            if before is not None:
                before(parameters)
            opt.step()
            if after is not None:
                with torch.no_grad():
                    after(parameters)
            total += loss.item() * len(part)
        losses.append(total / 60)
    return losses, [p.detach().numpy() for p in parameters]
