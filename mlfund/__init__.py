"""mlfund: scikit-learn estimators on PyTorch, and an advisor that measures before it recommends.

Every public name below is imported when it is first used (PEP 562), so
``import mlfund`` itself loads neither torch nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME_OF = {
    "AdvisorClassifier": "mlfund.advisor",
    "AdvisorRegressor": "mlfund.advisor",
    "Autoencoder": "mlfund.estimators.autoencoder",
    "Backbone": "mlfund.backbones",
    "BackboneFeatures": "mlfund.preprocessing.backbone_features",
    "BatchedGridSearchCV": "mlfund.model_selection.search",
    "BatchedHalvingGridSearchCV": "mlfund.model_selection.halving",
    "BatchedHalvingRandomSearchCV": "mlfund.model_selection.halving",
    "BatchedRandomizedSearchCV": "mlfund.model_selection.search",
    "CNNClassifier": "mlfund.estimators.cnn_classifier",
    "CNNRegressor": "mlfund.estimators.cnn_regressor",
    "ContrastiveEncoder": "mlfund.estimators.contrastive_encoder",
    "EmbeddingCache": "mlfund.backbones",
    "ImageScaler": "mlfund.preprocessing",
    "ImageTransferClassifier": "mlfund.estimators.image_transfer_classifier",
    "ImageTransferRegressor": "mlfund.estimators.image_transfer_regressor",
    "LinearRegressor": "mlfund.estimators.linear_regressor",
    "LogisticRegression": "mlfund.estimators.linear",
    "LogisticRegressionCV": "mlfund.estimators.linear_cv",
    "MLPClassifier": "mlfund.estimators.mlp_classifier",
    "MLPRegressor": "mlfund.estimators.mlp_regressor",
    "MaskedAutoencoder": "mlfund.estimators.masked_autoencoder",
    "NeuralClassifier": "mlfund.estimators.neural_classifier",
    "NeuralRegressor": "mlfund.estimators.neural_regressor",
    "ParametricRegressor": "mlfund.estimators.parametric",
    "PixelRows": "mlfund.preprocessing",
    "SnapshotEvery": "mlfund.snapshots",
    "TablePreprocessor": "mlfund.preprocessing",
    "TextTransferClassifier": "mlfund.estimators.text_transfer_classifier",
    "TextTransferRegressor": "mlfund.estimators.text_transfer_regressor",
    "ZeroShotImageClassifier": "mlfund.estimators.zero_shot",
    "advise": "mlfund.advisor",
    "cross_validate": "mlfund.model_selection.cross_validation",
    "diagnose": "mlfund.diagnostics",
    "find_learning_rate": "mlfund.diagnostics",
    "load": "mlfund.persistence",
    "load_image_folder": "mlfund.preprocessing.image_folders",
    "plot_augmentation": "mlfund.estimators.augmentation_plot",
    "save": "mlfund.persistence",
    "trusted_types": "mlfund.persistence",
}

__all__ = [
    "AdvisorClassifier",
    "AdvisorRegressor",
    "Autoencoder",
    "Backbone",
    "BackboneFeatures",
    "BatchedGridSearchCV",
    "BatchedHalvingGridSearchCV",
    "BatchedHalvingRandomSearchCV",
    "BatchedRandomizedSearchCV",
    "CNNClassifier",
    "CNNRegressor",
    "ContrastiveEncoder",
    "EmbeddingCache",
    "ImageScaler",
    "ImageTransferClassifier",
    "ImageTransferRegressor",
    "LinearRegressor",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MLPClassifier",
    "MLPRegressor",
    "MaskedAutoencoder",
    "NeuralClassifier",
    "NeuralRegressor",
    "ParametricRegressor",
    "PixelRows",
    "SnapshotEvery",
    "TablePreprocessor",
    "TextTransferClassifier",
    "TextTransferRegressor",
    "ZeroShotImageClassifier",
    "advise",
    "cross_validate",
    "diagnose",
    "find_learning_rate",
    "load",
    "load_image_folder",
    "plot_augmentation",
    "save",
    "trusted_types",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mlfund' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, resolved or not."""
    return sorted({*globals(), *_HOME_OF})
