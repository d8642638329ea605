"""What comes in pieces, and goes to a store many of them at a time."""

from __future__ import annotations

import mmap
import os
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator

from tracekit.store.base import Buffer
from tracekit.store.reserving import reserve

STAGE_BYTES = 256 << 10  # a MiB takes a little less alone, and three times as much beside a training

_stages: deque[memoryview] = deque()
"""Memory that no thread uses at the moment: as much as threads have written at once, this much for each."""


class SizedPieces(Iterable[Buffer]):
    """Pieces that may know how many bytes they have together, before they are gone through."""

    @property
    @abstractmethod
    def n_bytes(self) -> int | None:
        """All bytes; None where only going through them tells."""


def write_pieces(descriptor: int, pieces: Iterable[Buffer]) -> None:
    """Write pieces to a new file one after another.

    Chunks with a checksum of four bytes behind each would make every write begin in the middle of a page,
    and the system copies such data at two thirds of the speed. So pieces are copied together first, while
    they are in the processor's cache, and every write begins and ends with a page. Where their size is
    known, the file's place on the disk is reserved, as it costs less at once than write by write.
    """
    if isinstance(pieces, SizedPieces) and pieces.n_bytes is not None:
        reserve(descriptor, pieces.n_bytes)
    stage = _stages.pop() if _stages else _new_stage()
    try:
        _write_all(descriptor, stage[: _through(stage, descriptor, pieces)])
    finally:
        _stages.append(stage)


def _new_stage() -> memoryview:
    # begins with a page; private, so that a process and its fork do not write to the same memory
    return memoryview(mmap.mmap(-1, STAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def _through(stage: memoryview, descriptor: int, pieces: Iterable[Buffer]) -> int:
    """Copy pieces together, and write whenever the memory is full; say how many bytes are left in it."""
    filled = 0
    for piece in pieces:
        rest = memoryview(piece).cast("B")
        while filled + len(rest) >= len(stage):
            part, rest = rest[: len(stage) - filled], rest[len(stage) - filled :]
            stage[filled:] = part
            _write_all(descriptor, stage)
            filled = 0
        stage[filled : filled + len(rest)] = rest
        filled += len(rest)
    return filled


def _write_all(descriptor: int, data: memoryview) -> None:
    """Write data; go on where a write is cut short, by a signal, a limit or a disk that is all but full."""
    while data:
        data = data[os.write(descriptor, data) :]


def joined(pieces: Iterable[Buffer], n_bytes: int) -> Iterator[bytes]:
    """Join pieces to parts of so many bytes or a little more; the last one has less."""
    part: list[Buffer] = []
    for piece in pieces:
        part.append(piece)
        if sum(map(len, part)) >= n_bytes:
            yield b"".join(part)
            part = []
    if part:
        yield b"".join(part)
