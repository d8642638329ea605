"""What recording takes of a run, measured as it goes and kept in the trace: its group `recording`.

===========================  ==================  ======================================================
series                       dims                meaning
===========================  ==================  ======================================================
`capture_milliseconds`       (visit, recorder)   the training stood still while tensors were copied
`wait_milliseconds`          (visit, recorder)   … while too many bytes were on their way to the store
`write_milliseconds`         (visit, kind)       threads in the background encoded and wrote rows
`written_bytes`              (visit, kind)       bytes of these rows, before compression
===========================  ==================  ======================================================

Rows are written behind the back of the training: what is written of a visit may be told with the next one,
and what is written after the last commit is not told. The last `recorder` is the commit: what it takes of the
training, once all recorders have seen a visit, is told with the next one. Nothing of this is compared when a
run is repeated.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tracekit.format.schema import Series

MEASURES = "recording"
COMMIT = "commit"
SERIES = (
    Series(MEASURES, "capture_milliseconds", dims=("recorder",), units="ms"),
    Series(MEASURES, "wait_milliseconds", dims=("recorder",), units="ms"),
    Series(MEASURES, "write_milliseconds", dims=("kind",), units="ms"),
    Series(MEASURES, "written_bytes", dims=("kind",), units="B"),
)


class Written:
    """Seconds and bytes of the rows that were written, by kind, since they were last asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._bytes: Counter[str] = Counter()

    def add(self, kind: str, seconds: float, n_bytes: int) -> None:
        """Count a row."""
        with self._lock:
            self._seconds[kind] += seconds
            self._bytes[kind] += n_bytes

    def taken(self, kinds: Sequence[str]) -> tuple[list[float], list[float]]:
        """Give seconds and bytes of kinds, and begin anew."""
        with self._lock:
            found = [self._seconds[kind] for kind in kinds], [float(self._bytes[kind]) for kind in kinds]
            self._seconds.clear()
            self._bytes.clear()
        return found


class Stopwatch:
    """Tells what each recorder takes of the training, and how much of it is waiting for the store.

    Parameters
    ----------
    n_recorders : int
        How many there are.
    """

    def __init__(self, n_recorders: int) -> None:
        self._n = n_recorders
        self._reset()

    @contextmanager
    def running(self, place: int, waited: Callable[[], float]) -> Iterator[None]:
        """Count the time of a recorder; `waited` gives the seconds waited in all so far."""
        waited_before, began = waited(), time.perf_counter()
        try:
            yield
        finally:
            waiting = waited() - waited_before
            self._wait[place] += waiting
            self._capture[place] += time.perf_counter() - began - waiting

    def taken(self) -> tuple[list[float], list[float]]:
        """Give seconds of capture and of waiting, by recorder, and begin anew."""
        found = self._capture, self._wait
        self._reset()
        return found

    def _reset(self) -> None:
        self._capture, self._wait = [0.0] * self._n, [0.0] * self._n


def names_of(things: Sequence[object]) -> list[str]:
    """Name things by their types, those of the same type by a number too.

    Examples
    --------
    >>> names_of([1, "a", 2])
    ['int', 'str', 'int 2']
    """
    seen: Counter[str] = Counter()
    names = []
    for thing in things:
        name = type(thing).__name__
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return names
