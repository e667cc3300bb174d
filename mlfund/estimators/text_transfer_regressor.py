"""Texts through a pretrained backbone to real targets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from mlfund.estimators._transfer_kinds import TextTransfer
from mlfund.estimators._transfer_tasks import TransferRegressor
from mlfund.schedules import Schedule


class TextTransferRegressor(TextTransfer, TransferRegressor):
    """Predicts real targets of texts by a pretrained backbone and a head on top of it.

    X is a list, Series, array or one-column DataFrame of strings.

    Parameters
    ----------
    backbone : object, default="all-MiniLM-L6-v2"
        Name, folder or value as `mlfund.backbones.get_backbone` takes it, or "precomputed":
        rows of X then are embeddings, (n, d), for instance of `BackboneFeatures`. Of the
        default the upper three layers are read side by side, (n, 1152).
    strategy : {"auto", "feature_extraction", ...}, default="auto"
        What is trained. "feature_extraction": the head alone, on embeddings of the frozen
        backbone, each computed once and kept in `cache`. "fine_tune_top": the head and the
        `n_unfrozen_groups` topmost groups of layers. "full": everything.
        "linear_probe_then_fine_tune": everything, beginning with the linear head of
        "feature_extraction", which spares the backbone the gradients of a random head.
        "gradual": the head, then group after group from the top, all of them in the second
        half. "lora": low-rank adapters beside the weights, which
        stay, at the rate of the head (needs peft). "auto" chooses; `explanation_` says why.
    head : {"linear", "mlp"} or estimator, default="linear"
        What "feature_extraction" fits on the embeddings: ridge regression whose
        strength is chosen by leaving out rows; a perceptron of one
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
    lora_rank : int, default=8
        Rank of the adapters of "lora".
    early_stopping : bool, default=False
        Whether fine-tuning holds out rows, stops when their score stops improving, and keeps
        the best weights. The head that it begins with does not see these rows either.
    validation_fraction : float, default=0.1
        Share of the rows held out, stratified by class.
    n_iter_no_change : int or inf, default=5
        Epochs without improvement that `early_stopping` bears.
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
    strategy_ : str
        The strategy that was followed.
    explanation_ : str
        Why, in a sentence.
    backbone_ : BackboneSource
        Where the backbone comes from; not set with "precomputed".
    head_ : estimator
        What was fitted on embeddings, where the backbone stayed frozen.
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
    TextTransferClassifier : The same for classes.
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
    >>> from mlfund import TextTransferRegressor
    >>> texts = ["wonderful", "very good", "good", "fine", "poor", "bad", "very bad", "terrible"]
    >>> stars = [5.0, 4.5, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5]
    >>> model = TextTransferRegressor(cache=False, random_state=0).fit(texts, stars)
    >>> great, awful = model.predict(["excellent", "horrible"])
    >>> bool(great > awful)
    True
    """

    def __init__(
        self,
        backbone: Any = "all-MiniLM-L6-v2",
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
        lora_rank: int = 8,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 5,
        precision: str | None = "auto",
        device: str | torch.device | None = None,
        cache: Any = None,
        download: bool = False,
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
        self.lora_rank = lora_rank
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.precision = precision
        self.device = device
        self.cache = cache
        self.download = download
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
