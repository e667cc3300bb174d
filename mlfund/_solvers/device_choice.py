"""When a device pays, and which solvers run there; decided without importing torch."""

from __future__ import annotations

from mlfund._solvers.choice import (
    COORDINATE,
    DUAL_COORDINATE,
    PLAIN,
    PRECONDITIONED,
    PROXIMAL,
    SAMPLED_COLUMNS,
)

# Loops over single coordinates: one after the other, a device is of no use to them.
CPU_SOLVERS = (COORDINATE, DUAL_COORDINATE)
# Runs on a device when asked to; its steps on a few rows are shorter than their launches.
SHORT_STEPS = "sgd"
# Entries of X times outputs from which device="auto" takes the accelerator. Reasoned, not
# measured: a dense fit on one core costs some 5 ns an entry and output (15 iterations of two
# passes at 20 GB/s; several classes need more iterations at fewer bytes each), copying an
# entry to the device 0.4 to 0.8 ns, and starting the device about 0.3 s once.
AUTO_WORK = 1e8


def device_pays(n: int, d: int, k: int, *, sparse: bool, solver: str | None = None) -> bool:
    """Whether a fit of this size goes to an accelerator when the user leaves it open.

    Sparse data stay on the CPU: reading them is bound by the latency of memory, and the
    copy of the transpose that a device needs costs more than a fit. So do the short steps of
    stochastic descent.

    Examples
    --------
    >>> device_pays(100_000, 100, 1, sparse=False)
    False
    >>> device_pays(60_000, 784, 10, sparse=False)
    True
    """
    if sparse or solver in (*CPU_SOLVERS, SHORT_STEPS):
        return False
    return float(n) * d * k >= AUTO_WORK


def choose_on_device(n: int, p: int, *, l1: bool) -> str:
    """Return the name of the solver for n rows and p columns on a device.

    Newton's many small products, which pay on a CPU for few columns, do not here: each
    launch costs microseconds, whatever its size.

    Examples
    --------
    >>> choose_on_device(1_000_000, 201, l1=False)
    'preconditioned-lbfgs'
    """
    if l1:
        return PROXIMAL
    return PRECONDITIONED if p <= SAMPLED_COLUMNS and n >= 2 * p else PLAIN


def check_solver(solver: str | None, device: object) -> None:
    """Raise a ValueError when a solver was named that runs on the CPU only.

    Examples
    --------
    >>> check_solver("coordinate", "cuda")
    Traceback (most recent call last):
        ...
    ValueError: solver='coordinate' runs on the CPU only, and device='cuda' was given; leave \
device unset or take solver='auto'.
    """
    if solver in CPU_SOLVERS:
        raise ValueError(
            f"solver={solver!r} runs on the CPU only, and device={str(device)!r} was given; "
            "leave device unset or take solver='auto'."
        )
