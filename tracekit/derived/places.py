"""Where results are kept: in the trace, or beside it on this machine where the trace cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tracekit.errors import TraceError
from tracekit.format.documents import read_document
from tracekit.format.layout import DERIVED, METADATA, group_metadata
from tracekit.store import Store, open_store

CACHE = "TRACEKIT_CACHE"
"""Names the folder for results of traces that cannot be written; `~/.cache/tracekit` without it."""


def places(path: str, run_id: str) -> tuple[Store, Store]:
    """Give the stores in which results of a trace may lie: the trace, and a folder for its run."""
    base = os.environ.get(CACHE)
    folder = Path(base) if base else Path.home() / ".cache" / "tracekit"
    # what is lost can be computed again, so nothing waits for the disk
    return open_store(path, "rename"), open_store(folder / run_id, "rename")


def entries(store: Store) -> Iterator[str]:
    """Give the groups of results in a store, those that were cut off while being written left out."""
    for name in store.children(DERIVED):
        if name != METADATA and store.get(f"{DERIVED}/{name}/{METADATA}") is not None:
            yield f"{DERIVED}/{name}"


def prepare(store: Store) -> None:
    """Make the group of results, so that Zarr readers find it."""
    try:
        read_document(store, f"{DERIVED}/{METADATA}")
    except TraceError:
        store.put(f"{DERIVED}/{METADATA}", group_metadata({}))


def remove(store: Store, group: str) -> None:
    """Remove a result, its index first, so that nobody meets half of it."""
    store.remove(f"{group}/{METADATA}")
    store.remove_tree(group)
