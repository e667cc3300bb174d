"""The candidates of the benchmark: one record each, cheapest first.

A candidate is a whole pipeline from the raw table, so that everything it learns about the data
it learns inside a fold. Adding a family is one builder and one record in `CANDIDATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sklearn.pipeline import Pipeline

from mlfund._check import check_choice
from mlfund.advisor import _image_builders as images
from mlfund.advisor._unit_targets import on_unit_targets
from mlfund.advisor.advice import FAMILIES
from mlfund.preprocessing import TablePreprocessor


@dataclass(frozen=True)
class Setting:
    """What a builder may depend on.

    Attributes
    ----------
    task : str
        "classification" or "regression".
    n_rows : int
        Rows of the table.
    seed : int
        Of everything random in the pipeline.
    n_threads : int
        Cores it may keep busy.
    device : str
        For candidates that can use an accelerator.
    images : bool
        Whether rows are images.
    """

    task: str
    n_rows: int
    seed: int = 0
    n_threads: int = 1
    device: str = "cpu"
    images: bool = False


@dataclass(frozen=True)
class Candidate:
    """One candidate.

    Attributes
    ----------
    name, family, title : str
        In tables; one of `FAMILIES`; in running text.
    build : callable
        ``build(setting)`` returns the unfitted pipeline.
    modules : tuple of str
        Modules its `fit` imports, to be loaded before time and memory are measured.
    serving : dict
        Parameters to set once the pipeline is fitted, to answer single rows quickly.
    """

    name: str
    family: str
    title: str
    build: Callable[[Setting], Pipeline]
    modules: tuple[str, ...] = ()
    serving: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("family", self.family, FAMILIES)


def _prior(setting: Setting) -> Pipeline:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    model = (
        DummyClassifier(strategy="prior") if setting.task == "classification" else DummyRegressor()
    )
    return Pipeline([("model", model)])


def _logistic_regression(setting: Setting) -> Pipeline:
    from mlfund.estimators.linear import LogisticRegression

    return Pipeline(
        [
            ("preprocess", TablePreprocessor()),
            ("model", LogisticRegression(max_iter=1000, random_state=setting.seed)),
        ]
    )


def _ridge(setting: Setting) -> Pipeline:
    """Linear regression with the penalty chosen by leave-one-out inside the training rows.

    This candidate is to say what a linear model can do. scikit-learn's RidgeCV finds the best
    of many strengths at the price of one fit; `LinearRegressor` takes the one it is given.
    """
    import numpy as np
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=tuple(float(alpha) for alpha in np.logspace(-3, 4, 15)))
    return Pipeline([("preprocess", TablePreprocessor()), ("model", model)])


def _random_forest(setting: Setting) -> Pipeline:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    shared: dict[str, Any] = {
        "n_estimators": 100,
        "n_jobs": setting.n_threads,
        "random_state": setting.seed,
    }
    table = TablePreprocessor(categorical_encoding="ordinal", numeric_scaling=None, dtype="float32")
    if setting.task == "classification":
        # Leaves of one row vote 0 or 1, which log-loss punishes; and 48,842 rows of Adult
        # would make a model of 400 MB.
        model = RandomForestClassifier(min_samples_leaf=3, **shared)
    else:
        # A third of the columns a split: Breiman's choice for regression.
        model = RandomForestRegressor(min_samples_leaf=2, max_features=1 / 3, **shared)
    return Pipeline([("preprocess", table), ("model", model)])


def _mlp(setting: Setting) -> Pipeline:
    from mlfund.estimators.mlp_classifier import MLPClassifier
    from mlfund.estimators.mlp_regressor import MLPRegressor

    shared: dict[str, Any] = {
        "hidden_layer_sizes": (128, 64),
        "batch_size": min(256, max(8, setting.n_rows // 20)),
        "early_stopping": True,
        "max_iter": 100,
        "device": setting.device,
        "random_state": setting.seed,
    }
    model: Any = None
    if setting.task == "classification":
        model = MLPClassifier(**shared)
    else:
        model = on_unit_targets(MLPRegressor(**shared))
    return Pipeline([("preprocess", TablePreprocessor(dtype="float32")), ("model", model)])


def _xgboost(setting: Setting) -> Pipeline:
    from mlfund.advisor.boosting import BoostedTreesClassifier, BoostedTreesRegressor

    boosted = BoostedTreesClassifier if setting.task == "classification" else BoostedTreesRegressor
    table = TablePreprocessor(categorical_encoding="native", numeric_scaling=None, impute=False)
    model = boosted(
        # Few rows stop early at any rate: half the rounds for the same log-loss.
        learning_rate=0.05 if setting.n_rows > 2_000 else 0.1,
        validation_fraction=0.1 if setting.n_rows > 10_000 else 0.2,
        n_threads=setting.n_threads,
        device=setting.device,
        random_state=setting.seed,
    )
    return Pipeline([("preprocess", table), ("model", model)])


_BASELINE = Candidate("prior", "baseline", "the prior alone, without any column", _prior)
_BOOSTED = Candidate(
    "xgboost",
    "gradient_boosting",
    "gradient boosted trees (XGBoost)",
    _xgboost,
    modules=("xgboost", "mlfund.advisor.boosting"),
)
_FOREST = Candidate(
    "random_forest",
    "tree_ensemble",
    "a random forest",
    _random_forest,
    modules=("sklearn.ensemble",),
    # Two threads for one row cost more than they save: about 10 ms a call.
    serving={"model__n_jobs": 1},
)
_NETWORK = Candidate(
    "mlp",
    "neural_network",
    "a neural network (multi-layer perceptron)",
    _mlp,
    modules=("mlfund.estimators.mlp_classifier", "mlfund.estimators.mlp_regressor"),
)

# In the order they run: a small time budget still meets the cheap ones.
CANDIDATES: Mapping[str, tuple[Candidate, ...]] = {
    "classification": (
        _BASELINE,
        Candidate(
            "logistic_regression",
            "linear",
            "logistic regression",
            _logistic_regression,
            modules=("mlfund.estimators.linear",),
        ),
        _BOOSTED,
        _FOREST,
        _NETWORK,
    ),
    "regression": (
        _BASELINE,
        Candidate(
            "ridge_regression",
            "linear",
            "ridge regression (scikit-learn)",
            _ridge,
            modules=("sklearn.linear_model",),
        ),
        _BOOSTED,
        _FOREST,
        _NETWORK,
    ),
}


_CONVOLUTIONAL = Candidate(
    "cnn",
    "neural_network",
    "a convolutional neural network",
    images.cnn,
    modules=("mlfund.estimators.cnn_classifier", "mlfund.estimators.cnn_regressor"),
)
_BOOSTED_PIXELS = replace(_BOOSTED, build=images.xgboost)

# Of images, whose rows are arrays of pixels.
IMAGE_CANDIDATES: Mapping[str, tuple[Candidate, ...]] = {
    "classification": (
        _BASELINE,
        replace(CANDIDATES["classification"][1], build=images.logistic_regression),
        _CONVOLUTIONAL,
        _BOOSTED_PIXELS,
    ),
    "regression": (
        _BASELINE,
        replace(CANDIDATES["regression"][1], build=images.ridge_regression),
        _CONVOLUTIONAL,
        _BOOSTED_PIXELS,
    ),
}


def candidates_for(task: str, *, images: bool = False) -> tuple[Candidate, ...]:
    """Return the candidates for a task on tables or on images."""
    return (IMAGE_CANDIDATES if images else CANDIDATES)[task]


def get_candidate(name: str, task: str, *, images: bool = False) -> Candidate:
    """Return the candidate of that name for a task on tables or on images."""
    by_name = {candidate.name: candidate for candidate in candidates_for(task, images=images)}
    check_choice("candidate", name, by_name)
    return by_name[name]
