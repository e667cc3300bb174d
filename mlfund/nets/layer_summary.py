"""What a list of layers amounts to: shapes, parameters, work, receptive fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mlfund.nets.layers import Layer, Shape, compose


@dataclass(frozen=True)
class LayerRow:
    """One layer of a summary.

    Attributes
    ----------
    layer : str
        The call that makes it.
    shape : tuple of int
        Of its output: (channels, height, width), or (units,).
    n_parameters : int
        Weights that are trained.
    flop : int
        Floating-point operations of a forward pass of one image: two a multiplication of
        the products; other layers count nothing.
    receptive_field : (int, int) or None
        Height and width in pixels of what one output sees; None once the output is flat,
        and from a torch module of your own on.
    """

    layer: str
    shape: Shape
    n_parameters: int
    flop: int
    receptive_field: tuple[int, int] | None


@dataclass(frozen=True)
class NetSummary:
    """The layers of a net; printed, a table.

    Attributes
    ----------
    shape : (int, int, int)
        Channels, height and width of an image.
    rows : tuple of LayerRow
    note : str
        A line below the table, empty for none.
    """

    shape: Shape
    rows: tuple[LayerRow, ...]
    note: str = ""

    @property
    def n_parameters(self) -> int:
        """Weights that are trained."""
        return sum(row.n_parameters for row in self.rows)

    @property
    def flop(self) -> int:
        """Floating-point operations of a forward pass of one image."""
        return sum(row.flop for row in self.rows)

    def __str__(self) -> str:
        """Return the table, and the note below it."""
        table = as_text(self.rows, self.shape)
        return f"{table}\n{self.note}" if self.note else table

    __repr__ = __str__


def summarise(layers: Sequence[Layer], shape: Shape) -> list[LayerRow]:
    """Return one row a layer, for images of a shape.

    Parameters
    ----------
    layers : sequence of Layer
    shape : (int, int, int)
        Channels, height and width.

    Returns
    -------
    rows : list of LayerRow

    Raises
    ------
    ValueError
        If a layer does not fit what reaches it.

    Examples
    --------
    >>> from mlfund.nets.layer_summary import summarise
    >>> from mlfund.nets.layers import Conv, Dense, Pool
    >>> rows = summarise([Conv(4), Pool(), Dense(10)], (1, 8, 8))
    >>> [(row.shape, row.n_parameters, row.flop) for row in rows]
    [((4, 8, 8), 40, 4608), ((4, 4, 4), 0, 0), ((10,), 650, 1280)]
    >>> rows[1].receptive_field
    (4, 4)
    """
    rows, window, known = [], ((1, 1), (1, 1)), True
    for layer in layers:
        # On the meta device modules have shapes and no memory.
        with torch.device("meta"):
            module = layer.module(shape)
        window, known = compose(window, layer.window), known and layer.has_window
        out = layer.output(shape)
        rows.append(
            LayerRow(
                str(layer),
                out,
                sum(p.numel() for p in module.parameters()),
                2 * layer.multiply_adds(shape),
                window[0] if known and len(out) == 3 else None,
            )
        )
        shape = out
    return rows


def as_text(rows: Sequence[LayerRow], shape: Shape) -> str:
    """Return a summary as a table, with the input in front and the sums below.

    Examples
    --------
    >>> from mlfund.nets.layer_summary import as_text, summarise
    >>> from mlfund.nets.layers import Conv, Pool
    >>> print(as_text(summarise([Conv(4), Pool()], (1, 8, 8)), (1, 8, 8)))
    layer            output     parameters   MFLOP  field
    input            1 x 8 x 8
    Conv(filters=4)  4 x 8 x 8          40  0.0046  3 x 3
    Pool()           4 x 4 x 4           0       0  4 x 4
    total                               40  0.0046
    """
    cells = [["layer", "output", "parameters", "MFLOP", "field"]]
    cells.append(["input", _crossed(shape), "", "", ""])
    for row in rows:
        seen = "" if row.receptive_field is None else _crossed(row.receptive_field)
        count = f"{row.n_parameters:,}"
        cells.append([row.layer, _crossed(row.shape), count, f"{row.flop / 1e6:.2g}", seen])
    total = sum(row.n_parameters for row in rows)
    flop = math.fsum(row.flop for row in rows)
    cells.append(["total", "", f"{total:,}", f"{flop / 1e6:.2g}", ""])
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    aligned = "<<>><"
    return "\n".join(
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(line, aligned, widths, strict=True)
        ).rstrip()
        for line in cells
    )


def _crossed(sizes: Sequence[int]) -> str:
    return " x ".join(str(size) for size in sizes)
