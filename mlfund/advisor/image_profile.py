"""A description of images: their size, their classes, and a sheet of examples."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

from mlfund._check import DataError
from mlfund.advisor.profile import describe_target, row_hashes
from mlfund.advisor.target import Problem
from mlfund.preprocessing._image_rows import form_of

# Of the contact sheet.
MOST_CLASSES, EXAMPLES, SIDE, GAP = 20, 10, 48, 2


def profile_images(problem: Problem) -> tuple[dict[str, Any], list[str]]:
    """Describe the images in use, with the keys of `profile_table` where they make sense.

    Returns
    -------
    profile : dict
        As documented for ``advice.json``; ``images`` holds size and contact sheet.
    warnings : list of str
        One sentence for each thing a user should know.

    Raises
    ------
    DataError
        If all images are the same.
    """
    X, y = problem.data.X, problem.data.y
    form = form_of(X)
    hashes = row_hashes(X)
    if hashes.nunique() == 1:
        raise DataError("All images are the same; there is nothing to learn from.")
    flat = np.ptp(X.reshape(len(X), -1), axis=1) == 0
    notes = []
    if flat.any():
        what = "1 image has" if flat.sum() == 1 else f"{int(flat.sum()):,} images have"
        notes.append(f"{what} the same value in every pixel.")
    profile = {
        "rows": len(X),
        "columns": form.n_values,
        "kinds": {},
        "missing_cells": 0,
        "missing_share": 0.0,
        "infinite_cells": 0,
        "duplicated_rows": int(row_hashes(X, y).duplicated().sum()),
        "memory_bytes": int(X.nbytes),
        "rows_without_target": problem.counts["rows_without_target"],
        "classes_dropped": problem.counts["classes_dropped"],
        "constant_columns": [],
        "empty_columns": [],
        "suspected_identifiers": [],
        "features": [],
        "target": describe_target(problem),
        "images": {
            "height": form.height,
            "width": form.width,
            "channels": form.n_channels,
            "dtype": str(X.dtype),
            "contact_sheet": contact_sheet(problem),
        },
    }
    return profile, notes


def contact_sheet(problem: Problem) -> list[dict[str, str]]:
    """Return examples of each class in one small picture a class: ``label`` and ``png``.

    For numbers there is one sheet, of images from the least target to the largest.
    """
    X, y, classes = problem.data.X, problem.data.y, problem.data.classes
    low, high = (0, 255) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
    if classes is None:
        order = np.argsort(y, kind="stable")
        chosen = {"from the least to the largest": _spread(order)}
    else:
        rows = ((label, np.flatnonzero(y == label)) for label in classes[:MOST_CLASSES])
        chosen = {str(label): _spread(where) for label, where in rows}
    return [
        {"label": label, "png": base64.b64encode(_sheet(X[where], low, high)).decode()}
        for label, where in chosen.items()
    ]


def _spread(rows: np.ndarray) -> np.ndarray:
    """Return some rows, from the first to the last at equal steps."""
    steps = np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows)))
    return rows[steps.astype(int)]


def _sheet(images: np.ndarray, low: float, high: float) -> bytes:
    """Return images side by side as a PNG file."""
    form = form_of(images)
    pixels = form.as_nhwc(images)
    step = max(1, -(-max(form.height, form.width) // SIDE))
    pixels = pixels[:, ::step, ::step].astype(np.float64)
    shown = np.clip((pixels - low) / max(high - low, 1e-12), 0, 1) * 255
    shown = shown[..., :3] if form.n_channels in (3, 4) else shown.mean(axis=-1, keepdims=True)
    n, height, width, n_channels = shown.shape
    sheet = np.full((height, n * (width + GAP) - GAP, n_channels), 128, dtype=np.uint8)
    for place, image in enumerate(np.rint(shown).astype(np.uint8)):
        left = place * (width + GAP)
        sheet[:, left : left + width] = image
    return png(sheet)


def png(image: np.ndarray) -> bytes:
    """Return an image as the bytes of a PNG file, without a library for it.

    Parameters
    ----------
    image : ndarray of uint8 and shape (h, w, 1) or (h, w, 3)

    References
    ----------
    W3C, Portable Network Graphics (PNG) Specification, third edition.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width, n_channels = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if n_channels == 3 else 0, 0, 0, 0)
    # Each line begins with the number of its filter: none.
    lines = np.pad(image.reshape(height, -1), ((0, 0), (1, 0)))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
