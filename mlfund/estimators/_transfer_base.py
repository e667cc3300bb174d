"""What the estimators of transfer learning share, whatever they read and predict."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from mlfund._check import check_choice, resolve_device, seed_from
from mlfund._version_stamp import VersionStamped
from mlfund.augmentation import Augmentation
from mlfund.backbones import BackboneSource, get_backbone
from mlfund.estimators import _transfer_heads as heads
from mlfund.estimators import _transfer_strategy as strategies
from mlfund.estimators._neural_validation import drawn_share
from mlfund.estimators._transfer_heads import LinearHead
from mlfund.estimators._transfer_net import TransferNet
from mlfund.estimators._transfer_tuning import Tuning, TuningPlan, auto_epochs

PRECOMPUTED = "precomputed"
# A view of an image: whether it is mirrored, and the share of its sides that is seen.
View = tuple[bool, float]
WHOLE: View = (False, 1.0)
VIEWS: dict[str | None, tuple[View, ...]] = {
    None: (WHOLE,),
    "flip": (WHOLE, (True, 1.0)),
    "flip_zoom": (WHOLE, (True, 1.0), (False, 0.8), (True, 0.8)),
}
# Rows up to which "auto" tries zoomed views: they gain with few rows, and cost two passes more.
ZOOMED_ROWS = 1000
# Parameters that the training of a net takes as they are.
PASSED_ON = (
    "max_iter",
    "batch_size",
    "optimizer",
    "schedule",
    "weight_decay",
    "clip_norm",
    "early_stopping",
    "validation_fraction",
    "n_iter_no_change",
    "precision",
    "device",
    "random_state",
    "verbose",
    "callbacks",
    "checkpoint_dir",
    "checkpoint_every",
)


class BaseTransfer(VersionStamped, BaseEstimator, ABC):
    """A pretrained backbone and a head behind scikit-learn's interface; see the subclasses."""

    _kind: ClassVar[str]
    _strategies: ClassVar[tuple[str, ...]]
    _tuning_class: ClassVar[type[Tuning]]

    backbone_: BackboneSource
    head_: Any
    tuned_: Tuning
    strategy_: str
    explanation_: str
    settings_: dict[str, Any]

    @abstractmethod
    def _given(self, X: Any) -> Any:
        """Return the rows of X, checked; they have a length and are read when needed."""

    @abstractmethod
    def _embed(self, given: Any, view: View) -> np.ndarray:
        """Return embeddings of a view of checked rows by the frozen backbone, (n, d)."""

    @abstractmethod
    def _net_rows(self, given: Any, encoder: Any) -> np.ndarray:
        """Return checked rows as the encoder takes them."""

    def _check_given_target(self, y: Any) -> None:
        """Refuse what can be told of y before anything is read; nothing by default."""

    @abstractmethod
    def _check_target(self, y: Any) -> np.ndarray:
        """Return y as an array, checked; learn what `predict` needs."""

    @abstractmethod
    def _row_weights(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        """Return the weights of rows, those of classes included, or None."""

    @abstractmethod
    def _fit_own_head(
        self,
        name: str,
        views: Sequence[np.ndarray],
        y: np.ndarray,
        weight: np.ndarray | None,
        seed: int,
    ) -> Any:
        """Return "linear" or "mlp", fitted on embeddings of one or more views of the rows."""

    @abstractmethod
    def _tuning_target(
        self, y: np.ndarray, train: slice | np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray:
        """Return y as the net is trained on it; what that takes is learned of rows `train`."""

    @abstractmethod
    def _tuning_start(self, head: LinearHead) -> LinearHead:
        """Return a linear head as the net begins with it, for the target it is trained on."""

    def _more_settings(self) -> dict[str, Any]:
        """Return further parameters of the training of a net."""
        return {}

    def _augmentations(self) -> tuple[Augmentation, ...]:
        """Return what is done to training rows of a net."""
        return ()

    def _views(self) -> str | None:
        """Return the views that `test_time_augmentation` asks for: "auto", "flip" or None."""
        return None

    def _net_views(self) -> str | None:
        """Return the views that predictions of a net average over: "flip" or None."""
        return None

    def _size(self) -> tuple[int, int] | None:
        """Return the height and width of images, if not those of the backbone."""
        return None

    def _lora_rank(self) -> int | None:
        """Return the rank of adapters where the strategy is to train these."""
        return None

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        self._forget()
        try:
            self._check_parameters()
            self._check_given_target(y)
            if self._is_precomputed():
                X, y = self._validated(X, y)
            else:
                self.backbone_ = self._source()
                X, y = self._read(X, y)
            y = self._check_target(y)
            if sample_weight is not None:
                counted = np.empty((len(X), 1))
                sample_weight = _check_sample_weight(
                    sample_weight, counted, dtype=np.float64, ensure_non_negative=True
                )
            self._train(X, y, self._row_weights(y, sample_weight))
        except BaseException:
            self._forget()
            raise
        return self

    def _source(self) -> BackboneSource:
        return get_backbone(self.backbone, self._kind, download=self.download)

    def _is_precomputed(self) -> bool:
        return isinstance(self.backbone, str) and self.backbone == PRECOMPUTED

    def _check_parameters(self) -> None:
        check_choice("strategy", self.strategy, self._strategies)
        heads.check_head(self.head, real=self._is_real(), whose=type(self).__name__)
        strategies.check_trainable(
            self.strategy,
            self.head,
            precomputed=self._is_precomputed(),
            linear=self._has_linear_head(),
        )

    def _validated(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return embeddings that were computed before and y, checked as tables are."""
        return validate_data(
            self, X, y, dtype=(np.float32, np.float64), multi_output=True, y_numeric=self._is_real()
        )

    @abstractmethod
    def _is_real(self) -> bool:
        """Whether targets are numbers."""

    def _read(self, X: Any, y: Any) -> tuple[Any, Any]:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but it is None.")
        _check_feature_names(self, X, reset=True)
        given = self._given(X)
        y = y if hasattr(y, "shape") else np.asarray(y)
        check_consistent_length(np.empty(len(given)), y)
        return given, y

    def _train(self, given: Any, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Fit the head on embeddings, train the net, or do one after the other."""
        seed = seed_from(self.random_state)
        embedded: dict[View, np.ndarray] = {}
        gain = None
        if self.strategy in (strategies.AUTO, strategies.FROZEN):
            gain = self._fit_head(given, y, weight, slice(None), seed, embedded)
        n_rows = len(y) if weight is None else int(np.count_nonzero(weight))
        self.strategy_, self.explanation_ = self._chosen(n_rows, gain)
        if self.verbose:
            sys.stdout.write(f"{self.strategy_}: {self.explanation_}\n")
        if self.strategy_ == strategies.FROZEN:
            self.n_iter_ = heads.iterations_of(self.head_)
            return
        train, held_out = self._parts(y, weight, seed)
        start = None
        if self.strategy_ == strategies.PROBE_FIRST:
            # Rows that say when to stop must be new to the head that the net begins with.
            if held_out is not None or not hasattr(self, "head_"):
                self._fit_head(given, y, weight, train, seed, embedded)
            start = heads.weights_of(self.head_)
            del self.head_  # what predicts is the net
        embedded.clear()
        self._tune(given, y, weight, train, held_out, start)
        self.n_iter_ = self.tuned_.n_iter_

    def _parts(
        self, y: np.ndarray, weight: np.ndarray | None, seed: int
    ) -> tuple[slice | np.ndarray, np.ndarray | None]:
        """Return which rows a net is trained on, and which are held out, None for no rows."""
        if not self.early_stopping:
            return slice(None), None
        rows = np.arange(len(y)) if weight is None else np.flatnonzero(weight)
        task = "regression" if self._is_real() else "multiclass"
        train, held_out = drawn_share(y[rows], task, self.validation_fraction, seed)
        return rows[train], rows[held_out]

    def _has_linear_head(self) -> bool:
        return isinstance(self.head, str) and self.head == "linear"

    def _chosen(self, n_rows: int, gain: float | None) -> strategies.Choice:
        if self.strategy != strategies.AUTO:
            return strategies.Choice(self.strategy, "This is the strategy that was asked for.")
        return strategies.choose(
            n_rows=n_rows,
            accelerated=resolve_device(self.device).type != "cpu",
            trainable=self._has_linear_head() and not self._is_precomputed(),
            gain=gain,
        )

    def _fit_head(
        self,
        given: Any,
        y: np.ndarray,
        weight: np.ndarray | None,
        rows: slice | np.ndarray,
        seed: int,
        embedded: dict[View, np.ndarray],
    ) -> float | None:
        """Fit the head on embeddings of `rows`, in the views that are wanted or that do best.

        Returns its gain on held-out rows, None where it is not known. Views are compared on the
        same folds; `embedded` keeps embeddings of all rows.
        """
        y, weight = y[rows], None if weight is None else weight[rows]
        wanted = None if self._is_precomputed() else self._views()
        candidates = [wanted]
        if wanted == "auto":
            candidates = [None]
            if self._has_linear_head():
                candidates += ["flip", "flip_zoom"] if len(y) <= ZOOMED_ROWS else ["flip"]
        best: float | None = None
        for views in candidates:
            for view in VIEWS[views]:
                if view not in embedded:
                    embedded[view] = given if self._is_precomputed() else self._embed(given, view)
            seen = [embedded[view][rows] for view in VIEWS[views]]
            head = self._fitted_head(seen, y, weight, seed)
            gain = heads.held_out_gain(head, y, weight) if self._has_linear_head() else None
            better = best is not None and gain is not None and gain > best
            if views == candidates[0] or better:
                self.head_, self.views_, best = head, views, gain
        return best

    def _fitted_head(
        self, views: Sequence[np.ndarray], y: np.ndarray, weight: np.ndarray | None, seed: int
    ) -> Any:
        # Weights came to this estimator, which hands them on itself, whatever its caller routes.
        with config_context(enable_metadata_routing=False):
            if isinstance(self.head, str):
                return self._fit_own_head(self.head, *heads.counted(views, y, weight), seed)
            return heads.fit_given(self.head, heads.mean_of(views), y, weight)

    def _tune(
        self,
        given: Any,
        y: np.ndarray,
        weight: np.ndarray | None,
        train: slice | np.ndarray,
        held_out: np.ndarray | None,
        start: LinearHead | None,
    ) -> None:
        """Train a net on rows `train`; `held_out` say when to stop."""
        target = self._tuning_target(y, train, weight)
        self.settings_ = {"max_iter": self._epochs(len(y[train]))}
        if start is not None:
            start = self._tuning_start(start)
        self.tuned_ = self._tuning_class(self._plan(start), self._settings())
        rows = self._net_rows(given, self.tuned_.encoder())

        def part(places: slice | np.ndarray) -> tuple[Any, Any, Any]:
            return rows[places], target[places], None if weight is None else weight[places]

        names = ("X_val", "y_val", "sample_weight_val")
        told = {} if held_out is None else dict(zip(names, part(held_out), strict=True))
        self.tuned_.fit(*part(train), **told)

    def _epochs(self, n_rows: int) -> int:
        if isinstance(self.max_iter, str):
            return auto_epochs(n_rows, self.batch_size)
        return int(self.max_iter)

    def _plan(self, start: LinearHead | None) -> TuningPlan:
        top = self.strategy_ == strategies.TOP
        return TuningPlan(
            source=self.backbone_,
            n_groups=self.n_unfrozen_groups if top else None,
            backbone_lr=self.backbone_lr,
            head_lr=self.head_lr,
            layer_decay=self.layer_decay,
            gradual=self.strategy_ == strategies.GRADUAL,
            head=start,
            augmentations=self._augmentations(),
            views=self._net_views(),
            image_size=self._size(),
            lora_rank=self._lora_rank() if self.strategy_ == strategies.LORA else None,
        )

    def _settings(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in PASSED_ON} | self.settings_
        if not self.early_stopping:
            # The schedule is laid out for all epochs.
            settings["n_iter_no_change"] = np.inf
        return settings | self._more_settings()

    def _model_and_rows(self, X: Any) -> tuple[Any, np.ndarray]:
        """Return what predicts, and rows to predict as it takes them."""
        check_is_fitted(self, "strategy_")
        if self._is_precomputed():
            return self.head_, validate_data(self, X, dtype=(np.float32, np.float64), reset=False)
        _check_feature_names(self, X, reset=False)
        given = self._given(X)
        if self.strategy_ != strategies.FROZEN:
            return self.tuned_, self._net_rows(given, self.tuned_.module_.encoder)
        return self.head_, heads.mean_of([self._embed(given, v) for v in VIEWS[self.views_]])

    @property
    def module_(self) -> TransferNet:
        """The trained net, where the strategy trained one."""
        check_is_fitted(self, "strategy_")
        if self.strategy_ == strategies.FROZEN:
            raise AttributeError(
                f"strategy={self.strategy_!r} trained no net: the head is head_, and "
                "mlfund.BackboneFeatures gives embeddings."
            )
        return self.tuned_.module_

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch of the training of the net; empty where the backbone is frozen."""
        check_is_fitted(self, "strategy_")
        return pd.DataFrame() if self.strategy_ == strategies.FROZEN else self.tuned_.history_

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit has ended."""
        return hasattr(self, "head_") or hasattr(self, "tuned_")

    def _forget(self) -> None:
        """Remove everything that a fit sets."""
        for name in [n for n in vars(self) if n.endswith("_") and not n.startswith("__")]:
            delattr(self, name)

    def __sklearn_tags__(self) -> Any:
        """Say that rows are images or texts, unless they are embeddings."""
        tags = super().__sklearn_tags__()
        if not self._is_precomputed():
            tags.input_tags.two_d_array = False
            tags.input_tags.three_d_array = self._kind == "image"
            tags.input_tags.string = True
        return tags
