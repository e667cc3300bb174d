"""ContrastiveEncoder: embeddings in which two views of a row are alike, learned without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from mlfund.augmentation import (
    Augmentation,
    ColorJitter,
    RandomAffine,
    RandomElastic,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomShift,
    get_augmentation,
)
from mlfund.augmentation._pretraining import CorruptColumns, TwoViews
from mlfund.estimators import _encoder_base as encoder
from mlfund.losses import Loss
from mlfund.losses._self_supervised import NTXent
from mlfund.nets.encoders import ContrastiveNet
from mlfund.nets.layers import Layer
from mlfund.schedules import Schedule

COLOURS = (
    RandomResizedCrop(0.25),
    RandomFlip(),
    ColorJitter(0.4, 0.4, 0.4),
    RandomGrayscale(0.2),
)
# What hands do to letters and digits; no mirror images, which are other ones.
STROKES = (RandomAffine(15.0, 0.2, shear=0.3), RandomElastic())
# Most that they are moved, too, as a share of the shorter side.
MOVED = 0.1


class ContrastiveEncoder(encoder.BaseEncoder):
    """Contrastive learning of embeddings, of images (SimCLR) or rows of a table (SCARF).

    Each batch makes two views of every row, by random changes that leave its meaning. The
    encoder is trained so that a view finds its partner among all other views of the batch
    (InfoNCE). No labels are used. Images come as `CNNClassifier` takes them, and are
    standardised in the same way; columns of a table are standardised, too.

    Parameters
    ----------
    architecture : str, torch.nn.Module or list of Layer, default="simple"
        For images: a name of `mlfund.nets.architectures` such as "simple", "resnet20" or
        "fast", or layers of `mlfund.nets.layers`, as `CNNClassifier` takes them.
    hidden_layer_sizes : int or sequence of int, default=(256, 256)
        For rows of a table: units of the encoder's layers.
    channels : {"last", "first"}, default="last"
        Which end of an image's shape counts the channels; it is never guessed.
    image_shape : (int, int), (int, int, int), "row" or None, default=None
        Of flattened images (n, values): height and width, with the channels at the end that
        `channels` names; "row" is one pixel high. With None rows of X of shape (n, d) are
        those of a table.
    activation : str, default="relu"
        Between the layers.
    normalization : {"batch", "layer", "group", "instance"}, default="batch"
        Between the layers of a named architecture, or of a table's encoder.
    augmentation : "auto", str, Augmentation or list of these, default="auto"
        For images: what makes a view, as `CNNClassifier` takes it. "auto" crops and enlarges,
        mirrors, jitters colours and drops them where there are several channels; and turns,
        scales, slants, distorts and shifts, without mirroring, where there is one.
    corruption : float, default=0.6
        For rows of a table: share of the columns that the second view has from other rows.
        The first view is the row itself.
    projection : sequence of int, default=(128, 128)
        Units of the layers behind the embeddings in whose space views are compared; they are
        left out by `transform`.
    temperature : float, default=0.2
        What cosines of views are divided by.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch; "auto" is ``min(200, n)``.
        Each view is compared with all others of its batch, so that larger ones make the task
        harder.
    learning_rate_init : float, default=0.005
        Learning rate that `schedule` multiplies.
    max_iter : int, default=20
        Epochs: the length of `schedule`.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, of the views and of the row orders.
    verbose : bool or int, default=False
        Whether to print a line an epoch; 2 prints learning rate and the time left.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution.
    optimizer : str, Optimizer, torch optimizer class or None, default="adamw"
        Name in `mlfund.optimizers.OPTIMIZERS`, an instance, or a class of `torch.optim`.
    schedule : str, Schedule, callable or None, default="one_cycle"
        Name in `mlfund.schedules.SCHEDULES`, or an instance; it multiplies
        `learning_rate_init` at every step.
    clip_norm : float or None, default=None
        Largest norm of the gradient of all weights together; a longer one is scaled to it.
    averaging : {"ema", "swa"}, Averaging or None, default=None
        Average of the weights along the training, kept in their place.
    weight_decay : float or None, default=None
        Decoupled decay: weights shrink by ``learning rate * weight_decay`` a step.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"} or None, default=None
        Where to train; None is the CPU. `transform` runs where `module_` is: there after
        `fit`, on the CPU after loading.
    precision : {"input", "float64", "float32", "bf16", "mixed", "auto"} or None, default=None
        None and "input" compute in the dtype of X, in float32 for images of integers. "bf16"
        multiplies in bfloat16 over float32 weights, "mixed" does where the device has the
        units for it, "auto" where that also pays; both fall back to float32.
    callbacks : list of skorch callbacks or None, default=None
        Told of every epoch, and of every batch if they look at batches.
    checkpoint_dir : str, path-like or None, default=None
        Folder for checkpoints: a `fit` that was killed goes on from the last one when it is
        called again with the same parameters, data and seed. Needs a `random_state`.
    checkpoint_every : int, str or None, default=None
        Epochs between checkpoints, or a duration such as "30s" or "5min"; None is "1min".

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module, in evaluation mode; `module_.embed` makes embeddings.
    image_size_ : tuple of (int, int, int) or None
        Height, width and channels of an image; None after a table.
    loss_ : float
        Last loss of the training.
    loss_curve_ : list of float
        Mean loss of every epoch.
    best_loss_ : float
        Smallest loss of an epoch.
    history_ : pandas.DataFrame
        One row an epoch: epoch, train_loss, lr, gradient_norm, update_norm, seconds, and
        numbers that callbacks recorded. `plot_history` draws it.
    n_iter_ : int
        Epochs of the last training.
    t_ : int
        Rows seen in training.
    device_ : str
        Where the training ran.
    n_features_in_ : int
        Values of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had names that are strings.

    See Also
    --------
    MaskedAutoencoder : Fills in hidden parts instead.
    CNNClassifier : Takes what `export_backbone` returns.

    Notes
    -----
    The loss of a view compares it with all others of its batch, so that `batch_size` is part
    of the task. Rows that are copies of each other are told apart as well as they can be.

    A fitted estimator is pickled as the arrays of its weights. Ctrl-C is raised again and
    leaves the estimator unfitted, or as it was under `warm_start` and `partial_fit`.

    References
    ----------
    Chen, Kornblith, Norouzi, Hinton (2020), A simple framework for contrastive learning of
    visual representations, ICML, arXiv 2002.05709.

    Bahri, Jiang, Tay, Metzler (2022), SCARF: self-supervised contrastive learning using random
    feature corruption, ICLR, arXiv 2106.15147.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from mlfund import CNNClassifier, ContrastiveEncoder
    >>> X, y = load_digits(return_X_y=True)
    >>> encoder = ContrastiveEncoder(image_shape=(8, 8), max_iter=1, random_state=0).fit(X)
    >>> encoder.transform(X).shape
    (1797, 128)
    >>> net = CNNClassifier(backbone=encoder.export_backbone(), max_iter=1, random_state=0)
    >>> net.fit(X[:100], y[:100]).predict(X).shape
    (1797,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **encoder.CONSTRAINTS,
        "augmentation": [StrOptions({"auto"}), str, Augmentation, list, tuple],
        "corruption": encoder.SHARE,
        "projection": ["array-like"],
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }
    _net = ContrastiveNet

    def __init__(
        self,
        architecture: str | torch.nn.Module | Sequence[Layer | torch.nn.Module] = "simple",
        *,
        hidden_layer_sizes: int | Sequence[int] = (256, 256),
        channels: str = "last",
        image_shape: str | Sequence[int] | None = None,
        activation: str = "relu",
        normalization: str = "batch",
        augmentation: Any = "auto",
        corruption: float = 0.6,
        projection: Sequence[int] = (128, 128),
        temperature: float = 0.2,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.005,
        max_iter: int = 20,
        random_state: Any = None,
        verbose: bool = False,
        warm_start: bool = False,
        optimizer: Any = "adamw",
        schedule: str | Schedule | None = "one_cycle",
        clip_norm: float | None = None,
        averaging: Any = None,
        weight_decay: float | None = None,
        device: str | torch.device | None = None,
        precision: str | None = None,
        callbacks: Sequence[Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | str | None = None,
    ) -> None:
        self.architecture = architecture
        self.hidden_layer_sizes = hidden_layer_sizes
        self.channels = channels
        self.image_shape = image_shape
        self.activation = activation
        self.normalization = normalization
        self.augmentation = augmentation
        self.corruption = corruption
        self.projection = projection
        self.temperature = temperature
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.averaging = averaging
        self.weight_decay = weight_decay
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every

    def _net_options(self) -> dict[str, Any]:
        widths = encoder.layer_sizes("projection", self.projection)
        return {"projection": widths, "activation": self.activation}

    def _loss(self) -> Loss:
        return NTXent(float(self.temperature))

    def _n_outputs(self, target: Any) -> int:
        return encoder.layer_sizes("projection", self.projection)[-1]

    def _task_augmentations(self) -> list[Augmentation]:
        if self.image_size_ is None:
            return [TwoViews((CorruptColumns(float(self.corruption)),), first_too=False)]
        given = self.augmentation
        if isinstance(given, str) and given == "auto":
            if self.image_size_[2] > 1:
                return [TwoViews(COLOURS)]
            pixels = max(1, round(MOVED * min(self.image_size_[:2])))
            return [TwoViews((*STROKES, RandomShift(pixels)))]
        listed = [given] if isinstance(given, str | Augmentation) else given
        return [TwoViews(tuple(get_augmentation(one) for one in listed))]
