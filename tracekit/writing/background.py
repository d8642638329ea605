"""Objects on their way to the store, in the background of the training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tracekit.store import Store
from tracekit.writing.buffers import QUEUE_BYTES, RowBuffers, Values

WRITING_THREADS = 2
Objects = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Cargo:
    """What some objects are: how an error names them, and the row they make up, if they do.

    What is not `needed` for the trace to be true, such as a checkpoint, can be gone without.
    """

    name: str
    row: tuple[str, int] | None = None
    needed: bool = True


@dataclass(frozen=True)
class Failure:
    """What could not be put, and why."""

    cargo: Cargo
    error: OSError


@dataclass(frozen=True)
class Job:
    """Something under way: what it is, and what it gives when it is done: the seconds that it took."""

    cargo: Cargo
    future: Future[float]

    @property
    def failure(self) -> Failure | None:
        """Wait until it is done, and give what the store refused.

        Raises
        ------
        TraceError
            If it was a comparison, and found a difference.
        """
        try:
            self.future.result()
        except OSError as error:
            return Failure(self.cargo, error)
        return None

    @property
    def has_failed(self) -> bool:
        """Say whether it is over and was of no use."""
        return self.future.done() and not self.future.cancelled() and self.future.exception() is not None


class Background:
    """Puts objects in a few threads; errors of the store are kept until somebody waits.

    Parameters
    ----------
    store : Store
        Where to.
    queue_bytes : int
        How many bytes may be under way at a time: see `RowBuffers`, which are its `buffers`.
    """

    def __init__(self, store: Store, queue_bytes: int = QUEUE_BYTES) -> None:
        self.buffers = RowBuffers(queue_bytes)
        self._store = store
        n_threads = max(WRITING_THREADS, store.parallel_requests)
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="tracekit-writer")
        self._pending: list[Job] = []

    def put(self, cargo: Cargo, objects: Objects) -> None:
        """Put objects, one after another; those after one that fails are not put."""
        self._pending.append(self.start_putting(cargo, objects))

    def do(self, cargo: Cargo, work: Callable[[Values], None], row: Values) -> None:
        """Do something with a row, which is given back to the buffers afterwards."""
        self.buffers.take_over(row)

        def work_and_give_back() -> None:
            try:
                work(row)
            finally:
                self.buffers.done(row)

        self._pending.append(self.start(cargo, work_and_give_back))

    def start(self, cargo: Cargo, work: Callable[[], None]) -> Job:
        """Do anything, for somebody who waits for it by himself."""
        return Job(cargo, self._pool.submit(_timed, work))

    def start_putting(self, cargo: Cargo, objects: Objects) -> Job:
        """Put objects, for somebody who waits for it by himself."""
        return self.start(cargo, partial(self._put, objects))

    def failed(self) -> Failure | None:
        """Give something that the store refused already, if it did; nobody waits."""
        failures = (job.failure for job in self._pending if job.has_failed)
        return next(failures, None)

    def handed_over(self) -> list[Job]:
        """Give everything that is under way, for somebody else to wait for."""
        pending, self._pending = self._pending, []
        return pending

    def wait(self) -> list[Failure]:
        """Wait until everything is done, and give what the store refused."""
        return failures_of(self.handed_over())

    def close(self) -> None:
        """Wait for what is under way, and forget what has not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()

    def _put(self, objects: Objects) -> None:
        for key, data in objects:
            self._store.put(key, data)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def failures_of(jobs: Iterable[Job]) -> list[Failure]:
    """Wait until jobs are done, and give what the store refused."""
    failures = [job.failure for job in jobs]
    return [failure for failure in failures if failure is not None]
