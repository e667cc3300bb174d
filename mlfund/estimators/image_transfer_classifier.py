"""Images through a pretrained backbone to classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._transfer_kinds import ImageTransfer
from mlfund.estimators._transfer_tasks import TransferClassifier
from mlfund.schedules import Schedule


class ImageTransferClassifier(ImageTransfer, TransferClassifier):
    """Classifies images by a pretrained backbone and a head on top of it.

    X is an array of images (n, height, width) or (n, height, width, channels), uint8 or 0 to 1,
    a list of arrays of several sizes, or a list, Series or one-column DataFrame of paths, encoded
    files or Pillow's images; torch's (n, channels, height, width) with ``channels="first"``. They
    are resized to what the backbone takes.

    Parameters
    ----------
    backbone : object, default="efficientnet_lite0"
        Name, folder or value as `mlfund.backbones.get_backbone` takes it, or "precomputed":
        rows of X then are embeddings, (n, d), for instance of `BackboneFeatures`.
    strategy : {"auto", "feature_extraction", ...}, default="auto"
        What is trained. "feature_extraction": the head alone, on embeddings of the frozen
        backbone, each computed once and kept in `cache`. "fine_tune_top": the head and the
        `n_unfrozen_groups` topmost groups of layers. "full": everything.
        "linear_probe_then_fine_tune": everything, beginning with the linear head of
        "feature_extraction", which spares the backbone the gradients of a random head.
        "gradual": the head, then group after group from the top, all of them in the second
        half. "auto" chooses; `explanation_` says why.
    head : {"linear", "mlp"} or estimator, default="linear"
        What "feature_extraction" fits on the embeddings: logistic regression whose
        strength of penalty is chosen on rows held out; a perceptron of one
        hidden layer; or a copy of any estimator of scikit-learn. All other strategies have a
        linear head.
    n_unfrozen_groups : int, default=1
        Groups of layers, from the top, that "fine_tune_top" trains.
    backbone_lr : float, default=1e-5
        Largest learning rate of the topmost group of the backbone.
    head_lr : float, default=1e-3
        Largest learning rate of the head, which sees embeddings with a root mean square of 1.
    layer_decay : float, default=1.0
        Learning rate of a group of layers as a share of that of the group above it, in (0, 1].
    max_iter : int or "auto", default="auto"
        Most epochs of fine-tuning; "auto" is 10, or as many more as 60 steps take on few rows.
    batch_size : int or "auto", default="auto"
        Rows of a step of fine-tuning; "auto" is 32, or all where they are fewer.
    optimizer : str, Optimizer, torch optimizer class or None, default="adamw"
        Name in `mlfund.optimizers.OPTIMIZERS`, an instance, or a class of `torch.optim`.
    schedule : str, Schedule, callable or None, default="warmup_cosine"
        Name in `mlfund.schedules.SCHEDULES`, or an instance; it multiplies both rates.
    weight_decay : float or None, default=0.01
        Decoupled decay of weight matrices; not of biases and scales of normalisations.
    clip_norm : float or None, default=1.0
        Largest norm of the gradient of all weights together.
    image_size : int, (int, int) or None, default=None
        Side, or height and width, that images are resized to; None is the backbone's own.
    channels : {"last", "first"}, default="last"
        Which end of an image's shape counts the channels, of arrays.
    augmentation : "auto", str, Augmentation, list of them or None, default="auto"
        What is done to images in fine-tuning: names in `mlfund.augmentation.AUGMENTATIONS` or
        instances. "auto" is a random crop of at least half the area and a random mirroring; no
        mirroring where a linear head did best without mirror images on rows held out.
    progressive_resizing : bool, default=False
        Whether the first 70 % of the epochs have smaller images, from half the sides on.
    test_time_augmentation : {"auto", "flip", "flip_zoom"} or None, default="auto"
        Views that predictions average over: an image and its mirror image, and the middle of
        both as well. "feature_extraction" uses them in `fit` too. "auto" takes those that do
        best on rows held out, zoomed ones up to 1000 rows, where the head is linear; none for
        other heads; for nets that begin without a linear head, "flip" where `augmentation`
        mirrors. Nets do not zoom.
    early_stopping : bool, default=False
        Whether fine-tuning holds out rows, stops when their score stops improving, and keeps
        the best weights. The head that it begins with does not see these rows either.
    validation_fraction : float, default=0.1
        Share of the rows held out, stratified by class.
    n_iter_no_change : int or inf, default=5
        Epochs without improvement that `early_stopping` bears.
    label_smoothing : float or None, default=None
        Share of each row's target spread evenly over the classes, in fine-tuning.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied with `sample_weight`.
    precision : {"input", "float64", "float32", "bf16", "mixed", "auto"} or None, default="auto"
        Of fine-tuning: "auto" multiplies in bfloat16 where the device does so faster. Weights
        are float32.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"} or None, default=None
        Where embeddings are computed and nets trained; None is the CPU.
    cache : EmbeddingCache, str, path-like, bool or None, default=None
        Where embeddings are kept, see `EmbeddingCache`; None is the folder of the user, False
        none.
    download : bool, default=False
        Whether weights that are not on this machine may be downloaded.
    n_jobs : int or None, default=None
        Threads that read images; None is as many as torch computes with.
    random_state : int, RandomState instance or None, default=None
        Source of folds, row orders, augmentation and dropout.
    verbose : bool or int, default=False
        Whether to print what "auto" chose and why, and a line an epoch.
    callbacks : list of skorch callbacks or None, default=None
        Told of the epochs of fine-tuning.
    checkpoint_dir : str, path-like or None, default=None
        Folder for checkpoints of fine-tuning: a `fit` that was killed goes on from the last
        one when it is called again. Needs a `random_state`.
    checkpoint_every : int, str or None, default=None
        Epochs between checkpoints, or a duration such as "30s", "5min" or "1h"; None is
        "1min".

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    strategy_ : str
        The strategy that was followed.
    explanation_ : str
        Why, in a sentence.
    backbone_ : BackboneSource
        Where the backbone comes from; not set with "precomputed".
    head_ : estimator
        What was fitted on embeddings, where the backbone stayed frozen.
    views_ : str or None
        The views that are averaged; set where a head was fitted on embeddings.
    module_ : torch.nn.Module
        The trained net, where the backbone was trained; in evaluation mode.
    settings_ : dict
        What "auto" stood for in fine-tuning: ``max_iter``. Set where the backbone was trained.
    history_ : pandas.DataFrame
        One row an epoch of fine-tuning: losses, scores, learning rate of the head.
    n_iter_ : int
        Epochs of fine-tuning, or iterations of the head.
    n_features_in_ : int
        Length of an embedding, with "precomputed" only.
    feature_names_in_ : ndarray of str
        Names of the columns, where X is a DataFrame.

    See Also
    --------
    ImageTransferRegressor : The same for real targets.
    BackboneFeatures : The embeddings by themselves, for a pipeline of one's own.

    Notes
    -----
    What is frozen stays as it is bit for bit: weights and the statistics of normalisations,
    which keep those of the pretraining in trained layers too. Predictions of a row do not
    depend on the rows beside it, rounding apart.

    Pickles are small: of a frozen backbone they hold where it comes from and its fingerprint,
    of a fine-tuned one the weights that were trained. Loading works without the backbone's
    weights, predicting needs them unchanged. ``mlfund.save(model, path, standalone=True)`` puts
    them into the file.

    References
    ----------
    Kumar et al. (2022), Fine-tuning can distort pretrained features and underperform
    out-of-distribution, ICLR, arXiv 2202.10054 (linear probe, then fine-tuning). Howard and
    Ruder (2018), Universal language model fine-tuning for text classification, ACL, arXiv
    1801.06146 (rates by layer, gradual unfreezing).

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund import ImageTransferClassifier
    >>> rng = np.random.default_rng(0)
    >>> stripes = np.zeros((20, 64, 64, 3), dtype=np.uint8)
    >>> stripes[:10, ::8], stripes[10:, :, ::8] = 200, 200  # across, and down
    >>> stripes += rng.integers(0, 20, stripes.shape, dtype=np.uint8)
    >>> y = np.repeat(["across", "down"], 10)
    >>> model = ImageTransferClassifier(image_size=64, cache=False, random_state=0)
    >>> model.fit(stripes[::2], y[::2]).score(stripes[1::2], y[1::2])
    1.0
    >>> model.strategy_
    'feature_extraction'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **ImageTransfer._parameter_constraints,
        **spec.CLASSIFIER_CONSTRAINTS,
    }

    def __init__(
        self,
        backbone: Any = "efficientnet_lite0",
        *,
        strategy: str = "auto",
        head: Any = "linear",
        n_unfrozen_groups: int = 1,
        backbone_lr: float = 1e-5,
        head_lr: float = 1e-3,
        layer_decay: float = 1.0,
        max_iter: int | str = "auto",
        batch_size: int | str = "auto",
        optimizer: Any = "adamw",
        schedule: str | Schedule | None = "warmup_cosine",
        weight_decay: float | None = 0.01,
        clip_norm: float | None = 1.0,
        image_size: int | Sequence[int] | None = None,
        channels: str = "last",
        augmentation: Any = "auto",
        progressive_resizing: bool = False,
        test_time_augmentation: str | None = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 5,
        label_smoothing: float | None = None,
        class_weight: Any = None,
        precision: str | None = "auto",
        device: str | torch.device | None = None,
        cache: Any = None,
        download: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
        callbacks: Sequence[Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | str | None = None,
    ) -> None:
        self.backbone = backbone
        self.strategy = strategy
        self.head = head
        self.n_unfrozen_groups = n_unfrozen_groups
        self.backbone_lr = backbone_lr
        self.head_lr = head_lr
        self.layer_decay = layer_decay
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.image_size = image_size
        self.channels = channels
        self.augmentation = augmentation
        self.progressive_resizing = progressive_resizing
        self.test_time_augmentation = test_time_augmentation
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.precision = precision
        self.device = device
        self.cache = cache
        self.download = download
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
