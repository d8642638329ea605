"""Several requests under way at once, where waiting for them is what takes time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tracekit.store.base import Store

Item = TypeVar("Item")
Result = TypeVar("Result")


AT_ONCE = 1024


def each(store: Store, ask: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Give `ask(item)` for every item, in order; in threads, if the store gains by it.

    Metadata may claim any number of chunks: items are not copied, and the first that is missing ends it.

    Examples
    --------
    >>> from tracekit.store import open_store
    >>> store = open_store("memory://example")
    >>> store.put("a", b"1")
    >>> each(store, store.get, ["a", "b"])
    [b'1', None]
    """
    n_threads = min(store.parallel_requests, len(items))
    if n_threads <= 1:
        return [ask(item) for item in items]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="tracekit-reader") as pool:
        batches = (items[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE))
        return [result for batch in batches for result in pool.map(ask, batch)]
