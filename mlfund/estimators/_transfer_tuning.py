"""Training of an encoder and its head: what the estimators of transfer hand their rows to.

The rows are read and checked: uint8 pixels at the size of the encoder, or tokens. The
estimators are private; what a user sets comes from the public ones as a `TuningPlan`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from mlfund._check import limited_threads, seed_from
from mlfund._engine.groups import RateGroup
from mlfund.augmentation import Augmentation
from mlfund.backbones import BackboneSource, Encoder, ImageEncoder, TextEncoder
from mlfund.backbones._text_batches import token_batches
from mlfund.estimators import _neural_own_probe as probe
from mlfund.estimators._neural_classifier import BaseNeuralClassifier
from mlfund.estimators._neural_module import BuiltModule, ProbedScores, tensor_of
from mlfund.estimators._neural_own_build import Recipe
from mlfund.estimators._neural_regressor import BaseNeuralRegressor
from mlfund.estimators._neural_rows import HostRows
from mlfund.estimators._neural_training import Outcome, Progress
from mlfund.estimators._transfer_growing import GrowingImages
from mlfund.estimators._transfer_net import TransferNet, build_net, load_encoder
from mlfund.nets.views import VIEWS, AveragedViews

# Rows of a step where `batch_size` is "auto": small, since there are few rows and few epochs.
BATCH_SIZE = 32
# Epochs where `max_iter` is "auto", and steps that these have at least: of a dozen rows an epoch
# is one step, and ten of them leave a head near where it began.
EPOCHS, LEAST_STEPS = 10, 60
# Rows that tell how large embeddings are.
SCALED_ROWS = 32
# Tokens of a text that shows how much memory a token takes at most, unless texts are shorter.
PROBED_TOKENS = 1024
# Fitted attributes that no file holds: what they are is made again from what it holds.
_MADE_AGAIN = ("_net", "_loaded", "_merged_net")


@dataclass(frozen=True)
class TuningPlan:
    """What is trained of a backbone, how fast, and from which head.

    Attributes
    ----------
    source : BackboneSource
        The backbone.
    n_groups : int or None
        Topmost groups of the encoder that are trained; None is all.
    backbone_lr, head_lr : float
        Largest learning rates of the topmost group and of the head.
    layer_decay : float
        Rate of a group as a share of that of the group above.
    gradual : bool
        Whether groups begin to train one after the other, from the top.
    head : (ndarray, ndarray) or None
        Weights and intercepts that the head begins with; zeros without.
    augmentations : tuple of Augmentation
        Of images.
    views : str or None
        Name of the views that predictions average over.
    image_size : (int, int) or None
        Height and width, if not those of the backbone.
    lora_rank : int or None
        Rank of adapters that are trained in place of the weights.
    """

    source: BackboneSource
    n_groups: int | None = None
    backbone_lr: float = 1e-5
    head_lr: float = 1e-3
    layer_decay: float = 1.0
    gradual: bool = False
    head: tuple[np.ndarray, np.ndarray] | None = None
    augmentations: tuple[Augmentation, ...] = ()
    views: str | None = None
    image_size: tuple[int, int] | None = None
    lora_rank: int | None = None


# What the public estimators do not offer, as `BaseNeural` wants to see it.
_FIXED: dict[str, Any] = {
    "alpha": 0.0,
    "shuffle": True,
    "tol": 1e-4,
    "warm_start": False,
    "validation_split": None,
    "scoring": None,
    "loss": None,
    "lr_scaling": None,
    "base_batch_size": None,
    "accumulation_steps": None,
    "clip_value": None,
    "averaging": None,
    "mixup": None,
    "input_noise": None,
    "l1_ratio": None,
    "max_norm": None,
    "track_norms": None,
    "class_weight": None,
    "label_smoothing": None,
}


def auto_epochs(n_rows: int, batch_size: int | str) -> int:
    """Return the epochs that `max_iter="auto"` stands for."""
    steps = math.ceil(n_rows / (BATCH_SIZE if isinstance(batch_size, str) else batch_size))
    return max(EPOCHS, math.ceil(LEAST_STEPS / steps))


class Tuning(BuiltModule):
    """A `TransferNet` behind the training that all neural estimators share."""

    _input_dtypes: Any = (np.uint8, np.int32)
    _loaded: Encoder
    # The device of a net for predictions, and the net.
    _merged_net: tuple[torch.device, nn.Module]
    _tokens_at_once: int

    def __init__(self, plan: TuningPlan, settings: Mapping[str, Any]) -> None:
        self.plan = plan
        self.settings = settings
        for name, value in {**_FIXED, **settings}.items():
            setattr(self, name, value)
        self.learning_rate_init = plan.head_lr

    def __sklearn_clone__(self) -> Tuning:
        """Return one that is not fitted."""
        return type(self)(self.plan, self.settings)

    @property
    def module_(self) -> TransferNet:
        """The trained net; after loading it is built at its first use."""
        net = self.__dict__.get("_net")
        if net is None:
            if "_net_weights" not in self.__dict__:
                raise AttributeError("module_")
            net = self._recipe.build()
            saved = {n: torch.from_numpy(np.array(a)) for n, a in self._net_weights.items()}
            net.load_state_dict({**net.state_dict(), **saved})
            self.__dict__["_net"] = net.eval()
        assert isinstance(net, TransferNet)
        return net

    @module_.setter
    def module_(self, net: nn.Module) -> None:
        self.__dict__["_net"] = net
        self.__dict__.pop("_merged_net", None)

    def encoder(self) -> Encoder:
        """Return the encoder that the next fit trains, which tells how rows are read."""
        if "_loaded" not in self.__dict__:
            self._loaded = load_encoder(self.plan.source, self.plan.image_size)
        return self._loaded

    def _identifying_params(self) -> dict[str, Any]:
        """Return what tells a training from others, one by one; the backbone by its content."""
        plan = {
            field.name: getattr(self.plan, field.name) for field in dataclasses.fields(self.plan)
        }
        return {**self.settings, **plan, "source": self.plan.source.fingerprint}

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a training has ended with weights."""
        return "_net" in self.__dict__ or "_net_weights" in self.__dict__

    def _forget(self) -> None:
        super()._forget()
        for name in (*_MADE_AGAIN, "_net_weights", "_trained", "_pixels", "_tokens_at_once"):
            self.__dict__.pop(name, None)

    def _publish_training(self, outcome: Outcome, progress: Progress) -> None:
        # No training goes on from here, and moments are twice the size of the weights.
        progress.optimizer = {}
        super()._publish_training(outcome, progress)

    def _make_module(
        self,
        X: Any,
        width: int,
        device: torch.device,
        random_state: np.random.RandomState,
        *,
        first: bool,
    ) -> nn.Module:
        plan, seed = self.plan, seed_from(random_state)
        recipe = Recipe(
            source=build_net,
            options={
                "source": plan.source,
                "n_outputs": width,
                "image_size": plan.image_size,
                "lora_rank": plan.lora_rank,
                "seed": seed,
            },
            seed=seed,
            dtype="float32",
            output="raw",
            kind=getattr(self, "_target_kind", "real"),
            integers=False,
        )
        # The encoder that has read the rows, if there is one, need not be loaded again.
        build = functools.partial(build_net, encoder=self.__dict__.pop("_loaded", None))
        net = dataclasses.replace(recipe, source=build).build()
        assert isinstance(net, TransferNet)
        for change in plan.augmentations:
            if isinstance(change, GrowingImages):
                assert isinstance(net.encoder, ImageEncoder)
                change.check(net.encoder)
        n_groups = len(net.encoder.groups())
        net.freeze_below(n_groups if plan.n_groups is None else min(plan.n_groups, n_groups))
        if plan.augmentations:
            self._pixels = net.pixels
        # Names, since only these are saved; the rest is in the backbone. Before the net moves,
        # which makes other tensors of the buffers that groups hold.
        self._trained = net.trained_names()
        net.to(device)
        torch.manual_seed(seed)
        rows = tensor_of(X, slice(0, probe.PROBED_ROWS), device)
        seen = probe.first_pass(net, rows, str(plan.source))
        net.set_scale(tensor_of(X, slice(0, SCALED_ROWS), device))
        if plan.head is not None:
            net.set_head(*plan.head)
        if isinstance(net.encoder, TextEncoder):
            seen = self._seen_at_full_length(net, net.encoder, seen, device)
        return ProbedScores(net, recipe, seen)

    def _seen_at_full_length(
        self, net: TransferNet, encoder: TextEncoder, seen: probe.FirstPass, device: torch.device
    ) -> probe.FirstPass:
        """Return what a first pass showed, with rows for which memory lasts however long."""
        length = min(encoder.max_length, PROBED_TOKENS)
        # Any token but the one that fills up.
        text = torch.full((1, length), int(encoder.pad_id == 0), dtype=torch.int32, device=device)
        rows = probe.first_pass(net, text, str(self.plan.source)).rows_at_once
        self._tokens_at_once = rows * length
        longest = max(1, self._tokens_at_once // encoder.max_length)
        return dataclasses.replace(seen, rows_at_once=longest)

    def _rate_groups(self, module: Any) -> list[RateGroup]:
        net, plan = module.module, self.plan
        # Adapters begin at nothing, as the head does, and take its rate.
        share = 1.0 if plan.lora_rank is not None else plan.backbone_lr / plan.head_lr
        found: list[RateGroup] = net.rate_groups(share, plan.layer_decay)
        if not plan.gradual:
            return found
        # All train for the second half at least, the head alone for the first epoch.
        steps = max(1, self.max_iter // 2)
        n = len(found) - 1
        first = [min(self.max_iter - 1, 1 + depth * steps // max(n, 1)) for depth in range(n)]
        staged: list[RateGroup] = net.rate_groups(share, plan.layer_decay, first)
        return staged

    def _augmentations(self) -> list[Augmentation]:
        changes = list(self.plan.augmentations)
        # What changes images takes them standardised; else the net reads bytes itself.
        return [*([self._pixels] if changes else []), *changes, *super()._augmentations()]

    def _auto_batch_size(self) -> int:
        return BATCH_SIZE

    def _runs_all_epochs(self) -> bool:
        # The schedule is laid out for them.
        return True

    def _validation_rows(self, validation: tuple[Any, Any, Any], y: Any) -> HostRows | None:
        # Tokens have as many columns as their longest text, here another one than in X.
        self.__dict__.pop("n_features_in_", None)
        return super()._validation_rows(validation, y)

    def _as_input(self, X: Any) -> tuple[Any, np.dtype[Any]]:
        # Bytes and tokens stay so until they are in a batch.
        return X, np.dtype(np.float32)

    def _checked_rows(self, X: Any) -> Any:
        return X

    def _predictor(self) -> nn.Module:
        net: Any = self.module_
        if self.plan.lora_rank is not None:
            net = self._with_merged_adapters(net)
        return net if self.plan.views is None else AveragedViews(net, VIEWS[self.plan.views])

    def _with_merged_adapters(self, net: nn.Module) -> nn.Module:
        """Return a net for predictions, in which adapters do not cost two products a layer."""
        from mlfund.backbones._lora import merged_lora

        # A copy: `module_` stays as it was trained, and threads may meet here.
        device = next(net.parameters()).device
        kept_on, merged = self.__dict__.get("_merged_net", (None, net))
        if kept_on != device:
            merged = merged_lora(net)
            self._merged_net = device, merged
        return merged

    def _in_blocks(self, net: Callable[[torch.Tensor], torch.Tensor], X: Any) -> np.ndarray:
        encoder = self.module_.encoder
        if not isinstance(encoder, TextEncoder):
            return super()._in_blocks(net, X)
        device = next(self.module_.parameters()).device
        batches = token_batches(X, encoder.pad_id, self._tokens_at_once, probe.MOST_ROWS)
        with torch.no_grad(), limited_threads(self._pass_costs[0] * len(X)):
            found = [(rows, net(torch.from_numpy(part).to(device)).cpu()) for rows, part in batches]
        order = np.concatenate([rows for rows, _ in found])
        raw: np.ndarray = torch.cat([part for _, part in found]).numpy()[np.argsort(order)]
        return raw

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the weights that were trained; the others are the backbone's."""
        state: dict[str, Any] = super().__getstate__()
        net, *_ = (state.pop(name, None) for name in _MADE_AGAIN)
        if net is not None:
            weights = net.state_dict()
            state["_net_weights"] = {
                name: weights[name].detach().cpu().numpy().copy() for name in self._trained
            }
        return state


class TuningClassifier(Tuning, BaseNeuralClassifier):
    """For classes."""


class TuningRegressor(Tuning, BaseNeuralRegressor):
    """For real targets."""
