"""The reviewed types that a saved model may hold, each with the one way skops may build it.

A type belongs here if making one from any content runs no code of the file's choosing and
touches neither files nor the network. The comment at each group says why its members are
safe.
"""

from __future__ import annotations

import functools
from pathlib import PosixPath, WindowsPath

__all__ = ["reviewed_types"]

# Splitters of scikit-learn whose state is their parameters.
_SPLITTERS = (
    "GroupKFold",
    "GroupShuffleSplit",
    "KFold",
    "LeaveOneGroupOut",
    "LeaveOneOut",
    "PredefinedSplit",
    "ShuffleSplit",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "StratifiedShuffleSplit",
    "TimeSeriesSplit",
)

# Reviewed types, each with the one way skops may build it: "ObjectNode" makes an empty
# instance and gives it its state, "TreeNode" is for scikit-learn's tree alone.
_TRUSTED = {
    # Estimators of mlfund. Their state becomes their attributes: parameters, numbers, arrays.
    # Nothing is called but the check of the version stamp.
    "mlfund.estimators.linear.LogisticRegression": "ObjectNode",
    "mlfund.estimators.linear_regressor.LinearRegressor": "ObjectNode",
    "mlfund.estimators.linear_cv.LogisticRegressionCV": "ObjectNode",
    "mlfund.estimators.mlp_classifier.MLPClassifier": "ObjectNode",
    "mlfund.estimators.mlp_regressor.MLPRegressor": "ObjectNode",
    "mlfund.estimators.parametric.ParametricRegressor": "ObjectNode",
    # Searches, and what they score with: a reviewed metric, or the estimator's own.
    "mlfund.model_selection.search.BatchedGridSearchCV": "ObjectNode",
    "mlfund.model_selection.search.BatchedRandomizedSearchCV": "ObjectNode",
    "mlfund.model_selection.halving.BatchedHalvingGridSearchCV": "ObjectNode",
    "mlfund.model_selection.halving.BatchedHalvingRandomSearchCV": "ObjectNode",
    # It looks its name up among the distributions of scipy, and gives that numbers.
    "mlfund.model_selection._distributions.SavedDistribution": "ObjectNode",
    "sklearn.metrics._scorer._PassthroughScorer": "ObjectNode",
    "sklearn.metrics._scorer._Scorer": "ObjectNode",
    # A module of the user's own: a class or function, which skops refuses to hand over unless
    # the caller of `load` vouches for it, is called with the options in the recipe, and what
    # is no torch module is refused.
    "mlfund.estimators.neural_classifier.NeuralClassifier": "ObjectNode",
    "mlfund.estimators.neural_regressor.NeuralRegressor": "ObjectNode",
    "mlfund.estimators._neural_own_build.Recipe": "ObjectNode",
    # Convolutional nets: the recipe calls the one class with layers, numbers and names.
    "mlfund.estimators.cnn_classifier.CNNClassifier": "ObjectNode",
    "mlfund.estimators.cnn_regressor.CNNRegressor": "ObjectNode",
    "mlfund.estimators._target_unit.TargetUnit": "ObjectNode",
    # Transfer learning: where weights lie, and those that were trained. Nothing is read before a
    # prediction; the recipe then calls the one function.
    "mlfund.estimators.image_transfer_classifier.ImageTransferClassifier": "ObjectNode",
    "mlfund.estimators.image_transfer_regressor.ImageTransferRegressor": "ObjectNode",
    "mlfund.estimators.text_transfer_classifier.TextTransferClassifier": "ObjectNode",
    "mlfund.estimators.text_transfer_regressor.TextTransferRegressor": "ObjectNode",
    "mlfund.estimators._transfer_tuning.TuningClassifier": "ObjectNode",
    "mlfund.estimators._transfer_tuning.TuningRegressor": "ObjectNode",
    "mlfund.estimators._transfer_tuning.TuningPlan": "ObjectNode",
    "mlfund.estimators._transfer_growing.GrowingImages": "ObjectNode",
    "mlfund.estimators._transfer_net.build_net": "FunctionNode",
    # Encoders: the recipe calls one of three classes with layers, numbers and names.
    "mlfund.estimators.autoencoder.Autoencoder": "ObjectNode",
    "mlfund.estimators.contrastive_encoder.ContrastiveEncoder": "ObjectNode",
    "mlfund.estimators.masked_autoencoder.MaskedAutoencoder": "ObjectNode",
    "mlfund.nets.encoders.AutoencoderNet": "TypeNode",
    "mlfund.nets.encoders.ContrastiveNet": "TypeNode",
    "mlfund.nets.encoders.MaskedNet": "TypeNode",
    "mlfund.preprocessing._image_rows.ImageForm": "ObjectNode",
    # A backbone checks its weights against its fingerprint, and calls nothing.
    "mlfund.backbones.Backbone": "ObjectNode",
    # A path and the fingerprint of what must lie there; nothing is read before it is used.
    "mlfund.backbones.ImageTextBackbone": "ObjectNode",
    "mlfund.estimators.zero_shot.ZeroShotImageClassifier": "ObjectNode",
    # Where weights come from: names and a path. Files of weights are read when a backbone is
    # used, as tensors alone, and must have the fingerprint that was saved.
    "mlfund.backbones.EfficientNetLite0": "ObjectNode",
    "mlfund.backbones.HuggingFaceText": "ObjectNode",
    "mlfund.backbones.OwnBackbone": "ObjectNode",
    "mlfund.backbones.TimmBackbone": "ObjectNode",
    "mlfund.backbones.TorchvisionBackbone": "ObjectNode",
    # The same with the weights as arrays, which are checked against a hash.
    "mlfund.backbones.StandaloneBackbone": "ObjectNode",
    "mlfund.backbones.StandaloneText": "ObjectNode",
    "mlfund.nets.convnet.ConvNet": "TypeNode",
    "mlfund.nets.convnet.ReadPixels": "ObjectNode",
    "mlfund.nets.layers.Activate": "ObjectNode",
    "mlfund.nets.layers.Conv": "ObjectNode",
    "mlfund.nets.layers.Dense": "ObjectNode",
    "mlfund.nets.layers.Drop": "ObjectNode",
    "mlfund.nets.layers.Flatten": "ObjectNode",
    "mlfund.nets.layers.GlobalPool": "ObjectNode",
    "mlfund.nets.layers.Norm": "ObjectNode",
    "mlfund.nets.layers.Pool": "ObjectNode",
    "mlfund.nets.layers.Residual": "ObjectNode",
    "mlfund.nets.layers.Whiten": "ObjectNode",
    # It runs a torch module of the user's own, which skops refuses to hand over likewise.
    "mlfund.nets.layers.FromTorch": "ObjectNode",
    # Entries around a function or a class, called in training only. skops refuses to hand over
    # either, but those of torch below, unless the caller of `load` vouches for it.
    "mlfund.losses.CallableLoss": "ObjectNode",
    "mlfund.optimizers.TorchOptimizer": "ObjectNode",
    "mlfund.schedules.FunctionOfProgress": "ObjectNode",
    "torch.optim.adadelta.Adadelta": "TypeNode",
    "torch.optim.adamax.Adamax": "TypeNode",
    "torch.optim.asgd.ASGD": "TypeNode",
    "torch.optim.nadam.NAdam": "TypeNode",
    "torch.optim.radam.RAdam": "TypeNode",
    "torch.optim.rprop.Rprop": "TypeNode",
    # Gradient boosting: its state holds the model as bytes, which _saved_trees.py checks on
    # loading, before XGBoost predicts with it.
    "mlfund.advisor.boosting.BoostedTreesClassifier": "ObjectNode",
    "mlfund.advisor.boosting.BoostedTreesRegressor": "ObjectNode",
    # Preprocessing: the fitted parts for each kind of column. Names, numbers, arrays, and
    # the scalers, imputers and encoders of scikit-learn that skops trusts.
    # Names, numbers and a source of weights, which is checked against its fingerprint.
    "mlfund.preprocessing.backbone_features.BackboneFeatures": "ObjectNode",
    # A path and two numbers.
    "mlfund.backbones.EmbeddingCache": "ObjectNode",
    "mlfund.preprocessing.images.ImageScaler": "ObjectNode",
    "mlfund.preprocessing.pixel_rows.PixelRows": "ObjectNode",
    "mlfund.preprocessing.table.TablePreprocessor": "ObjectNode",
    "mlfund.preprocessing._parts.Part": "ObjectNode",
    "mlfund.preprocessing._levels.LevelTable": "ObjectNode",
    "mlfund.preprocessing._categories.OneHotBlock": "ObjectNode",
    "mlfund.preprocessing._categories.OrdinalBlock": "ObjectNode",
    "mlfund.preprocessing._categories.TargetBlock": "ObjectNode",
    "mlfund.preprocessing._categories.NativeBlock": "ObjectNode",
    "mlfund.preprocessing._dates.DateBlock": "ObjectNode",
    "mlfund.preprocessing._numbers.NumberBlock": "ObjectNode",
    "mlfund.preprocessing._texts.TextBlock": "ObjectNode",
    # Follows indices without looking at bounds, in C, so skops leaves it out.
    # _saved_trees.py checks all of them on loading.
    "sklearn.tree._tree.Tree": "TreeNode",
}


