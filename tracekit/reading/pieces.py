"""What is wanted of one shard, read by byte ranges and decoded to where it belongs.

Chunks that lie one after another are read at once. Values that are stored as they are go from the file
straight to their place, and are checked there; compressed ones are decoded to their place. Only a chunk that
is not wanted whole, or in several places, is put aside first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tracekit.format.codecs import CHECKSUM_BYTES, as_bytes, check_bytes, check_length
from tracekit.format.layout import ArrayLayout, Shape
from tracekit.format.shards import read_index
from tracekit.store import Store
from tracekit.store.objects import StoredObject

Values = npt.NDArray[Any]
MOST_CHUNKS = 256  # read at once: systems bound the parts of one read, two for each chunk


class Copy(NamedTuple):
    """A part of a chunk, and where it belongs: in which of the outputs, and where in a row of it.

    Slices are dims ([middle,] element).
    """

    output: int
    source: tuple[slice, ...]
    target: tuple[slice, ...]


class Piece(NamedTuple):
    """What is wanted of one chunk, and its place in the shard, dims (row, [middle,] element)."""

    place: Shape
    copies: Sequence[Copy]


class _Chunk(NamedTuple):
    """A chunk where it lies in the shard, and the memory that it is decoded to: its place, or aside."""

    piece: Piece
    offset: int
    length: int
    values: Values
    aside: bool

    @property
    def end(self) -> int:
        return self.offset + self.length


def read_pieces(
    store: Store, layout: ArrayLayout, key: str, pieces: Sequence[Piece], outputs: Sequence[Values]
) -> None:
    """Read pieces of one shard into rows of outputs, dims ([middle,] element) each.

    Raises
    ------
    DamagedTraceError
        If the shard is missing, cut short, or a checksum fails.
    """
    place = f"{store.url}/{key}"
    read = _read_kept if layout.codec.name == "none" else _read_encoded
    with store.open(key) as shard:
        entries = read_index(shard, layout, place)
        # one by one: a chunk that is put aside takes memory
        chunks = (_chunk(layout, piece, entries[piece.place].tolist(), outputs) for piece in pieces)
        for batch in _batches(chunks, shard):
            read(shard, layout, batch, place)
            for chunk in batch:
                _hand_out(chunk, outputs)


def _chunk(layout: ArrayLayout, piece: Piece, entry: list[int], outputs: Sequence[Values]) -> _Chunk:
    """Choose the memory of a chunk: its place, if it is wanted whole and in one place."""
    if len(piece.copies) == 1:
        target = _target(piece.copies[0], outputs)
        if target.shape == layout.chunk[1:] and target.flags.c_contiguous:
            return _Chunk(piece, entry[0], entry[1], target, aside=False)
    return _Chunk(piece, entry[0], entry[1], np.empty(layout.chunk[1:], layout.dtype), aside=True)


def _hand_out(chunk: _Chunk, outputs: Sequence[Values]) -> None:
    """Copy what is wanted of a chunk that was put aside."""
    for copy in chunk.piece.copies if chunk.aside else ():
        _target(copy, outputs)[...] = chunk.values[copy.source]


def _target(copy: Copy, outputs: Sequence[Values]) -> Values:
    target: Values = outputs[copy.output][copy.target]
    return target


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
    places = [_where(place, chunk) for chunk in batch]
    checks = [bytearray(CHECKSUM_BYTES) for _ in batch]
    targets: list[memoryview] = []
    first = end = batch[0].offset
    for chunk, check, where in zip(batch, checks, places, strict=True):
        check_length(chunk.length - CHECKSUM_BYTES, chunk.values.nbytes, where)
        targets += [memoryview(bytearray(chunk.offset - end))] if chunk.offset > end else []
        targets += [chunk.values.reshape(-1).view(np.uint8).data, memoryview(check)]
        end = chunk.end
    n_read = shard.range_into(first, targets)
    for chunk, check, where in zip(batch, checks, places, strict=True):
        check_length(min(n_read, chunk.end - first), chunk.end - first, where)
        check_bytes(as_bytes(chunk.values), bytes(check), where)


def _where(place: str, chunk: _Chunk) -> str:
    return f"{place}, chunk {chunk.piece.place}"
