"""Fitting: columns of one kind together become one part, a block and the columns it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlfund.preprocessing import _cells
from mlfund.preprocessing._categories import NativeBlock, OneHotBlock, OrdinalBlock, TargetBlock
from mlfund.preprocessing._dates import PARTS, DateBlock
from mlfund.preprocessing._kinds import Column
from mlfund.preprocessing._levels import Chosen, choose_levels
from mlfund.preprocessing._numbers import NumberBlock
from mlfund.preprocessing._reading import Table
from mlfund.preprocessing._settings import Settings, Target
from mlfund.preprocessing._texts import TextBlock

# Up to this many rows, categories are read cell by cell.
_FEW_ROWS = 8


class Part:
    """A fitted block with the columns it reads.

    Attributes
    ----------
    reader : str
        How cells are read: "numbers", "dates", "texts" or "labels".
    positions : list of int
        The columns of the table.
    block : NumberBlock, DateBlock, TextBlock or CategoryBlock
        What makes outputs of them; it has `n_outputs` and `encode(cells, out)`.
    names : list of str
        Names of the outputs.
    sources : ndarray of int
        Column of the table that each output comes from.
    date_formats, timezones : list of str
        For dates, as in fit.
    """

    def __init__(
        self,
        reader: str,
        columns: Sequence[Column],
        block: Any,
        names: list[str],
        sources: np.ndarray,
    ):
        self.reader = reader
        self.positions = [column.position for column in columns]
        self.block = block
        self.names = names
        self.sources = np.asarray(self.positions)[sources]
        self.date_formats = [column.date_format for column in columns]
        self.timezones = [column.timezone for column in columns]

    def read(self, table: Table) -> Any:
        """Read the cells of this part's columns from a table."""
        if self.reader == "numbers":
            return table.numbers(self.positions)
        columns = table.columns(self.positions)
        if self.reader == "dates":
            return [
                _cells.read_instants(*column)
                for column in zip(columns, self.date_formats, self.timezones, strict=True)
            ]
        if self.reader == "texts":
            return [_cells.read_texts(column) for column in columns]
        few = table.n_rows <= _FEW_ROWS
        read = _cells.read_labels_of_few if few else _cells.read_labels
        return [read(column) for column in columns]


@dataclass(frozen=True)
class Fitted:
    """What fitting gives.

    Attributes
    ----------
    parts : list of Part
        The fitted parts, in the order of their outputs.
    cells : list
        What each part read from the fit rows.
    cross_fitted : dict of int to ndarray
        Outputs for the fit rows, of parts where these differ from the outputs for new rows.
    treatments : list of str
        For each column of the table, what happens to it.
    """

    parts: list[Part]
    cells: list[Any]
    cross_fitted: dict[int, np.ndarray]
    treatments: list[str]


def fit_parts(
    table: Table, columns: Sequence[Column], settings: Settings, target: Target | None
) -> Fitted:
    """Fit a part for each group of columns that are treated alike.

    Parameters
    ----------
    table : Table
        The rows to learn from.
    columns : sequence of Column
        Its columns as inspected, in order.
    settings : Settings
        How to treat them.
    target : Target or None
        For target encoding.
    """
    fitted = Fitted([], [], {}, [_dropped(column) for column in columns])
    _fit_numbers(fitted, table, columns, settings)
    _fit_dates(fitted, columns, settings)
    _fit_texts(fitted, columns, settings)
    _fit_categories(fitted, columns, settings, target)
    return fitted


def _dropped(column: Column) -> str:
    reasons = {"drop": "dropped: as asked for", "empty": "dropped: no values"}
    return reasons.get(column.kind, "dropped: constant")


def _of_kind(columns: Sequence[Column], *kinds: str) -> list[Column]:
    """Pick columns by kind, in the order of the kinds."""
    return [column for kind in kinds for column in columns if column.kind == kind]


def _names(columns: Sequence[Column]) -> list[str]:
    return [str(column.name) for column in columns]


def _fit_numbers(
    fitted: Fitted, table: Table, columns: Sequence[Column], settings: Settings
) -> None:
    chosen = _of_kind(columns, "numeric", "boolean")
    if not chosen:
        return
    n_numeric = len(_of_kind(columns, "numeric"))
    if table.matrix is not None:
        cells = table.numbers([column.position for column in chosen])
    else:
        cells = np.stack([column.cells for column in chosen], axis=1)
    block = _number_block(n_numeric, settings).fit(cells)
    for i in block.marked:
        fitted.treatments[chosen[i].position] = "missing or not (otherwise constant)"
    for i in block.kept:
        scaling = settings.scaling if i < n_numeric else None
        fitted.treatments[chosen[i].position] = _number_treatment(scaling, settings.impute)
    used = np.union1d(block.kept, block.marked)
    if len(used) < len(chosen):
        # Constant columns are not even read when rows are transformed.
        chosen, cells = [chosen[i] for i in used], cells[:, used]
        block.renumber(used)
    part = Part("numbers", chosen, block, block.names(_names(chosen)), block.sources())
    _keep(fitted, part, cells)


