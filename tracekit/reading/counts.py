"""Open-ended traces: how many samples every kind has at every snapshot.

Nothing in such a trace is known before it is recorded: its arrays claim a capacity, and their coordinates
grow. What there is of each at a snapshot is one number of a column in the timeline, written with the snapshot
itself: `visits/losses_updates` counts the samples of `losses` along `update`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracekit.format.checks import MalformedError, checking
from tracekit.format.documents import read_document, seal
from tracekit.format.layout import CAPACITY, COMMIT_KEY, DERIVED, METADATA, TIMELINE, read_layout
from tracekit.format.schema import Series
from tracekit.format.validation import check_numbers
from tracekit.reading.stored import StoredSeries
from tracekit.store import Store

OPEN_ENDED = "open_ended"
PLANNED = "snapshots_planned"


def is_open(facts: Mapping[str, Any]) -> bool:
    """Say of the attributes of a trace whether its end was not known when it was begun."""
    return bool(facts.get(OPEN_ENDED, False))


def room_for_snapshots(facts: Mapping[str, Any]) -> int:
    """Give how many snapshots a trace has room for."""
    return CAPACITY if is_open(facts) else int(facts[PLANNED])


def count_series(group: str, dim: str) -> Series:
    """Name the column of the timeline that counts the samples of a group along a dim."""
    return Series(TIMELINE, f"{group}_{dim}s", dtype="int64", long_name=f"{dim}s of {group}")


def samples_at(store: Store, group: str, dim: str, snapshots: int) -> int:
    """Give how many samples an open-ended group has along a dim after so many snapshots.

    Raises
    ------
    TraceError
        If the count is damaged, or makes no sense.
    """
    if group == TIMELINE or snapshots == 0:
        return snapshots
    series = count_series(group, dim)
    key = f"{TIMELINE}/{series.name}"
    layout = read_layout(store, key)
    with checking(f"{store.url}/{key}"):
        check_numbers(layout, "visit")
        if layout.shape[0] < snapshots:
            raise MalformedError(f"{layout.shape[0]} counts for {snapshots} snapshots")
        count = int(StoredSeries(store, layout, snapshots)[snapshots - 1])
        if count < 0:
            raise MalformedError(f"the number of samples at snapshot {snapshots - 1} is {count}")
    return count


def trim(store: Store, snapshots: int) -> None:
    """Give every array of an open-ended trace the length that it has, for readers that know no marker."""
    for key, dim in list(_arrays(store)):
        resize(store, key, samples_at(store, key.split("/")[0], dim, snapshots))


def resize(store: Store, key: str, n_samples: int) -> None:
    """Change how many samples an array says it has; only its metadata is written."""
    document = read_document(store, f"{key}/{METADATA}")
    if document["shape"][0] != n_samples:
        document["shape"][0] = n_samples
        store.put(f"{key}/{METADATA}", seal(document))


def _arrays(store: Store) -> Iterator[tuple[str, str]]:
    """Give the keys of all arrays with the dim of their samples, those of the timeline last.

    As long as anything else is to be trimmed, the counts of the timeline are needed.
    """
    groups = [name for name in store.children() if name not in (METADATA, COMMIT_KEY, DERIVED, TIMELINE)]
    for group in (*groups, TIMELINE):
        for name in store.children(group):
            if name != METADATA:
                key = f"{group}/{name}"
                yield key, read_layout(store, key).dims[0]
