"""The commit marker: how far a trace is good, and how often it has gone back.

Two integers, `[snapshots committed, generation]`, in one small object that is replaced atomically. All data
of a visit is durable before the marker that makes it visible. The generation goes up when committed visits
are dropped, or a trace takes the place of another: what was opened before is then no longer what is there.

The folder of this array is also where the writer keeps what is its own: claims and checkpoints. Zarr readers
do not look for anything below an array.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from tracekit.errors import (
    DamagedTraceError,
    NotATraceError,
    TraceError,
    TraceInUseError,
    TraceNotFoundError,
    TraceRolledBackError,
)
from tracekit.format.codecs import Codec
from tracekit.format.layout import CLOCK, COMMIT_KEY, FORMAT, METADATA, TIMELINE, ArrayLayout
from tracekit.store import Store

MARKER_LAYOUT = ArrayLayout(
    COMMIT_KEY, (2,), np.dtype("<i8"), ("committed_generation",), (2,), None, Codec("none", 8)
)
MARKER_KEY = MARKER_LAYOUT.object_key((0,))


@dataclass(frozen=True)
class Marker:
    """Snapshots committed, and how often the trace has gone back."""

    committed: int
    generation: int


def read_marker(store: Store) -> Marker | None:
    """Read the marker; None where nothing was ever ready to be recorded.

    Raises
    ------
    DamagedTraceError
        If its checksum fails.
    """
    data = store.get(MARKER_KEY)
    if data is None:
        return None
    values = np.empty(2, MARKER_LAYOUT.dtype)
    MARKER_LAYOUT.codec.decode_into(memoryview(data), values, f"{store.url}/{MARKER_KEY}")
    return Marker(*(int(value) for value in values))


def require_marker(store: Store) -> Marker:
    """Read the marker.

    Raises
    ------
    TraceNotFoundError
        If there is nothing at all.
    NotATraceError
        If there is none: it is no trace, or one that was never finished being made.
    DamagedTraceError
        If there is none, or not what describes it, though snapshots were recorded.
    """
    marker = read_marker(store)
    if marker is None or store.get(f"{COMMIT_KEY}/{METADATA}") is None:
        raise _missing(store)
    return marker


def _missing(store: Store) -> TraceError:
    if not store.exists():
        return TraceNotFoundError(f"{store.url}: there is nothing here; check the path")
    if FORMAT.encode() not in (store.get(METADATA) or b""):
        return NotATraceError(f"{store.url}: not a trace; check the path")
    absent = [key for key in (MARKER_KEY, f"{COMMIT_KEY}/{METADATA}") if store.get(key) is None]
    if not any(store.children(f"{TIMELINE}/{CLOCK}/c")):
        why = "its making was cut off before anything was recorded"
    elif len(absent) == 1:
        return DamagedTraceError(
            f"{store.url}/{absent[0]}: missing, though snapshots were recorded; have it made anew by "
            f"tracekit verify {store.url} --repair"
        )
    else:
        why = f"its deletion was cut off, and {COMMIT_KEY} is gone, which says what was recorded"
    return NotATraceError(f"{store.url}: {why}; delete it and start again")


def write_marker(store: Store, marker: Marker, *, before: Collection[Marker | None]) -> None:
    """Put the marker in place; durable on return, as is everything put before.

    Parameters
    ----------
    store, marker
        Where, and what.
    before : collection of Marker or None
        What may be there: the marker that this writer put last, or None if there was none.

    Raises
    ------
    TraceInUseError
        If another one is there. A writer that takes a trace over by force changes the marker, so that one
        that was thought to be dead, and goes on, cannot make anything visible.
    """
    store.sync()
    if not store.exchange(MARKER_KEY, [_encoded(each) for each in before], _encode(marker)):
        raise taken_over(store)
    store.sync()


def taken_over(store: Store, by: str = "") -> TraceInUseError:
    """Give the error for a writer that is no longer the one; says who is, if that is known."""
    return TraceInUseError(
        f"{store.url}: another writer has taken this trace over{by and f' ({by})'}; this one stops, and what "
        "it had not committed is lost"
    )


def _encoded(marker: Marker | None) -> bytes | None:
    return None if marker is None else _encode(marker)


def _encode(marker: Marker) -> bytes:
    return MARKER_LAYOUT.codec.encode(np.array([marker.committed, marker.generation], MARKER_LAYOUT.dtype))


@contextmanager
def unchanged(store: Store, generation: int | None) -> Iterator[None]:
    """Vouch for what is read inside: the trace did not go back meanwhile, or since it was opened.

    Raises
    ------
    TraceRolledBackError
        If it did.
    """
    try:
        yield
    except DamagedTraceError:
        _require_generation(store, generation)
        raise
    _require_generation(store, generation)


def _require_generation(store: Store, generation: int | None) -> None:
    if generation is None:
        return
    marker = read_marker(store)
    if marker is None or marker.generation != generation:
        raise TraceRolledBackError(
            f"{store.url}: was rolled back or replaced since it was opened, so these visits may be others "
            "than those that were there; open it again"
        )
