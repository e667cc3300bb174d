"""Splitters and metadata of `LogisticRegressionCV`."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import get_config
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

DEFAULT_FOLDS = 5


def splitter_for(cv, y):
    """Return the splitter; where no class has 5 members the default takes fewer folds."""
    largest = int(np.unique(y, return_counts=True)[1].max())
    if cv is None and 2 <= largest < DEFAULT_FOLDS:
        warnings.warn(
            f"No class has {DEFAULT_FOLDS} members, so that there are {largest} folds; "
            "set cv to choose another number.",
            UserWarning,
            stacklevel=4,
        )
        return check_cv(largest, y, classifier=True)
    return check_cv(cv, y, classifier=True)


def routing_enabled() -> bool:
    """Whether scikit-learn routes metadata now."""
    return bool(get_config().get("enable_metadata_routing", False))


def refuse_params(estimator, params: dict, method: str) -> None:
    """Raise a ValueError if there are metadata to route, but no routing."""
    if params and not routing_enabled():
        raise ValueError(
            f"Passing extra keyword arguments to {type(estimator).__name__}.{method} is only "
            "supported if enable_metadata_routing=True, which you can set using "
            f"`sklearn.set_config`. Extra parameters passed are: {set(params)}"
        )


def route_fit(estimator, sample_weight, params: dict, scoring) -> tuple[dict, dict]:
    """Return what goes to the splitter and what to the scorer."""
    weights = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)}
    if not routing_enabled():
        return {}, weights
    routed = process_routing(estimator, "fit", sample_weight=sample_weight, **params)
    # The models' own score method, which None stands for, has always been weighted.
    return routed.splitter.split, weights if scoring is None else routed.scorer.score


def route_score(estimator, params: dict) -> dict:
    """Return what goes to the scorer."""
    if not routing_enabled():
        return params
    return process_routing(estimator, "score", **params).scorer.score


def router_of(estimator, scorer) -> MetadataRouter:
    """Return how metadata reach the splitter and the scorer."""
    to_scorer = (
        MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
    )
    return (
        MetadataRouter(owner=estimator)
        .add_self_request(estimator)
        .add(
            splitter=check_cv(estimator.cv, classifier=True),
            method_mapping=MethodMapping().add(caller="fit", callee="split"),
        )
        .add(scorer=scorer, method_mapping=to_scorer)
    )
