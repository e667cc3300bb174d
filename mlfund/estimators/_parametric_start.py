"""Start values and bounds of a function's parameters, read from its signature and two dicts."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from mlfund._check import nearest

if TYPE_CHECKING:
    from mlfund.estimators._parametric_function import ParametricFunction

# Where curve_fit starts a parameter that nobody gave a value.
DEFAULT_START = 1.0


def start_values(
    function: Callable[..., Any], name: str, start: Mapping[str, Any] | None
) -> dict[str, tuple[np.ndarray, bool]]:
    """Return {parameter: (start value, whether it was given)} in the order of the signature."""
    start = _by_name("start", start, "1.0")
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


def _by_name(argument: str, given: Any, example: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{argument} must be a dict by parameter, such as {{'a': {example}}}; got "
            f"{type(given).__name__}."
        )
    return dict(given)


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
    for name, pair in _by_name("bounds", bounds, "(0, None)").items():
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
