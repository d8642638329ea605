"""From the groups of a trace to lazy Datasets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize

from tracekit.extent import Extent, read_known
from tracekit.layout import GAPS, METADATA, ArrayLayout, Shape, parse_array, read_document, read_layout
from tracekit.lazy import StoredArray
from tracekit.schema import FieldRecord
from tracekit.store import Store
from tracekit.store.parallel import each
from tracekit.stored import StoredRows, StoredSeries

COORDINATES = ("visit", "update", "update_visit")


@dataclass(frozen=True)
class _Group:
    """A group being opened: its attributes, and the coordinates of its committed samples."""

    store: Store
    name: str
    extent: Extent
    attributes: Mapping[str, Any]
    children: tuple[str, ...]
    coords: dict[str, xr.Variable] = field(default_factory=dict)

    def rows(self, layout: ArrayLayout, start: int, tail: Shape) -> StoredRows:
        """Give a block of columns of the committed rows."""
        visit = self.coords["visit"].values
        gaps = frozenset(np.flatnonzero(np.isin(visit, self.attributes.get(GAPS, []))).tolist())
        stretches = ((start, start + math.prod(tail)),)
        rows = np.arange(len(visit))
        return StoredRows(
            self.store, layout, rows, stretches, tail, generation=self.extent.generation, gaps=gaps
        )

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
    group = _Group(store, name, extent, attributes, tuple(store.children(name)))
    group.coords.update(_sample_coords(group))
    group.coords.update({dim: xr.Variable(dim, np.array(names, object)) for dim, names in labels.items()})
    if fields is None:
        return {name: _series_dataset(group)}
    layout = read_layout(store, f"{name}/values")
    named, flat = _named_dataset(group, layout, fields), _flat_dataset(group, layout, fields)
    return {name: named, f"{name}/flat": flat}


def _sample_coords(group: _Group) -> Iterator[tuple[str, xr.Variable]]:
    if "visit" in group.children:
        visit = group.extent.clip(read_known(group.store, f"{group.name}/visit"))
        yield from group.extent.coords(visit).items()
    if "update_visit" in group.children:
        update_visit = group.extent.clip(read_known(group.store, f"{group.name}/update_visit"))
        update = read_known(group.store, f"{group.name}/update", len(update_visit))
        yield "update_visit", xr.Variable("update", update_visit)
        yield "update", xr.Variable("update", update, {"long_name": "optimizer steps before this one"})


def _series_dataset(group: _Group) -> xr.Dataset:
    names = [name for name in group.children if name not in (METADATA, *COORDINATES)]
    series = each(group.store, lambda name: _series(group, name), names)
    return xr.Dataset(dict(zip(names, series, strict=True)), group.coords, group.attributes)


def _series(group: _Group, name: str) -> xr.Variable:
    key = f"{group.name}/{name}"
    document = read_document(group.store, f"{key}/{METADATA}")
    layout = parse_array(key, document, group.store.url)
    stored = StoredSeries(group.store, layout, group.coords[layout.dims[0]].size, group.extent.generation)
    return xr.Variable(layout.dims, stored.lazy(group.token(name)), document.get("attributes", {}))


def _named_dataset(group: _Group, layout: ArrayLayout, fields: list[FieldRecord]) -> xr.Dataset:
    named = {record["name"]: _tensor(group, layout, record) for record in fields}
    return xr.Dataset(named, group.coords, group.attributes)


def _tensor(group: _Group, layout: ArrayLayout, record: FieldRecord) -> xr.Variable:
    """Give one tensor by its shape. Axes are named by place and size, so that equal shapes share dims."""
    shape = tuple(record["shape"])
    stored = group.rows(layout, record["offset"], shape)
    axes = [f"axis{axis}_{size}" for axis, size in enumerate(shape)]
    attrs = {"units": group.attributes.get("units", "1"), "recorded_dtype": record["dtype"]}
    lazy = StoredArray(stored, group.token(record["name"]))
    return xr.Variable((*layout.dims[:-1], *axes), lazy, attrs)


def _flat_dataset(group: _Group, layout: ArrayLayout, fields: list[FieldRecord]) -> xr.Dataset:
    stored = group.rows(layout, 0, layout.shape[-1:])
    attrs = {**group.attributes, "fields": fields}
    values = xr.Variable(layout.dims, StoredArray(stored, group.token("flat", "row")), attrs)
    return xr.Dataset({"values": values}, attrs=group.attributes)
