"""What all replacements share: scikit-learn's class, with `fit` handed to mlfund where it may be.

A replacement derives from the class it replaces and keeps its fitted state in scikit-learn's
attributes. So everything but `fit` is scikit-learn's own code, and instances are pickled as
instances of the class that was replaced: a file needs mlfund no more than before.
"""

from __future__ import annotations

import copy
import copyreg
import inspect
import pkgutil
from abc import ABCMeta
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
from sklearn import get_config

from mlfund.accelerate._record import MLFUND, SKLEARN, Record, active

Function = TypeVar("Function", bound=Callable[..., Any])


class NotEquivalentError(Exception):
    """mlfund's fit turned out not to give what scikit-learn's would; the message says why."""


class ReplacementMeta(ABCMeta):
    """Lets instances and subclasses of the class that was replaced pass for the replacement's."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or isinstance(instance, _checked(cls))

    def __subclasscheck__(cls, subclass: type) -> bool:
        # By its bases: a replaced class that is abstract would ask its subclasses, this one too.
        return super().__subclasscheck__(subclass) or _checked(cls) in subclass.__mro__


def _checked(cls: type) -> type | tuple[()]:
    """Return what a replacement stands for; nothing for a subclass in a user's script."""
    return vars(cls).get("_replaced", ())


def _reduce_class(cls: type) -> Any:
    """Pickle a replacement as the class it replaced, other classes by their name."""
    replaced = vars(cls).get("_replaced")
    if replaced is None:
        return cls.__qualname__
    return pkgutil.resolve_name, (f"{replaced.__module__}:{replaced.__qualname__}",)


copyreg.pickle(ReplacementMeta, _reduce_class)


_REPLACEMENTS: dict[type, type] = {}


class Replacement(metaclass=ReplacementMeta):
    """Mixin that goes before the class it replaces.

    A subclass with ``replaces=True`` stands for its last base: it takes the documentation and
    the module of that, and keeps it in `_replaced`. It writes `fit` by `accelerated`, and

    - ``_refusal(X, y, **params) -> str | None``: why mlfund's fit would not be equivalent;
    - ``_fit_by_mlfund(X, y, **params)``: sets scikit-learn's fitted attributes, or raises.
    """

    _replaced: ClassVar[Any]

    def __init_subclass__(cls, *, replaces: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if replaces:
            cls._replaced = cls.__bases__[-1]
            cls.__doc__, cls.__module__ = cls._replaced.__doc__, cls._replaced.__module__
            _REPLACEMENTS.setdefault(cls._replaced, cls)
            return
        record = active()
        if record is not None:
            record.note(
                f"{cls.__module__}.{cls.__qualname__} derives from a replaced name: files to "
                "which cloudpickle writes it need mlfund to be read."
            )

    def __reduce_ex__(self, protocol: Any) -> Any:
        if "_replaced" not in vars(type(self)):
            return super().__reduce_ex__(protocol)
        state = self.__getstate__()
        # Pickles of protocols 0 and 1 name it, so it stays; the type stubs leave it out.
        rebuild = copyreg._reconstructor  # type: ignore[attr-defined]
        return rebuild, (self._replaced, object, None), state

    def __copy__(self) -> Any:
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        vars(other).update(copy.deepcopy(vars(self), memo))
        return other


def as_in(replaced: Callable[..., Any]) -> Callable[[Function], Function]:
    """Give a function the documentation of the one it replaces, and its looks."""

    def dressed(function: Function) -> Function:
        function.__doc__ = replaced.__doc__
        function.__qualname__ = replaced.__qualname__
        function.__annotations__ = {}
        return function

    return dressed


def accelerated(estimator: Any, X: Any, y: Any, **params: Any) -> Any:
    """Fit by mlfund where that is equivalent, else by the class that was replaced.

    Whatever goes wrong in mlfund's fit, scikit-learn's own runs after it, from the same
    random state: errors are scikit-learn's.

    Returns
    -------
    estimator
        The one given, fitted.
    """
    kind = _kind(estimator)
    record = active()
    if record is None or Replacement not in type(estimator).__mro__:
        return kind._replaced.fit(estimator, X, y, **params)
    name = kind.__name__
    reason = _why_not(estimator, kind) or _try(estimator, record, name, X, y, params)
    if reason is None:
        return estimator
    record.leave_to_sklearn(name, reason)
    with record.timed(name, SKLEARN):
        return kind._replaced.fit(estimator, X, y, **params)


def _kind(estimator: Any) -> Any:
    """Return the replacement among the classes of an estimator.

    ``LogisticRegression.fit(model, X, y)`` may also be called with an instance of the class
    that was replaced: then what stands for that.
    """
    classes = type(estimator).__mro__
    found = next((cls for cls in classes if "_replaced" in vars(cls)), None)
    return found or next(_REPLACEMENTS[cls] for cls in classes if cls in _REPLACEMENTS)


def _why_not(estimator: Any, kind: Any) -> str | None:
    """Return what keeps mlfund away from any estimator; raise for parameters out of range."""
    private = _overridden(type(estimator), kind)
    if private is not None:
        return f"{type(estimator).__name__} has a {private} of its own"
    if getattr(estimator, "_skl_callbacks", None):
        return "callbacks are set"
    if get_config()["array_api_dispatch"]:
        return "array_api_dispatch=True"
    estimator._validate_params()
    return None


def _overridden(cls: type, kind: Any) -> str | None:
    """Return a private method of scikit-learn's that a user's subclass has written anew."""
    return next(
        (
            name
            for between in cls.__mro__[: cls.__mro__.index(kind)]
            for name, value in vars(between).items()
            if inspect.isfunction(value) and _is_private(name) and hasattr(kind._replaced, name)
        ),
        None,
    )


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _try(
    estimator: Any, record: Record, name: str, X: Any, y: Any, params: dict[str, Any]
) -> str | None:
    """Fit by mlfund; return why that came to nothing, None if it did not."""
    before = [(stream, stream.get_state()) for stream in _streams(estimator)]
    try:
        reason: str | None = estimator._refusal(X, y, **params)
        if reason is None:
            with record.timed(name, MLFUND):
                estimator._fit_by_mlfund(X, y, **params)
            return None
    except NotEquivalentError as error:
        reason = str(error)
    # An error to be shown is scikit-learn's to raise, whose fit comes next.
    except Exception as error:
        reason = f"mlfund's fit raised {type(error).__name__}: {error}"
    for stream, state in before:
        stream.set_state(state)
    return reason


def _streams(estimator: Any) -> list[np.random.RandomState]:
    """Return the random streams that a fit may draw from and others see."""
    holders = (estimator, getattr(estimator, "cv", None))
    states = [getattr(holder, "random_state", None) for holder in holders]
    own = [state for state in states if isinstance(state, np.random.RandomState)]
    return [np.random.mtrand._rand, *own]


def parameters(estimator: Any, names: Callable[[], list[str]]) -> dict[str, Any]:
    """Return the parameters of these names, whatever a subclass made of `get_params`."""
    return {name: getattr(estimator, name) for name in names()}


def publish_columns(estimator: Any, fitted: Any) -> None:
    """Set what scikit-learn keeps about the columns of X."""
    estimator.n_features_in_ = fitted.n_features_in_
    if hasattr(fitted, "feature_names_in_"):
        estimator.feature_names_in_ = fitted.feature_names_in_
    else:
        vars(estimator).pop("feature_names_in_", None)
