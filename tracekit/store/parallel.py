"""Several requests under way at once, where waiting for them is what takes time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tracekit.store.base import Store

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(store: Store, ask: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Give `ask(item)` for every item, in order; in threads, if the store gains by it.

    Examples
    --------
    >>> from tracekit.store import open_store
    >>> store = open_store("memory://example")
    >>> store.put("a", b"1")
    >>> each(store, store.get, ["a", "b"])
    [b'1', None]
    """
    asked = list(items)
    n_threads = min(store.parallel_requests, len(asked))
    if n_threads <= 1:
        return [ask(item) for item in asked]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="tracekit-reader") as pool:
        return list(pool.map(ask, asked))
