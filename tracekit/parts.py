"""What is to be read of the shards of a row: worked out once, and done for every row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tracekit.layout import ArrayLayout, Shape
from tracekit.shards import Piece, Values, pieces_of, read_pieces
from tracekit.store import Store

Job = TypeVar("Job")


@dataclass(frozen=True)
class ShardPart:
    """What is wanted of one shard of a row.

    Parameters
    ----------
    index : tuple of int
        The place of the shard in the row.
    target : tuple of slice
        Where it belongs among what is wanted of the row, dims ([middle,] element).
    pieces : list of Piece
        What is wanted of each chunk.
    """

    index: Shape
    target: tuple[slice, ...]
    pieces: list[Piece]


def parts_of_row(
    layout: ArrayLayout, spans: Sequence[range], place: int, most_bytes: int
) -> Iterator[ShardPart]:
    """Give the parts that make up a stretch of a row, one or more for each shard.

    `spans` are dims ([middle,] element); the stretch begins at column `place` of what is wanted. Parts larger
    than `most_bytes` are cut between chunks.
    """
    if any(len(asked) == 0 for asked in spans):
        return
    corner = (*(asked.start for asked in spans[:-1]), spans[-1].start - place)
    steps = (*layout.object_shape[1:-1], _columns_of_part(layout, spans, most_bytes))
    grid = [range(s.start // n, -(-s.stop // n)) for s, n in zip(spans, steps, strict=True)]
    for at in itertools.product(*grid):
        stretch = [
            range(max(s.start, i * n), min(s.stop, (i + 1) * n))
            for s, i, n in zip(spans, at, steps, strict=True)
        ]
        index = tuple(s.start // n for s, n in zip(stretch, layout.object_shape[1:], strict=True))
        edges = [i * n for i, n in zip(index, layout.object_shape[1:], strict=True)]
        wanted = (slice(0, 1), *(slice(s.start - e, s.stop - e) for s, e in zip(stretch, edges, strict=True)))
        target = tuple(slice(s.start - c, s.stop - c) for s, c in zip(stretch, corner, strict=True))
        yield ShardPart(index, target, pieces_of(layout, wanted))


def read_part(store: Store, layout: ArrayLayout, row: int, part: ShardPart, out: Values) -> None:
    """Read one part of one row into `out`, dims ([middle,] element), where it belongs.

    Raises
    ------
    DamagedTraceError
        If the shard is missing, cut short, or a checksum fails.
    """
    key = layout.object_key((row, *part.index))
    read_pieces(store, layout, key, part.pieces, out[None][(slice(None), *part.target)])


def in_threads(work: Callable[[list[Job]], None], jobs: list[Job], n_threads: int) -> None:
    """Share jobs out between threads, every n-th to the same one: few hand-overs, and an even load."""
    n_shares = min(n_threads, len(jobs))
    if n_shares < 2:
        work(jobs)
        return
    with ThreadPoolExecutor(n_shares, thread_name_prefix="tracekit-reader") as pool:
        list(pool.map(work, [jobs[first::n_shares] for first in range(n_shares)]))


def _columns_of_part(layout: ArrayLayout, spans: Sequence[range], most_bytes: int) -> int:
    """Give the columns of a part: whole chunks, and whole parts in a shard."""
    height = math.prod(len(asked) for asked in spans[:-1]) * layout.dtype.itemsize
    chunks = max(1, most_bytes // (height * layout.chunk[-1]))
    in_shard = layout.chunks_per_shard[-1]
    n_parts = -(-in_shard // min(chunks, in_shard))
    while in_shard % n_parts:
        n_parts += 1
    return layout.chunk[-1] * (in_shard // n_parts)
