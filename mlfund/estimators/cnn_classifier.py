"""CNNClassifier: a convolutional net for images, behind scikit-learn's interface."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch import nn

from mlfund.backbones import Backbone
from mlfund.estimators import _cnn_base as cnn
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._cnn_plots import ConfusionPlot
from mlfund.estimators._neural_classifier import BaseNeuralClassifier
from mlfund.nets.layers import Layer
from mlfund.schedules import Schedule


class CNNClassifier(ConfusionPlot, cnn.BaseCNN, BaseNeuralClassifier):
    """A convolutional net for images, binary, multiclass or multilabel.

    Images come as arrays (n, height, width), (n, height, width, channels), with
    ``channels="first"`` (n, channels, height, width), or flattened, (n, values). Bytes
    stay bytes until they are in a batch. Each channel is standardised by mean and spread
    over the training images, inside the net. The training is that of `MLPClassifier`:
    the same losses, optimizers, schedules, weights, early stopping, callbacks and devices.

    Parameters
    ----------
    architecture : str, torch.nn.Module or list of Layer, default="auto"
        A name of `mlfund.nets.architectures`: "lenet", "small", "simple" (three blocks of
        convolution, pooling, normalisation and activation), "deep", "tiny", "strided",
        "strided_wide" (a strided convolution and two or three more), "resnet20", "resnet32",
        "resnet56", "resnet9", "fast" or "wide"; or layers of `mlfund.nets.layers`, torch
        modules or a mix of them, from standardised images (n, channels, height, width) to
        features, without the last layer, which is made for the targets. A module is copied,
        and trained from the weights it has; frozen ones stay as they are.
    preset : {"fast", "default", "accurate", "best"}, default="default"
        What parameters that are "auto" stand for, see the guide to images; a
        parameter that is given is as given. `settings_` says what was chosen.
    channels : {"last", "first"}, default="last"
        Which end of an image's shape counts the channels; it is never guessed.
    image_shape : (int, int), (int, int, int), "row" or None, default=None
        Of flattened rows (n, values): height and width, with the channels at the end that
        `channels` names; "row" is one pixel high, None a square of one channel.
    activation : str, default="relu"
        Between the convolutions of a named architecture.
    normalization : {"batch", "layer", "group", "instance"}, default="batch"
        In a named architecture.
    initializer : str, Initializer, callable or None, default=None
        Of the weights of convolutions and dense layers, a name of
        `mlfund.initializers.INITIALIZERS` for instance; None is torch's.
    augmentation : str, Augmentation, list of these or None, default="auto"
        Names or entries of `mlfund.augmentation.AUGMENTATIONS`, such as "flip", "shift",
        "cutout" or ``RandomShift(4)``: random changes of the images of each batch, in this
        order; never in `predict`. "auto" is what `preset` says: moves, or nothing.
    test_time_augmentation : {"auto", "flip", "shift", "flip_shift"} or None, default="auto"
        Views of each image over whose raw scores predictions average: the image and its mirror
        image ("flip"), the image and two moves by a pixel along the diagonal ("shift"), or
        both. None looks at the image alone, and so does validation while it trains.
        "auto" is "shift" where the shorter side has at least 14 pixels, else None.
    backbone : Backbone or None, default=None
        What `export_backbone` of a `ContrastiveEncoder`, `MaskedAutoencoder` or `Autoencoder`
        returns: its layers take the place of `architecture`, the training starts from its
        weights, and pixels are read as it reads them.
    strategy : {"full", "feature_extraction"} or None, default=None
        Which layers of a `backbone` are trained: "full", all of them, as None does, or
        "feature_extraction", the last layer alone. The others then stay as they are to the
        bit, statistics of batch normalisation included.
    loss : str, Loss, callable or None, default=None
        What is minimised: "log_loss", "focal", "hinge" (two classes), "dice", "jaccard", an
        entry of `mlfund.losses` for classes, or ``loss(raw, y) -> Tensor (n,)``; None is the
        log-loss. After "hinge" there is no `predict_proba`.
    alpha : float, default=0.0
        Strength of the penalty of weights, divided by the weight sum of the batch; L2, or as
        `l1_ratio` says.
    batch_size : int, "auto" or "fit_device", default="auto"
        Rows of a mini-batch; "auto" is as `preset` says, "fit_device" the largest power of
        two whose step was measured to suit the memory of the device, or on the CPU its
        caches (`lr_scaling` lets the learning rate follow).
    learning_rate_init : float or "auto", default="auto"
        Learning rate that `schedule` multiplies.
    max_iter : int or "auto", default="auto"
        Epochs, unless the training stops before: the length of `schedule`. "auto" takes more of
        them on few images.
    shuffle : bool, default=True
        Whether each epoch draws a new order of the rows.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, of dropout and augmentation, the validation split
        and the row orders: torch's global generator is seeded from it while the
        module is built and trained, and put back afterwards.
    tol : float, default=1e-4
        Least improvement of loss or score that counts.
    verbose : bool or int, default=False
        Whether to print a line an epoch; 2 prints scores, learning rate and the time
        left.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their score stops improving, and keep the
        best weights.
    validation_fraction : float, default=0.1
        Share of the rows held out, stratified by class.
    n_iter_no_change : int or inf, default=inf
        Epochs without an improvement of `tol` that are borne; inf lets `schedule` come to
        its end, and `early_stopping` then keeps the best epoch.
    optimizer : str, Optimizer, torch optimizer class or None, default="adamw"
        Name in `mlfund.optimizers.OPTIMIZERS`, an instance, or a class of `torch.optim`.
    schedule : str, Schedule, callable or None, default="one_cycle"
        Name in `mlfund.schedules.SCHEDULES`, or an instance; it multiplies
        `learning_rate_init` at every step. `partial_fit` follows "one_cycle" only where `max_iter`
        says how many calls there will be.
    lr_scaling : {"linear", "sqrt"} or None, default=None
        Whether `learning_rate_init` is multiplied by the rows of a step over
        `base_batch_size`, or by the square root of that.
    base_batch_size : int or None, default=None
        Rows of a step for which `learning_rate_init` is meant under `lr_scaling`; None is 200.
    accumulation_steps : int or None, default=None
        Batches whose gradients make one step; None is 1.
    clip_norm : float or None, default=None
        Largest norm of the gradient of all weights together; a longer one is scaled to it.
    clip_value : float or None, default=None
        Largest absolute value of a component of the gradient, clipped before `clip_norm`.
    averaging : {"auto", "ema", "swa"}, Averaging or None, default="auto"
        Average of the weights along the training, validated and kept in their place: an
        exponential moving average, or stochastic weight averaging over the last epochs.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied with `sample_weight`.
    label_smoothing : float, "auto" or None, default="auto"
        Share of each row's target spread evenly over the classes, in [0, 1). "auto" spreads none
        with a loss that takes no probabilities as targets.
    mixup : float or None, default=None
        Each row is mixed with another of its batch, features and targets alike, by a share
        drawn from Beta(mixup, mixup).
    input_noise : float or None, default=None
        Standard deviation of normal noise added to X in training.
    l1_ratio : float or None, default=None
        Share of `alpha` that goes to the sum of absolute weights instead of half the sum of
        squares, in [0, 1]; None is 0.
    weight_decay : float or None, default=None
        Decoupled decay: weights shrink by ``learning rate * weight_decay`` a step,
        beside the gradient (`alpha` acts through it).
    max_norm : float or None, default=None
        Largest norm of the weights into a unit; longer ones are scaled to it after each step.
    validation_split : cv splitter, iterable of (train, test), int or None, default=None
        Which rows are held out, in place of `validation_fraction`: the test rows of the
        last split, which for `TimeSeriesSplit` is the one with the most rows to train on.
        A splitter of groups takes the `groups` of `fit`. Without `early_stopping` the
        rows are scored and nothing else.
    scoring : str, callable or None, default=None
        Score of the validation rows, higher is better: "loss" (the negative loss), a name
        that `sklearn.metrics.get_scorer` knows, or ``scorer(estimator, X, y)``; None is
        the accuracy.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"} or None, default=None
        Where to train; None is the CPU. `predict` runs where `module_` is: there after
        `fit`, on the CPU after loading.
    precision : {"input", "float64", "float32", "bf16", "mixed", "auto"} or None, default="auto"
        None and "input" compute in the dtype of X, in float32 for integers. "bf16"
        multiplies in bfloat16 over float32 weights, "mixed" does where the device has the
        units for it, "auto" where that also pays; both fall back to float32.
    callbacks : list of skorch callbacks or None, default=None
        Told of every epoch, and of every batch if they look at batches. Callbacks of
        scikit-learn are set by `set_callbacks`.
    checkpoint_dir : str, path-like or None, default=None
        Folder for checkpoints: a `fit` that was killed goes on from the last one when it
        is called again with the same parameters, data and seed, and ends with the same
        weights on the CPU. Needs a `random_state`.
    checkpoint_every : int, str or None, default=None
        Epochs between checkpoints, or a duration such as "30s", "5min" or "1h"; None is
        "1min".
    track_norms : bool or None, default=None
        Whether the norms of gradient and update in `history_` are root mean squares over all
        steps of an epoch; None takes its first step alone, at next to no cost, False none.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    module_ : torch.nn.Module
        The trained module, in evaluation mode; an ordinary one, the estimator's own.
    settings_ : dict
        What the parameters that were "auto" stood for, by name.
    image_size_ : tuple of (int, int, int)
        Height, width and channels of an image.
    loss_ : float
        Last loss of the training, penalty included.
    best_loss_ : float or None
        Smallest loss of an epoch; None with `early_stopping`.
    loss_curve_ : list of float
        Mean loss of every epoch.
    validation_scores_ : list of float or None
        Accuracy on the rows held out, for every epoch, with `early_stopping`.
    best_validation_score_ : float or None
        The largest of them.
    t_ : int
        Rows seen in training.
    n_iter_ : int
        Epochs of the last training.
    n_outputs_ : int
        Raw scores of a row.
    out_activation_ : str
        What turns raw scores into probabilities: "logistic" or "softmax", or "identity"
        where the loss has none.
    history_ : pandas.DataFrame
        One row an epoch: epoch, train_loss, valid_loss and valid_score where rows validate,
        lr, gradient_norm and update_norm (see `track_norms`), seconds, and numbers that
        callbacks recorded. `plot_history` draws it.
    device_ : str
        Where the training ran.
    n_features_in_ : int
        Values of an image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had names that are strings.

    See Also
    --------
    CNNRegressor : The same for real targets.
    ImageScaler : The standardisation by itself, for other estimators.

    Notes
    -----
    Statistics of batch normalisation count rows, not their weights: an integer
    `sample_weight` is the same as repeated rows in the loss, not in the statistics.

    A fitted estimator is pickled as the arrays of its weights. Ctrl-C is raised again and
    leaves the estimator unfitted, or as it was under `warm_start` and `partial_fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund import CNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 60, (200, 8, 8), dtype=np.uint8)
    >>> side = rng.integers(0, 2, 200)
    >>> images[np.arange(200), 4, 1 + 5 * side] = 255  # a bright pixel, left or right
    >>> net = CNNClassifier("lenet", augmentation=["shift"], random_state=0)
    >>> net.fit(images, np.array(["left", "right"])[side]).predict_proba(images[:3]).shape
    (3, 2)
    >>> net.summary().rows[0].shape
    (6, 8, 8)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **cnn.CONSTRAINTS,
        **spec.CLASSIFIER_CONSTRAINTS,
        "label_smoothing": [*spec.CLASSIFIER_CONSTRAINTS["label_smoothing"], StrOptions({"auto"})],
    }

    def __init__(
        self,
        architecture: str | nn.Module | Sequence[Layer | nn.Module] = "auto",
        *,
        preset: str = "default",
        channels: str = "last",
        image_shape: str | Sequence[int] | None = None,
        activation: str = "relu",
        normalization: str = "batch",
        initializer: Any = None,
        augmentation: Any = "auto",
        test_time_augmentation: str | None = "auto",
        backbone: Backbone | None = None,
        strategy: str | None = None,
        loss: Any = None,
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float | str = "auto",
        max_iter: int | str = "auto",
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = math.inf,
        optimizer: Any = "adamw",
        schedule: str | Schedule | None = "one_cycle",
        lr_scaling: str | None = None,
        base_batch_size: int | None = None,
        accumulation_steps: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        averaging: Any = "auto",
        class_weight: Any = None,
        label_smoothing: float | str | None = "auto",
        mixup: float | None = None,
        input_noise: float | None = None,
        l1_ratio: float | None = None,
        weight_decay: float | None = None,
        max_norm: float | None = None,
        validation_split: Any = None,
        scoring: Any = None,
        device: str | torch.device | None = None,
        precision: str | None = "auto",
        callbacks: Sequence[Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | str | None = None,
        track_norms: bool | None = None,
    ) -> None:
        self.architecture = architecture
        self.preset = preset
        self.channels = channels
        self.image_shape = image_shape
        self.activation = activation
        self.normalization = normalization
        self.initializer = initializer
        self.augmentation = augmentation
        self.test_time_augmentation = test_time_augmentation
        self.backbone = backbone
        self.strategy = strategy
        self.loss = loss
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.optimizer = optimizer
        self.schedule = schedule
        self.lr_scaling = lr_scaling
        self.base_batch_size = base_batch_size
        self.accumulation_steps = accumulation_steps
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.averaging = averaging
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.input_noise = input_noise
        self.l1_ratio = l1_ratio
        self.weight_decay = weight_decay
        self.max_norm = max_norm
        self.validation_split = validation_split
        self.scoring = scoring
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.track_norms = track_norms