def _number_block(n_scaled: int, settings: Settings) -> NumberBlock:
    return NumberBlock(n_scaled, settings.scaling, settings.impute, settings.add_indicator)


def _number_treatment(scaling: str | None, impute: bool) -> str:
    words = ["median for missing" if impute else "missing left as NaN"]
    if scaling == "standard":
        words.append("standardised")
    elif scaling == "robust":
        words.append("scaled by quartiles, smoothly clipped")
    return ", ".join(words)


def _fit_dates(fitted: Fitted, columns: Sequence[Column], settings: Settings) -> None:
    chosen = _of_kind(columns, "datetime")
    if not chosen:
        return
    cells = [column.cells for column in chosen]
    numbers = _number_block(len(chosen) * len(PARTS), settings)
    block = DateBlock(numbers, cells, _names(chosen))
    part = Part("dates", chosen, block, block.names, block.sources)
    for i in np.unique(block.sources):
        fitted.treatments[chosen[i].position] = "time elapsed and calendar parts"
    _keep(fitted, part, cells)


def _fit_texts(fitted: Fitted, columns: Sequence[Column], settings: Settings) -> None:
    chosen = _of_kind(columns, "text")
    if not chosen:
        return
    cells = [column.cells for column in chosen]
    block = TextBlock(cells, _names(chosen), settings.text_components, settings.seed)
    part = Part("texts", chosen, block, block.names, block.sources)
    for i, column in enumerate(chosen):
        width = int((block.sources == i).sum())
        words = f"TF-IDF of words, {width} SVD components" if width else "dropped: no words"
        fitted.treatments[column.position] = words
    _keep(fitted, part, cells)


def _fit_categories(
    fitted: Fitted, columns: Sequence[Column], settings: Settings, target: Target | None
) -> None:
    plain: list[tuple[Column, Chosen]] = []
    high: list[tuple[Column, Chosen]] = []
    for column in _of_kind(columns, "categorical"):
        limit = settings.max_categories
        chosen = choose_levels(column.cells, None, settings.min_count)
        is_high = limit is not None and len(chosen.kept) + chosen.has_rare > limit
        if is_high and target is None:
            chosen = choose_levels(column.cells, limit, settings.min_count)
        if chosen.n_values < 2:
            if chosen.has_rare:
                fitted.treatments[column.position] = "dropped: no level is frequent enough"
            continue
        (high if is_high and target is not None else plain).append((column, chosen))
    if plain:
        _fit_plain(fitted, plain, settings)
    if high and target is not None:
        _fit_target(fitted, high, settings, target)


def _fit_target(
    fitted: Fitted, pairs: Sequence[tuple[Column, Chosen]], settings: Settings, target: Target
) -> None:
    columns, levels = zip(*pairs, strict=True)
    block = TargetBlock(levels, _names(columns))
    values = block.fit_encode(
        [column.cells for column in columns],
        target.y,
        target.splits,
        continuous=target.continuous,
        scaled=settings.scaling is not None,
    )
    fitted.cross_fitted[len(fitted.parts)] = values
    _keep_categories(fitted, columns, levels, block, "mean of the target")


def _fit_plain(fitted: Fitted, pairs: Sequence[tuple[Column, Chosen]], settings: Settings) -> None:
    columns, levels = zip(*pairs, strict=True)
    names, cells = _names(columns), [column.cells for column in columns]
    block: Any
    if settings.encoding == "onehot":
        block, words = OneHotBlock(levels, cells, names), "one-hot"
    elif settings.encoding == "ordinal":
        block, words = OrdinalBlock(levels, names, settings.impute), "ordinal codes"
    else:
        block, words = NativeBlock(levels, names, settings.impute), "category"
    _keep_categories(fitted, columns, levels, block, words)


def _keep_categories(
    fitted: Fitted, columns: Sequence[Column], levels: Sequence[Chosen], block: Any, words: str
) -> None:
    for column, chosen in zip(columns, levels, strict=True):
        extra = " + infrequent" * chosen.has_rare + " + missing" * chosen.has_missing
        fitted.treatments[column.position] = f"{words}, {len(chosen.kept)} levels{extra}"
    part = Part("labels", columns, block, block.names, block.sources)
    _keep(fitted, part, [column.cells for column in columns])


def _keep(fitted: Fitted, part: Part, cells: Any) -> None:
    """Add a part, unless all its columns turned out to be constant."""
    if part.names:
        fitted.parts.append(part)
        fitted.cells.append(cells)
