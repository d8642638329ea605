"""Jobs shared out between threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")


def in_threads(work: Callable[[Job], None], jobs: Iterable[Job], n_threads: int) -> None:
    """Do jobs in several threads, this one among them; each takes the next one when it is free.

    The first error ends the work, and is raised.
    """
    waiting = deque(jobs)
    n_helpers = min(n_threads, len(waiting)) - 1
    if n_helpers < 1:
        _take(work, waiting)
        return
    with ThreadPoolExecutor(n_helpers, thread_name_prefix="tracekit-reader") as pool:
        helpers = [pool.submit(_take, work, waiting) for _ in range(n_helpers)]
        _take(work, waiting)
        for helper in helpers:
            helper.result()


def _take(work: Callable[[Job], None], waiting: deque[Job]) -> None:
    while True:
        try:
            job = waiting.popleft()
        except IndexError:  # nothing is left
            return
        try:
            work(job)
        except BaseException:
            waiting.clear()
            raise
