"""Steps as one program on the device: captured in a CUDA graph, replayed with one call.

A small step on a GPU costs its dozens of kernel launches, not its arithmetic. The whole
step (gather, forward, backward, penalty, rules, update, loss) is therefore captured once
and replayed. All it reads lies at fixed addresses: the rows, a table of row numbers an
epoch, a counter that the program itself advances. Elsewhere the same program runs as it
is, so that it is tested where there is no device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.batches import Batches, Plan
from mlfund._engine.data import Batch
from mlfund._engine.epoch import EpochLosses
from mlfund._engine.step import HostRule, Penalised, StepRule
from mlfund.losses import LOSSES

if TYPE_CHECKING:
    from mlfund._engine.net import Engine

# Calls before the capture: torch's guide asks for some on a stream of their own, in which
# libraries choose algorithms and allocate what they keep. They are steps like any other.
WARM_UP = 3


class Program:
    """A function of no arguments that is captured on a CUDA device and called elsewhere.

    Parameters
    ----------
    function : callable
        Device work on tensors that stay where they are; no synchronisation.
    device : torch.device
        Where it runs.
    generators : iterable of torch.Generator
        What it draws from, torch's default generator apart.
    """

    def __init__(
        self,
        function: Callable[[], None],
        device: torch.device,
        generators: Iterable[torch.Generator] = (),
    ) -> None:
        self.function = function
        self.device = device
        self.generators = [g for g in generators if g.device.type == "cuda"]
        self._calls = 0
        self._graph: Any = None

    def __call__(self) -> None:
        """Run once."""
        if self.device.type != "cuda":
            self.function()
        elif self._graph is not None:
            self._graph.replay()
        elif self._calls < WARM_UP:
            self._calls += 1
            self._run_aside()
        else:
            self._graph = self._captured()
            self._graph.replay()

    def _run_aside(self) -> None:
        aside, here = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            self.function()
        here.wait_stream(aside)

    def _captured(self) -> Any:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with torch.cuda.device(self.device), torch.cuda.graph(graph):
            self.function()
        return graph


class CapturedSteps:
    """The full batches of an epoch, all but the first, as replays of one program.

    The first batch of an epoch and a smaller last one take the engine's ordinary step.

    Parameters
    ----------
    engine : Engine
        Whose module, optimizer and rules make the step.
    batches : Batches
        Rows that are resident on the device.
    """

    def __init__(self, engine: Engine, batches: Batches) -> None:
        self.engine = engine
        rows, size = batches.rows, batches.batch_size
        device = rows.device
        n_steps = max(1, len(rows) // size)
        self.rows = rows
        self.index = torch.zeros((n_steps, size), dtype=torch.int64, device=device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)
        dtype = engine.parameters.grad.dtype
        self.totals = torch.full((n_steps,), float(size), dtype=dtype, device=device)
        self.losses, self.penalties = torch.zeros((2, n_steps), dtype=dtype, device=device)
        # Buffers of its own: an ordinary step may need larger ones and move its own.
        self.differentiate = engine.new_differentiate()
        self.penalise = None
        if engine.penalty is not None:
            self.penalise = Penalised(engine.penalty, engine.parameters)
        self._before, host, self._frozen = _sorted(engine.rules)
        self._after, host_after, _ = _sorted(engine.after_step)
        if engine.averaging is not None:
            host_after = [*host_after, engine.averaging.after_step]
        self._host_before, self._host_after = host, host_after
        self.rates: list[Tensor] = []
        self._adopt_optimizer()
        self._program = Program(self._step, device, _generators(engine))

    def run_epoch(self, batches: Batches, losses: EpochLosses) -> None:
        """Train on all batches of an epoch and add their losses."""
        plan = batches.plan()
        sizes = np.diff(plan.bounds)
        n_full = int((sizes == batches.batch_size).sum()) if plan.order is not None else 0
        self._ordinary(batches, plan, range(min(1, len(sizes))), losses)
        captured = range(1, n_full)
        if captured:
            self._replay(batches, plan, captured, losses)
        self._ordinary(batches, plan, range(max(1, n_full), len(sizes)), losses)

    def _ordinary(self, batches: Batches, plan: Plan, numbers: range, losses: EpochLosses) -> None:
        for number in numbers:
            batch = batches.take(plan, number)
            self.share_rates()
            step = self.engine.lean_step(batch)
            losses.add(batch, step["loss"], step.get("penalty"))

    def _replay(self, batches: Batches, plan: Plan, numbers: range, losses: EpochLosses) -> None:
        count, size = len(numbers), batches.batch_size
        first = plan.bounds[numbers[0]]
        assert plan.order is not None
        order = torch.from_numpy(plan.order[first : first + count * size])
        self.index[:count].copy_(order.view(count, size))
        totals = plan.totals[numbers[0] : numbers[-1] + 1]
        if self.rows.weight is not None:
            self.totals[:count].copy_(torch.tensor(totals, dtype=self.totals.dtype))
        self.counter.zero_()
        for rule in self._frozen:
            rule(self.engine)
        for _ in numbers:
            self.engine.n_steps_ += 1
            for rule in self._host_before:
                rule(self.engine)
            self.share_rates()
            self._program()
            for rule in self._host_after:
                rule(self.engine)
        penalties = None if self.penalise is None else self.penalties[:count].clone()
        losses.add_steps(self.losses[:count].clone(), penalties, size, totals)

    def share_rates(self) -> None:
        """Write the learning rates where the program reads them."""
        for group, rate in zip(self.engine.optimizer_.param_groups, self.rates, strict=True):
            if group["lr"] is not rate:
                rate.fill_(float(group["lr"]))
                group["lr"] = rate

    def _step(self) -> None:
        engine, rows = self.engine, self.rows
        chosen = self.index.index_select(0, self.counter).view(-1)
        weight = None if rows.weight is None else rows.weight.index_select(0, chosen)
        total: Any = float(len(chosen))
        if weight is not None:
            total = self.totals.index_select(0, self.counter).view(())
        batch = Batch.of(
            rows.X.index_select(0, chosen), rows.y.index_select(0, chosen), weight, total
        )
        loss, _ = self.differentiate(batch)
        self.losses.index_copy_(0, self.counter, loss.detach().view(1))
        if self.penalise is not None:
            self.penalties.index_copy_(0, self.counter, self.penalise(total).view(1))
        engine.parameters.publish_gradient()
        for rule in self._before:
            rule(engine)
        engine.optimizer_.step()
        for rule in self._after:
            rule(engine)
        self.counter.add_(1)

    def _adopt_optimizer(self) -> None:
        """Keep what the optimizer counts on the device, and its rates in tensors."""
        device = self.rows.device
        on_device = device.type == "cuda"
        dtype = torch.float32 if on_device else torch.float64
        for group in self.engine.optimizer_.param_groups:
            if on_device and "capturable" in group:
                group["capturable"] = True
            dtype = torch.float32 if on_device else torch.float64
            self.rates.append(
                torch.tensor(float(group["lr"]), dtype=dtype, device=self.rows.device)
            )


def capturable(engine: Engine, batches: Batches) -> bool:
    """Say whether the steps of a training are device work at fixed addresses throughout.

    That is known of this package's own modules and losses, of optimizers that torch calls
    capturable, and of plain SGD; not of modules, losses and callbacks of others.
    """
    optimizer = engine.optimizer_
    known = isinstance(optimizer, torch.optim.SGD) or all(
        "capturable" in group for group in optimizer.param_groups
    )
    loss = engine.criterion_.loss
    return (
        known
        and not batches.rows.on_host
        and batches.draw_order is not None
        and batches.steps_of == 1
        and not engine.track_norms
        and hasattr(engine.module_, "backprop")
        and any(type(loss) is type(entry) for entry in LOSSES.values())
    )


def _sorted(
    rules: Iterable[StepRule],
) -> tuple[list[StepRule], list[StepRule], list[StepRule]]:
    """Return the rules that are part of the program, that run on the host, that are frozen."""
    device: list[StepRule] = []
    host: list[StepRule] = []
    frozen: list[StepRule] = []
    for rule in rules:
        if not isinstance(rule, HostRule):
            device.append(rule)
        elif rule.on_capture is None:
            host.append(rule)
        else:
            frozen.append(rule.on_capture)
    return device, host, frozen


def _generators(engine: Engine) -> list[torch.Generator]:
    holders = [engine.generator, *(vars(m).get("generator") for m in engine.module_.modules())]
    found = {id(g): g for g in holders if isinstance(g, torch.Generator)}
    return list(found.values())
