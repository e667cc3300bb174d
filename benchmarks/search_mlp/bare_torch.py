"""The least that a stacked training in torch consists of; what the library is held to.

All weights of all candidates and folds of a slab are one tensor, units before rows, so that
the first layers of all candidates of a fold are one wide product and the second ones a batch
of products. No losses are recorded, nothing stops early, nothing is checked.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.search_mlp.problems import BATCH_SIZE, Search, orders, start, width

EPSILON, BETA_1, BETA_2 = 1e-8, 0.9, 0.999
# Weights of a layer from which each replica's are stepped by themselves, in the cache.
ONE_BY_ONE = 16_384


def train(search: Search, slab: int, threads: int) -> list[list[np.ndarray]]:
    """Train all candidates of all folds, `slab` of them at a time.

    Returns weights and biases (W1, b1, W2, b2), weights as (units, inputs), fold by fold.
    """
    replicas = [(fold, c) for fold in range(len(search.folds)) for c in range(len(search.grid))]
    slabs = [replicas[i : i + slab] for i in range(0, len(replicas), slab)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [weights for members in slabs for weights in _train_slab(search, members)]
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _train_slab(search: Search, members: list[tuple[int, int]]) -> list[list[np.ndarray]]:
    d, h, n_classes = search.problem.sizes
    k, R = width(n_classes), len(members)
    random_state = np.random.RandomState(0)
    first = start(search.problem.sizes, random_state)
    shapes = [(h, d), (h,), (k, h), (k,)]
    counts = [int(np.prod(shape)) for shape in shapes]
    flat = torch.empty(R * sum(counts))
    grad, mean, square = (torch.zeros_like(flat) for _ in range(3))
    pieces = _pieces(search, members, counts, (flat, grad, mean, square))
    scratch = torch.empty_like(pieces[-1][0])
    W1, b1, W2, b2 = _views(flat, R, shapes, counts)
    gW1, gb1, gW2, gb2 = _views(grad, R, shapes, counts)
    for view, value in zip((W1, b1, W2, b2), first, strict=True):
        view.copy_(torch.from_numpy(value).expand_as(view))
    parts = _parts(members)
    rows = [search.folds[fold][0] for fold in parts]
    n = len(rows[0])
    X, y = torch.from_numpy(search.X), torch.from_numpy(search.y)
    Z, D = torch.empty(R, h, BATCH_SIZE), torch.empty(R, h, BATCH_SIZE)
    step = torch.zeros(())
    for order in orders(n, random_state, search.problem.n_epochs):
        drawn = [torch.from_numpy(index[order]) for index in rows]
        blocks = [torch.index_select(X, 0, index) for index in drawn]
        targets = [_one_hot(y[index], k) for index in drawn]
        for begin in range(0, n, BATCH_SIZE):
            end = min(begin + BATCH_SIZE, n)
            m = end - begin
            z = Z.view(-1)[: R * h * m].view(R, h, m)
            delta = D.view(-1)[: R * h * m].view(R, h, m)
            for block, s in zip(blocks, parts.values(), strict=True):
                torch.mm(W1[s].view(-1, d), block[begin:end].t(), out=z[s].view(-1, m))
            torch.relu_(z.add_(b1[:, :, None]))
            raw = torch.baddbmm(b2[:, :, None], W2, z)
            Q = torch.sigmoid_(raw) if k == 1 else torch.softmax(raw, 1)
            for target, s in zip(targets, parts.values(), strict=True):
                Q[s].sub_(target[:, begin:end])
            Q.mul_(1 / m)
            torch.bmm(Q, z.transpose(1, 2), out=gW2)
            torch.sum(Q, 2, out=gb2)
            torch.bmm(W2.transpose(1, 2), Q, out=delta)
            torch.ops.aten.threshold_backward.grad_input(delta, z, 0, grad_input=delta)
            torch.sum(delta, 2, out=gb1)
            for block, s in zip(blocks, parts.values(), strict=True):
                torch.mm(delta[s].view(-1, m), block[begin:end], out=gW1[s].view(-1, d))
            step += 1
            for p, g, first_moment, second_moment, rate, decay in pieces:
                _adam(p, g, first_moment, second_moment, scratch, rate, decay / m, step)
    weights = [W1.numpy(), b1.numpy(), W2.numpy(), b2.numpy()]
    return [[layer[r] for layer in weights] for r in range(R)]


def _parts(members: list[tuple[int, int]]) -> dict[int, slice]:
    """Return which of the replicas, which come fold by fold, are of each fold."""
    folds = [fold for fold, _ in members]
    starts = {fold: folds.index(fold) for fold in folds}
    return {fold: slice(start, start + folds.count(fold)) for fold, start in starts.items()}


def _adam(p, g, mean, square, move, lr, decay, step):
    """Take a step of one piece; `lr` and `decay` are numbers or have the shape of the piece."""
    vectors = isinstance(lr, torch.Tensor)
    if vectors:
        # torch's kernel takes one rate: it moves zeros by the rate 1, the rates come after.
        g.addcmul_(p, decay)
        move.zero_()
    torch._fused_adam_(
        [move if vectors else p],
        [g],
        [mean],
        [square],
        [],
        [step],
        lr=1.0 if vectors else lr,
        beta1=BETA_1,
        beta2=BETA_2,
        weight_decay=0.0 if vectors else decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )
    if vectors:
        p.addcmul_(move, lr)


def _pieces(search, members, counts, arrays):
    """Return what the optimizer steps at a time: large matrices one by one, else everything."""
    rates = [search.grid[c][0] for _, c in members]
    decays = [search.grid[c][1] for _, c in members]
    pieces, done = [], 0
    if counts[0] >= ONE_BY_ONE:
        for r, (rate, decay) in enumerate(zip(rates, decays, strict=True)):
            part = slice(r * counts[0], (r + 1) * counts[0])
            pieces.append((*(array[part] for array in arrays), rate, decay))
        done = 1
    rest = slice(sum(counts[:done]) * len(members), None)
    lr = torch.cat([torch.tensor(rates).repeat_interleave(c) for c in counts[done:]])
    # Alpha is for weights, not for biases.
    kinds = zip(counts[done:], (1.0, 0.0, 1.0, 0.0)[done:], strict=True)
    l2 = torch.cat([torch.tensor(decays).repeat_interleave(c) * kind for c, kind in kinds])
    pieces.append((*(array[rest] for array in arrays), lr, l2))
    return pieces


def _views(flat, n_replicas, shapes, counts):
    parts = flat.split([n_replicas * count for count in counts])
    return [part.view(n_replicas, *shape) for part, shape in zip(parts, shapes, strict=True)]


def _one_hot(codes, k):
    if k == 1:
        return codes[None].float()
    return torch.nn.functional.one_hot(codes, k).t().float().contiguous()
