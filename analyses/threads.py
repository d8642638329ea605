"""One BLAS thread per block, while dask gives every core a block of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
    """Holds BLAS to one thread from the first block that starts to the last that ends.

    `threadpoolctl.threadpool_limits` alone leaves one thread for good where several threads enter and leave
    it in turns: the last to leave restores what it met, which was the limit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_blocks = 0
        self._limit: Any = None
        self._libraries: Any = None
        self._n_modules = 0

    def enter(self) -> None:
        """Count a block that starts; the first one sets the limit."""
        with self._lock:
            self._n_blocks += 1
            if self._n_blocks == 1:
                _in_a_thread_of_its_own(self._set)

    def leave(self) -> None:
        """Count a block that ends; the last one takes the limit back."""
        with self._lock:
            self._n_blocks -= 1
            if self._n_blocks == 0:
                _in_a_thread_of_its_own(self._limit.restore_original_limits)

    def _set(self) -> None:
        # scipy and torch bring libraries of their own; to look them up takes two milliseconds
        if self._n_modules != len(sys.modules):
            self._libraries, self._n_modules = ThreadpoolController(), len(sys.modules)
        self._limit = self._libraries.limit(limits=1, user_api="blas")


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


def _in_a_thread_of_its_own(do: Callable[[], None]) -> None:
    """Set limits from a thread that ends: one that lives on, threadpoolctl lets keep all others off."""
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()
