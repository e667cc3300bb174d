"""The user's function: its parameters by name, its checks, its value and its derivatives."""

from __future__ import annotations

import inspect
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mlfund._check import nearest

# Where curve_fit starts a parameter that nobody gave a value.
DEFAULT_START = 1.0
_TO_NUMPY = frozenset({"__array__", "numpy"})
_TO_PYTHON = frozenset({"__float__", "__int__", "__complex__", "item", "tolist"})


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
        Whether a start value was given rather than `DEFAULT_START` assumed.
    """

    def __init__(self, function: Callable[..., Any], start: Mapping[str, Any] | None):
        if not callable(function):
            raise TypeError(
                f"function must be callable as f(x, a, b, ...); got {type(function).__name__}."
            )
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        values = _start_values(function, self.name, start)
        self.shapes = {name: np.shape(value) for name, (value, _) in values.items()}
        self.labels = [label for name in values for label in self.labels_of(name)]
        flat = [np.ravel(value) for value, _ in values.values()]
        self.start = np.concatenate(flat).astype(np.float64)
        self._forward = False
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
        raw = self.function(x, **self.unpack(theta))
        return raw.expand(len(x)) if raw.ndim == 0 else raw

    def jacobian(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return the derivatives by the flat parameters, shape (n, p)."""
        return self.linearise(x, theta)[1]

    def linearise(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predictions (n,) and their derivatives by the parameters (n, p)."""
        return self._forward_mode(x, theta) if self._forward else self._reverse_mode(x, theta)

    def _reverse_mode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        # J'v is linear in v, so its derivative by v, entry by entry, is J: p backward
        # passes instead of n.
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            raw = self(x, theta)
            v = torch.zeros_like(raw, requires_grad=True)
            (product,) = torch.autograd.grad(raw, theta, v, create_graph=True)
        columns = []
        for entry in product:
            column = None
            if entry.requires_grad:
                (column,) = torch.autograd.grad(entry, v, retain_graph=True, allow_unused=True)
            columns.append(torch.zeros_like(v) if column is None else column)
        return raw.detach(), torch.stack(columns, dim=1).detach()

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
        theta = theta.detach().clone().requires_grad_()
        values = self.unpack(theta)
        try:
            with _TorchOnly(self.name):
                raw = self.function(x, **values)
        except Exception as error:
            error.add_note(
                f"Raised in {self.name}, called with x of shape {tuple(x.shape)} and the start "
                f"values {self._told(theta)}."
            )
            raise
        self._check_output(raw, len(x), theta)
        ignored = self._ignored(raw, values)
        self._choose_mode(x, theta, raw)
        if not self.jacobian(x, theta).any():
            raise ValueError(
                f"{self.name} is flat at the start {self._told(theta)}: its derivatives by all "
                "parameters are zero there. Give other start values; where it rounds, compares or "
                "clamps, write a smooth function."
            )
        return ignored

    def _choose_mode(self, x: Tensor, theta: Tensor, raw: Tensor) -> None:
        """Take forward derivatives if an operation has no second derivative, or a wrong one.

        The reverse mode costs least on small data, but it differentiates twice.
        """
        probe = torch.linspace(1, 2, len(x), dtype=theta.dtype, device=theta.device)
        (expected,) = torch.autograd.grad(raw.expand(len(x)), theta, probe)
        try:
            found = self._reverse_mode(x, theta)[1].T @ probe
        except RuntimeError:
            self._forward = True
        else:
            self._forward = not torch.allclose(found, expected, rtol=1e-3, equal_nan=True)

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
        names = list(values)
        gradients: tuple[Tensor | None, ...] = (None,) * len(names)
        if raw.requires_grad:
            gradients = torch.autograd.grad(
                raw.sum(), list(values.values()), retain_graph=True, allow_unused=True
            )
        ignored = [name for name, g in zip(names, gradients, strict=True) if g is None]
        if len(ignored) == len(names):
            raise ValueError(
                f"{self.name} has no gradient by any of its parameters {', '.join(names)}: its "
                "result must be computed from them by torch's functions, without torch.tensor(a), "
                ".detach(), .data or rounding in between."
            )
        return ignored

    def _told(self, theta: Tensor) -> str:
        pairs = zip(self.labels, theta.tolist(), strict=True)
        return ", ".join(f"{label}={value:g}" for label, value in pairs)


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
        if called in _TO_PYTHON and args[0].requires_grad:
            raise TypeError(
                f"{self.name} turns a parameter into a plain number, as math.exp or float does, "
                "which has no gradient: use torch's function, such as torch.exp."
            )
        return func(*args, **(kwargs or {}))


def _start_values(
    function: Callable[..., Any], name: str, start: Mapping[str, Any] | None
) -> dict[str, tuple[np.ndarray, bool]]:
    """Return {parameter: (start value, whether it was given)} in the order of the signature."""
    start = dict(start or {})
    values = {}
    for parameter, default in _candidates(function, name, start):
        if parameter in start:
            value, given = start.pop(parameter), True
        elif default is inspect.Parameter.empty:
            value, given = DEFAULT_START, False
        elif _is_numeric(default):
            value, given = default, True
        else:
            continue  # an option of the function, not a parameter to fit
        values[parameter] = (_checked_start(parameter, value), given)
    if start:
        _refuse_name("start", next(iter(start)), name, values)
    if not values:
        raise ValueError(
            f"{name} has no parameters to fit: write it as f(x, a, b, ...), with start values as "
            "defaults if you like."
        )
    return values


def _candidates(
    function: Callable[..., Any], name: str, start: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the parameters of {name} cannot be read: wrap it as def f(x, a, b): ..."
        ) from error
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise ValueError(f"{name} must take x as its first argument: f(x, a, b, ...).")
    named = [p.name for p in parameters]
    for parameter in parameters[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise ValueError(
                f"{name} takes {parameter} by position, but parameters are passed by name: "
                "write them out, f(x, a, b), or use **parameters and name them in start."
            )
        if parameter.kind is parameter.VAR_KEYWORD:
            yield from ((extra, parameter.empty) for extra in list(start) if extra not in named)
        else:
            yield parameter.name, parameter.default


def _is_numeric(value: Any) -> bool:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if number or isinstance(value, Tensor):
        return True
    return isinstance(value, np.ndarray | list | tuple) and np.asarray(value).dtype.kind in "iuf"


def _checked_start(name: str, value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the start value of {name!r} must be a number or an array of numbers; got {value!r}."
        ) from error
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"the start value of {name!r} must be finite; got {value!r}.")
    return array


def _refuse_name(argument: str, given: str, function: str, allowed: Mapping[str, Any]) -> None:
    suggestion = nearest(given, allowed)
    raise ValueError(
        f"{argument} names {given!r}, which is no parameter of {function}; its parameters are "
        f"{', '.join(map(repr, allowed)) or 'none'}."
        + (f" Did you mean {suggestion!r}?" if suggestion else "")
    )


def read_bounds(
    function: ParametricFunction, bounds: Mapping[str, Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper bounds of the flat parameters, infinite where there are none.

    Raises
    ------
    ValueError
        If a name or a pair is wrong, or a start value given lies outside.
    """
    lower = {name: function.expand(name, -np.inf) for name in function.shapes}
    upper = {name: function.expand(name, np.inf) for name in function.shapes}
    for name, pair in (bounds or {}).items():
        if name not in function.shapes:
            _refuse_name("bounds", name, function.name, function.shapes)
        try:
            low, high = pair
            lower[name] = function.expand(name, -np.inf if low is None else low)
            upper[name] = function.expand(name, np.inf if high is None else high)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"bounds[{name!r}] must be a pair (low, high) of numbers, None for no bound; got "
                f"{pair!r}."
            ) from error
    low, high = function.pack(lower), function.pack(upper)
    for j, label in enumerate(function.labels):
        _check_bounds(label, low[j], high[j], function.start[j], function.given[j])
    return low, high


def _check_bounds(label: str, low: float, high: float, start: float, given: bool) -> None:
    if not low <= high or low == np.inf or high == -np.inf:
        raise ValueError(
            f"bounds of {label!r} must be low <= high; got ({low:g}, {high:g}). Equal bounds hold "
            "the parameter there."
        )
    if given and not low <= start <= high:
        raise ValueError(
            f"the start value of {label!r}, {start:g}, lies outside its bounds ({low:g}, {high:g})."
        )


def inside(theta: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return `theta` moved into its bounds, away from them where there is room."""
    moved = np.clip(theta, low, high)
    width = high - low
    middle = np.where(np.isfinite(width), low + 0.5 * np.where(np.isfinite(width), width, 0), moved)
    return np.where(moved != theta, middle, moved)
