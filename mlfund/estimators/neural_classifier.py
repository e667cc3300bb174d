"""Any torch module as a classifier: scikit-learn's interface, trained by the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch import nn

from mlfund.estimators import _neural_own_base as own
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._neural_classifier import BaseNeuralClassifier
from mlfund.schedules import Schedule


class NeuralClassifier(own.OwnModule, BaseNeuralClassifier):
    """A torch module of your own as a classifier, binary, multiclass or multilabel.

    The training is that of `MLPClassifier`: the same losses, optimizers, schedules, weights,
    early stopping, callbacks and devices, but for what says how a perceptron is built.
    Not scikit-learn's: ``alpha`` is 0 by default, and there is no `solver`.

    Parameters
    ----------
    module : class, callable or torch.nn.Module
        What is trained: a class of modules, a function that returns one, or an instance,
        of which each `fit` trains a copy that starts from the instance's weights.
    module_params : dict or None, default=None
        What the class or function is called with. Each entry is a parameter of the
        estimator too, ``module_params__hidden`` for instance, also one not given yet.
        Constructor parameters of these names are taken from the data unless given here:
        `n_features` (values in a row of X), `input_shape` (shape of a row of X) and
        `n_outputs` (raw scores: the number of classes or labels, 1 for two
        classes; 2 for them where `module_output` is not "raw").
    module_output : {"raw", "proba", "log_proba"}, default="raw"
        What the module returns: scores before softmax or sigmoid, probabilities, or their
        logarithms. Shape (n, n_classes), or (n, n_labels) for several labels a row; for
        two classes (n,) or (n, 1) will do, which stand for the second class.
    keep_integers : bool, default=False
        Whether integers in X reach the module as int64, for embeddings; else they become
        float32.
    loss : str, Loss, callable or None, default=None
        What is minimised: "log_loss", "focal", "hinge" (two classes), "dice", "jaccard", an
        entry of `mlfund.losses` for classes, or ``loss(raw, y) -> Tensor (n,)``; None is the
        log-loss. After "hinge" there is no `predict_proba`.
    alpha : float, default=0.0
        Strength of the penalty of weights (parameters of two dimensions or more, those of
        embeddings too), divided by the weight sum of the batch; L2, or as `l1_ratio` says.
    batch_size : int, "auto" or "fit_device", default="auto"
        Rows of a mini-batch; "auto" is ``min(200, n)``, "fit_device" the largest power of
        two whose step was measured to suit the memory of the device, or on the CPU its
        caches (`lr_scaling` lets the learning rate follow).
    learning_rate_init : float, default=0.001
        Initial learning rate.
    max_iter : int, default=200
        Most epochs.
    shuffle : bool, default=True
        Whether each epoch draws a new order of the rows.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, of dropout of the module's own, the validation
        split and the row orders: torch's global generator is seeded from it while the
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
    n_iter_no_change : int or inf, default=10
        Epochs without an improvement of `tol` that are borne.
    optimizer : str, Optimizer, torch optimizer class or None, default=None
        Name in `mlfund.optimizers.OPTIMIZERS`, an instance, or a class of `torch.optim`.
    schedule : str, Schedule, callable or None, default=None
        Name in `mlfund.schedules.SCHEDULES`, or an instance; it multiplies
        `learning_rate_init` at every step.
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
    averaging : {"ema", "swa"}, Averaging or None, default=None
        Average of the weights along the training, validated and kept in their place: an
        exponential moving average, or stochastic weight averaging over the last epochs.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied with `sample_weight`.
    label_smoothing : float or None, default=None
        Share of each row's target spread evenly over the classes, in [0, 1).
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
    precision : {"input", "float64", "float32", "bf16", "mixed", "auto"} or None, default=None
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
    input_shape_ : tuple of int
        Shape of a row of X.
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
        Values in a row of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had names that are strings.

    See Also
    --------
    NeuralRegressor : The same for real targets.
    MLPClassifier : A multilayer perceptron that need not be written.

    Notes
    -----
    A row of X may have any shape, which the module sees: (channels, height, width) for an
    image. Sparse X of two dimensions reaches it dense, batch by batch. A first pass over a
    few rows, in evaluation mode, checks the module before the training; lazy layers draw
    their weights there. Batch normalisation and dropout of the module's own are off in
    `predict`, which takes as many rows at once as that pass showed to be safe.

    A fitted estimator is pickled as the arrays of its module's weights, and the class or
    function by import path: it needs that path when it is loaded, and no GPU. `clone`
    copies an instance given as `module`, so that no two estimators share weights.

    Ctrl-C is raised again and leaves the estimator unfitted, or as it was under
    `warm_start` and `partial_fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from mlfund import NeuralClassifier
    >>> class Net(nn.Module):
    ...     def __init__(self, n_features, n_outputs, hidden=16):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(n_features, hidden)
    ...         self.out = nn.Linear(hidden, n_outputs)
    ...
    ...     def forward(self, X):
    ...         return self.out(nn.functional.gelu(self.hidden(X)))
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2)).astype(np.float32)
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
    >>> model = NeuralClassifier(
    ...     Net, module_params={"hidden": 32}, learning_rate_init=0.05, tol=1e-3, random_state=0
    ... )
    >>> model.fit(X, y).score(X, y) > 0.95
    True
    >>> model.predict_proba(X[:3]).shape
    (3, 2)
    >>> sum(p.numel() for p in model.module_.parameters())
    129
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **own.CONSTRAINTS,
        "module_output": [StrOptions({"raw", "proba", "log_proba"})],
        **spec.CLASSIFIER_CONSTRAINTS,
    }

    def __init__(
        self,
        module: type[nn.Module] | Callable[..., nn.Module] | nn.Module,
        *,
        module_params: dict[str, Any] | None = None,
        module_output: str = "raw",
        keep_integers: bool = False,
        loss: Any = None,
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        optimizer: Any = None,
        schedule: str | Schedule | None = None,
        lr_scaling: str | None = None,
        base_batch_size: int | None = None,
        accumulation_steps: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        averaging: Any = None,
        class_weight: Any = None,
        label_smoothing: float | None = None,
        mixup: float | None = None,
        input_noise: float | None = None,
        l1_ratio: float | None = None,
        weight_decay: float | None = None,
        max_norm: float | None = None,
        validation_split: Any = None,
        scoring: Any = None,
        device: str | torch.device | None = None,
        precision: str | None = None,
        callbacks: Sequence[Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | str | None = None,
        track_norms: bool | None = None,
    ) -> None:
        self.module = module
        self.module_params = module_params
        self.module_output = module_output
        self.keep_integers = keep_integers
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
