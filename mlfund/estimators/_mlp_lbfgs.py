"""scikit-learn's `solver="lbfgs"`: one training of an MLP over all rows at once."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from mlfund._check import limited_threads, stacklevel_outside
from mlfund._engine.data import DeviceRows
from mlfund._engine.lbfgs import minimize_lbfgs
from mlfund._engine.objective import Objective
from mlfund.estimators._neural_training import NON_FINITE, Outcome, step_flop
from mlfund.nets.mlp import MLP
from mlfund.penalties import get_penalty


def train_lbfgs(estimator: Any, module: MLP, objective: Objective, rows: DeviceRows) -> Outcome:
    """Minimise over all rows at once; warn when it did not converge."""
    with limited_threads(step_flop(module, len(rows))):
        found = minimize_lbfgs(
            module,
            objective,
            rows,
            penalty=get_penalty("l2", alpha=float(estimator.alpha)),
            max_iter=estimator.max_iter,
            max_fun=estimator.max_fun,
            tol=estimator.tol,
        )
    if not math.isfinite(found.objective):
        raise ValueError(NON_FINITE)
    if not found.converged:
        warnings.warn(
            f"lbfgs failed to converge after {found.n_iter} iterations: {found.message}. Raise "
            f"max_iter={estimator.max_iter} or max_fun={estimator.max_fun}, or scale the data.",
            ConvergenceWarning,
            stacklevel=stacklevel_outside(),
        )
    if estimator.verbose:
        sys.stdout.write(f"lbfgs: {found.n_iter} iterations, loss = {found.loss:.8f}\n")
    return Outcome(found.n_iter, found.loss)
