"""The outputs of a fitted table: their names, and the array or frame that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mlfund.preprocessing._categories import NativeBlock, OneHotBlock
from mlfund.preprocessing._parts import Part
from mlfund.preprocessing._reading import Table

# XGBoost refuses these characters in feature names.
_NATIVE_NAMES = str.maketrans({"[": "(", "]": ")", "<": "_"})

# From here on CSR is as fast or faster in mlfund's LogisticRegression and MLPClassifier:
# 421 outputs, 3 % filled: 0.3 s for 0.7 s and 1.8 s for 4.4 s; at 285 outputs, 21 % filled, equal.
_WIDE, _FILLED = 300, 0.1


def name_outputs(parts: Sequence[Part], *, native: bool) -> list[str]:
    """Return one name an output, all different; `native` ones as XGBoost takes them."""
    names = [name for part in parts for name in part.names]
    if native:
        names = [name.translate(_NATIVE_NAMES) for name in names]
    return _all_different(names)


def is_wide(parts: Sequence[Part]) -> bool:
    """Say whether the outputs are many, and few of them other than 0 in any row."""
    n_outputs = sum(part.block.n_outputs for part in parts)
    n_filled = sum(
        len(part.positions) if isinstance(part.block, OneHotBlock) else part.block.n_outputs
        for part in parts
    )
    return n_outputs >= _WIDE and n_filled <= _FILLED * n_outputs


def encode_dense(
    parts: Sequence[Part],
    cells: Sequence[Any],
    ready: Mapping[int, np.ndarray],
    n_rows: int,
    dtype: np.dtype,
) -> np.ndarray:
    """Return the outputs of some parts side by side.

    Parameters
    ----------
    parts : sequence of Part
        In the order of their outputs.
    cells : sequence
        What each part read from the rows.
    ready : mapping of int to ndarray
        Outputs that are known already, by position of the part.
    n_rows : int
        How many rows were read.
    dtype : dtype
        Of the outputs.
    """
    out = np.empty((n_rows, sum(part.block.n_outputs for part in parts)), dtype)
    start = 0
    for i, part in enumerate(parts):
        stop = start + part.block.n_outputs
        _encode_part(part, cells[i], ready.get(i), out[:, start:stop])
        start = stop
    return out


def encode_frame(
    parts: Sequence[Part],
    names: Sequence[str],
    cells: Sequence[Any],
    ready: Mapping[int, np.ndarray],
    table: Table,
    dtype: np.dtype,
) -> pd.DataFrame:
    """Return the outputs in a DataFrame with the rows of `table`; else as `encode_dense`."""
    # Native categories, where there are any, are the last part and not numbers.
    native = parts[-1].block if isinstance(parts[-1].block, NativeBlock) else None
    numbers = parts if native is None else parts[:-1]
    out = encode_dense(numbers, cells, ready, table.n_rows, dtype)
    columns = [*out.T, *(native.categoricals(cells[-1]) if native else [])]
    return pd.DataFrame(dict(zip(names, columns, strict=True)), index=table.index, copy=False)


def encode_sparse(
    parts: Sequence[Part],
    cells: Sequence[Any],
    ready: Mapping[int, np.ndarray],
    n_rows: int,
    dtype: np.dtype,
) -> sparse.csr_array:
    """Return the outputs as CSR, without ever holding the one-hot columns densely.

    The parameters are those of `encode_dense`.
    """
    indices, values, start = [], [], 0
    for i, part in enumerate(parts):
        width = part.block.n_outputs
        if isinstance(part.block, OneHotBlock):
            hits = part.block.hits(cells[i])
            indices.append(np.where(hits >= 0, hits + start, -1))
            values.append(np.ones(hits.shape, dtype))
        else:
            out = np.empty((n_rows, width), dtype)
            _encode_part(part, cells[i], ready.get(i), out)
            indices.append(np.broadcast_to(np.arange(start, start + width), out.shape))
            values.append(out)
        start += width
    return _csr(np.hstack(indices), np.hstack(values), start)


def _encode_part(part: Part, cells: Any, ready: np.ndarray | None, out: np.ndarray) -> None:
    if ready is None:
        part.block.encode(cells, out)
    else:
        out[:] = ready


def _csr(indices: np.ndarray, values: np.ndarray, width: int) -> sparse.csr_array:
    """Build CSR from the entries of each row; index -1 is no entry."""
    entries = (indices >= 0) & (values != 0)
    bounds = np.append(0, np.cumsum(entries.sum(axis=1)))
    # Estimators in C take 32-bit indices only.
    narrow = np.int32 if bounds[-1] <= np.iinfo(np.int32).max else np.int64
    columns = indices[entries].astype(narrow)
    shape = (len(indices), width)
    return sparse.csr_array((values[entries], columns, bounds.astype(narrow)), shape=shape)


def _all_different(names: list[str]) -> list[str]:
    """Return the names with a number on those that occur again: a, a, b -> a, a__2, b."""
    taken = set(names)
    seen: set[str] = set()
    different = []
    for name in names:
        unique, count = name, 1
        while unique in seen or (count > 1 and unique in taken):
            count += 1
            unique = f"{name}__{count}"
        seen.add(unique)
        different.append(unique)
    return different
