"""What comes in pieces, and goes to a store many of them at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from tracekit.store.base import Buffer

TOGETHER_BYTES = 512 << 10  # 2 MiB gain more alone, and take more than single chunks beside a training
MOST_TOGETHER = 512  # systems take 1,024 pieces with a call


def write_pieces(descriptor: int, pieces: Iterable[Buffer]) -> None:
    """Write pieces to a file one after another.

    Chunks with a checksum of four bytes behind each would make every write begin in the middle of a page,
    which takes more time; together they make fewer writes, of what is in the processor's cache still. Up to
    `TOGETHER_BYTES` and a piece are kept meanwhile.
    """
    for together in _gathered(pieces):
        _write_all(descriptor, together)


def _gathered(pieces: Iterable[Buffer]) -> Iterator[list[memoryview]]:
    together: list[memoryview] = []
    n_bytes = 0
    for piece in pieces:
        together.append(memoryview(piece).cast("B"))
        n_bytes += len(together[-1])
        if n_bytes >= TOGETHER_BYTES or len(together) == MOST_TOGETHER:
            yield together
            together, n_bytes = [], 0
    yield together


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    """Write pieces; go on where a write is cut short, by a signal, a limit or a disk that is all but full."""
    while pieces:
        pieces = _beyond(pieces, os.writev(descriptor, pieces))


def _beyond(pieces: list[memoryview], n_bytes: int) -> list[memoryview]:
    """Leave out the first bytes, and what is empty."""
    rest = []
    for piece in pieces:
        skipped = min(n_bytes, len(piece))
        n_bytes -= skipped
        if skipped < len(piece):
            rest.append(piece[skipped:])
    return rest


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
