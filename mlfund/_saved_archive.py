"""The archive that a saved model is: a skops file with a manifest.

The manifest, ``mlfund.json``, holds the versions that wrote the file and a checksum of
every other member.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from mlfund import __version__
from mlfund._measure import machine
from mlfund._version_stamp import VersionMismatchWarning

__all__ = ["SCHEMA", "PersistenceError", "add_manifest", "check_versions", "verify"]

_FORMAT = 1
_MANIFEST = "mlfund.json"
SCHEMA = "schema.json"
# A model of a gigabyte may compress well; a small file that unfolds to one is a trap.
_UNFOLDED_BYTES = 2**30
_UNFOLDED_RATIO = 200
# Other versions of these compute differently or read their state differently.
_COMPARED = ("scikit-learn", "xgboost")


class PersistenceError(ValueError):
    """An estimator cannot be saved, or a file holds no model that can be loaded."""


def add_manifest(buffer: io.BytesIO, estimator: Any) -> None:
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


def verify(data: bytes, path: Path) -> dict[str, Any] | None:
    """Check that the archive is whole; return the manifest, None for a plain skops file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            unfolded = sum(member.file_size for member in members)
            if unfolded > max(_UNFOLDED_BYTES, _UNFOLDED_RATIO * len(data)):
                raise ValueError(f"it would unfold to {unfolded} bytes")
            if SCHEMA not in archive.namelist():
                raise PersistenceError(
                    f"{path} is not a saved model: it is an archive without {SCHEMA}. "
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


def check_versions(manifest: dict[str, Any], path: Path) -> None:
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
