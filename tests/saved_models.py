"""Fitted models to save, and files as other programs would write them."""

from __future__ import annotations

import functools
import io
import warnings
import zipfile

import numpy as np
import skops.io
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import mlfund
from mlfund.advisor.boosting import BoostedTreesClassifier
from mlfund.initializers import get_initializer
from mlfund.nets.layers import Activate, Conv, GlobalPool, Norm, Residual
from mlfund.optimizers import get_optimizer
from mlfund.schedules import get_schedule

X, Y = make_classification(120, 6, random_state=0)
LABELS = np.array(["no", "yes"])[Y]

MODELS = {
    "logistic": lambda: make_pipeline(StandardScaler(), mlfund.LogisticRegression()),
    "logistic cv": lambda: mlfund.LogisticRegressionCV(
        Cs=3, l1_ratios=(0,), scoring="neg_log_loss", cv=3, use_legacy_attributes=True
    ),
    "linear regressor": lambda: mlfund.LinearRegressor("quantile"),
    "mlp": lambda: make_pipeline(
        StandardScaler(), mlfund.MLPClassifier((8,), max_iter=5, tol=0, random_state=0)
    ),
    "mlp regressor": lambda: mlfund.MLPRegressor(
        hidden_layer_sizes=(8,), max_iter=5, tol=0, random_state=0
    ),
    "table": lambda: make_pipeline(mlfund.TablePreprocessor(), mlfund.LogisticRegression()),
    "image scaler": lambda: make_pipeline(
        mlfund.ImageScaler(image_shape="row"), mlfund.LogisticRegression()
    ),
    "cnn": lambda: mlfund.CNNClassifier(
        image_shape="row", augmentation=["cutout"], max_iter=2, random_state=0
    ),
    "cnn regressor": lambda: mlfund.CNNRegressor(
        [Residual([Conv(4), Norm()]), Activate(), GlobalPool()],
        image_shape="row",
        max_iter=2,
        random_state=0,
    ),
    "boosted": lambda: make_pipeline(
        mlfund.TablePreprocessor(categorical_encoding="native", impute=False, numeric_scaling=None),
        BoostedTreesClassifier(max_trees=5, n_threads=1, random_state=0),
    ),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "forest regressor": lambda: RandomForestRegressor(5, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(5, random_state=0),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "bagged trees": lambda: BaggingClassifier(max_features=3, n_estimators=3, random_state=0),
    "vocabulary": lambda: mlfund.MLPClassifier(
        (8,),
        optimizer=get_optimizer("rmsprop"),
        schedule=get_schedule("cosine"),
        initializer=get_initializer("he_normal"),
        max_iter=3,
        random_state=0,
    ),
    "function": lambda: make_pipeline(FunctionTransformer(np.tanh), LogisticRegression()),
}


@functools.cache
def fitted(name):
    model = MODELS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five epochs do not converge
        return model.fit(X, Y if "regressor" in name else LABELS)


def outputs(model, rows=X):
    predict = getattr(model, "predict_proba", model.predict)
    return predict(rows).tobytes()


def dump(model):
    """What skops itself writes: without mlfund's checks and manifest."""
    buffer = io.BytesIO()
    skops.io.dump(model, buffer)
    return buffer.getvalue()


def edit(data, change):
    """Rewrite schema.json of a skops file by `change`, and drop mlfund's manifest."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                content = change(content.decode())
            if name != "mlfund.json":
                archive.writestr(name, content)
    return target.getvalue()
