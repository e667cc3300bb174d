"""MaskedAutoencoder: embeddings from which hidden parts of a row can be told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval

from mlfund._check import DataError
from mlfund._engine.averaging import RunningStatistics
from mlfund.augmentation import Augmentation
from mlfund.augmentation._pretraining import HideParts
from mlfund.estimators import _encoder_base as encoder
from mlfund.estimators._neural_rows import HostRows
from mlfund.estimators._neural_steps import DEFAULT_BATCH_SIZE
from mlfund.estimators._neural_training import Outcome
from mlfund.losses import Loss
from mlfund.losses._self_supervised import MaskedReconstruction
from mlfund.nets.encoders import MaskedNet
from mlfund.nets.layers import Layer
from mlfund.schedules import Schedule

# Patches along the shorter side of an image, unless `patch_size` says otherwise.
PATCHES = 7


class MaskedAutoencoder(encoder.BaseEncoder):
    """Embeddings that are learned by filling in what is hidden: squares of images, or columns.

    Each batch hides a share of every row, drawn anew, by setting it to the mean. The encoder,
    and a small decoder behind it, are trained to reconstruct what was hidden; what was seen
    does not count. No labels are used. Images come as `CNNClassifier` takes them, and are
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
    mask_ratio : float, default=0.6
        Share of the squares or columns that is hidden, the same number in each row; one at
        least is hidden, and one is not.
    patch_size : int or None, default=None
        For images: side in pixels of the squares; None makes seven of the shorter side.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch; "auto" is ``min(200, n)``.
    learning_rate_init : float, default=0.005
        Learning rate that `schedule` multiplies.
    max_iter : int, default=20
        Epochs: the length of `schedule`.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, of the masks and of the row orders.
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
    ContrastiveEncoder : Tells rows apart instead; its embeddings serve better as they are.
    CNNClassifier : Takes what `export_backbone` returns.

    Notes
    -----
    Masked reconstruction prepares weights for fine-tuning, more than embeddings to be used as
    they are. The statistics of batch normalisation are estimated anew at the end of the
    training, on rows without masks, as `transform` sees them.

    A fitted estimator is pickled as the arrays of its weights. Ctrl-C is raised again and
    leaves the estimator unfitted, or as it was under `warm_start` and `partial_fit`.

    References
    ----------
    He, Chen, Xie, Li, Dollar, Girshick (2022), Masked autoencoders are scalable vision learners,
    CVPR, arXiv 2111.06377.

    Pathak, Krahenbuhl, Donahue, Darrell, Efros (2016), Context encoders: feature learning by
    inpainting, CVPR, arXiv 1604.07379.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from mlfund import MaskedAutoencoder
    >>> X, _ = load_digits(return_X_y=True)
    >>> encoder = MaskedAutoencoder(hidden_layer_sizes=(64,), max_iter=2, random_state=0)
    >>> encoder.fit_transform(X).shape
    (1797, 64)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **encoder.CONSTRAINTS,
        "mask_ratio": encoder.SHARE,
        "patch_size": [Interval(Integral, 1, None, closed="left"), None],
    }
    _net = MaskedNet

    def __init__(
        self,
        architecture: str | torch.nn.Module | Sequence[Layer | torch.nn.Module] = "simple",
        *,
        hidden_layer_sizes: int | Sequence[int] = (256, 256),
        channels: str = "last",
        image_shape: str | Sequence[int] | None = None,
        activation: str = "relu",
        normalization: str = "batch",
        mask_ratio: float = 0.6,
        patch_size: int | None = None,
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
        self.mask_ratio = mask_ratio
        self.patch_size = patch_size
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
        return {"activation": self.activation, "normalization": self.normalization}

    def _loss(self) -> Loss:
        return MaskedReconstruction()

    def _n_outputs(self, target: Any) -> int:
        return int(self.n_features_in_)

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = super()._validate(X, y, reset=reset)
        self._check_parts()
        return X, y

    def _check_parts(self) -> None:
        """Raise ValueError if a row has no part to show beside one to hide."""
        if self.n_features_in_ == 1:
            raise DataError(
                "X has 1 feature(s), and MaskedAutoencoder tells hidden ones from those it shows; "
                "give rows of at least two columns or pixels."
            )
        size = self.image_size_
        if size is not None and self._hiding().n_parts(size) == 1:
            raise ValueError(
                f"patch_size={self.patch_size} makes one square of an image of {size[0]} x "
                f"{size[1]} pixels, with nothing left to see where it is hidden; give "
                f"patch_size={max(size[:2]) - 1} or less."
            )

    def _hiding(self) -> HideParts:
        side = min((self.image_size_ or (1, 1, 1))[:2])
        patch = self.patch_size or max(1, round(side / PATCHES))
        return HideParts(float(self.mask_ratio), int(patch))

    def _task_augmentations(self) -> list[Augmentation]:
        return [self._hiding()]

    def _train(
        self,
        module: Any,
        objective: Any,
        rows: HostRows,
        held_out: Any,
        device: torch.device,
        random_state: np.random.RandomState,
        progress: Any,
        *,
        incremental: bool,
    ) -> Outcome:
        outcome = super()._train(
            module,
            objective,
            rows,
            held_out,
            device,
            random_state,
            progress,
            incremental=incremental,
        )
        RunningStatistics(module, rows.on(device), DEFAULT_BATCH_SIZE).estimate()
        return outcome
