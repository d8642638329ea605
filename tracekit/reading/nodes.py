"""From the groups of a trace to lazy Datasets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.base import tokenize

from tracekit.errors import DamagedTraceError
from tracekit.format.arrays import check_node
from tracekit.format.checks import MalformedError, checking, key_name, text
from tracekit.format.documents import read_document
from tracekit.format.layout import GAPS, METADATA, ArrayLayout, parse_array, read_layout
from tracekit.format.schema import FieldRecord
from tracekit.format.tensor_axes import axis_dims
from tracekit.format.validation import (
    SAMPLE_COORDS,
    check_fields,
    check_free,
    check_gaps,
    check_labels,
    check_rows,
    check_series,
    check_visits,
)
from tracekit.reading.counts import samples_at
from tracekit.reading.extent import Extent, read_known
from tracekit.reading.indexed import indexed
from tracekit.reading.lazy import in_blocks
from tracekit.reading.stored import StoredRows, StoredSeries, refuse_mere_claims
from tracekit.store import Store
from tracekit.store.parallel import each


@dataclass(frozen=True)
class _Group:
    """A group being opened: its attributes, and the coordinates of its committed samples.

    `planned` is how many samples each sample dim has room for, `in_dask` whether arrays are to be dask's.
    """

    store: Store
    name: str
    extent: Extent
    attributes: dict[str, Any]
    labels: Mapping[str, list[str]]
    children: tuple[str, ...]
    in_dask: bool
    coords: dict[str, xr.Variable] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where its metadata lies."""
        return f"{self.store.url}/{self.name}/{METADATA}"

    def lazy(self, stored: StoredRows | StoredSeries, *parts: object) -> Any:
        """Give an array that reads when it is asked to, named by `parts`."""
        return in_blocks(stored, self._token(*parts)) if self.in_dask else indexed(stored)

    def _token(self, *parts: object) -> str:
        """Name a dask array, the same for the same data, so that dask can tell equal work."""
        extent = (self.extent.committed, self.extent.generation)
        return f"trace-{tokenize(self.store.url, extent, self.name, *parts)}"


def open_group(store: Store, name: str, extent: Extent, *, in_dask: bool = True) -> dict[str, xr.Dataset]:
    """Open one kind: its node, and for tensors the node of their flat rows below it.

    `in_dask` says whether arrays are those of dask, or such as xarray indexes itself.
    """
    with checking(f"{store.url}/{name!r}"):
        key_name(name, "name of a group")
    document = read_document(store, f"{name}/{METADATA}")
    with checking(f"{store.url}/{name}/{METADATA}"):
        attributes = dict(check_node(document, "group"))
        labels = check_labels(attributes.pop("labels", {}))
        fields = check_fields(attributes.pop("fields"), labels) if "fields" in attributes else None
        text(attributes.get("units", ""), "units")
    group = _Group(store, name, extent, attributes, labels, tuple(store.children(name)), in_dask)
    _require_arrays(group)
    group.coords.update(_sample_coords(group))
    group.coords.update({dim: xr.Variable(dim, np.array(found, object)) for dim, found in labels.items()})
    if fields is None:
        return {name: _series_dataset(group)}
    return _tensor_datasets(group, fields)


def _require_arrays(group: _Group) -> None:
    """Refuse a group of which a whole array is gone."""
    declared = [key for key in group.extent.declared if key.split("/")[0] == group.name]
    gone = [key for key in declared if key.split("/")[1] not in group.children]
    if gone:
        raise DamagedTraceError(
            f"{group.store.url}/{gone[0]}: was recorded, and is gone with its metadata; run tracekit verify"
        )


def _sample_coords(group: _Group) -> Iterator[tuple[str, xr.Variable]]:
    present = set(group.children)
    if "visit" in present:
        yield from _visit_coords(group)
    if {"update", "update_visit"} & present:
        yield from _update_coords(group)


def _coordinate(group: _Group, name: str, dim: str) -> npt.NDArray[np.int64]:
    """Read a coordinate of samples: of all that were planned, or of those that there are."""
    if not group.extent.open_ended:
        return read_known(group.store, f"{group.name}/{name}", sample=dim)
    n_samples = samples_at(group.store, group.name, dim, group.extent.committed)
    found = read_known(group.store, f"{group.name}/{name}", n_samples, sample=dim)
    with checking(f"{group.store.url}/{group.name}/{name}"):
        if len(found) != n_samples:
            raise MalformedError(f"expected {n_samples} samples, found {len(found)}")
    return found


def _visit_coords(group: _Group) -> Iterator[tuple[str, xr.Variable]]:
    visit = _coordinate(group, "visit", "visit")
    group.planned["visit"] = len(visit)
    with checking(f"{group.store.url}/{group.name}/visit"):
        check_visits(visit, group.extent.planned, "visit", least=0, step=1)
    committed = group.extent.clip(visit)
    yield "visit", xr.Variable("visit", committed, {"long_name": "visits completed"})
    yield from group.extent.places(committed, "visit").items()


