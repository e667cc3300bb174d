"""What a diagnosis works on: the bare network, its rows, rows held out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import _safe_indexing
from sklearn.utils.multiclass import type_of_target

from mlfund._check import seed_from
from mlfund._engine.data import DeviceRows
from mlfund._engine.net import Engine
from mlfund.diagnostics._probe import Capture, Captured, Probe
from mlfund.estimators._neural_base import BaseNeural
from mlfund.folds import FoldPlan


@dataclass(frozen=True)
class Subject:
    """The network inside what the user gave, and what stands around it.

    Attributes
    ----------
    network : BaseNeural
        Unfitted, with the user's parameters.
    steps : Pipeline or None
        What X goes through before it.
    target : transformer or None
        What y goes through before it.
    """

    network: BaseNeural
    steps: Pipeline | None = None
    target: Any = None


def find_network(estimator: Any) -> Subject:
    """Take a pipeline or a target transformation apart; nothing given is changed.

    Raises
    ------
    TypeError
        If there is no neural estimator inside.
    """
    if isinstance(estimator, BaseNeural):
        return Subject(clone(estimator))
    if isinstance(estimator, Pipeline):
        inner = find_network(estimator.steps[-1][1])
        before = [(name, step) for name, step in estimator.steps[:-1]]
        if not before:
            return inner
        steps = clone(Pipeline(before))
        if inner.steps is not None:
            steps = Pipeline([("outer", steps), ("inner", inner.steps)])
        return replace(inner, steps=steps)
    # Loaded where it is used: it brings scikit-learn's linear models.
    from sklearn.compose import TransformedTargetRegressor

    if isinstance(estimator, TransformedTargetRegressor):
        inner = find_network(estimator.regressor)
        target = estimator.transformer
        if target is None:
            target = FunctionTransformer(estimator.func, estimator.inverse_func, validate=False)
        return replace(inner, target=clone(target))
    raise TypeError(
        f"diagnose takes MLPClassifier, MLPRegressor, NeuralClassifier or NeuralRegressor, alone, "
        f"at the end of a Pipeline or in a TransformedTargetRegressor; got {estimator!r}."
    )


@dataclass
class Material:
    """Network, rows to train on and rows held out, as the network gets them.

    Attributes
    ----------
    network : BaseNeural
        Unfitted; quiet, with a fixed seed and without checkpoints.
    classification : bool
        Whether y holds classes.
    X, y, X_valid, y_valid : array-like
        Rows to train on and rows held out, after the steps before the network.
    columns : list of str or None
        Names of the columns, where the rows are a table.
    notes : list of str
        What was done to the data on the way.
    """

    network: BaseNeural
    classification: bool
    X: Any
    y: Any
    X_valid: Any
    y_valid: Any
    columns: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    def train(self, **changes: Any) -> Trained:
        """Fit the network on the training rows, with some parameters changed."""
        return _train(self, self.network, changes, self.start)

    @property
    def start(self) -> Start:
        """The network before its first step, and all rows as it sees them."""
        if not hasattr(self, "_start"):
            self._start = capture(self)
        return self._start


def prepare(
    subject: Subject,
    X: Any,
    y: Any,
    *,
    X_valid: Any = None,
    y_valid: Any = None,
    groups: Any = None,
    fraction: float,
    max_rows: int | None,
    random_state: Any,
) -> Material:
    """Hold rows out, fit the steps before the network on the others, transform both."""
    seed = seed_from(random_state)
    classification = is_classifier(subject.network)
    notes: list[str] = []
    if X_valid is None:
        kept, held_out = _split(y, classification, groups, fraction, seed)
        X_valid, y_valid = _safe_indexing(X, held_out), _safe_indexing(y, held_out)
        X, y = _safe_indexing(X, kept), _safe_indexing(y, kept)
    if max_rows is not None and len(np.asarray(y)) > max_rows:
        notes.append(f"{max_rows} of {len(np.asarray(y))} training rows, drawn at random.")
        drawn = np.random.RandomState(seed).permutation(len(np.asarray(y)))[:max_rows]
        drawn.sort()
        X, y = _safe_indexing(X, drawn), _safe_indexing(y, drawn)
    if subject.steps is not None:
        X = subject.steps.fit_transform(X, y)
        X_valid = subject.steps.transform(X_valid)
    columns = [str(name) for name in X.columns] if hasattr(X, "columns") else None
    y, y_valid = np.asarray(y), np.asarray(y_valid)
    if subject.target is not None:
        y, y_valid = _transform_target(subject.target, y, y_valid)
    if classification and y.ndim == 1:
        known = np.isin(y_valid, np.unique(y))
        if not known.all():
            notes.append(f"{(~known).sum()} held-out rows of classes that no training row has.")
            X_valid, y_valid = _safe_indexing(X_valid, np.flatnonzero(known)), y_valid[known]
    network = quiet(subject.network._spelled_out(len(y)), seed)
    return Material(network, classification, X, y, X_valid, y_valid, columns, notes)


def prepare_all(subject: Subject, X: Any, y: Any, random_state: Any) -> tuple[BaseNeural, Any, Any]:
    """Return the network, and all rows as it gets them; nothing is held out."""
    if subject.steps is not None:
        X = subject.steps.fit_transform(X, y)
    y = np.asarray(y)
    if subject.target is not None:
        y, _ = _transform_target(subject.target, y, y[:1])
    return quiet(subject.network._spelled_out(len(y)), seed_from(random_state)), X, y


def _split(
    y: Any, classification: bool, groups: Any, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    target = np.asarray(y)
    task = "regression"
    if classification:
        task = "multilabel" if type_of_target(target).startswith("multilabel") else "classification"
    kept, held_out = FoldPlan.holdout(
        target, task=task, fraction=fraction, groups=groups, random_state=seed
    )[0]
    return kept, held_out


def _transform_target(
    transformer: Any, y: np.ndarray, y_valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    as_columns = [values.reshape(len(values), -1) for values in (y, y_valid)]
    fitted = transformer.fit(as_columns[0])
    done = [np.asarray(fitted.transform(values)) for values in as_columns]
    if y.ndim == 1:
        done = [values.ravel() for values in done]
    return done[0], done[1]


def quiet(network: BaseNeural, seed: int) -> BaseNeural:
    """Return the network with a fixed seed, no output and no files."""
    changes: dict[str, Any] = {"verbose": False, "warm_start": False, "checkpoint_dir": None}
    if not isinstance(network.random_state, int | np.integer):
        changes["random_state"] = seed
    known = network.get_params(deep=False)
    return clone(network).set_params(**{k: v for k, v in changes.items() if k in known})


@dataclass
class Start:
    """A network before its first step.

    Attributes
    ----------
    net : Engine
        Initialised; its module must not be trained.
    train, valid : DeviceRows
        Rows to train on and rows held out.
    """

    net: Engine
    train: DeviceRows
    valid: DeviceRows


def capture(material: Material) -> Start:
    """Take the engine out of a `fit` on all rows, before its first step.

    Raises
    ------
    ValueError
        If `fit` refuses the parameters or the data.
    """
    X = _stack(material.X, material.X_valid)
    y = np.concatenate([material.y, material.y_valid])
    caught = capture_fit(material.network, X, y)
    n_train = len(material.y)
    train = subset(caught.rows, slice(0, n_train))
    return Start(caught.net, train, subset(caught.rows, slice(n_train, len(y))))


def capture_fit(network: BaseNeural, X: Any, y: Any) -> Captured:
    """Run `fit` up to its first step and return the engine and its rows."""
    return caught_in(clone(network), X, y)


def caught_in(estimator: BaseNeural, X: Any, y: Any) -> Captured:
    """Run `fit` of an estimator, whose parameters are changed for it, up to its first step."""
    parameters = estimator.get_params(deep=False)
    # All rows, none set aside. L-BFGS has no engine, but the network that it would start
    # from is the same.
    changes = {"early_stopping": False, "scoring": None, "validation_split": None}
    if parameters.get("solver") == "lbfgs":
        changes["solver"] = "adam"
    known = {name: value for name, value in changes.items() if name in parameters}
    estimator.set_params(**known, callbacks=[Capture()])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(X, y)
    except Captured as caught:
        return caught
    raise RuntimeError(f"{type(estimator).__name__}.fit did not train by epochs.")


def subset(rows: DeviceRows, part: Any) -> DeviceRows:
    """Return some of the rows as rows of their own."""
    X = rows.X[part] if rows.is_sparse else rows.features(part).cpu().numpy()
    weight = None if rows.host_weight is None else rows.host_weight[part]
    return DeviceRows(X, rows.y[part].cpu().numpy(), weight, device=rows.device)


def _stack(first: Any, second: Any) -> Any:
    if sp.issparse(first):
        return sp.vstack([first, second], format="csr")
    return np.concatenate([np.asarray(first), np.asarray(second)])


@dataclass
class Trained:
    """One training and what was seen of it.

    Attributes
    ----------
    estimator : BaseNeural
        Fitted, unless there was an error.
    probe : Probe
        Its record; empty for L-BFGS.
    error : Exception or None
        What ended the training before its time.
    warnings : list of str
        What `fit` warned of.
    """

    estimator: BaseNeural
    probe: Probe
    error: Exception | None
    warnings: list[str]


def _train(
    material: Material, network: BaseNeural, changes: dict[str, Any], start: Start
) -> Trained:
    estimator = clone(network).set_params(**changes)
    probe = Probe(start.valid)
    if getattr(estimator, "solver", None) != "lbfgs":
        estimator.set_params(callbacks=[probe, *(estimator.callbacks or ())])
    error: Exception | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(material.X, material.y)
        except ValueError as refused:
            error = refused
    probe.finish()
    return Trained(estimator, probe, error, [str(warning.message) for warning in caught])
