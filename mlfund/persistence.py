"""Save and load estimators without pickle.

A saved model is a skops file: a zip archive of a JSON description and of arrays,
from which no code runs on loading. mlfund adds one member, ``mlfund.json``, with
the versions that wrote the file and a checksum of every other member.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType
from typing import Any

from mlfund._entries import publish
from mlfund._files import atomic_write
from mlfund._saved_archive import (
    SCHEMA,
    PersistenceError,
    add_manifest,
    check_versions,
    verify,
)
from mlfund._saved_trees import check_schema, check_trees
from mlfund._trusted_types import reviewed_types
from mlfund._version_stamp import VersionMismatchWarning

__all__ = [
    "PersistenceError",
    "UntrustedTypeError",
    "VersionMismatchWarning",
    "load",
    "save",
    "trusted_types",
]


class UntrustedTypeError(PersistenceError, TypeError):
    """A file holds types outside the reviewed list `trusted_types`."""


def trusted_types() -> tuple[str, ...]:
    """Return the types `load` accepts beyond what skops trusts by itself.

    skops trusts plain values, NumPy arrays, universal functions and the public
    estimators of scikit-learn. The comment at each group in ``mlfund/_trusted_types.py``
    says why its members are safe: constructing one from any content runs no code of
    the file's choosing and touches neither files nor the network.

    Returns
    -------
    names : tuple of str
        Import paths, as ``skops.io.load(..., trusted=...)`` takes them.

    Examples
    --------
    >>> "sklearn.tree._tree.Tree" in trusted_types()
    True
    """
    return tuple(reviewed_types())


def save(estimator: Any, path: str | os.PathLike[str], *, standalone: bool = False) -> None:
    """Save an estimator to a file from which `load` restores it exactly.

    The file is written completely or not at all.

    Parameters
    ----------
    estimator : estimator or Backbone
        Fitted or not: of mlfund, of scikit-learn, or a pipeline of them; or what
        `export_backbone` returned.
    path : str or path-like
        The file, by convention ``*.skops``. An existing one is replaced.
    standalone : bool, default=False
        Whether the file holds the weights of pretrained backbones, so that it can be used where
        they are not. Without it the file says where they come from and what their fingerprint
        is; weights that were fine-tuned are always in it.

    Raises
    ------
    TypeError
        If `estimator` is neither an estimator nor a backbone.
    PersistenceError
        If it holds something that has no import path (a lambda, a class or
        function defined inside a function) or no state to save. Functions are
        saved by import path.
    ValueError
        If `standalone` is wanted of a backbone whose weights cannot be copied.

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
    if standalone:
        from mlfund.backbones._source import weights_copied

        with weights_copied():
            estimator = copy.deepcopy(estimator)
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
    add_manifest(buffer, estimator)
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
    manifest = verify(data, path)
    if manifest is not None:
        check_versions(manifest, path)
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


def _check_is_estimator(value: Any) -> None:
    is_estimator = hasattr(value, "get_params") and hasattr(value, "fit")
    if isinstance(value, type) or not (is_estimator or _is_backbone(value)):
        what = value.__name__ if isinstance(value, type) else type(value).__name__
        raise TypeError(
            f"mlfund.save saves estimators and backbones, got {what}. "
            "Pass an instance with fit and get_params, such as a Pipeline."
        )


def _is_backbone(value: Any) -> bool:
    from mlfund.backbones import Backbone

    return isinstance(value, Backbone)


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
                "module given as a parameter: to NeuralClassifier and NeuralRegressor give the "
                "class of the module; with a module as backbone, or another tensor, use pickle."
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


def _untrusted(data: bytes, path: Path | None = None) -> list[str]:
    """Types in a skops file that are not on the reviewed list."""
    import skops.io

    try:
        found = skops.io.get_untrusted_types(data=data)
    # the schema of a foreign file may be anything; whatever it breaks, it is not loaded
    except Exception as error:
        raise _unreadable(path, error) from error
    return sorted(set(found) - reviewed_types().keys())


def _construct(data: bytes, path: Path, vouched: Iterable[str]) -> Any:
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_schema(json.loads(archive.read(SCHEMA)), archive.read, reviewed_types())
        with warnings.catch_warnings():
            # said once for the whole file, by check_versions
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            warnings.simplefilter("ignore", VersionMismatchWarning)
            estimator = skops.io.loads(data, trusted=[*reviewed_types(), *vouched])
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


publish(__name__, globals(), ("PersistenceError",))