def _update_coords(group: _Group) -> Iterator[tuple[str, xr.Variable]]:
    visits = _coordinate(group, "update_visit", "update")
    update = _coordinate(group, "update", "update")
    group.planned["update"] = len(visits)
    with checking(f"{group.store.url}/{group.name}/update"):
        check_visits(visits, group.extent.planned, "update_visit", least=1, step=0)
        check_visits(update, group.extent.n_updates, "update", least=0, step=1)
        if len(update) != len(visits):
            raise MalformedError(f"{len(update)} updates, and visits of {len(visits)}")
    committed = group.extent.clip(visits)
    yield "update_visit", xr.Variable("update", committed)
    number = update[: len(committed)]
    yield "update", xr.Variable("update", number, {"long_name": "optimizer steps before this one"})
    index = group.extent.update_index(number, committed)
    if index is not None:
        with checking(f"{group.store.url}/{group.name}/update"):
            if (index < 0).any():
                raise MalformedError("updates of a visit that come before it")
        attrs = {"long_name": "steps of the visit before this one"}
        yield "update_index", xr.Variable("update", index, attrs)
    # beside coordinates along visit, those along update need names of their own
    prefix = "update_" if "visit" in group.children else ""
    for name, place in group.extent.places(committed, "update").items():
        yield f"{prefix}{name}", place


def _series_dataset(group: _Group) -> xr.Dataset:
    names = [name for name in group.children if name not in (METADATA, *SAMPLE_COORDS)]
    series = each(group.store, lambda name: _series(group, name), names)
    return xr.Dataset(dict(zip(names, series, strict=True)), group.coords, group.attributes)


def _series(group: _Group, name: str) -> xr.Variable:
    with checking(f"{group.store.url}/{group.name}/{name!r}"):
        check_free(key_name(name, "name of a series"), group.labels)
    key = f"{group.name}/{name}"
    document = read_document(group.store, f"{key}/{METADATA}")
    layout = parse_array(key, document, group.store.url)
    with checking(f"{group.store.url}/{key}/{METADATA}"):
        check_series(layout, group.labels, _room(group, layout))
        attributes = dict(document["attributes"])
        for attribute in ("units", "long_name"):
            text(attributes.get(attribute, ""), attribute)
    stored = StoredSeries(group.store, layout, group.coords[layout.dims[0]].size, group.extent.generation)
    return xr.Variable(layout.dims, group.lazy(stored, name), attributes)


def _room(group: _Group, layout: ArrayLayout) -> int:
    """Give how many samples an array must have room for."""
    if layout.dims[0] not in group.planned:
        raise MalformedError(f"the group has no coordinate for {layout.dims[0]!r}")
    planned = group.planned[layout.dims[0]]
    return max(planned, layout.shape[0]) if group.extent.open_ended else planned


def _tensor_datasets(group: _Group, fields: list[FieldRecord]) -> dict[str, xr.Dataset]:
    layout = read_layout(group.store, f"{group.name}/values")
    with checking(f"{group.place}, or that of its values"):
        check_rows(layout, group.labels, fields, _room(group, layout))
        _clip_gaps(group, layout.dims[0])
    parts = {record["name"]: _stored(group, layout, record["offset"], record["shape"]) for record in fields}
    refuse_mere_claims(list(parts.values()))
    named = {record["name"]: _tensor(group, parts[record["name"]], record) for record in fields}
    flat = _flat_dataset(group, layout, fields)
    return {group.name: xr.Dataset(named, group.coords, group.attributes), f"{group.name}/flat": flat}


def _clip_gaps(group: _Group, sample: str) -> None:
    """Leave out the gaps that are not committed, once they are found to be samples that were planned."""
    if GAPS in group.attributes:
        planned = None if group.extent.open_ended else _coordinate(group, sample, sample)
        check_gaps(group.attributes, planned)
        committed = set(group.coords[sample].values.tolist())
        group.attributes[GAPS] = [gap for gap in group.attributes[GAPS] if gap in committed]


def _stored(group: _Group, layout: ArrayLayout, start: int, shape: list[int]) -> StoredRows:
    samples, generation = group.coords[layout.dims[0]].values, group.extent.generation
    gaps = frozenset(np.flatnonzero(np.isin(samples, group.attributes.get(GAPS, []))).tolist())
    stretches = ((start, start + math.prod(shape)),)
    rows = np.arange(len(samples))
    return StoredRows(group.store, layout, rows, stretches, tuple(shape), generation=generation, gaps=gaps)


def _tensor(group: _Group, stored: StoredRows, record: FieldRecord) -> xr.Variable:
    """Give one tensor by its shape, with dims that equal shapes share."""
    attrs = {"units": group.attributes.get("units", "1"), "recorded_dtype": record["dtype"]}
    if "phase" in group.attributes:
        attrs["phase"] = group.attributes["phase"]
    dims = (*stored.layout.dims[:-1], *axis_dims(record, group.labels))
    return xr.Variable(dims, group.lazy(stored, record["name"]), attrs)


def _flat_dataset(group: _Group, layout: ArrayLayout, fields: list[FieldRecord]) -> xr.Dataset:
    stored = _stored(group, layout, 0, list(layout.shape[-1:]))
    attrs = {**group.attributes, "fields": fields}
    values = xr.Variable(layout.dims, group.lazy(stored, "flat", "row"), attrs)
    # a child of a DataTree inherits dimension coordinates alone
    coords = {name: coord for name, coord in group.coords.items() if name not in coord.dims}
    return xr.Dataset({"values": values}, coords, group.attributes)
