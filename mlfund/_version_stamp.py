"""The version of mlfund that wrote an estimator, kept in its pickle and checked on reading."""

from __future__ import annotations

import warnings
from typing import Any

__all__ = ["VersionMismatchWarning", "VersionStamped"]

_KEY = "_mlfund_version"


class VersionMismatchWarning(UserWarning):
    """An estimator was written by other library versions than the ones that read it."""


class VersionStamped:
    """Mixin that stamps pickles with mlfund's version, as scikit-learn does with its own.

    It goes before ``BaseEstimator`` in the bases of every mlfund estimator:
    scikit-learn stamps only classes of its own modules. The stamp exists in the
    pickle (and in what joblib, `copy` and skops write), never on the estimator.

    Examples
    --------
    >>> from sklearn.base import BaseEstimator
    >>> class Mean(VersionStamped, BaseEstimator):
    ...     pass
    >>> "_mlfund_version" in Mean().__getstate__()
    True
    """

    def __getstate__(self) -> dict[str, Any]:
        parent: Any = super()
        return {**parent.__getstate__(), _KEY: _installed_version()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        written = state.pop(_KEY, None)
        installed = _installed_version()
        if written != installed:
            warnings.warn(
                f"{type(self).__name__} was saved by mlfund {written or '(unknown version)'} "
                f"and is read by mlfund {installed}: results may differ. "
                "Fit it again, or install the version that wrote it.",
                VersionMismatchWarning,
                stacklevel=2,
            )
        parent: Any = super()
        parent.__setstate__(state)


def _installed_version() -> str:
    # not at the top: mlfund/__init__.py is above the vocabulary
    from mlfund import __version__

    return __version__
