"""What is to be read of the shards of a row: worked out once, and done for every row."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tracekit.format.layout import ArrayLayout, Shape
from tracekit.reading.pieces import Copy, Piece

Overlap = tuple[int, slice, slice]
"""A chunk along one dim: its number, the part of it, and where that belongs."""


class Wanted(NamedTuple):
    """Columns of a row that are wanted, and where they belong: in which output, from which column on."""

    columns: range
    output: int
    place: int


@dataclass(frozen=True)
class ShardPart:
    """What is wanted of one shard of a row.

    Parameters
    ----------
    index : tuple of int
        The place of the shard in the row.
    pieces : list of Piece
        What is wanted of each chunk, in the order in which they lie.
    """

    index: Shape
    pieces: list[Piece]

    def cut(self, n_pieces: int) -> Iterator[ShardPart]:
        """Cut it into parts of so many chunks."""
        for first in range(0, len(self.pieces), n_pieces):
            yield ShardPart(self.index, self.pieces[first : first + n_pieces])


def parts_of_row(layout: ArrayLayout, middle: Sequence[range], wanted: Sequence[Wanted]) -> list[ShardPart]:
    """Give the parts that make up what is wanted of a row, one for each shard; no chunk is in it twice.

    `middle` is what is wanted along the dims before the columns.
    """
    copies: dict[tuple[Shape, Shape], list[Copy]] = defaultdict(list)
    before = [_overlaps(asked, n, asked.start) for asked, n in zip(middle, layout.chunk[1:-1], strict=True)]
    in_shard = layout.chunks_per_shard[1:]
    for overlaps in itertools.product(*before):
        number, source, target = _together(overlaps)
        shard = tuple(c // n for c, n in zip(number, in_shard[:-1], strict=True))
        place = (0, *(c % n for c, n in zip(number, in_shard[:-1], strict=True)))
        for columns, output, start in wanted:
            for last, part, belongs in _overlaps(columns, layout.chunk[-1], columns.start - start):
                at = (*shard, last // in_shard[-1]), (*place, last % in_shard[-1])
                copies[at].append(Copy(output, (*source, part), (*target, belongs)))
    parts: dict[Shape, list[Piece]] = defaultdict(list)
    for index, place in sorted(copies):
        parts[index].append(Piece(place, copies[index, place]))
    return [ShardPart(*part) for part in parts.items()]


def _together(overlaps: tuple[Overlap, ...]) -> tuple[Shape, tuple[slice, ...], tuple[slice, ...]]:
    """Give numbers, parts and places over all dims from those of each."""
    return tuple(o[0] for o in overlaps), tuple(o[1] for o in overlaps), tuple(o[2] for o in overlaps)


def _overlaps(asked: range, size: int, origin: int) -> list[Overlap]:
    """Give the chunks of a dim that hold what is asked for: number, part of it, and where that belongs."""
    found = []
    for number in range(asked.start // size, -(-asked.stop // size)) if asked else ():
        start, stop = max(asked.start, number * size), min(asked.stop, (number + 1) * size)
        source = slice(start - number * size, stop - number * size)
        found.append((number, source, slice(start - origin, stop - origin)))
    return found
