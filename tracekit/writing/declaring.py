"""Making the groups and arrays of a new trace, or holding those of a resumed one against them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracekit.differences import differences, listed
from tracekit.errors import TraceWriteError
from tracekit.format.copies import COPIES_KEY, DECLARED, arrays_among, pack
from tracekit.format.documents import read_document as read
from tracekit.format.layout import (
    CAPACITY,
    CLOCK,
    COMMIT_KEY,
    DERIVED,
    GAPS,
    METADATA,
    TIMELINE,
    ArrayLayout,
    group_metadata,
    read_layout,
)
from tracekit.format.marker import MARKER_LAYOUT
from tracekit.reading.counts import resize
from tracekit.reading.extent import read_known
from tracekit.reading.stored import StoredSeries
from tracekit.store import Store
from tracekit.writing.columns import Column
from tracekit.writing.measuring import MEASURES
from tracekit.writing.refusing import refusals
from tracekit.writing.truncation import committed_samples


class Declaring(Protocol):
    """How what is declared comes to be in the trace."""

    def group(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Declare a group; gives its attributes in the trace."""

    def array(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> ArrayLayout:
        """Declare an array; gives how it lies in the trace."""

    def known(self, layout: ArrayLayout, values: npt.NDArray[np.int64]) -> None:
        """Declare a coordinate that the plan fixes."""

    def column(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> Column:
        """Declare a series."""

    def check(self) -> None:
        """End what is declared of a group; raises `TraceWriteError` if it is not what the trace has."""

    def may_have(self, group: str) -> bool:
        """Say whether a group can be declared."""

    def undeclared(self) -> list[str]:
        """Give the groups that the trace has, and that nobody has declared."""

    def copies(self) -> list[tuple[str, bytes]]:
        """Give the objects to be put before the next commit, if any: see `tracekit.format.copies`."""


class NewDeclaring:
    """Makes what is declared.

    The metadata of a group is put after all that is in it: until then, readers do not see the group.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups: dict[str, dict[str, Any]] = {}
        self._made: dict[str, bytes] = {}
        self._n_copied = 0

    def group(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Make a group, at the next `check`."""
        self._groups[name] = dict(attributes)
        return dict(attributes)

    def array(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> ArrayLayout:
        """Make an array."""
        self.put(f"{layout.key}/{METADATA}", layout.metadata(attributes))
        return layout

    def known(self, layout: ArrayLayout, values: npt.NDArray[np.int64]) -> None:
        """Make a coordinate, and write all of it."""
        column = self.column(layout, {})
        column.append(values)
        for key, data in column.changed():
            self.put(key, data)

    def column(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> Column:
        """Make a series."""
        return Column(self.array(layout, attributes))

    def check(self) -> None:
        """Put the metadata of the group, last, since it is what shows a reader the group."""
        for name, attributes in self._groups.items():
            self.put(f"{name}/{METADATA}", group_metadata(attributes))
        self._groups.clear()

    def may_have(self, group: str) -> bool:
        """Say so of every group."""
        return True

    def undeclared(self) -> list[str]:
        """Give nothing: all there is was declared."""
        return []

    def copies(self) -> list[tuple[str, bytes]]:
        """Give all that was made, as one object, and the metadata of the marker, if anything is new."""
        if len(self._made) == self._n_copied:
            return []
        self._n_copied = len(self._made)
        marker = {f"{COMMIT_KEY}/{METADATA}": MARKER_LAYOUT.metadata({DECLARED: arrays_among(self._made)})}
        return [(COPIES_KEY, pack({**self._made, **marker})), *marker.items()]

    def put(self, key: str, data: bytes) -> None:
        """Put an object that is to be copied."""
        with refusals(self._store):
            self._store.put(key, data)
        self._made[key] = data


class ResumedDeclaring:
    """Holds what is declared against what the trace has.

    Parameters
    ----------
    store : Store
        Where the trace lies.
    committed, snapshots : int
        Snapshots that the trace has, and that the run has behind it: from there on, it repeats what is there.
    leads : bool
        Whether this process writes the series, and what of them is repeated must be the same.
    """

    def __init__(self, store: Store, *, committed: int, snapshots: int, leads: bool = True) -> None:
        self._store = store
        self._leads = leads
        self._committed = committed
        self._snapshots = snapshots
        self._differences: list[str] = []
        self._seen: set[str] = set()

    def group(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Compare the attributes of a group."""
        self._seen.add(name)
        if self._store.get(f"{name}/{METADATA}") is None:
            raise TraceWriteError(
                f"{self._store.url}: the trace has no {name!r}, which is now to be recorded; resume with the "
                "recorders that the run began with"
            )
        found = dict(read(self._store, f"{name}/{METADATA}").get("attributes", {}))
        gaps = {GAPS: found.pop(GAPS)} if GAPS in found else {}
        self._compare(_by_name(found), _by_name(attributes), name)
        return {**found, **gaps}

    def array(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> ArrayLayout:
        """Compare an array; its chunks may be cut otherwise than a new one's would be."""
        found = read_layout(self._store, layout.key)
        grows = layout.shape[0] == CAPACITY
        self._compare(_facts(found, grows=grows), _facts(layout, grows=grows), layout.key)
        if grows and self._leads:
            resize(self._store, layout.key, CAPACITY)  # it had been cut to what there was
        return replace(found, shape=layout.shape) if grows else found

    def known(self, layout: ArrayLayout, values: npt.NDArray[np.int64]) -> None:
        """Compare a coordinate."""
        found = read_known(self._store, layout.key)
        self._compare(found.tolist(), values.tolist(), layout.key)

    def column(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> Column:
        """Compare a series, and take up what is committed of it."""
        found = self.array(layout, attributes)
        group, dim = layout.key.split("/")[0], layout.dims[0]
        n_kept = committed_samples(self._store, group, dim, self._committed)
        # what the clock says is not repeated
        behind = self._committed if layout.key == f"{TIMELINE}/{CLOCK}" else self._snapshots
        n_samples = committed_samples(self._store, group, dim, behind)
        kept = StoredSeries(self._store, found, n_kept)
        return Column(found, n_samples=n_samples, kept=kept, compared=self._leads and group != MEASURES)

    def check(self) -> None:
        """Raise `TraceWriteError`, naming all differences so far."""
        refuse_differences(self._store, self._differences)

    def may_have(self, group: str) -> bool:
        """Say so of the groups that there are."""
        return self._store.get(f"{group}/{METADATA}") is not None

    def undeclared(self) -> list[str]:
        """Give the groups of the trace that nobody has declared."""
        return [
            name
            for name in self._store.children()
            if name not in (METADATA, COMMIT_KEY, DERIVED, *self._seen)
        ]

    def copies(self) -> list[tuple[str, bytes]]:
        """Give nothing: there are copies, or it is a trace of a version that made none."""
        return []

    def _compare(self, recorded: Any, now: Any, place: str) -> None:
        self._differences += differences(as_recorded(recorded), as_recorded(now), place)


def refuse_differences(store: Store, found: list[str]) -> None:
    """Raise `TraceWriteError` if there are differences between the trace and the run, naming them."""
    if found:
        raise TraceWriteError(
            f"{store.url}: cannot be resumed by this run, which differs from the one that began it:\n"
            f"{listed(found)}\nResume with what is in the trace, or record into a new one"
        )


def as_recorded(value: Any) -> Any:
    """Give a value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _by_name(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Let fields go by their names, so that differences do."""
    fields = attributes.get("fields")
    return {**attributes, "fields": {item["name"]: item for item in fields}} if fields else dict(attributes)


def _facts(layout: ArrayLayout, *, grows: bool) -> dict[str, Any]:
    shape = layout.shape[1:] if grows else layout.shape
    return {"shape": shape, "dims": layout.dims, "dtype": layout.type_name}
