"""How often a fit of mlfund reads X."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

from mlfund._solvers.design import Design


@dataclass
class Reading:
    """Passes over X, of whatever dtype, and the bytes they read."""

    passes: float = 0.0
    bytes: float = 0.0

    def add(self, X, part: float = 1.0) -> None:
        """Count a pass, or a part of one."""
        self.passes += part
        self.bytes += part * bytes_of(X)


def bytes_of(X) -> int:
    """Return what one product with X reads."""
    if hasattr(X, "indptr"):
        return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    return int(X.nbytes)


def reading_of(fit: Callable[[], object]) -> Reading:
    """Run a fit and count its products with X, and rows taken from it for a Hessian.

    Reading X to check, convert and describe its columns is not counted.
    """
    reading = Reading()
    margins, pull_back, rows = Design.margins, Design.pull_back, Design.rows
    evaluate = Design.evaluate

    def counted_margins(design, V):
        reading.add(design.X)
        return margins(design, V)

    def counted_pull_back(design, R):
        reading.add(design.X)
        return pull_back(design, R)

    def counted_evaluate(design, V, loss):
        # Both products with a block while it is in the cache: X is read from memory once.
        reading.add(design.X)
        return evaluate(design, V, loss)

    def counted_rows(design, index):
        block = rows(design, index)
        reading.add(design.X, len(block) / design.n)
        return block

    with (
        mock.patch.object(Design, "margins", counted_margins),
        mock.patch.object(Design, "pull_back", counted_pull_back),
        mock.patch.object(Design, "evaluate", counted_evaluate),
        mock.patch.object(Design, "rows", counted_rows),
    ):
        fit()
    return reading
