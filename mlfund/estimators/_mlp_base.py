"""What `MLPClassifier` and `MLPRegressor` share: layers, scikit-learn's stream, raw scores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from mlfund._engine.callbacks import InverseScaling, lower_adaptively
from mlfund._engine.net import Engine, StepRule
from mlfund._engine.objective import Objective
from mlfund.estimators import _mlp_spec as spec
from mlfund.estimators._mlp_lbfgs import train_lbfgs
from mlfund.estimators._neural_base import BaseNeural
from mlfund.estimators._neural_rows import HostRows
from mlfund.estimators._neural_training import Outcome, Progress, torch_generator
from mlfund.initializers import get_initializer
from mlfund.nets.activations import Activation, get_activation
from mlfund.nets.mlp import MLP
from mlfund.nets.prediction import raw_scores
from mlfund.optimizers import Optimizer


class BaseMLP(BaseNeural):
    """A multilayer perceptron behind scikit-learn's interface; see the subclasses."""

    _parameter_constraints: dict[str, list[Any]] = spec.CONSTRAINTS

    def _check_parameters(self) -> None:
        spec.check_contradictions(self)
        spec.layer_sizes(self.hidden_layer_sizes)
        get_activation(self.activation)

    def _optimizer_and_rules(self) -> tuple[Optimizer, list[StepRule]]:
        return spec.optimizer_and_rules(self)

    def _learning_rate_callbacks(self, progress: Progress, lr: float) -> list[Any]:
        if self.solver != "sgd" or self.learning_rate != "invscaling":
            return []
        return [InverseScaling(lr, self.power_t, progress.t)]

    def _max_epochs(self) -> int:
        return 0 if self.solver == "lbfgs" else super()._max_epochs()

    def _lower_learning_rate(self) -> Callable[[Engine], bool] | None:
        adaptive = self.solver == "sgd" and self.learning_rate == "adaptive"
        return lower_adaptively if adaptive else None

    def _train(
        self,
        module: MLP,
        objective: Objective,
        rows: HostRows,
        held_out: HostRows | None,
        device: torch.device,
        random_state: np.random.RandomState,
        progress: Progress,
        *,
        incremental: bool,
    ) -> Outcome:
        if self.solver == "lbfgs":
            if held_out is not None:
                raise ValueError(
                    "X_val and solver='lbfgs' contradict each other: lbfgs has no epochs after "
                    "which rows could be scored. Leave X_val out, or choose another solver."
                )
            return train_lbfgs(self, module, objective, rows.on(device))
        return super()._train(
            module,
            objective,
            rows,
            held_out,
            device,
            random_state,
            progress,
            incremental=incremental,
        )

    def _make_module(
        self,
        X: Any,
        width: int,
        device: torch.device,
        random_state: np.random.RandomState,
        *,
        first: bool,
    ) -> MLP:
        sizes = [X.shape[1], *spec.layer_sizes(self.hidden_layer_sizes), width]
        if not first:
            self._check_same_layers(sizes)
            coefs = [coef.astype(X.dtype, copy=False) for coef in self.coefs_]
            intercepts = [b.astype(X.dtype, copy=False) for b in self.intercepts_]
        else:
            coefs, intercepts = self._start(sizes, random_state, X.dtype)
        rates = spec.dropout_rates(self.dropout, len(sizes) - 2)
        # No draw without dropout, so that the row orders are scikit-learn's.
        generator = torch_generator(random_state, device) if any(rates) else None
        module = MLP(
            coefs,
            intercepts,
            activation=self.activation,
            normalization=self.normalization,
            normalization_position=self.normalization_position or "before",
            dropout=rates,
            layer_state=None if first else self.layer_state_,
            generator=generator,
        )
        return module.to(device)

    def _check_same_layers(self, sizes: list[int]) -> None:
        before = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        if before != sizes:
            raise ValueError(
                f"A training goes on from a net of {before} units a layer, and the parameters "
                f"now ask for {sizes}; call fit with warm_start=False to start anew."
            )

    def _start(
        self, sizes: list[int], random_state: np.random.RandomState, dtype: np.dtype[Any]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return initial weights and biases, from scikit-learn's stream or as asked for."""
        activation = get_activation(self.activation)
        last = self.last_layer_initializer
        coefs, intercepts = [], []
        if self.initializer is None:
            coefs, intercepts = _sklearn_start(sizes, activation, random_state, dtype)
        if self.initializer is None and last is None:
            return coefs, intercepts
        generator = torch_generator(random_state, torch.device("cpu"))
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            given = self.initializer if last is None or layer < len(sizes) - 2 else last
            if given is None:
                continue
            weight, bias = torch.empty(fan_out, fan_in), torch.empty(fan_out)
            get_initializer(given).init_(weight, bias, generator, activation)
            coefs[layer:] = [np.ascontiguousarray(weight.numpy().T, dtype=dtype)]
            intercepts[layer:] = [bias.numpy().astype(dtype)]
        return coefs, intercepts

    def _publish_module(self, module: MLP) -> None:
        self.coefs_ = module.coefs()
        self.intercepts_ = module.intercepts()
        self.layer_state_ = module.layer_state()
        arrays = [array for state in self.layer_state_ for array in state.values()]
        arrays += [*self.coefs_, *self.intercepts_]
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("Solver produced non-finite parameter weights.")
        self.n_layers_ = len(module.sizes)

    def _publish_training(self, outcome: Outcome, progress: Progress) -> None:
        super()._publish_training(outcome, progress)
        if self.solver == "lbfgs":
            # Curves of an earlier training by epochs would belong to other weights.
            for name in spec.CURVES:
                delattr(self, name)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a training has ended with weights."""
        return hasattr(self, "coefs_")

    def _raw(self, X: Any) -> np.ndarray:
        """Return raw scores, shape (n, k), in numpy: no net is rebuilt for one row."""
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse=["csr", "csc"], reset=False, dtype=(np.float64, np.float32)
        )
        return raw_scores(
            X.astype(self.coefs_[0].dtype, copy=False),
            self.coefs_,
            self.intercepts_,
            activation=self.activation,
            normalization=self.normalization,
            normalization_position=self.normalization_position,
            layer_state=self.layer_state_,
        )

    def _has_partial_fit(self) -> bool:
        """Whether the solver works in epochs; `partial_fit` is there only then."""
        if self.solver not in spec.STOCHASTIC_SOLVERS:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not "
                "stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        """Say that sparse X is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _sklearn_start(
    sizes: list[int],
    activation: Activation,
    random_state: np.random.RandomState,
    dtype: np.dtype[Any],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw scikit-learn's initial weights from scikit-learn's stream."""
    factor = 2.0 if activation.name == "logistic" else 6.0
    coefs, intercepts = [], []
    for fan_in, fan_out in pairwise(sizes):
        bound = np.sqrt(factor / (fan_in + fan_out))
        coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(dtype))
        intercepts.append(random_state.uniform(-bound, bound, fan_out).astype(dtype))
    return coefs, intercepts
