"""The multilayer perceptron for real targets: scikit-learn's interface, trained by the engine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from mlfund.estimators._mlp_base import BaseMLP
from mlfund.estimators._neural_regressor import BaseNeuralRegressor
from mlfund.losses import Loss
from mlfund.schedules import Schedule


class MLPRegressor(BaseNeuralRegressor, BaseMLP):
    """Multilayer perceptron for real targets, one or several.

    A drop-in for `sklearn.neural_network.MLPRegressor`: its parameters come first,
    with the same meaning and defaults, and for the same `random_state` the loss curve
    is the same (but for `early_stopping`, whose rows are drawn otherwise). The
    parameters from `optimizer` on are additions; None leaves everything as
    scikit-learn's say, and one that contradicts another raises.

    Parameters
    ----------
    loss : str, Loss or callable, default="squared_error"
        What is minimised: "squared_error", "poisson" (of ``exp(raw)``), "absolute_error",
        "huber", "quantile", "gaussian_nll" (estimates its own variance), an entry of
        `mlfund.losses` with its options, or ``(raw, y) -> Tensor of shape (n,)``.
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str or Activation, default="relu"
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu", and beyond
        scikit-learn's "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", or an
        entry of `mlfund.nets.activations` with its options.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        How the weights are optimised. "lbfgs" works on all rows at once.
    alpha : float, default=0.0001
        Strength of the penalty of weights (not intercepts), divided by the weight sum of
        the batch; L2, or as `l1_ratio` says.
    batch_size : int, "auto" or "fit_device", default="auto"
        Rows of a mini-batch; "auto" is ``min(200, n)``, "fit_device" the largest power of
        two whose step was measured to suit the memory of the device, or on the CPU its
        caches (`lr_scaling` lets the learning rate follow).
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Schedule of the learning rate, for ``solver="sgd"``.
    learning_rate_init : float, default=0.001
        Initial learning rate, for "sgd", "adam" and `optimizer`.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Most epochs ("sgd", "adam") or iterations ("lbfgs").
    shuffle : bool, default=True
        Whether each epoch draws a new order of the rows.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, the validation split, the row orders, the dropout
        masks and the augmentation. Weights and orders are scikit-learn's for the same seed.
    tol : float, default=1e-4
        Least improvement of loss or score that counts; for "lbfgs" the largest
        component of the gradient at the end.
    verbose : bool or int, default=False
        Whether to print a line an epoch; 2 prints scores, learning rate and the time
        left.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that is Nesterov's.
    early_stopping : bool, default=False
        Whether to hold out rows (or take `X_val` of `fit`), stop when their score stops
        improving, and keep the best weights.
    validation_fraction : float, default=0.1
        Share of the rows held out, stratified by class; whole groups where `fit` got
        `groups`.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of Adam's moments, in [0, 1).
    epsilon : float, default=1e-8
        Added to Adam's denominator.
    n_iter_no_change : int or inf, default=10
        Epochs without an improvement of `tol` that are borne.
    max_fun : int, default=15000
        Most evaluations of "lbfgs".
    optimizer : str, Optimizer, torch optimizer class or None, default=None
        Name in `mlfund.optimizers.OPTIMIZERS`, an instance, or a class of `torch.optim`, in
        place of `solver`.
    schedule : str, Schedule, callable or None, default=None
        Name in `mlfund.schedules.SCHEDULES`, an instance, or a function of the progress
        from 0 to 1, in place of `learning_rate`; it multiplies `learning_rate_init` at
        every step.
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
    dropout : float, sequence of float or None, default=None
        Share of hidden units dropped at each step, one or one for each hidden layer.
    normalization : {"batch", "layer", "group", "instance"}, Normalization or None, default=None
        Normalisation of the hidden units; see `mlfund.nets.normalisation`.
    normalization_position : {"before", "after"} or None, default=None
        Where it stands, seen from the activation; None is "before".
    initializer : str, Initializer, callable or None, default=None
        Name in `mlfund.initializers.INITIALIZERS`, an instance, or a function that fills a
        tensor in place as those of `torch.nn.init` do; None draws scikit-learn's initial
        weights.
    last_layer_initializer : str, Initializer, callable or None, default=None
        The same for the output layer alone, "zeros" for instance; None treats it as the others.
    validation_split : cv splitter, iterable of (train, test), int or None, default=None
        Which rows are held out, in place of `validation_fraction`: the test rows of the
        last split, which for `TimeSeriesSplit` is the one with the most rows to train on.
        A splitter of groups takes the `groups` of `fit`. Without `early_stopping` the
        rows are scored and nothing else.
    scoring : str, callable or None, default=None
        Score of the validation rows, higher is better: "loss" (the negative loss), a name
        that `sklearn.metrics.get_scorer` knows, or ``scorer(estimator, X, y)``; None is
        R2.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"} or None, default=None
        Where to train; None is the CPU. `predict` always runs on the CPU.
    precision : {"input", "float64", "float32", "bf16", "mixed", "auto"} or None, default=None
        None and "input" compute in the dtype of X. "bf16" multiplies in bfloat16 over
        float32 weights, "mixed" does where the device has the units for it, "auto" where
        that also pays; both fall back to float32.
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
    loss_ : float
        Last loss of the training, penalty included.
    best_loss_ : float or None
        Smallest loss of an epoch; None with `early_stopping`. Not for "lbfgs".
    loss_curve_ : list of float
        Mean loss of every epoch. Not for "lbfgs".
    validation_scores_ : list of float or None
        R2, or what `scoring` says, of the validation rows after every epoch; None without
        such rows.
    best_validation_score_ : float or None
        The largest of them.
    t_ : int
        Rows seen in training.
    coefs_ : list of ndarray, each of shape (fan_in, fan_out)
        Weights of the layers.
    intercepts_ : list of ndarray, each of shape (fan_out,)
        Biases of the layers.
    layer_state_ : list of dict of str to ndarray
        What hidden layers have beside weights and biases: "scale" and "shift" of a
        normalisation, "mean", "variance" and "n_batches" of batch normalisation, "slope" of
        PReLU; empty dicts for a plain net.
    n_iter_ : int
        Epochs, or iterations of "lbfgs", of the last training.
    n_layers_ : int
        Layers, input and output counted.
    n_outputs_ : int
        Units of the output layer.
    out_activation_ : str
        What turns raw scores into predictions: "identity", "exp", or "link" for another
        inverse link of the loss.
    history_ : pandas.DataFrame
        One row an epoch: epoch, train_loss, valid_loss and valid_score where rows validate,
        lr, gradient_norm and update_norm (see `track_norms`), seconds, and numbers that
        callbacks recorded. `plot_history` draws it.
    device_ : str
        Where the training ran.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had names that are strings.

    See Also
    --------
    MLPClassifier : The same for classes.

    Notes
    -----
    With several outputs the loss reported is the mean over outputs, as in scikit-learn;
    what is minimised is their sum. Scale the target when its spread is far from 1.

    References
    ----------
    Kingma and Ba (2015), Adam, arXiv 1412.6980.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from mlfund import MLPRegressor
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> model = MLPRegressor(solver="lbfgs", hidden_layer_sizes=(20,), random_state=0)
    >>> model.fit(X, y / y.std()).score(X, y / y.std()) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [str, Loss, callable],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        optimizer: Any = None,
        schedule: str | Schedule | None = None,
        lr_scaling: str | None = None,
        base_batch_size: int | None = None,
        accumulation_steps: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        averaging: Any = None,
        mixup: float | None = None,
        input_noise: float | None = None,
        l1_ratio: float | None = None,
        weight_decay: float | None = None,
        max_norm: float | None = None,
        dropout: Any = None,
        normalization: Any = None,
        normalization_position: str | None = None,
        initializer: Any = None,
        last_layer_initializer: Any = None,
        validation_split: Any = None,
        scoring: Any = None,
        device: str | torch.device | None = None,
        precision: str | None = None,
        callbacks: Sequence[Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | str | None = None,
        track_norms: bool | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.optimizer = optimizer
        self.schedule = schedule
        self.lr_scaling = lr_scaling
        self.base_batch_size = base_batch_size
        self.accumulation_steps = accumulation_steps
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.averaging = averaging
        self.mixup = mixup
        self.input_noise = input_noise
        self.l1_ratio = l1_ratio
        self.weight_decay = weight_decay
        self.max_norm = max_norm
        self.dropout = dropout
        self.normalization = normalization
        self.normalization_position = normalization_position
        self.initializer = initializer
        self.last_layer_initializer = last_layer_initializer
        self.validation_split = validation_split
        self.scoring = scoring
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.track_norms = track_norms
