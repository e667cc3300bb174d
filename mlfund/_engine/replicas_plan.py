"""Which replicas are trained as one program: what can share a stack, and how much pays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby, pairwise

from mlfund._engine.replicas_movers import check_stackable, kind_of
from mlfund._engine.replicas_spec import Replica, Stack
from mlfund.nets.activations import get_activation

# Activations and their gradients that a program goes through in a step, on the CPU.
WORKING_BYTES = 8 << 20
# Parameters, gradients, two moments, and the best weights so far.
ARRAYS = 5

Member = tuple[int, Replica]


def bytes_per_replica(sizes: Sequence[int], batch_size: int, itemsize: int = 4) -> int:
    """Return what a replica takes in a program: parameters, optimizer, activations.

    Parameters
    ----------
    sizes : sequence of int
        Units of every layer, input and output included.
    batch_size : int
        Rows of a batch.
    itemsize : int, default=4
        Bytes of a number.
    """
    n_parameters = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
    return itemsize * ARRAYS * n_parameters + _activation_bytes(sizes, batch_size, itemsize)


def _activation_bytes(sizes: Sequence[int], batch_size: int, itemsize: int) -> int:
    # Outputs of all layers, gradients in them, and what the loss makes of raw scores.
    return 2 * itemsize * batch_size * (sum(sizes[1:]) + 2 * sizes[-1])


def programs_of(
    stack: Stack, replicas: Sequence[Replica], memory_limit: int | None
) -> Iterator[list[Member]]:
    """Yield the replicas of each program, numbered and in the order of their streams.

    Raises
    ------
    ValueError
        If the loss, the activation or an optimizer cannot be stacked.
    """
    _check(stack, replicas)
    alike: dict[Hashable, list[Member]] = defaultdict(list)
    for number, replica in enumerate(replicas):
        alike[_kind(stack, replica)].append((number, replica))
    for members in alike.values():
        members.sort(key=lambda member: member[1].stream)
        yield from _cut(members, _most(stack, members[0][1], memory_limit))


def _check(stack: Stack, replicas: Sequence[Replica]) -> None:
    loss, activation = stack.objective.loss, get_activation(stack.activation)
    if loss.reduction == "batch":
        raise ValueError(f"The loss {loss.name!r} compares whole batches: it cannot be stacked.")
    if activation.learned:
        raise ValueError(f"{activation.name!r} has slopes that are trained: it cannot be stacked.")
    for replica in replicas:
        check_stackable(replica.optimizer)


def _kind(stack: Stack, replica: Replica) -> Hashable:
    """Return what must be equal within a program."""
    return (
        kind_of(replica.optimizer),
        replica.adam_epsilon,
        # They end their epochs together.
        len(stack.streams[replica.stream].rows),
        # Masks take time, and none are drawn for those that drop nothing.
        any(replica.dropout),
    )


def _most(stack: Stack, replica: Replica, memory_limit: int | None) -> int:
    """Return how many replicas a program should have at most."""
    sizes = [replica.coefs[0].shape[0], *(layer.shape[1] for layer in replica.coefs)]
    rows = min(stack.batch_size, len(stack.streams[replica.stream].rows))
    itemsize = replica.coefs[0].itemsize
    most = memory_limit // bytes_per_replica(sizes, rows, itemsize) if memory_limit else 1 << 20
    if str(stack.device).startswith("cpu"):
        most = min(most, WORKING_BYTES // _activation_bytes(sizes, rows, itemsize))
    return max(1, most)


def _cut(members: list[Member], most: int) -> Iterator[list[Member]]:
    """Yield programs of nearly equal size, streams whole where they are not too large."""
    blocks: list[list[Member]] = []
    for _, of_stream in groupby(members, key=lambda member: member[1].stream):
        block = list(of_stream)
        n_pieces = -(-len(block) // most)
        bounds = [len(block) * i // n_pieces for i in range(n_pieces + 1)]
        blocks += [block[start:stop] for start, stop in pairwise(bounds)]
    even = len(members) / -(-len(members) // most)
    program: list[Member] = []
    for block in blocks:
        if program and (len(program) >= even or len(program) + len(block) > most):
            yield program
            program = []
        program = program + block
    yield program
