"""Objects on their way to the store, in the background of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tracekit.store import Store

WRITING_THREADS = 2


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


class Background:
    """Puts objects in a few threads; errors of the store are kept until somebody waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        n_threads = max(WRITING_THREADS, store.parallel_requests)
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="tracekit-writer")
        self._pending: list[tuple[Cargo, Future[None]]] = []

    def put(self, cargo: Cargo, objects: Iterable[tuple[str, bytes]]) -> None:
        """Put objects, one after another; those after one that fails are not put."""

        def write() -> None:
            for key, data in objects:
                self._store.put(key, data)

        self.do(cargo, write)

    def do(self, cargo: Cargo, work: Callable[[], None]) -> None:
        """Do anything else meanwhile."""
        self._pending.append((cargo, self._pool.submit(work)))

    def wait(self) -> list[Failure]:
        """Wait until everything is done, and give what the store refused."""
        pending, self._pending = self._pending, []
        failures = []
        for cargo, future in pending:
            try:
                future.result()
            except OSError as error:
                failures.append(Failure(cargo, error))
        return failures

    def close(self) -> None:
        """Wait for what is under way, and forget what has not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()
