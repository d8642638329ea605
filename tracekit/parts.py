"""What is to be read of the shards of a row: worked out once, and done for every row."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tracekit.layout import ArrayLayout, Shape
from tracekit.pieces import Piece, Values, pieces_of, read_pieces
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


def parts_of_row(layout: ArrayLayout, spans: Sequence[range], place: int) -> Iterator[ShardPart]:
    """Give the parts that make up a stretch of a row, one for each shard.

    `spans` are dims ([middle,] element); the stretch begins at column `place` of what is wanted.
    """
    if any(len(asked) == 0 for asked in spans):
        return
    corner = (*(asked.start for asked in spans[:-1]), spans[-1].start - place)
    sizes = layout.object_shape[1:]
    grid = [range(s.start // n, -(-s.stop // n)) for s, n in zip(spans, sizes, strict=True)]
    for index in itertools.product(*grid):
        edges = [i * n for i, n in zip(index, sizes, strict=True)]
        stretch = [
            range(max(s.start, edge), min(s.stop, edge + n))
            for s, edge, n in zip(spans, edges, sizes, strict=True)
        ]
        wanted = (slice(0, 1), *(slice(s.start - e, s.stop - e) for s, e in zip(stretch, edges, strict=True)))
        target = tuple(slice(s.start - c, s.stop - c) for s, c in zip(stretch, corner, strict=True))
        yield ShardPart(index, target, pieces_of(layout, wanted))


def cut_part(part: ShardPart, n_pieces: int) -> Iterator[ShardPart]:
    """Cut a part into parts of so many chunks, for several threads to read."""
    for first in range(0, len(part.pieces), n_pieces):
        yield ShardPart(part.index, part.target, part.pieces[first : first + n_pieces])


def read_part(store: Store, layout: ArrayLayout, row: int, part: ShardPart, out: Values) -> None:
    """Read one part of one row into `out`, dims ([middle,] element), where it belongs.

    Raises
    ------
    DamagedTraceError
        If the shard is missing, cut short, or a checksum fails.
    """
    key = layout.object_key((row, *part.index))
    read_pieces(store, layout, key, part.pieces, out[None][(slice(None), *part.target)])


def in_threads(work: Callable[[Job], None], jobs: Iterable[Job], n_threads: int) -> None:
    """Do jobs in several threads, this one among them; each takes the next one when it is free.

    The first error ends the work, and is raised.
    """
    waiting = deque(jobs)
    n_helpers = min(n_threads, len(waiting)) - 1
    if n_helpers < 1:
        _take(work, waiting)
        return
    with ThreadPoolExecutor(n_helpers, thread_name_prefix="tracekit-reader") as pool:
        helpers = [pool.submit(_take, work, waiting) for _ in range(n_helpers)]
        _take(work, waiting)
        for helper in helpers:
            helper.result()


def _take(work: Callable[[Job], None], waiting: deque[Job]) -> None:
    while True:
        try:
            job = waiting.popleft()
        except IndexError:  # nothing is left
            return
        try:
            work(job)
        except BaseException:
            waiting.clear()
            raise
