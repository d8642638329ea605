"""Take a trace back to an earlier commit."""

from __future__ import annotations

import numpy as np

from tracekit.errors import TraceError
from tracekit.extent import read_marker
from tracekit.inventory import Item, take_inventory
from tracekit.layout import COMMIT_KEY, METADATA, group_metadata, read_layout
from tracekit.reading import read_facts
from tracekit.store import Store


def roll_back(store: Store, n: int) -> None:
    """Keep the first `n` snapshots of a trace that nobody writes, and drop those after them.

    The marker goes first, `[n, generation + 1]`: from then on nobody sees the later visits. Only then are
    their objects removed; cut off in between, a few are left that no reader looks at.

    Raises
    ------
    TraceError
        If the trace has not as many snapshots, or its marker or attributes are damaged.
    """
    facts = read_facts(store)
    committed, generation = read_marker(store, facts["snapshots_planned"])
    if not 0 <= n <= committed:
        raise TraceError(f"{store.url}: has {committed} snapshots, and cannot be taken back to {n}")
    beyond = [item.key for item in take_inventory(store).items() if _is_beyond(item, n)]
    layout = read_layout(store, COMMIT_KEY)
    marker = np.array([n, generation + 1], layout.dtype)
    store.put(layout.object_key((0,)), layout.codec.encode(marker))
    store.sync()
    if facts["status"] == "complete" and n < committed:
        store.put(METADATA, group_metadata({**facts, "status": "interrupted"}))
    for key in beyond:
        store.remove(key)
    store.sync()


def _is_beyond(item: Item, n: int) -> bool:
    return item.kind == "values" and all(first >= n for first, _ in item.visits)
