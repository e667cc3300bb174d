"""Autoencoder: short codes of rows, from which the rows can be made again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_array, check_is_fitted

from mlfund.augmentation import Augmentation
from mlfund.augmentation._pretraining import RowsAsTargets
from mlfund.estimators import _encoder_base as encoder
from mlfund.losses import Loss
from mlfund.losses._self_supervised import Reconstruction
from mlfund.nets.encoders import AutoencoderNet
from mlfund.nets.layers import Layer
from mlfund.schedules import Schedule


class Autoencoder(encoder.BaseEncoder):
    """Short codes of images or rows of a table, and back: a PCA that bends.

    An encoder makes `n_components` numbers of a row and a decoder makes the row of them; both
    are trained to lose as little as they can. No labels are used. Images come as
    `CNNClassifier` takes them, and are standardised in the same way; columns of a table are
    standardised, too.

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
    n_components : int, default=32
        Values of a code.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch; "auto" is ``min(200, n)``.
    learning_rate_init : float, default=0.005
        Learning rate that `schedule` multiplies.
    max_iter : int, default=20
        Epochs: the length of `schedule`.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, of what is random in the layers and of the row orders.
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
    sklearn.decomposition.PCA : The best linear codes.
    MaskedAutoencoder : Reconstructs what it did not see.

    Notes
    -----
    A fitted estimator is pickled as the arrays of its weights. Ctrl-C is raised again and
    leaves the estimator unfitted, or as it was under `warm_start` and `partial_fit`.

    References
    ----------
    Hinton, Salakhutdinov (2006), Reducing the dimensionality of data with neural networks,
    Science 313.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from mlfund import Autoencoder
    >>> X, _ = load_digits(return_X_y=True)
    >>> model = Autoencoder(n_components=8, hidden_layer_sizes=64, max_iter=5, random_state=0)
    >>> codes = model.fit_transform(X)
    >>> codes.shape, model.inverse_transform(codes).shape
    ((1797, 8), (1797, 64))
    >>> model.reconstruction_error(X).mean() < 0.9
    np.True_
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **encoder.CONSTRAINTS,
        "n_components": [Interval(Integral, 1, None, closed="left")],
    }
    _net = AutoencoderNet

    def __init__(
        self,
        architecture: str | torch.nn.Module | Sequence[Layer | torch.nn.Module] = "simple",
        *,
        hidden_layer_sizes: int | Sequence[int] = (256, 256),
        channels: str = "last",
        image_shape: str | Sequence[int] | None = None,
        activation: str = "relu",
        normalization: str = "batch",
        n_components: int = 32,
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
        self.n_components = n_components
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

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return rows that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n, n_components)
            Codes.

        Returns
        -------
        rows : ndarray
            In the units of the rows that `fit` saw, and in their shape.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.dtype(self._recipe.dtype))
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {codes.shape[1]} columns, and codes of this {type(self).__name__} have "
                f"{self._n_features_out}."
            )
        net = self.module_
        rows = self._in_blocks(lambda codes: net.pixels.rows(net.decode(codes)), codes)
        return rows if self._form is None else self._form.from_nhwc(rows)

    def reconstruction_error(self, X: Any) -> np.ndarray:
        """Return the mean squared difference of each row and its reconstruction.

        Parameters
        ----------
        X : array-like
            Rows as `fit` takes them.

        Returns
        -------
        error : ndarray of shape (n,)
            Over the standardised values of a row: about 1 for rows that are given back no
            better than by the mean.
        """
        check_is_fitted(self)
        net, loss = self.module_, self._loss()

        def error(rows: torch.Tensor) -> torch.Tensor:
            images = net.images(rows)
            return loss.value(net(images), images.flatten(1))

        return self._in_blocks(error, self._checked_rows(X))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the negative `reconstruction_error`: low for rows unlike those of `fit`."""
        return -self.reconstruction_error(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, so that searches find what loses least."""
        return float(self.score_samples(X).mean())

    def _net_options(self) -> dict[str, Any]:
        return {
            "n_components": int(self.n_components),
            "activation": self.activation,
            "normalization": self.normalization,
        }

    def _loss(self) -> Loss:
        return Reconstruction()

    def _n_outputs(self, target: Any) -> int:
        return int(self.n_features_in_)

    def _task_augmentations(self) -> list[Augmentation]:
        return [RowsAsTargets()]
