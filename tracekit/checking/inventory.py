"""All objects that the committed visits of a trace need, found even where parts of it are damaged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.checking.faults import Fault, FaultKind, stretches
from tracekit.errors import NotATraceError, TraceError, TraceNotFoundError
from tracekit.format.checks import MAX_INTEGER
from tracekit.format.copies import COPIES_KEY, read_packed
from tracekit.format.documents import read_document
from tracekit.format.layout import (
    CLOCK,
    COMMIT_KEY,
    GAPS,
    METADATA,
    TIMELINE,
    ArrayLayout,
    Shape,
    read_layout,
)
from tracekit.format.marker import MARKER_KEY
from tracekit.format.validation import NOT_KINDS, SAMPLE_COORDS, TIMELINE_COORDS
from tracekit.reading.counts import is_open, room_for_snapshots, samples_at
from tracekit.reading.extent import read_commit, read_known
from tracekit.reading.opening import read_facts
from tracekit.store import Store

Numbers = npt.NDArray[np.int64]
Stretches = tuple[tuple[int, int], ...]
KNOWN = (*SAMPLE_COORDS, *(name for name in TIMELINE_COORDS if name != "wall_time_seconds"))
"""Coordinates that the plan fixes: written whole when they are declared, read whole on opening."""


@dataclass(frozen=True)
class Item:
    """One object to be read, what is lost with it, and which visits that hits."""

    layout: ArrayLayout
    index: Shape
    kind: FaultKind
    visits: Stretches

    @property
    def key(self) -> str:
        """Key of the object."""
        return self.layout.object_key(self.index)


@dataclass(frozen=True)
class Part:
    """One array: the visit of each of its committed samples; nothing could be written of the rows `gaps`.

    Of a coordinate, all `n_known` samples are read on opening; as many as the array has if None.
    """

    layout: ArrayLayout
    kind: FaultKind
    visits: Numbers | range
    gaps: frozenset[int] = frozenset()
    n_known: int | None = None

    @property
    def n_objects(self) -> int:
        """How many objects there are to read."""
        along = -(-self._n_samples // self.layout.object_shape[0])
        return (along - len(self.gaps)) * math.prod(self.layout.objects[1:])

    def items(self) -> Iterator[Item]:
        """Give the objects, with the visits in each."""
        size = self.layout.object_shape[0]
        for first in range(0, self._n_samples, size):
            held = self.visits[first : first + size]
            if self.kind == "coordinates":
                # read whole on opening: damage anywhere in it hits all visits
                visits = whole_stretch(self.visits)
            else:
                visits = stretches(np.unique(np.asarray(held)).tolist())
            if first not in self.gaps:
                for index in self.layout.row_objects(first):
                    yield Item(self.layout, index, self.kind, visits)

    @property
    def _n_samples(self) -> int:
        n_samples = self.n_known if self.kind == "coordinates" else len(self.visits)
        return self.layout.shape[0] if n_samples is None else min(n_samples, self.layout.shape[0])


def whole_stretch(visits: Numbers | range) -> Stretches:
    """Give all visits as one stretch, none if there are none."""
    return ((int(visits[0]), int(visits[-1])),) if len(visits) else ()


@dataclass
class Inventory:
    """What there is to read, and what was found wrong while looking.

    Parameters
    ----------
    store
        Where the trace lies.
    facts : dict or None
        Attributes of the trace, None if they are damaged.
    committed : int or None
        Snapshots committed, None if the marker is damaged.
    declared : sequence of str
        The keys of the arrays that there must be, as far as the trace says.
    """

    store: Store
    facts: dict[str, Any] | None = None
    committed: int | None = None
    declared: tuple[str, ...] = ()
    groups: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def open_ended(self) -> bool:
        """Whether the end of the trace was not known when it was begun."""
        return is_open(self.facts or {})

    @property
    def visits(self) -> range:
        """All committed visits."""
        return range(self.committed or 0)

    @property
    def n_objects(self) -> int:
        """How many objects there are to read."""
        return sum(part.n_objects for part in self.parts)

    def items(self) -> Iterator[Item]:
        """Give all objects."""
        return (item for part in self.parts for item in part.items())

    def note(self, kind: FaultKind, array: str, key: str, error: Exception) -> None:
        """Note what is wrong with metadata, or with something that all visits need."""
        self.faults.append(Fault(kind, array, key, None, whole_stretch(self.visits), str(error)))


def take_inventory(store: Store, *, assumed: int | None = None) -> Inventory:
    """Look through the metadata and coordinates of a trace, and go on where something is damaged.

    Where the marker is lost, `assumed` says how many snapshots are looked for.

    Raises
    ------
    TraceNotFoundError
        If there is nothing at the URL.
    NotATraceError
        If there is something else.
    """
    inventory = Inventory(store)
    try:
        inventory.facts = read_facts(store)
    except TraceNotFoundError:
        raise
    except TraceError as error:
        if not _looks_like_a_trace(store):
            raise
        inventory.note("metadata", "", METADATA, error)
    if assumed is None:
        _find_marker(inventory)
    else:
        inventory.committed = assumed
    _find_timeline(inventory)
    for group in sorted({*store.children(), *map(_group_of, inventory.declared)} - {*NOT_KINDS}):
        inventory.groups.append(group)
        _find_group(inventory, group)
    if inventory.declared:
        _find_copies(inventory)
    return inventory


def _group_of(key: str) -> str:
    return key.split("/")[0]


def _looks_like_a_trace(store: Store) -> bool:
    return {COMMIT_KEY, TIMELINE} <= set(store.children())


def _find_marker(inventory: Inventory) -> None:
    planned = room_for_snapshots(inventory.facts) if inventory.facts else MAX_INTEGER
    try:
        marker, inventory.declared = read_commit(inventory.store, planned)
        inventory.committed = marker.committed
    except TraceError as error:
        metadata = f"{COMMIT_KEY}/{METADATA}"
        is_undescribed = isinstance(error, NotATraceError) or inventory.store.get(metadata) is None
        inventory.note("metadata", COMMIT_KEY, metadata if is_undescribed else MARKER_KEY, error)


def _find_timeline(inventory: Inventory) -> None:
    _document(inventory, TIMELINE)
    for name in sorted({*inventory.store.children(TIMELINE), "visit", *TIMELINE_COORDS} - {METADATA}):
        layout = _layout(inventory, f"{TIMELINE}/{name}")
        if layout is not None:
            kind: FaultKind = "values" if name == CLOCK else "coordinates"
            n_known = (inventory.committed or 0) if inventory.open_ended else None
            inventory.parts.append(Part(layout, kind, inventory.visits, n_known=n_known))


def _find_group(inventory: Inventory, group: str) -> None:
    document = _document(inventory, group)
    declared = [key.split("/")[1] for key in inventory.declared if _group_of(key) == group]
    names = sorted({*inventory.store.children(group), *declared} - {METADATA})
    layouts = {
        name: layout for name in names if (layout := _layout(inventory, f"{group}/{name}")) is not None
    }
    found = {sample: _visits(inventory, group, sample) for sample in ("visit", "update")}
    for name, layout in layouts.items():
        if name in KNOWN:
            n_known = _n_known(inventory, group, layout.dims[0])
            inventory.parts.append(Part(layout, "coordinates", inventory.visits, n_known=n_known))
        elif (visits := found.get(layout.dims[0])) is not None:
            samples = _samples(inventory, group, layout, len(visits)) if layout.shard else ()
            inventory.parts.append(Part(layout, "values", visits, _gaps(document, samples)))


def _find_copies(inventory: Inventory) -> None:
    try:
        read_packed(inventory.store)
    except TraceError as error:
        inventory.faults.append(Fault("copy", COMMIT_KEY, COPIES_KEY, None, (), str(error)))


def _samples(inventory: Inventory, group: str, layout: ArrayLayout, n_samples: int) -> Sequence[int]:
    """Give the numbers of the committed visits or updates of rows; none if they are damaged."""
    try:
        numbers: list[int] = read_known(inventory.store, f"{group}/{layout.dims[0]}", n_samples).tolist()
    except TraceError:
        return ()
    return numbers


def _gaps(document: dict[str, Any], samples: Sequence[int]) -> frozenset[int]:
    """Give the committed rows that could not be written, if the document names any."""
    named = document.get("attributes", {}).get(GAPS)
    missing = {n for n in named if type(n) is int} if isinstance(named, list) else set()
    return frozenset(row for row, sample in enumerate(samples) if sample in missing)


def _visits(inventory: Inventory, group: str, sample: str) -> Numbers | None:
    """Give the visit of each committed sample; None if that is damaged, as reading will show."""
    key = f"{group}/{'visit' if sample == 'visit' else 'update_visit'}"
    try:
        visits = read_known(inventory.store, key, _n_known(inventory, group, sample), sample=sample)
    except TraceError:
        return None
    beyond = (visits < 0) | (visits >= (inventory.committed or 0))
    return visits[: int(np.argmax(beyond))] if beyond.any() else visits


def _n_known(inventory: Inventory, group: str, sample: str) -> int | None:
    """Give how many samples an open-ended group has; None if all that were planned are there."""
    if not inventory.open_ended:
        return None
    try:
        return samples_at(inventory.store, group, sample, inventory.committed or 0)
    except TraceError:
        return 0  # the count itself is read too, and named


def _document(inventory: Inventory, group: str) -> dict[str, Any]:
    key = f"{group}/{METADATA}"
    try:
        return read_document(inventory.store, key)
    except TraceError as error:
        inventory.note("metadata", group, key, error)
        return {}


def _layout(inventory: Inventory, array: str) -> ArrayLayout | None:
    try:
        return read_layout(inventory.store, array)
    except TraceError as error:
        inventory.note("metadata", array, f"{array}/{METADATA}", error)
        return None
