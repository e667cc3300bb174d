"""Estimators whose training leaves a torch module behind: predictions from it, and files."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from mlfund._check import limited_threads
from mlfund.estimators import _neural_own_probe as probe
from mlfund.estimators._neural_base import BaseNeural
from mlfund.estimators._neural_own_build import Recipe, export_weights
from mlfund.estimators._neural_training import Outcome
from mlfund.nets.raw_scores import RawScores


class ProbedScores(RawScores):
    """A module read as raw scores, with how it was built and what a first pass showed."""

    def __init__(self, module: nn.Module, recipe: Recipe, seen: probe.FirstPass) -> None:
        super().__init__(module, output=recipe.output, kind=recipe.kind)
        self.recipe = recipe
        self.flop_per_row = seen.flop_per_row
        self.rows_at_once = seen.rows_at_once


class BuiltModule(BaseNeural):
    """A torch module, built from a recipe, behind scikit-learn's interface; see the subclasses."""

    module_: nn.Module
    _recipe: Recipe
    # Floating-point operations of a row in a forward pass, and rows that one takes at most.
    _pass_costs: tuple[float, int]

    @abstractmethod
    def _checked_rows(self, X: Any) -> Any:
        """Return rows to predict, checked against those of `fit`, as the module takes them."""

    def _train(self, *args: Any, **options: Any) -> Outcome:
        # autograd is needed here, also where the caller is under torch.no_grad.
        with torch.enable_grad():
            return super()._train(*args, **options)

    def _publish_module(self, module: ProbedScores) -> None:
        if not all(bool(torch.isfinite(p).all()) for p in module.module.parameters()):
            raise ValueError("Solver produced non-finite parameter weights.")
        # A copy: in training the parameters are pieces of one tensor of the optimizer's.
        self.module_ = copy.deepcopy(module.module).eval()
        self._recipe = module.recipe
        self._pass_costs = (module.flop_per_row / 3, module.rows_at_once)

    def _predictor(self) -> nn.Module:
        """Return what predictions come from."""
        return self.module_

    def _raw(self, X: Any) -> np.ndarray:
        """Return raw scores, shape (n, k), computed where `module_` is."""
        check_is_fitted(self)
        net = RawScores(
            self._predictor(), output=self._recipe.output, kind=self._recipe.kind
        ).eval()
        return self._in_blocks(net, self._checked_rows(X))

    def _in_blocks(self, net: Callable[[torch.Tensor], torch.Tensor], X: Any) -> np.ndarray:
        """Return what a function makes of checked rows, computed where `module_` is."""
        device = next(self.module_.parameters()).device
        flop, rows = self._pass_costs
        with torch.no_grad(), limited_threads(flop * min(rows, X.shape[0])):
            parts = [
                net(tensor_of(X, slice(start, start + rows), device)).cpu().numpy()
                for start in range(0, X.shape[0], rows)
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a training has ended with weights."""
        return hasattr(self, "module_")

    def _forget(self) -> None:
        super()._forget()
        for name in ("_recipe", "_pass_costs", "_target_kind"):
            self.__dict__.pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the module as arrays of its weights."""
        state: dict[str, Any] = super().__getstate__()
        module = state.pop("module_", None)
        if module is not None:
            state["_module_weights"] = export_weights(module)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Build the module again, on the CPU."""
        state = dict(state)
        weights = state.pop("_module_weights", None)
        super().__setstate__(state)
        if weights is not None:
            self.module_ = self._recipe.rebuild(weights)


def tensor_of(X: Any, rows: slice, device: torch.device) -> torch.Tensor:
    """Return some rows of X as a dense tensor."""
    part = X[rows]
    dense = part.toarray() if hasattr(part, "toarray") else part
    # torch refuses to look at read-only memory.
    dense = np.ascontiguousarray(dense)
    return torch.from_numpy(dense if dense.flags.writeable else dense.copy()).to(device)
