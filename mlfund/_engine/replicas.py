"""Many trainings of MLPs of one shape as few programs: replicas in stacks.

Replicas differ in what is a number: initial weights, rows and their order, learning rate and
its course, penalties, decay, momentum, dropout, label smoothing, bounds, patience. Each ends
with the weights that an `Engine` of its own would end with, up to rounding and to the masks of
dropout, and leaves its stack when it stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlfund._engine.data import DeviceRows
from mlfund._engine.replicas_plan import bytes_per_replica, programs_of
from mlfund._engine.replicas_program import Program
from mlfund._engine.replicas_spec import Replica, Report, Stack, Stream, Trained

__all__ = ["Replica", "Stack", "Stream", "Trained", "bytes_per_replica", "train_replicas"]


def train_replicas(
    stack: Stack,
    replicas: Sequence[Replica],
    *,
    memory_limit: int | None = None,
    report: Report | None = None,
) -> Iterator[tuple[int, Trained]]:
    """Train all replicas; yield number and outcome of each as it stops.

    Parameters
    ----------
    stack : Stack
        What they share.
    replicas : sequence of Replica
        Of nets of one shape.
    memory_limit : int, optional
        Bytes that parameters and activations of the replicas at work may take.
    report : callable, optional
        ``report(alive, total)``, called after every epoch of a program.

    Yields
    ------
    number : int
        Of the replica in `replicas`.
    trained : Trained
        What it ended with.

    Raises
    ------
    ValueError
        If the loss, the activation or an optimizer cannot be stacked.
    """
    data = DeviceRows(stack.X, stack.y, device=stack.device)
    alive = len(replicas)
    for members in programs_of(stack, replicas, memory_limit):
        program = Program(stack, data, members)
        while len(program):
            for number, trained in program.run_epoch():
                alive -= 1
                yield number, trained
            if report is not None:
                report(alive, len(replicas))
        # The limit is of one program: the next is built in the place of this one.
        del program
