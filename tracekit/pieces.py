"""What is wanted of one shard, read by byte ranges and decoded to where it belongs.

Chunks that lie one after another are read at once. Values that are stored as they are go from the file
straight to their place, and are checked there; compressed ones are decoded to their place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tracekit.codecs import CHECKSUM_BYTES, as_bytes, check_bytes, check_length
from tracekit.errors import DamagedTraceError
from tracekit.layout import ArrayLayout, Shape
from tracekit.shards import read_index
from tracekit.store import Store
from tracekit.store.objects import StoredObject

Values = npt.NDArray[Any]
MOST_CHUNKS = 256  # read at once: systems bound the parts of one read, two for each chunk


@dataclass(frozen=True)
class Piece:
    """What is wanted of one chunk: its place in the shard, the part of it, and where that belongs."""

    place: Shape
    source: tuple[slice, ...]
    target: tuple[slice, ...]


class _Chunk(NamedTuple):
    """A chunk where it lies in the shard, and where its values go: straight to `out`, or aside first."""

    piece: Piece
    offset: int
    length: int
    out: Values
    values: Values

    @property
    def end(self) -> int:
        return self.offset + self.length

    def finish(self) -> None:
        """Copy what is wanted, if it was not decoded in its place."""
        if self.values is not self.out:
            self.out[...] = self.values[self.piece.source]


def pieces_of(layout: ArrayLayout, wanted: tuple[slice, ...]) -> list[Piece]:
    """Give the pieces that make up a part of a shard, the same for every row.

    `wanted` is a slice of whole steps of 1 per dim, relative to the shard's corner.
    """
    grid = [range(w.start // c, -(-w.stop // c)) for w, c in zip(wanted, layout.chunk, strict=True)]
    return [Piece(place, *_overlap(layout.chunk, place, wanted)) for place in itertools.product(*grid)]


def read_pieces(store: Store, layout: ArrayLayout, key: str, pieces: Sequence[Piece], out: Values) -> None:
    """Read pieces of one shard into `out`, which has the shape of what was wanted (see `pieces_of`).

    Raises
    ------
    DamagedTraceError
        If the shard is missing, cut short, or a checksum fails.
    """
    place = f"{store.url}/{key}"
    read = _read_kept if layout.codec.name == "none" else _read_encoded
    with store.open(key) as shard:
        entries = read_index(shard, layout, place)
        # one by one: a chunk that is read aside first takes memory
        chunks = (_chunk(layout, piece, entries[piece.place].tolist(), out[piece.target]) for piece in pieces)
        for batch in _batches(chunks, shard):
            read(shard, layout, batch, place)
            for chunk in batch:
                chunk.finish()


def _chunk(layout: ArrayLayout, piece: Piece, entry: list[int], out: Values) -> _Chunk:
    whole = out.shape == layout.chunk and out.flags.c_contiguous
    return _Chunk(piece, entry[0], entry[1], out, out if whole else np.empty(layout.chunk, layout.dtype))


def _batches(chunks: Iterable[_Chunk], shard: StoredObject) -> Iterator[list[_Chunk]]:
    """Group chunks that are best read at once."""
    batch: list[_Chunk] = []
    for chunk in chunks:
        if batch and not (
            chunk.offset - batch[-1].end <= shard.gap_bytes
            and chunk.end - batch[0].offset <= shard.most_bytes
            and len(batch) < MOST_CHUNKS
        ):
            yield batch
            batch = []
        batch.append(chunk)
    if batch:
        yield batch


def _read_encoded(shard: StoredObject, layout: ArrayLayout, batch: list[_Chunk], place: str) -> None:
    first = batch[0].offset
    data = memoryview(shard.range(first, batch[-1].end - first) or b"")
    for chunk in batch:
        encoded = data[chunk.offset - first : chunk.end - first]
        layout.codec.decode_into(encoded, chunk.values, _where(place, chunk))


def _read_kept(shard: StoredObject, layout: ArrayLayout, batch: list[_Chunk], place: str) -> None:
    """Read values to their place, each followed by its checksum; only then are they checked."""
    checks = [bytearray(CHECKSUM_BYTES) for _ in batch]
    targets: list[memoryview] = []
    end = batch[0].offset
    for chunk, check in zip(batch, checks, strict=True):
        check_length(chunk.length - CHECKSUM_BYTES, chunk.values.nbytes, _where(place, chunk))
        targets += [memoryview(bytearray(chunk.offset - end))] if chunk.offset > end else []
        targets += [chunk.values.reshape(-1).view(np.uint8).data, memoryview(check)]
        end = chunk.end
    n_read = shard.range_into(batch[0].offset, targets)
    for chunk, check in zip(batch, checks, strict=True):
        if chunk.end - batch[0].offset > n_read:
            raise DamagedTraceError(f"{_where(place, chunk)}: cut short; restore the file from a copy")
        check_bytes(as_bytes(chunk.values), bytes(check), _where(place, chunk))


def _where(place: str, chunk: _Chunk) -> str:
    return f"{place}, chunk {chunk.piece.place}"


def _overlap(
    chunk: Shape, place: Shape, wanted: tuple[slice, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Give the wanted part of a chunk, once relative to the chunk and once relative to `wanted`."""
    source, target = [], []
    for size, index, part in zip(chunk, place, wanted, strict=True):
        corner = index * size
        start, stop = max(part.start, corner), min(part.stop, corner + size)
        source.append(slice(start - corner, stop - corner))
        target.append(slice(start - part.start, stop - part.start))
    return tuple(source), tuple(target)
