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
    """Candidates of one l1 ratio, for some splits.

    Attributes
    ----------
    ratio : float
    strengths : list of float
        Distinct, ascending.
    candidates : list of int
    at : list of int
        Position in `strengths` of each candidate.
    splits : slice
    """

    ratio: float
    strengths: list[float]
    candidates: list[int]
    at: list[int]
    splits: slice

    def of(self, numbers: Collection[int]) -> Piece:
        """Return the piece with some of its candidates only."""
        kept = [
            (number, at)
            for number, at in zip(self.candidates, self.at, strict=True)
            if number in numbers
        ]
        candidates, at = map(list, zip(*kept, strict=True)) if kept else ([], [])
        return dataclasses.replace(self, candidates=candidates, at=at)


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
    strengths_at_once = max(at_once // n_splits, 1)
    splits_at_once = min(at_once, n_splits)
    for ratio in sorted({ratio for _, ratio in of_candidates}):
        numbers = [number for number, (_, other) in enumerate(of_candidates) if other == ratio]
        strengths = sorted({of_candidates[number][0] for number in numbers})
        for start in range(0, len(strengths), strengths_at_once):
            some = strengths[start : start + strengths_at_once]
            members = [number for number in numbers if of_candidates[number][0] in some]
            at = [some.index(of_candidates[number][0]) for number in members]
            for first in range(0, n_splits, splits_at_once):
                splits = slice(first, min(first + splits_at_once, n_splits))
                yield Piece(ratio, some, members, at, splits)
