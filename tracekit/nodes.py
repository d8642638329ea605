"""From the groups of a trace to lazy Datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize

from tracekit.extent import Extent, read_known
from tracekit.layout import GAPS, METADATA, ArrayLayout, Shape, parse_array, read_document, read_layout
from tracekit.schema import FieldRecord
from tracekit.store import Store
from tracekit.stored import StoredRows, StoredSeries

COORDINATES = ("visit", "update", "update_visit")


@dataclass(frozen=True)
class _Group:
    """A group being opened: its attributes, and the coordinates of its committed samples."""

    store: Store
    name: str
    extent: Extent
    attributes: Mapping[str, Any]
    coords: dict[str, xr.Variable] = field(default_factory=dict)

    def rows(self, layout: ArrayLayout, start: int, tail: Shape) -> StoredRows:
        """Give a block of columns of the committed rows."""
        visit = self.coords["visit"].values
        gaps = frozenset(np.flatnonzero(np.isin(visit, self.attributes.get(GAPS, []))).tolist())
        return StoredRows(self.store, layout, len(visit), start, tail, self.extent.generation, gaps)

    def token(self, *parts: object) -> str:
        """Name a lazy array, the same for the same data, so that dask can tell equal work."""
        extent = (self.extent.committed, self.extent.generation)
        return f"trace-{tokenize(self.store.url, extent, self.name, *parts)}"


def open_group(store: Store, name: str, extent: Extent) -> dict[str, xr.Dataset]:
    """Open one kind: its node, and for tensors the node of their flat rows below it."""
    attributes = dict(read_document(store, f"{name}/{METADATA}").get("attributes", {}))
    labels = attributes.pop("labels", {})
    fields = attributes.pop("fields", None)
    if GAPS in attributes:
        attributes[GAPS] = [visit for visit in attributes[GAPS] if visit < extent.committed]
    group = _Group(store, name, extent, attributes)
    group.coords.update(_sample_coords(group))
    group.coords.update({dim: xr.Variable(dim, np.array(names, object)) for dim, names in labels.items()})
    if fields is None:
        return {name: _series_dataset(group)}
    return {name: _named_dataset(group, fields), f"{name}/flat": _flat_dataset(group, fields)}


def _sample_coords(group: _Group) -> Iterator[tuple[str, xr.Variable]]:
    present = set(group.store.children(group.name))
    if "visit" in present:
        visit = group.extent.clip(read_known(group.store, f"{group.name}/visit"))
        yield from group.extent.coords(visit).items()
    if "update_visit" in present:
        update_visit = group.extent.clip(read_known(group.store, f"{group.name}/update_visit"))
        update = read_known(group.store, f"{group.name}/update", len(update_visit))
        yield "update_visit", xr.Variable("update", update_visit)
        yield "update", xr.Variable("update", update, {"long_name": "optimizer steps before this one"})


def _series_dataset(group: _Group) -> xr.Dataset:
    series = (n for n in group.store.children(group.name) if n not in (METADATA, *COORDINATES))
    return xr.Dataset({name: _series(group, name) for name in series}, group.coords, group.attributes)


def _series(group: _Group, name: str) -> xr.Variable:
    key = f"{group.name}/{name}"
    document = read_document(group.store, f"{key}/{METADATA}")
    layout = parse_array(key, document, group.store.url)
    stored = StoredSeries(group.store, layout, group.coords[layout.dims[0]].size, group.extent.generation)
    return xr.Variable(layout.dims, stored.lazy(group.token(name)), document.get("attributes", {}))


def _named_dataset(group: _Group, fields: list[FieldRecord]) -> xr.Dataset:
    layout = read_layout(group.store, f"{group.name}/values")
    named = {record["name"]: _tensor(group, layout, record) for record in fields}
    return xr.Dataset(named, group.coords, group.attributes)


def _tensor(group: _Group, layout: ArrayLayout, record: FieldRecord) -> xr.Variable:
    """Give one tensor by its shape. Axes are named by place and size, so that equal shapes share dims."""
    shape = tuple(record["shape"])
    stored = group.rows(layout, record["offset"], shape)
    axes = [f"axis{axis}_{size}" for axis, size in enumerate(shape)]
    attrs = {"units": group.attributes.get("units", "1"), "recorded_dtype": record["dtype"]}
    return xr.Variable((*layout.dims[:-1], *axes), stored.lazy(group.token(record["name"])), attrs)


def _flat_dataset(group: _Group, fields: list[FieldRecord]) -> xr.Dataset:
    layout = read_layout(group.store, f"{group.name}/values")
    stored = group.rows(layout, 0, layout.shape[-1:])
    attrs = {**group.attributes, "fields": fields}
    values = xr.Variable(layout.dims, stored.lazy(group.token("flat", "row")), attrs)
    return xr.Dataset({"values": values}, attrs=group.attributes)
