"""How the candidates of a group of linear models are cut into pieces that fit into memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

# Bytes for the weights of a piece where no limit is given, and what the descent remembers
# of them.
STACK_BYTES = 2**30
# Arrays of the size of the weights that the descent keeps: ten pairs of steps and changes,
# and what it works on.
ARRAYS = 28
# Copies of dense X beside X itself: in float32, and in float64 to finish.
BYTES_AN_ENTRY = 12


@dataclass(frozen=True)
class Piece:
    """Candidates that make a grid of l1 ratios and strengths, for some splits.

    Attributes
    ----------
    ratios, strengths : list of float
        Distinct, ascending.
    candidates : list of int
    of_ratio, at : list of int
        Positions in `ratios` and in `strengths` of each candidate.
    splits : slice
    """

    ratios: list[float]
    strengths: list[float]
    candidates: list[int]
    of_ratio: list[int]
    at: list[int]
    splits: slice

    def of(self, numbers: Collection[int]) -> Piece:
        """Return the piece with some of its candidates only."""
        kept = [place for place, number in enumerate(self.candidates) if number in numbers]
        lists = (self.candidates, self.of_ratio, self.at)
        candidates, of_ratio, at = ([some[place] for place in kept] for some in lists)
        return dataclasses.replace(self, candidates=candidates, of_ratio=of_ratio, at=at)


def pieces(
    of_candidates: Sequence[tuple[float, float]],
    n_splits: int,
    entries: int,
    X_entries: int,
    memory_limit: int | None,
) -> Iterator[Piece]:
    """Yield all candidates in pieces whose stacks fit into memory, or are as small as can be.

    Parameters
    ----------
    of_candidates : sequence of (strength, l1 ratio)
    n_splits : int
    entries : int
        Weights of one model.
    X_entries : int
        Of dense X.
    memory_limit : int or None
        In bytes.
    """
    free = STACK_BYTES if memory_limit is None else memory_limit - BYTES_AN_ENTRY * X_entries
    at_once = max(int(free // (8 * ARRAYS * entries)), 1)
    splits_at_once = min(at_once, n_splits)
    for ratios, strengths in _grids(of_candidates, max(at_once // n_splits, 1)):
        strengths_at_once = max(at_once // (n_splits * len(ratios)), 1)
        for start in range(0, len(strengths), strengths_at_once):
            some = strengths[start : start + strengths_at_once]
            members = [
                (number, ratios.index(ratio), some.index(strength))
                for number, (strength, ratio) in enumerate(of_candidates)
                if ratio in ratios and strength in some
            ]
            candidates, of_ratio, at = map(list, zip(*members, strict=True))
            for first in range(0, n_splits, splits_at_once):
                splits = slice(first, min(first + splits_at_once, n_splits))
                yield Piece(ratios, some, candidates, of_ratio, at, splits)


def _grids(
    of_candidates: Sequence[tuple[float, float]], at_once: int
) -> Iterator[tuple[list[float], list[float]]]:
    """Yield l1 ratios, at most so many, that have all of some strengths, and these strengths.

    What has no l1 penalty is solved in its own way, and stays by itself.
    """
    of_strengths: dict[tuple[bool, tuple[float, ...]], list[float]] = {}
    for ratio in sorted({ratio for _, ratio in of_candidates}):
        strengths = tuple(sorted({strength for strength, other in of_candidates if other == ratio}))
        of_strengths.setdefault((ratio > 0, strengths), []).append(ratio)
    for (_, strengths), ratios in of_strengths.items():
        for start in range(0, len(ratios), at_once):
            yield ratios[start : start + at_once], list(strengths)
