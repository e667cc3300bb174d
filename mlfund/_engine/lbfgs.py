"""Full-batch L-BFGS on a network, the data read in blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import torch

from mlfund._engine.batches import Batches
from mlfund._engine.data import DeviceRows
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatParameters
from mlfund.nets.mlp import MLP
from mlfund.penalties import Penalty

# Rows are processed in blocks of about this size, which bounds the memory of dense
# copies of sparse rows and of activations.
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class LbfgsResult:
    """How an L-BFGS run ended.

    Attributes
    ----------
    objective : float
        Value that was minimised, penalty included.
    loss : float
        The same in the units that the loss reports (see `Objective`).
    n_iter : int
        Iterations.
    converged : bool
        Whether the gradient fell below `tol`.
    message : str
        scipy's reason for the end.
    """

    objective: float
    loss: float
    n_iter: int
    converged: bool
    message: str


class FullBatch:
    """Objective and gradient over all rows as a function of one float64 vector."""

    def __init__(
        self, module: MLP, objective: Objective, rows: DeviceRows, penalty: Penalty
    ) -> None:
        self.parameters = FlatParameters(module.parameters())
        self.objective = objective
        self.penalty = penalty
        widest = max(p.shape[-1] for p in module.parameters())
        row_bytes = 8 * (rows.n_features + widest)
        block = max(256, BLOCK_BYTES // row_bytes)
        self.batches = Batches(rows, min(block, len(rows)))
        weight = rows.host_weight
        self.total = float(len(rows)) if weight is None else float(weight.sum(dtype=np.float64))
        self.differentiate = module.backprop(objective.with_gradient)
        self.data_term = 0.0

    def start(self) -> np.ndarray:
        """Return the module's present parameters as float64."""
        return self.parameters.flat.detach().cpu().numpy().astype(np.float64)

    def write(self, vector: np.ndarray) -> None:
        """Set the module's parameters."""
        self.parameters.restore(torch.from_numpy(np.array(vector)))

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient at `vector`."""
        self.write(vector)
        gradient = np.zeros_like(vector)
        self.data_term = 0.0
        for batch in self.batches:
            value, _ = self.differentiate(batch)
            share = batch.total / self.total
            self.data_term += share * float(value)
            gradient += share * self.parameters.grad.cpu().numpy()
        weights = self.parameters.weights
        gradient[: len(weights)] += self.penalty.gradient(weights).cpu().numpy() / self.total
        return self.data_term + float(self.penalty.value(weights)) / self.total, gradient


def minimize_lbfgs(
    module: MLP,
    objective: Objective,
    rows: DeviceRows,
    *,
    penalty: Penalty,
    max_iter: int,
    max_fun: int,
    tol: float,
) -> LbfgsResult:
    """Minimise over all rows; the module's parameters end at the solution.

    Parameters
    ----------
    module : MLP
        Its parameters are the starting point.
    objective : Objective
        Data term.
    rows : DeviceRows
        The data.
    penalty : Penalty
        Smooth penalty of the weight matrices, divided by the weight sum of the data.
    max_iter, max_fun : int
        Most iterations and most evaluations.
    tol : float
        Largest component of the gradient at which the run has converged.

    References
    ----------
    Byrd, Lu, Nocedal and Zhu (1995), A limited memory algorithm for bound constrained
    optimization, SIAM J. Sci. Comput. 16(5).
    """
    problem = FullBatch(module, objective, rows, penalty)
    options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
    found = scipy.optimize.minimize(
        problem, problem.start(), method="L-BFGS-B", jac=True, options=options
    )
    # The last evaluation need not be the best one.
    value, _ = problem(found.x)
    loss = value - (1.0 - objective.report_scale) * problem.data_term
    return LbfgsResult(
        value, loss, min(found.nit, max_iter), bool(found.status == 0), str(found.message)
    )
