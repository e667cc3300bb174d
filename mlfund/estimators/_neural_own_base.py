"""What `NeuralClassifier` and `NeuralRegressor` share: a module of the user's own."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import nn

from mlfund._check import seed_from
from mlfund.estimators import _neural_own_probe as probe
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._neural_module import BuiltModule, ProbedScores, tensor_of
from mlfund.estimators._neural_own_build import Recipe, name_of, options_for

CONSTRAINTS: dict[str, list[Any]] = {
    "module": [callable],
    "module_params": [dict, None],
    "keep_integers": ["boolean"],
    **spec.CONSTRAINTS,
}
_OPTION = "module_params__"


class OwnModule(BuiltModule):
    """A module of the user's own behind scikit-learn's interface; see the subclasses."""

    module: Any
    module_params: dict[str, Any] | None
    keep_integers: bool
    input_shape_: tuple[int, ...]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS

    @property
    def _input_dtypes(self) -> Any:
        return "numeric" if self.keep_integers else (np.float32, np.float64)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the estimator, and with `deep` those of the module.

        Parameters
        ----------
        deep : bool, default=True
            Whether ``module_params={"hidden": 8}`` is also listed as
            ``module_params__hidden``.

        Returns
        -------
        dict
            Values by name.
        """
        params: dict[str, Any] = super().get_params(deep=deep)
        if deep and isinstance(self.module_params, dict):
            params |= {f"{_OPTION}{name}": value for name, value in self.module_params.items()}
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the estimator, and of the module as ``module_params__name``.

        Parameters
        ----------
        **params : object
            Values by name. ``module_params__hidden=8`` sets one entry of `module_params`
            and keeps the others; it need not have been there before.

        Returns
        -------
        estimator
            The estimator itself.
        """
        options = {k[len(_OPTION) :]: v for k, v in params.items() if k.startswith(_OPTION)}
        super().set_params(**{k: v for k, v in params.items() if not k.startswith(_OPTION)})
        if options:
            # A new dict: the one given to the constructor is the caller's.
            self.module_params = {**(self.module_params or {}), **options}
        return self

    def _kind(self) -> str:
        """Return the kind of target, as `RawScores` names it."""
        return getattr(self, "_target_kind", "real")

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, shape = _two_dimensional(X)
        if not reset:
            self._check_shape(shape)
        X, y = super()._validate(X, y, reset=reset)
        if reset:
            self.input_shape_ = shape or X.shape[1:]
        return (X if shape is None else X.reshape(-1, *shape)), y

    def _check_shape(self, shape: tuple[int, ...] | None) -> None:
        """Raise ValueError if rows of several dimensions differ from those of `fit`."""
        # A number of columns that differs is reported as scikit-learn does.
        several = shape is not None or len(self.input_shape_) > 1
        if several and shape != self.input_shape_:
            found = "one dimension" if shape is None else f"shape {shape}"
            raise ValueError(
                f"X has rows of {found}, and {type(self).__name__} was fitted on rows of shape "
                f"{self.input_shape_}."
            )

    def _as_input(self, X: Any) -> tuple[Any, np.dtype[Any]]:
        if X.dtype.kind in "iub":
            # Only with keep_integers: validation has made floats of them otherwise.
            dtype = spec.compute_dtype(self.precision, np.dtype(np.float32))
            return X.astype(np.int64, copy=False), dtype
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float32)
        return super()._as_input(X)

    def _make_module(
        self,
        X: Any,
        width: int,
        device: torch.device,
        random_state: np.random.RandomState,
        *,
        first: bool,
    ) -> nn.Module:
        if X.dtype.kind == "i":
            for name in ("mixup", "input_noise"):
                if getattr(self, name):
                    why = "rows of integers cannot be mixed or blurred"
                    spec.refuse_pair(self, "keep_integers", name, why)
        seed, dtype = seed_from(random_state), self._as_input(X)[1]
        if first:
            recipe = self._recipe_for(X, width, seed, dtype)
            module = recipe.build()
        else:
            self._check_same_module()
            recipe = dataclasses.replace(self._recipe, dtype=dtype.name)
            module = copy.deepcopy(self.module_).to(getattr(torch, dtype.name))
        module.to(device)
        # Lazy layers draw their weights in the first pass; dropout of the module's own
        # draws from here on, other masks in each call of `partial_fit`.
        torch.manual_seed((seed + (0 if first else self.t_)) % 2**63)
        name = name_of(self.module)
        rows = tensor_of(X, slice(0, probe.PROBED_ROWS), device)
        seen = probe.first_pass(module, rows, name)
        probe.check_trainable(module, name)
        reading = {"name": name, "output": recipe.output, "kind": recipe.kind}
        probe.check_output(seen, len(rows), width=width, **reading)
        if first:
            probe.warn_of_double_link(seen, **reading)
        return ProbedScores(module, recipe, seen)

    def _recipe_for(self, X: Any, width: int, seed: int, dtype: np.dtype[Any]) -> Recipe:
        kind, output = self._kind(), getattr(self, "module_output", "raw")
        # A softmax over one column is constant: a module of probabilities gets two.
        n_outputs = 2 if kind == "binary" and output != "raw" else width
        deduced = {
            "n_features": math.prod(self.input_shape_),
            "input_shape": self.input_shape_,
            "n_outputs": n_outputs,
        }
        return Recipe(
            source=self.module,
            options=options_for(self.module, self.module_params, deduced),
            seed=seed,
            dtype=dtype.name,
            output=output,
            kind=kind,
            integers=X.dtype.kind == "i",
        )

    def _check_same_module(self) -> None:
        """Raise ValueError if a training that goes on would need another module."""
        recipe, given = self._recipe, self.module_params or {}
        changed = [name for name in given if not _equal(given[name], recipe.options.get(name))]
        if self.module is not recipe.source or changed:
            what = f"module_params[{changed[0]!r}]" if changed else "module"
            raise ValueError(
                f"A training goes on with the module it has, and {what} has changed since; call "
                "fit with warm_start=False to start anew."
            )

    def _checked_rows(self, X: Any) -> Any:
        X, shape = _two_dimensional(X)
        self._check_shape(shape)
        # As in `fit`, whatever keep_integers has become since.
        dtype = "numeric" if self._recipe.integers else (np.float32, np.float64)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=dtype)
        if self._recipe.integers:
            if X.dtype.kind not in "iub":
                raise ValueError(
                    f"X holds {X.dtype} values, and {type(self).__name__} was fitted on integers: "
                    "cast X with X.astype('int64')."
                )
            X = X.astype(np.int64, copy=False)
        else:
            X = X.astype(self._recipe.dtype, copy=False)
        return X if shape is None else X.reshape(-1, *shape)

    def __sklearn_tags__(self) -> Any:
        """Say that sparse X is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _two_dimensional(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Return X with at most two dimensions, and the shape of a row if it had more."""
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().numpy()
    elif isinstance(X, list | tuple):
        nested = np.asarray(X)
        X = nested if nested.ndim > 2 else X
    if getattr(X, "ndim", 2) <= 2:
        return X, None
    shape = tuple(int(size) for size in X.shape[1:])
    return X.reshape(len(X), math.prod(shape)), shape


def _equal(first: Any, second: Any) -> bool:
    try:
        return first is second or bool(np.all(first == second))
    except (TypeError, ValueError, RuntimeError):
        # Things that cannot be compared are taken as they are: nothing says they changed.
        return True