@functools.cache
def reviewed_types() -> dict[str, str]:
    """Return each reviewed type with the one way skops may build it."""
    from sklearn.metrics import get_scorer, get_scorer_names

    from mlfund import (
        augmentation,
        averaging,
        initializers,
        losses,
        optimizers,
        penalties,
        schedules,
    )
    from mlfund.nets import activations, normalisation

    # Entries of the vocabulary, which parameters may hold: frozen records of a few numbers,
    # as a test makes sure. Taken from the tables, so that a new row is here by itself.
    entries = [
        *activations.ACTIVATIONS.values(),
        *augmentation.AUGMENTATIONS.values(),
        *averaging.AVERAGINGS.values(),
        *initializers.INITIALIZERS.values(),
        *losses.LOSSES.values(),
        *normalisation.NORMALIZATIONS.values(),
        *optimizers.OPTIMIZERS.values(),
        *penalties.PENALTIES.values(),
        *schedules.SCHEDULES.values(),
    ]
    names = (f"{type(entry).__module__}.{type(entry).__qualname__}" for entry in entries)
    # A path, which `checkpoint_dir` may be, is made of its parts; nothing is opened.
    paths = (f"{kind.__module__}.{kind.__qualname__}" for kind in (PosixPath, WindowsPath))
    # A device, which `device` may be, is made of its name and number; nothing is put there.
    devices = {"torch.device": "ConstructorFromReduceNode"}
    # A search holds its splitter, which is a few numbers, and scorers, whose functions take
    # labels and predictions and return a number.
    splitters = (f"sklearn.model_selection._split.{name}" for name in _SPLITTERS)
    metrics = [get_scorer(name)._score_func for name in get_scorer_names()]
    metric_names = (f"{metric.__module__}.{metric.__qualname__}" for metric in metrics)
    return (
        _TRUSTED
        | dict.fromkeys(names, "ObjectNode")
        | dict.fromkeys(splitters, "ObjectNode")
        | dict.fromkeys(metric_names, "FunctionNode")
        | dict.fromkeys(paths, "ConstructorFromReduceNode")
        | devices
    )
