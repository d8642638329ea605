"""One BLAS thread per block, while dask gives every core a block of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
    """Holds BLAS to one thread from the first block that starts to the last that ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_blocks = 0
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            self._n_blocks += 1
            if self._n_blocks == 1:
                # looked up anew each time, in a millisecond: scipy and torch bring libraries of their own
                self._limit = ThreadpoolController().limit(limits=1, user_api="blas")

    def leave(self) -> None:
        with self._lock:
            self._n_blocks -= 1
            if self._n_blocks == 0:
                self._limit.restore_original_limits()
                # a limit restores once more when it is collected, be it in the middle of the next one
                self._limit = None


_LIMIT = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread within the block; several threads may be within at once.

    Two products at a time, each with as many threads as there are cores, take six times as long as two with
    one thread each (126 × 528,000 float32 on 2 cores): the threads wait for each other.

    Examples
    --------
    >>> import numpy as np
    >>> with one_blas_thread():
    ...     np.ones((2, 2)) @ np.ones((2, 2))
    array([[2., 2.],
           [2., 2.]])
    """
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
