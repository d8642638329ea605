"""One object, opened for several reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tracekit.errors import TraceError
from tracekit.store.guard import unreadable

MEBIBYTE = 1 << 20


class StoredObject(Protocol):
    """An object of a store, opened to be read in parts."""

    @property
    def most_bytes(self) -> int:
        """How much is best asked for at once, of what lies together."""

    @property
    def gap_bytes(self) -> int:
        """How much may lie unwanted between two parts that are better read with it than one by one."""

    def range(self, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object.

        What lies beyond the object's end is left out.
        """

    def range_into(self, start: int, targets: Sequence[memoryview]) -> int:
        """Fill memory, one part after another, with what lies from `start` on; give how many bytes did."""


class Ranges:
    """An object of a store that has no cheaper way than a request for each range."""

    most_bytes = 4 * MEBIBYTE
    gap_bytes = MEBIBYTE

    def __init__(self, store: _HasRanges, key: str) -> None:
        self._store = store
        self._key = key

    def range(self, start: int, length: int) -> bytes | None:
        """Ask the store."""
        return self._store.get_range(self._key, start, length)

    def range_into(self, start: int, targets: Sequence[memoryview]) -> int:
        """Ask the store, and copy."""
        data = self.range(start, sum(map(len, targets))) or b""
        place = 0
        for target in targets:
            part = data[place : place + len(target)]
            target[: len(part)] = part
            place += len(part)
        return place


class OpenFile:
    """An open file, or None where there is none; whatever takes its place is not seen."""

    most_bytes = MEBIBYTE  # what was read is then in the core's cache while it is checked and decoded
    gap_bytes = 0

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def read(self) -> bytes | None:
        """Read all of it."""
        if self._descriptor is None:
            return None
        with os.fdopen(self._descriptor, "rb", buffering=0, closefd=False) as file:
            return bytes(file.read())

    def range(self, start: int, length: int) -> bytes | None:
        """Read a range."""
        if self._descriptor is None:
            return None
        size = os.fstat(self._descriptor).st_size
        first = min(start, size) if start >= 0 else max(0, size + start)
        return os.pread(self._descriptor, min(length, size - first), first)

    def range_into(self, start: int, targets: Sequence[memoryview]) -> int:
        """Read straight to where it belongs."""
        return 0 if self._descriptor is None else os.preadv(self._descriptor, targets, start)


class _HasRanges(Protocol):
    def get_range(self, key: str, start: int, length: int) -> bytes | None: ...


@contextmanager
def open_file(descriptor: int | None, path: str) -> Iterator[OpenFile]:
    """Close a file after its last read.

    Raises
    ------
    DamagedTraceError
        If the disk does not give what lies in it.
    """
    try:
        yield OpenFile(descriptor)
    except TraceError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        if descriptor is not None:
            os.close(descriptor)
