"""Memory of what is on its way to the store: reused, and bounded."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.format.layout import Shape

QUEUE_BYTES = 1 << 30
Values = npt.NDArray[Any]
Memory = Callable[[int], npt.NDArray[np.uint8]]
"""Makes so many bytes of memory."""


def plain_memory(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Make memory of the usual kind."""
    return np.empty(n_bytes, np.uint8)


class RowBuffers:
    """Lends arrays to be filled, takes them over to be written, and lends them again when that is done.

    Memory that was never touched is slow to fill: the system must find a page for every 4 KiB. So arrays are
    kept and lent again. Whoever asks for more while `most_bytes` are under way waits until something has been
    written; what is larger than that passes alone. Safe to use from several threads.

    Parameters
    ----------
    most_bytes : int
        How many bytes may be lent, and waiting to be written, at a time.

    Examples
    --------
    >>> buffers = RowBuffers(most_bytes=64)
    >>> row = buffers.lend((8,), np.dtype("f8"))  # all there is
    >>> buffers.take_over(row)
    >>> threading.Timer(0.1, buffers.done, [row]).start()
    >>> buffers.lend((8,), np.dtype("f8")).base is row.base  # waits until the row has been written
    True
    """

    def __init__(self, most_bytes: int = QUEUE_BYTES) -> None:
        self.waited_seconds = 0.0
        self._most = most_bytes
        self._lent: dict[int, Values] = {}  # by id, which stays theirs as long as they are kept here
        self._taken: dict[int, Values] = {}
        self._free: defaultdict[int, list[Values]] = defaultdict(list)
        self._under_way = 0
        self._waiting = 0
        self._changed = threading.Condition()

    def lend(self, shape: Shape, dtype: np.dtype[Any], memory: Memory = plain_memory) -> Values:
        """Give an array to be filled; what is in it is arbitrary. Waits while too much is under way.

        `memory` makes what it lies in, where there is none to be used again.
        """
        n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        with self._changed:
            self._wait_for(n_bytes)
            self._under_way += n_bytes
            values = self._block(n_bytes, memory).view(dtype).reshape(shape)
            self._lent[id(values)] = values
        return values

    def take_over(self, values: Values) -> None:
        """Take an array that is to be written, lent or not; waits for room for one that was not lent."""
        with self._changed:
            if self._lent.pop(id(values), None) is not None:
                self._taken[id(values)] = values
                self._waiting += values.nbytes
                return
        self.enter(values.nbytes)

    def done(self, values: Values) -> None:
        """Say that an array has been written, or never will be."""
        with self._changed:
            if self._taken.pop(id(values), None) is not None and values.base is not None:
                self._free[values.nbytes].append(values.base)
        self.leave(values.nbytes)

    def enter(self, n_bytes: int) -> None:
        """Count other bytes that are to be written; waits while too much is under way."""
        with self._changed:
            self._wait_for(n_bytes)
            self._under_way += n_bytes
            self._waiting += n_bytes

    def leave(self, n_bytes: int) -> None:
        """Say that bytes have been written, or never will be."""
        with self._changed:
            self._under_way -= n_bytes
            self._waiting -= n_bytes
            self._changed.notify_all()

    def _wait_for(self, n_bytes: int) -> None:
        """Wait for room. Where nothing is being written, no room will come of waiting: then it is given."""
        if self._has_room(n_bytes):
            return
        started = time.perf_counter()
        self._changed.wait_for(lambda: self._has_room(n_bytes))
        self.waited_seconds += time.perf_counter() - started

    def _has_room(self, n_bytes: int) -> bool:
        return self._waiting == 0 or self._under_way + n_bytes <= self._most

    def _block(self, n_bytes: int, memory: Memory) -> Values:
        """Give memory that was used before, or else new memory; what is kept and too much is let go."""
        if self._free[n_bytes]:
            return self._free[n_bytes].pop()
        self._drop_free(self._most - self._under_way)
        return memory(n_bytes)

    def _drop_free(self, most_bytes: int) -> None:
        """Keep at most so many bytes for later use."""
        kept = sum(size * len(blocks) for size, blocks in self._free.items())
        for size, blocks in self._free.items():
            while blocks and kept > most_bytes:
                blocks.pop()
                kept -= size
