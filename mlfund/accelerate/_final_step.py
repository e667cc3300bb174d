"""The last step of what is searched: scikit-learn's estimator and mlfund's in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from mlfund.accelerate import _linear, _mlp
from mlfund.accelerate._replacement import NotEquivalentError, parameters

_KINDS = (_linear.LogisticRegression, _mlp.MLPClassifier, _mlp.MLPRegressor)


def final_step(estimator: Any) -> tuple[str, Any]:
    """Return the prefix of its parameters (``""`` or ``"name__"``) and the last step."""
    if type(estimator) is not Pipeline:
        return "", estimator
    name, step = estimator.steps[-1]
    prefix, final = final_step(step)
    return f"{name}__{prefix}", final


def kind_of(final: Any) -> Any:
    """Return the replacement for a final step's class, None if there is none.

    Instances of scikit-learn's class count, made before the acceleration began; those of
    a subclass do not, which may be anything.
    """
    return next((kind for kind in _KINDS if type(final) in (kind, kind._replaced)), None)


def why_not_translated(estimator: Any) -> str | None:
    """Return why there is no estimator of mlfund for this one."""
    final = final_step(estimator)[1]
    if kind_of(final):
        return None
    if type(final).__module__.startswith("mlfund."):
        return "it searches an estimator of mlfund, for which there are mlfund's own searches"
    return f"{type(final).__name__} cannot be trained in batches"


def why_not_fitted(estimator: Any, params: Mapping[str, Any]) -> str | None:
    """Return what in the parameters of `fit` mlfund's estimator takes otherwise."""
    linear = kind_of(final_step(estimator)[1]) is _linear.LogisticRegression
    for name, value in params.items():
        if not linear and name.endswith("sample_weight"):
            return _mlp.why_not_weights(value)
    return None


def estimators_of_mlfund(estimator: Any) -> Any:
    """Return a clone whose last step is mlfund's estimator with the same parameters."""
    if type(estimator) is Pipeline:
        # the steps before stay as they are: the search clones them
        steps = [*estimator.steps[:-1]]
        name, last = estimator.steps[-1]
        return clone(estimator).set_params(steps=[*steps, (name, estimators_of_mlfund(last))])
    import mlfund

    kind = kind_of(estimator)._replaced
    given = parameters(estimator, kind._get_param_names)
    return getattr(mlfund, kind.__name__)(**given)


def candidate(estimator: Any, params: Mapping[str, Any]) -> Any:
    """Return the last step of a candidate, of scikit-learn's class, unfitted.

    Parameters
    ----------
    estimator : estimator
        What is searched, of scikit-learn's classes.
    params : dict
        Of the candidate.

    Raises
    ------
    NotEquivalentError
        If the candidate has another last step, or a parameter that only mlfund knows.
    """
    prefix, final = final_step(estimator)
    own = {}
    for key, value in params.items():
        if key == "steps" or prefix.startswith(f"{key}__"):
            raise NotEquivalentError("the grid puts other estimators in the place of the last step")
        if key.startswith(prefix):
            own[key.removeprefix(prefix)] = value
    unknown = set(own) - set(final._get_param_names())
    if unknown:
        raise NotEquivalentError(f"{type(final).__name__} has no parameter {min(unknown)!r}")
    return clone(final).set_params(**own)
