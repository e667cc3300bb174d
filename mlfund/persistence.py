"""Save and load estimators without pickle.

A saved model is a skops file: a zip archive of a JSON description and of arrays,
from which no code runs on loading. mlfund adds one member, ``mlfund.json``, with
the versions that wrote the file and a checksum of every other member.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PosixPath, WindowsPath
from types import FunctionType
from typing import Any

from mlfund import __version__
from mlfund._files import atomic_write
from mlfund._measure import machine
from mlfund._saved_trees import check_schema, check_trees
from mlfund._version_stamp import VersionMismatchWarning

__all__ = [
    "PersistenceError",
    "UntrustedTypeError",
    "VersionMismatchWarning",
    "load",
    "save",
    "trusted_types",
]

_FORMAT = 1
_MANIFEST = "mlfund.json"
_SCHEMA = "schema.json"
# A model of a gigabyte may compress well; a small file that unfolds to one is a trap.
_UNFOLDED_BYTES = 2**30
_UNFOLDED_RATIO = 200
# Other versions of these compute differently or read their state differently.
_COMPARED = ("scikit-learn", "xgboost")


class PersistenceError(ValueError):
    """An estimator cannot be saved, or a file holds no model that can be loaded."""


class UntrustedTypeError(PersistenceError, TypeError):
    """A file holds types outside the reviewed list `trusted_types`."""


def trusted_types() -> tuple[str, ...]:
    """Return the types `load` accepts beyond what skops trusts by itself.

    skops trusts plain values, NumPy arrays, universal functions and the public
    estimators of scikit-learn. The comment at each group in the source says why
    its members are safe: constructing one from any content runs no code of the
    file's choosing and touches neither files nor the network.

    Returns
    -------
    names : tuple of str
        Import paths, as ``skops.io.load(..., trusted=...)`` takes them.

    Examples
    --------
    >>> "sklearn.tree._tree.Tree" in trusted_types()
    True
    """
    return tuple(_reviewed())


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Save an estimator to a file from which `load` restores it exactly.

    The file is written completely or not at all.

    Parameters
    ----------
    estimator : estimator
        Fitted or not: of mlfund, of scikit-learn, or a pipeline of them.
    path : str or path-like
        The file, by convention ``*.skops``. An existing one is replaced.

    Raises
    ------
    TypeError
        If `estimator` is not an estimator.
    PersistenceError
        If it holds something that has no import path (a lambda, a class or
        function defined inside a function) or no state to save. Functions are
        saved by import path.

    Warns
    -----
    UserWarning
        If the file holds types outside `trusted_types`, which `load` refuses.

    Examples
    --------
    >>> import tempfile, os
    >>> from sklearn.linear_model import LogisticRegression
    >>> model = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.skops")
    >>> save(model, path)
    >>> load(path).predict([[3.0]])
    array(['yes'], dtype='<U3')
    """
    import skops.io

    _check_is_estimator(estimator)
    _check_importable(estimator)
    buffer = io.BytesIO()
    try:
        skops.io.dump(estimator, buffer, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PersistenceError(
            f"{type(estimator).__name__} cannot be saved ({error}). Its parameters and fitted "
            "attributes must be arrays, plain values, estimators or importable functions; "
            "for others use pickle and load only your own files."
        ) from error
    refused = _untrusted(buffer.getvalue())
    if refused:
        warnings.warn(
            f"mlfund.load will refuse this file: {', '.join(refused)} is not in "
            f"mlfund.trusted_types(). Load it with mlfund.load(path, trusted={refused!r}).",
            UserWarning,
            stacklevel=2,
        )
    _add_manifest(buffer, estimator)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def load(path: str | os.PathLike[str], *, trusted: Iterable[str | Callable[..., Any]] = ()) -> Any:
    """Load an estimator from a file that `save` wrote, running no code of the file.

    Only types of `trusted_types` and those skops trusts by itself are
    constructed, and the trees of ensembles are checked to stay inside their
    bounds. Files that ``skops.io.dump`` wrote are read as well; they carry no
    checksums and no version of mlfund.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : iterable of str, class or function
        Types and functions outside `trusted_types` that you vouch for, themselves or by
        import path: the class of a `NeuralClassifier`'s module, for instance. They are
        imported and may be called with what the file says.

    Returns
    -------
    estimator : estimator
        Predicts bit for bit what the saved one predicted, with the same
        versions of the libraries on the same kind of machine.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UntrustedTypeError
        If the file holds a type outside the reviewed list.
    PersistenceError
        If it is not a saved model, is damaged or cut off, or was written by a
        newer mlfund. A subclass of ValueError.

    Warns
    -----
    VersionMismatchWarning
        If another version of mlfund, scikit-learn or XGBoost wrote the file.

    Examples
    --------
    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.skops")
    >>> with open(path, "w") as file:
    ...     _ = file.write("not a model")
    >>> try:
    ...     load(path)
    ... except ValueError as error:
    ...     print(str(error).removeprefix(path))
     is not a saved model. Give a file that mlfund.save wrote.
    """
    path = Path(path)
    if path.is_dir():
        raise PersistenceError(f"{path} is a folder. Give the path of a model file.")
    if not path.exists():
        raise FileNotFoundError(f"there is no model file {path}. Check the path.")
    data = path.read_bytes()
    manifest = _verify(data, path)
    if manifest is not None:
        _check_versions(manifest, path)
    vouched = {_import_path(item) for item in trusted}
    refused = [name for name in _untrusted(data, path) if name not in vouched]
    if refused:
        raise UntrustedTypeError(
            f"{path} holds {', '.join(refused)}, which is not in mlfund.trusted_types(), and was "
            "not loaded. If you know who made the file and trust these types, load it with "
            f"mlfund.load(path, trusted={[*sorted(vouched), *refused]!r})."
        )
    return _construct(data, path, vouched)


def _import_path(item: Any) -> str:
    if isinstance(item, str):
        return item
    if not hasattr(item, "__qualname__"):
        raise TypeError(
            f"trusted holds {item!r}; give classes, functions, or their import paths as strings."
        )
    return f"{item.__module__}.{item.__qualname__}"


@functools.cache
def _reviewed() -> dict[str, str]:
    """Return each reviewed type with the one way skops may build it."""
    from sklearn.metrics import get_scorer, get_scorer_names

    from mlfund import averaging, initializers, losses, optimizers, penalties, schedules
    from mlfund.nets import activations, normalisation

    # Entries of the vocabulary, which parameters may hold: frozen records of a few numbers,
    # as a test makes sure. Taken from the tables, so that a new row is here by itself.
    entries = [
        *activations.ACTIVATIONS.values(),
        *averaging.AVERAGINGS.values(),
        *initializers.INITIALIZERS.values(),
        *losses.LOSSES.values(),
        *normalisation.NORMALIZATIONS.values(),
        *optimizers.OPTIMIZERS.values(),
        *penalties.PENALTIES.values(),
        *schedules.SCHEDULES.values(),
    ]
    names = (f"{type(entry).__module__}.{type(entry).__qualname__}" for entry in entries)
    # A path, which `checkpoint_dir` may be, is made of its parts; nothing is opened.
    paths = (f"{kind.__module__}.{kind.__qualname__}" for kind in (PosixPath, WindowsPath))
    # A search holds its splitter, which is a few numbers, and scorers, whose functions take
    # labels and predictions and return a number.
    splitters = (f"sklearn.model_selection._split.{name}" for name in _SPLITTERS)
    metrics = [get_scorer(name)._score_func for name in get_scorer_names()]
    metric_names = (f"{metric.__module__}.{metric.__qualname__}" for metric in metrics)
    return (
        _TRUSTED
        | dict.fromkeys(names, "ObjectNode")
        | dict.fromkeys(splitters, "ObjectNode")
        | dict.fromkeys(metric_names, "FunctionNode")
        | dict.fromkeys(paths, "ConstructorFromReduceNode")
    )


def _check_is_estimator(value: Any) -> None:
    if isinstance(value, type) or not (hasattr(value, "get_params") and hasattr(value, "fit")):
        what = value.__name__ if isinstance(value, type) else type(value).__name__
        raise TypeError(
            f"mlfund.save saves estimators, got {what}. "
            "Pass an instance with fit and get_params, such as a Pipeline."
        )


class _Discard:
    """A file nobody reads."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


class _ImportableOnly(pickle.Pickler):
    """Walks an object as pickle does and refuses functions and classes without import path."""

    def reducer_override(self, item: Any) -> Any:
        if "torch" in sys.modules and isinstance(item, sys.modules["torch"].Tensor):
            raise PersistenceError(
                "an estimator cannot be saved that holds a torch tensor, such as that of a torch "
                "module given as a parameter: give the class of the module instead, or use pickle."
            )
        if not isinstance(item, FunctionType | type):
            return NotImplemented
        if item.__qualname__.endswith("<lambda>"):
            kind = "a lambda"
        elif "<" in item.__qualname__:
            kind = "defined in a function"
        elif item.__module__ == "__main__":
            kind = "defined in a script or a notebook"
        else:
            return NotImplemented
        raise PersistenceError(
            f"{item.__module__}.{item.__qualname__} cannot be saved: functions and classes "
            f"are saved by import path, and this one is {kind}. "
            "Move it to the top level of a module, under a name, and import it from there."
        )


def _check_importable(estimator: Any) -> None:
    """Refuse what skops would write under a path that leads nowhere, or elsewhere."""
    try:
        _ImportableOnly(_Discard(), protocol=pickle.HIGHEST_PROTOCOL).dump(estimator)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise PersistenceError(f"{type(estimator).__name__} cannot be saved: {error}.") from error


def _add_manifest(buffer: io.BytesIO, estimator: Any) -> None:
    """Append who wrote the file and a checksum of each member."""
    with zipfile.ZipFile(buffer, "a") as archive:
        checksums = {name: _checksum(archive.read(name)) for name in archive.namelist()}
        description = machine()
        manifest = {
            "format": _FORMAT,
            "mlfund": __version__,
            "class": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
            "python": description["python"],
            "versions": description["versions"],
            "sha256": checksums,
        }
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=2))


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _verify(data: bytes, path: Path) -> dict[str, Any] | None:
    """Check that the archive is whole; return the manifest, None for a plain skops file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            unfolded = sum(member.file_size for member in members)
            if unfolded > max(_UNFOLDED_BYTES, _UNFOLDED_RATIO * len(data)):
                raise ValueError(f"it would unfold to {unfolded} bytes")
            if _SCHEMA not in archive.namelist():
                raise PersistenceError(
                    f"{path} is not a saved model: it is an archive without {_SCHEMA}. "
                    "Give a file that mlfund.save wrote."
                )
            # reading checks the CRC-32 of each member, which every flipped bit changes
            checksums = {member.filename: _checksum(archive.read(member)) for member in members}
            if _MANIFEST not in checksums:
                return None
            manifest: dict[str, Any] = json.loads(archive.read(_MANIFEST))
    except PersistenceError:
        raise
    # zipfile answers damage with a dozen kinds of error, from NotImplementedError
    # (unknown compression) to RuntimeError (a bit that says "encrypted")
    except Exception as error:
        raise _damaged(data, path, error) from error
    newer = manifest.get("format") != _FORMAT
    if newer:
        raise PersistenceError(
            f"{path} has file format {manifest.get('format')!r}, written by mlfund "
            f"{manifest.get('mlfund')}; mlfund {__version__} reads format {_FORMAT}. "
            "Update mlfund: pip install --upgrade mlfund."
        )
    del checksums[_MANIFEST]
    if manifest.get("sha256") != checksums or len(members) != len(checksums) + 1:
        raise PersistenceError(
            f"{path} was changed after it was saved: its content does not match its checksums. "
            "Use the original file, or save the model again."
        )
    return manifest


def _damaged(data: bytes, path: Path, error: Exception) -> PersistenceError:
    if not data.startswith(b"PK"):
        what = "is empty" if not data else "is not a saved model"
        return PersistenceError(f"{path} {what}. Give a file that mlfund.save wrote.")
    return PersistenceError(
        f"{path} is damaged or cut off ({error or type(error).__name__}) and was not loaded. "
        "Copy it again from its source, or save the model again."
    )


def _check_versions(manifest: dict[str, Any], path: Path) -> None:
    """Refuse what a newer mlfund wrote, warn where versions differ."""
    written = str(manifest.get("mlfund"))
    if _release(written) > _release(__version__):
        raise PersistenceError(
            f"{path} was saved by mlfund {written}, newer than the installed {__version__}. "
            "Update mlfund: pip install --upgrade mlfund."
        )
    installed = {"mlfund": __version__, **_versions(machine()["versions"])}
    saved = {"mlfund": written, **_versions(manifest.get("versions") or {})}
    changed = [
        f"{name} {saved[name]} (installed: {installed.get(name) or 'none'})"
        for name in saved
        if saved[name] != installed.get(name)
    ]
    if changed:
        warnings.warn(
            f"{path} was saved with {', '.join(changed)}: its predictions may differ. "
            "Fit it again, or install the versions that wrote it.",
            VersionMismatchWarning,
            stacklevel=3,
        )


def _versions(versions: dict[str, str | None]) -> dict[str, str | None]:
    return {name: versions[name] for name in _COMPARED if versions.get(name)}


def _release(version: str) -> tuple[int, ...]:
    """Numbers of a version up to the second: patches read each other's files."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _untrusted(data: bytes, path: Path | None = None) -> list[str]:
    """Types in a skops file that are not on the reviewed list."""
    import skops.io

    try:
        found = skops.io.get_untrusted_types(data=data)
    # the schema of a foreign file may be anything; whatever it breaks, it is not loaded
    except Exception as error:
        raise _unreadable(path, error) from error
    return sorted(set(found) - _reviewed().keys())


def _construct(data: bytes, path: Path, vouched: Iterable[str]) -> Any:
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_schema(json.loads(archive.read(_SCHEMA)), archive.read, _reviewed())
        with warnings.catch_warnings():
            # said once for the whole file, by _check_versions
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            warnings.simplefilter("ignore", VersionMismatchWarning)
            estimator = skops.io.loads(data, trusted=[*_reviewed(), *vouched])
        check_trees(estimator)
        _check_is_estimator(estimator)
    # state that does not fit its class may break any constructor in any way
    except Exception as error:
        raise _unreadable(path, error) from error
    return estimator


def _unreadable(path: Path | None, error: Exception) -> PersistenceError:
    return PersistenceError(
        f"{path or 'the model'} does not hold a model that can be restored "
        f"({error or type(error).__name__}). Save the model again with mlfund.save."
    )


# Splitters of scikit-learn whose state is their parameters.
_SPLITTERS = (
    "GroupKFold",
    "GroupShuffleSplit",
    "KFold",
    "LeaveOneGroupOut",
    "LeaveOneOut",
    "PredefinedSplit",
    "ShuffleSplit",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "StratifiedShuffleSplit",
    "TimeSeriesSplit",
)

# Reviewed types, each with the one way skops may build it: "ObjectNode" makes an empty
# instance and gives it its state, "TreeNode" is for scikit-learn's tree alone.
_TRUSTED = {
    # Estimators of mlfund. Their state becomes their attributes: parameters, numbers, arrays.
    # Nothing is called but the check of the version stamp.
    "mlfund.estimators.linear.LogisticRegression": "ObjectNode",
    "mlfund.estimators.linear_regressor.LinearRegressor": "ObjectNode",
    "mlfund.estimators.linear_cv.LogisticRegressionCV": "ObjectNode",
    "mlfund.estimators.mlp_classifier.MLPClassifier": "ObjectNode",
    "mlfund.estimators.mlp_regressor.MLPRegressor": "ObjectNode",
    "mlfund.estimators.parametric.ParametricRegressor": "ObjectNode",
    # Searches, and what they score with: a reviewed metric, or the estimator's own.
    "mlfund.model_selection.search.BatchedGridSearchCV": "ObjectNode",
    "mlfund.model_selection.search.BatchedRandomizedSearchCV": "ObjectNode",
    "mlfund.model_selection.halving.BatchedHalvingGridSearchCV": "ObjectNode",
    "mlfund.model_selection.halving.BatchedHalvingRandomSearchCV": "ObjectNode",
    "sklearn.metrics._scorer._PassthroughScorer": "ObjectNode",
    "sklearn.metrics._scorer._Scorer": "ObjectNode",
    # A module of the user's own: a class or function, which skops refuses to hand over unless
    # the caller of `load` vouches for it, is called with the options in the recipe, and what
    # is no torch module is refused.
    "mlfund.estimators.neural_classifier.NeuralClassifier": "ObjectNode",
    "mlfund.estimators.neural_regressor.NeuralRegressor": "ObjectNode",
    "mlfund.estimators._neural_own_build.Recipe": "ObjectNode",
    # Convolutional nets: the recipe calls the one class with layers, numbers and names.
    "mlfund.estimators.cnn_classifier.CNNClassifier": "ObjectNode",
    "mlfund.estimators.cnn_regressor.CNNRegressor": "ObjectNode",
    "mlfund.nets.convnet.ConvNet": "TypeNode",
    "mlfund.nets.convnet.ReadPixels": "ObjectNode",
    "mlfund.nets.layers.Activate": "ObjectNode",
    "mlfund.nets.layers.Conv": "ObjectNode",
    "mlfund.nets.layers.Dense": "ObjectNode",
    "mlfund.nets.layers.Drop": "ObjectNode",
    "mlfund.nets.layers.GlobalPool": "ObjectNode",
    "mlfund.nets.layers.Norm": "ObjectNode",
    "mlfund.nets.layers.Pool": "ObjectNode",
    "mlfund.nets.layers.Residual": "ObjectNode",
    # Entries around a function or a class, called in training only. skops refuses to hand over
    # either, but those of torch below, unless the caller of `load` vouches for it.
    "mlfund.losses.CallableLoss": "ObjectNode",
    "mlfund.optimizers.TorchOptimizer": "ObjectNode",
    "mlfund.schedules.FunctionOfProgress": "ObjectNode",
    "torch.optim.adadelta.Adadelta": "TypeNode",
    "torch.optim.adamax.Adamax": "TypeNode",
    "torch.optim.asgd.ASGD": "TypeNode",
    "torch.optim.nadam.NAdam": "TypeNode",
    "torch.optim.radam.RAdam": "TypeNode",
    "torch.optim.rprop.Rprop": "TypeNode",
    # Gradient boosting: its state holds the model as bytes, which _saved_trees.py checks on
    # loading, before XGBoost predicts with it.
    "mlfund.advisor.boosting.BoostedTreesClassifier": "ObjectNode",
    "mlfund.advisor.boosting.BoostedTreesRegressor": "ObjectNode",
    # Preprocessing: the fitted parts for each kind of column. Names, numbers, arrays, and
    # the scalers, imputers and encoders of scikit-learn that skops trusts.
    "mlfund.preprocessing.images.ImageScaler": "ObjectNode",
    "mlfund.preprocessing.table.TablePreprocessor": "ObjectNode",
    "mlfund.preprocessing._parts.Part": "ObjectNode",
    "mlfund.preprocessing._levels.LevelTable": "ObjectNode",
    "mlfund.preprocessing._categories.OneHotBlock": "ObjectNode",
    "mlfund.preprocessing._categories.OrdinalBlock": "ObjectNode",
    "mlfund.preprocessing._categories.TargetBlock": "ObjectNode",
    "mlfund.preprocessing._categories.NativeBlock": "ObjectNode",
    "mlfund.preprocessing._dates.DateBlock": "ObjectNode",
    "mlfund.preprocessing._numbers.NumberBlock": "ObjectNode",
    "mlfund.preprocessing._texts.TextBlock": "ObjectNode",
    # Follows indices without looking at bounds, in C, so skops leaves it out.
    # _saved_trees.py checks all of them on loading.
    "sklearn.tree._tree.Tree": "TreeNode",
}
