"""When two transformers are the same, so that what they make of the rows can be shared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator


def content_key(value: Any) -> Hashable:
    """Return a key that two parameters share only if they are equal in type and content.

    Parameters
    ----------
    value : object
        An unfitted estimator, or anything that can be a parameter of one.

    Returns
    -------
    key : hashable
        Objects whose content cannot be read, such as lambdas, are equal to themselves
        alone.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> content_key(PCA(2)) == content_key(PCA(2)), content_key(PCA(2)) == content_key(PCA(3))
    (True, False)
    """
    if isinstance(value, BaseEstimator) and not isinstance(value, type):
        return _of_estimator(value)
    if isinstance(value, str | bytes | int | float | complex | None):
        # The type tells 1 from True, and repr lets nan be equal to itself.
        return (type(value), repr(value))
    if isinstance(value, list | tuple):
        return (type(value), tuple(map(content_key, value)))
    if isinstance(value, Mapping):
        pairs = [(content_key(name), content_key(entry)) for name, entry in value.items()]
        return (type(value), tuple(pairs))
    if isinstance(value, np.ndarray | np.random.RandomState | np.random.Generator):
        return (type(value), joblib.hash(value))
    return _Same(value)


def _of_estimator(estimator: BaseEstimator) -> Hashable:
    params = estimator.get_params(deep=False)
    # Beside its parameters, the containers of its output and the metadata that it asks for.
    settings = {
        name: vars(estimator).get(name) for name in ("_sklearn_output_config", "_metadata_request")
    }
    requests = settings["_metadata_request"]
    settings["_metadata_request"] = None if requests is None else repr(requests)
    return (type(estimator), content_key(params), content_key(settings))


class _Same:
    """Equal to what wraps the very same object, which it keeps alive."""

    def __init__(self, value: Any):
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._value is self._value

    def __hash__(self) -> int:
        return id(self._value)
