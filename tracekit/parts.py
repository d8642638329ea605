"""What is to be read of the shards of a row: worked out once, and done for every row."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tracekit.layout import ArrayLayout, Shape
from tracekit.pieces import Copy, Piece


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
    for item in wanted:
        along = _overlaps(item.columns, layout.chunk[-1], item.columns.start - item.place)
        for overlaps in itertools.product(*before, along):
            chunk, source, target = zip(*overlaps, strict=True)
            shard = tuple(c // n for c, n in zip(chunk, in_shard, strict=True))
            place = tuple(c % n for c, n in zip(chunk, in_shard, strict=True))
            copies[shard, place].append(Copy(item.output, source, target))
    parts: dict[Shape, list[Piece]] = defaultdict(list)
    for shard, place in sorted(copies):
        parts[shard].append(Piece((0, *place), tuple(copies[shard, place])))
    return [ShardPart(*part) for part in parts.items()]


def _overlaps(asked: range, size: int, origin: int) -> list[tuple[int, slice, slice]]:
    """Give the chunks of a dim that hold what is asked for: number, part of it, and where that belongs."""
    found = []
    for number in range(asked.start // size, -(-asked.stop // size)) if asked else ():
        start, stop = max(asked.start, number * size), min(asked.stop, (number + 1) * size)
        source = slice(start - number * size, stop - number * size)
        found.append((number, source, slice(start - origin, stop - origin)))
    return found
