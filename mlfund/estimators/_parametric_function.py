"""The user's function: its parameters by name, its checks, its value and its derivatives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mlfund.estimators._parametric_start import start_values

_TO_NUMPY = frozenset({"__array__", "numpy"})
_TO_NUMBER = frozenset({"__float__", "__int__", "__complex__", "item"})


class ParametricFunction:
    """A function ``f(x, a, b, ...)`` whose parameters are read from one flat vector.

    Parameters
    ----------
    function : callable
        Its first argument is x; the others are parameters, or options that keep a
        default which is not a number.
    start : mapping of str to number or array, or None
        Start values; they take precedence over the defaults of the signature.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Shape of each parameter, in the order of the signature.
    start : ndarray of shape (p,)
        Start values, flattened.
    labels : list of str
        Name of each entry of the flat vector: ``a``, or ``w[0]``, ``w[1]``.
    given : ndarray of bool of shape (p,)
        Whether a start value was given rather than assumed.
    """

    def __init__(self, function: Callable[..., Any], start: Mapping[str, Any] | None):
        if not callable(function):
            raise TypeError(
                f"function must be callable as f(x, a, b, ...); got {type(function).__name__}."
            )
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        values = start_values(function, self.name, start)
        self.shapes = {name: np.shape(value) for name, (value, _) in values.items()}
        self.labels = [label for name in values for label in self.labels_of(name)]
        flat = [np.ravel(value) for value, _ in values.values()]
        self.start = np.concatenate(flat).astype(np.float64)
        self._forward: bool | None = None
        self.given = np.repeat([given for _, given in values.values()], [len(v) for v in flat])

    def labels_of(self, name: str) -> list[str]:
        """Return the labels of one parameter's entries."""
        shape = self.shapes[name]
        if shape == ():
            return [name]
        return [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(shape)]

    def unpack(self, theta: Any) -> dict[str, Any]:
        """Cut a flat vector, an array or a tensor, into parameters by name."""
        values, position = {}, 0
        for name, shape in self.shapes.items():
            if shape == ():
                values[name] = theta[position]
                position += 1
            else:
                size = int(np.prod(shape))
                values[name] = theta[position : position + size].reshape(shape)
                position += size
        return values

    def pack(self, values: Mapping[str, Any]) -> np.ndarray:
        """Return the flat vector of parameters given by name."""
        return np.concatenate([np.ravel(values[name]) for name in self.shapes])

    def expand(self, name: str, value: Any) -> np.ndarray:
        """Return a value for parameter `name`, repeated for each of its entries."""
        return np.broadcast_to(np.asarray(value, np.float64), self.shapes[name]).ravel()

    def __call__(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return the predictions, shape (n,)."""
        return self._predictions(x, self.unpack(theta))

    def _predictions(self, x: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        raw = self.function(x, **values).to(x.dtype)
        return raw.expand(len(x)) if raw.ndim == 0 else raw

    def jacobian(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return the derivatives by the flat parameters, shape (n, p)."""
        return self.linearise(x, theta)[1]

    def linearise(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predictions (n,) and their derivatives by the parameters (n, p)."""
        if self._forward is None:
            self._forward = not self._can_differentiate_twice(x, theta)
        return self._forward_mode(x, theta) if self._forward else self._reverse_mode(x, theta)

    def _reverse_mode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        # J'v is linear in v, so its derivative by v, entry by entry, is J: p backward
        # passes instead of n.
        values = self._leaves(theta)
        with torch.enable_grad():
            raw = self._predictions(x, values)
            v = torch.zeros_like(raw, requires_grad=True)
            products = _gradients(raw, values, v, create_graph=True)
        columns = []
        for product in products:
            for entry in product.reshape(-1) if product.ndim else [product]:
                column = None
                if entry.requires_grad:
                    (column,) = torch.autograd.grad(entry, v, retain_graph=True, allow_unused=True)
                columns.append(torch.zeros_like(v) if column is None else column)
        return raw.detach(), torch.stack(columns, dim=1).detach()

    def _leaves(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the parameters with a gradient each; slices of one vector would cost double."""
        values = self.unpack(theta.detach())
        return {name: value.detach().requires_grad_() for name, value in values.items()}

    def _forward_mode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        columns = []
        with torch.no_grad(), forward_ad.dual_level(), warnings.catch_warnings():
            # torch builds its forward formulas with what it deprecates itself
            warnings.simplefilter("ignore", DeprecationWarning)
            for direction in torch.eye(len(theta), dtype=theta.dtype, device=theta.device):
                dual = self(x, forward_ad.make_dual(theta, direction))
                raw, tangent = forward_ad.unpack_dual(dual)
                columns.append(torch.zeros_like(raw) if tangent is None else tangent)
        return raw, torch.stack(columns, dim=1)

    def check(self, x: Tensor, theta: Tensor) -> list[str]:
        """Call the function once with care; return the parameters it ignores.

        Raises
        ------
        TypeError
            If it leaves torch, or returns no tensor, or complex or whole numbers.
        ValueError
            If the shape is wrong, a value is not finite, or no parameter has a gradient.
        """
        values = self._leaves(theta)
        version = x._version
        try:
            with _TorchOnly(self.name):
                raw = self.function(x, **values)
        except Exception as error:
            error.add_note(
                f"Raised in {self.name}, called with x of shape {tuple(x.shape)}, which is (n,) "
                f"for one column of X, else (n, d), and the start values {self._told(theta)}."
            )
            raise
        if x._version != version:
            raise ValueError(
                f"{self.name} changes x in place, so that each call sees other data: write "
                "x = 2 * x rather than x *= 2 or x.mul_(2)."
            )
        self._check_output(raw, len(x), theta)
        ignored = self._ignored(raw, values)
        if not self.jacobian(x, theta).any():
            raise ValueError(
                f"{self.name} is flat at the start {self._told(theta)}: its derivatives by all "
                "parameters are zero there. Give other start values; where it rounds, compares or "
                "clamps, write a smooth function."
            )
        return ignored

    def _can_differentiate_twice(self, x: Tensor, theta: Tensor) -> bool:
        """Tell whether every operation has a second derivative, which the reverse mode takes.

        It costs least on small data; where it does not serve, the forward mode does.
        """
        values = self._leaves(theta)
        with torch.enable_grad():
            raw = self._predictions(x, values)
            probe = torch.linspace(1, 2, len(x), dtype=theta.dtype, device=theta.device)
            expected = torch.cat([g.reshape(-1) for g in _gradients(raw, values, probe)])
        try:
            slopes = self._reverse_mode(x, theta)[1]
        except RuntimeError:
            return False
        rounding = 1e-9 * (slopes.abs().T @ probe)
        error = (slopes.T @ probe - expected).abs()
        return bool((error <= 1e-3 * expected.abs() + rounding).all())

    def _check_output(self, raw: Any, n: int, theta: Tensor) -> None:
        if not isinstance(raw, Tensor):
            raise TypeError(
                f"{self.name} must return a tensor of shape ({n},); got {type(raw).__name__}. "
                "Compute with x, the parameters and torch's functions only."
            )
        if not raw.is_floating_point():
            raise TypeError(
                f"{self.name} must return real numbers; got a tensor of {raw.dtype}. "
                "For complex values return a real part or a modulus, such as torch.abs(z)."
            )
        if raw.shape not in ((n,), ()):
            raise ValueError(
                f"{self.name} must return one value a row, shape ({n},), or a single number; got "
                f"shape {tuple(raw.shape)}. x is of shape (n,) where X has one column, else (n, d)."
            )
        bad = torch.atleast_1d(~torch.isfinite(raw.detach()))
        if bad.any():
            raise ValueError(
                f"{self.name} returns {int(bad.sum())} values that are NaN or infinite at the "
                f"start {self._told(theta)}, the first in row {int(bad.nonzero()[0])}: give "
                "other start values or bounds."
            )

    def _ignored(self, raw: Tensor, values: dict[str, Tensor]) -> list[str]:
        gradients: tuple[Tensor | None, ...] = (None,) * len(values)
        if raw.requires_grad:
            gradients = torch.autograd.grad(raw.sum(), list(values.values()), allow_unused=True)
        ignored = [name for name, g in zip(values, gradients, strict=True) if g is None]
        if len(ignored) == len(values):
            raise ValueError(
                f"{self.name} has no gradient by any of its parameters {', '.join(values)}: its "
                "result must be computed from them by torch's functions, without torch.tensor(a), "
                ".detach(), .data or rounding in between."
            )
        return ignored

    def _told(self, theta: Tensor) -> str:
        pairs = zip(self.labels, theta.tolist(), strict=True)
        return ", ".join(f"{label}={value:g}" for label, value in pairs)


def _gradients(
    raw: Tensor, values: Mapping[str, Tensor], v: Tensor, create_graph: bool = False
) -> list[Tensor]:
    """Return the derivatives of v'raw by each parameter, zeros for those it does not use."""
    if not raw.requires_grad:  # a branch of the function without parameters
        return [torch.zeros_like(value) for value in values.values()]
    found = torch.autograd.grad(
        raw, list(values.values()), v, create_graph=create_graph, allow_unused=True
    )
    return [
        torch.zeros_like(value) if gradient is None else gradient
        for value, gradient in zip(values.values(), found, strict=True)
    ]


class _TorchOnly(TorchFunctionMode):
    """Refuses to turn tensors into arrays or numbers: that would cut off the gradient."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch operation, unless it leads out of torch."""
        called = getattr(func, "__name__", "")
        if called in _TO_NUMPY:
            raise TypeError(
                f"{self.name} calls numpy on a tensor, which has no gradient: use torch's function "
                "of the same name, such as torch.exp for np.exp, and torch.as_tensor for arrays."
            )
        if called in _TO_NUMBER or called in ("tolist", "__bool__"):
            self._refuse_numbers(called, args[0])
        return func(*args, **(kwargs or {}))

    def _refuse_numbers(self, called: str, tensor: Tensor) -> None:
        if called != "tolist" and tensor.numel() > 1:
            raise TypeError(
                f"{self.name} turns a column into a single number, as math.exp, float and if do: "
                "use torch's functions, such as torch.exp for math.exp and torch.where for if."
            )
        if called != "__bool__" and tensor.requires_grad:
            raise TypeError(
                f"{self.name} turns a parameter into a plain number, as math.exp or float does, "
                "which has no gradient: use torch's function, such as torch.exp."
            )
