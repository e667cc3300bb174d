"""A problem moved to a torch device and solved there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from mlfund._solvers.device_choice import check_solver, choose_on_device
from mlfund._solvers.problem import Problem
from mlfund._solvers.stopping import Outcome
from mlfund._solvers.torch_design import TorchDesign, TorchSparseDesign
from mlfund._solvers.torch_device import computing_on, widest
from mlfund._solvers.torch_losses import loss_on


def problem_on(problem: Problem, device: torch.device) -> Problem:
    """Return a problem, in the same coordinates, with its rows on a device.

    Its dtype is that of the problem; "mps" computes in float32 only.

    Raises
    ------
    ValueError
        If X is sparse and the device has no sparse products.
    """
    kind = TorchDesign
    if problem.design.sparse:
        if device.type == "mps":
            raise ValueError(
                "device='mps' takes dense X only, and X is sparse; leave device unset: sparse "
                "data are fast on the CPU."
            )
        kind = TorchSparseDesign
    dtype = np.float32 if widest(device) == torch.float32 else problem.design.dtype
    design = kind(problem.design, device, dtype)
    return Problem(design, loss_on(problem.loss, device, dtype), problem.l2, problem.l1)


def run_on(
    device: torch.device,
    problem: Problem,
    solver: str | None,
    run: Callable[[Problem, str], tuple[Outcome, bool]],
) -> tuple[str, tuple[Outcome, bool]]:
    """Run a solver on a device.

    Parameters
    ----------
    device : torch.device
    problem : Problem
        On the host.
    solver : str or None
        None chooses one.
    run : callable
        run(problem on the device, solver) -> (Outcome, separated).

    Returns
    -------
    solver : str
        The one that ran.
    result : tuple of Outcome and bool
        What `run` returned; the status is "single" where more digits than float32 has were
        asked for and the device has no others.

    Raises
    ------
    ValueError
        If the solver runs on the CPU only.
    MemoryError
        If the device has too little memory.
    """
    check_solver(solver, device)
    l1 = bool(problem.l1.any())
    solver = solver or choose_on_device(problem.design.n, problem.design.p, l1=l1)
    with computing_on(device, problem.design.X):
        outcome, separated = run(problem_on(problem, device), solver)
    if outcome.status == "rounding" and widest(device) == torch.float32:
        outcome = dataclasses.replace(outcome, status="single")
    return solver, (outcome, separated)
