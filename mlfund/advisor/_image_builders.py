"""Pipelines of the candidates for images: each takes arrays of images as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.pipeline import Pipeline

from mlfund.advisor._unit_targets import on_unit_targets
from mlfund.preprocessing import ImageScaler, PixelRows

if TYPE_CHECKING:
    from mlfund.advisor.candidates import Setting

# What models of tables see of an image: 28 x 28 grey pixels stay whole, and 32 x 32 in colour
# become 16 x 16.
MOST_VALUES = 1024
# Images that a net sees in one fit, epochs together: half a minute on one core at 28 x 28.
IMAGES_PER_FIT = 20_000
FEWEST_EPOCHS, MOST_EPOCHS = 5, 40


def _pixels(model: Any) -> Pipeline:
    return Pipeline(
        [("scale", ImageScaler()), ("pixels", PixelRows(MOST_VALUES)), ("model", model)]
    )


def logistic_regression(setting: Setting) -> Pipeline:
    """Return logistic regression on pixels, its penalty by cross-validation."""
    from mlfund.estimators.linear_cv import LogisticRegressionCV

    # How much weights of neighbouring pixels have to shrink differs by powers of ten between
    # small and large images.
    strengths = [0.001, 0.01, 0.1, 1.0]
    model = LogisticRegressionCV(
        Cs=strengths,
        l1_ratios=(0,),
        cv=3,
        scoring="neg_log_loss",
        max_iter=300,
        random_state=setting.seed,
        use_legacy_attributes=False,
    )
    return _pixels(model)


def ridge_regression(setting: Setting) -> Pipeline:
    """Return linear regression on pixels, its penalty by leave-one-out."""
    import numpy as np
    from sklearn.linear_model import RidgeCV

    return _pixels(RidgeCV(alphas=tuple(float(alpha) for alpha in np.logspace(-1, 6, 15))))


def xgboost(setting: Setting) -> Pipeline:
    """Return boosted trees on pixels."""
    from mlfund.advisor.boosting import BoostedTreesClassifier, BoostedTreesRegressor

    boosted = BoostedTreesClassifier if setting.task == "classification" else BoostedTreesRegressor
    model = boosted(
        learning_rate=0.1,
        # Hundreds of columns that resemble each other: a few at a time lose nothing.
        colsample_bylevel=0.2,
        max_trees=500,
        patience=20,
        refit_below=1_000,
        validation_fraction=0.1 if setting.n_rows > 10_000 else 0.2,
        n_threads=setting.n_threads,
        device=setting.device,
        random_state=setting.seed,
    )
    return Pipeline([("pixels", PixelRows(MOST_VALUES)), ("model", model)])


def cnn(setting: Setting) -> Pipeline:
    """Return a convolutional net on the images themselves."""
    from mlfund.estimators.cnn_classifier import CNNClassifier
    from mlfund.estimators.cnn_regressor import CNNRegressor

    epochs = min(max(IMAGES_PER_FIT // setting.n_rows, FEWEST_EPOCHS), MOST_EPOCHS)
    shared: dict[str, Any] = {
        "architecture": "strided",
        # Moves images by a fourteenth of their side: they are few. Flips and colours may change
        # what an image means.
        "preset": "accurate",
        "batch_size": min(200, max(32, setting.n_rows // 20)),
        "max_iter": epochs,
        "device": setting.device,
        "random_state": setting.seed,
    }
    model: Any = None
    if setting.task == "classification":
        # Softer targets would cost it what log loss counts.
        model = CNNClassifier(label_smoothing=None, **shared)
    else:
        model = on_unit_targets(CNNRegressor(**shared))
    return Pipeline([("model", model)])
