"""A computed Dataset as a Zarr group, and back; read with the same checks as everything in a trace."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from tracekit.errors import DamagedTraceError
from tracekit.format.checks import MalformedError, checking, entry, mapping, sequence
from tracekit.format.codecs import Codec
from tracekit.format.documents import read_document
from tracekit.format.layout import METADATA, ArrayLayout, group_metadata, parse_array
from tracekit.format.precision import array_dtype
from tracekit.store import Store

CHUNK_BYTES = 32 << 20
SINGLE = "single"
"""The dim that a number without dims has on disk."""
NUMBER = "number"
"""The attribute that holds a result that is one number; null where that is not defined."""

Values = npt.NDArray[Any]


def write_dataset(store: Store, group: str, dataset: xr.Dataset, attributes: Mapping[str, Any]) -> None:
    """Write a Dataset that is in memory; it is there as a whole or not at all, as its index is put last."""
    texts, arrays = {}, []
    for name, values in dataset.variables.items():
        if values.dtype.kind in "OUT":
            texts[str(name)] = {"dims": list(values.dims), "values": values.values.tolist()}
        else:
            arrays.append(str(name))
            _write_array(store, f"{group}/{name}", values)
    index = {
        "attributes": _plain(dataset.attrs),
        "arrays": arrays,
        "coordinates": [str(name) for name in dataset.coords],
        "texts": texts,
    }
    written = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    store.put(f"{group}/{METADATA}", group_metadata({**attributes, "dataset": index, "written": written}))
    store.sync()


def read_dataset(store: Store, group: str) -> xr.Dataset:
    """Read a Dataset back.

    Raises
    ------
    TraceError
        If it is not there, damaged, or not as `write_dataset` writes it.
    """
    document = read_document(store, f"{group}/{METADATA}")
    with checking(f"{store.url}/{group}/{METADATA}"):
        index = mapping(entry(document["attributes"], "dataset", "attributes"), "dataset")
        names = [str(name) for name in sequence(entry(index, "arrays", "dataset"), "arrays")]
        texts = mapping(entry(index, "texts", "dataset"), "texts")
        coordinates = sequence(entry(index, "coordinates", "dataset"), "coordinates")
        variables = {name: _text_variable(found) for name, found in texts.items()}
    variables |= {name: _read_array(store, f"{group}/{name}") for name in names}
    data = {name: found for name, found in variables.items() if name not in coordinates}
    coords = {name: found for name, found in variables.items() if name in coordinates}
    return xr.Dataset(data, coords, dict(index.get("attributes", {})))


def _write_array(store: Store, key: str, variable: xr.Variable) -> None:
    values = np.asarray(variable.values)
    attributes = {"attributes": _plain(variable.attrs), "kind": values.dtype.kind, "scalar": values.ndim == 0}
    stored = values.astype(_stored_type(values.dtype)).reshape(values.shape or (1,))
    layout = _layout(key, stored, variable.dims or (SINGLE,))
    store.put(f"{key}/{METADATA}", layout.metadata(attributes))
    for number in range(layout.objects[0] if stored.size else 0):
        chunk = np.full(layout.chunk, layout.fill, layout.dtype)
        part = stored[number * layout.chunk[0] : (number + 1) * layout.chunk[0]]
        chunk[: len(part)] = part
        store.put(_object_key(layout, number), layout.codec.encode(chunk))


def _layout(key: str, values: Values, dims: tuple[Any, ...]) -> ArrayLayout:
    row_bytes = max(1, values[:1].nbytes)
    n_rows = max(1, min(len(values), CHUNK_BYTES // row_bytes))
    chunk = (n_rows, *(max(1, size) for size in values.shape[1:]))
    dtype = values.dtype
    return ArrayLayout(
        key, values.shape, dtype, tuple(map(str, dims)), chunk, None, Codec("lz4", dtype.itemsize)
    )


def _read_array(store: Store, key: str) -> xr.Variable:
    document = read_document(store, f"{key}/{METADATA}")
    layout = parse_array(key, document, store.url)
    with checking(f"{store.url}/{key}/{METADATA}"):
        attributes = dict(document["attributes"])
        kind, scalar = entry(attributes, "kind", "attributes"), bool(attributes.get("scalar"))
        if layout.shard is not None or layout.chunk[1:] != tuple(max(1, n) for n in layout.shape[1:]):
            raise MalformedError("a kept result lies in chunks of whole rows")
        shown = mapping(attributes.get("attributes", {}), "attributes")
    chunks = [
        _chunk(store, layout, number) for number in range(layout.objects[0] if 0 not in layout.shape else 0)
    ]
    values = np.concatenate(chunks)[: layout.shape[0]] if chunks else np.empty(layout.shape, layout.dtype)
    values = values.astype(bool) if kind == "b" else values
    return xr.Variable(() if scalar else layout.dims, values[0] if scalar else values, dict(shown))


def _chunk(store: Store, layout: ArrayLayout, number: int) -> Values:
    key = _object_key(layout, number)
    data = store.get(key)
    if data is None:
        raise DamagedTraceError(f"{store.url}/{key}: missing")
    out = np.empty(layout.chunk, layout.dtype)
    layout.codec.decode_into(memoryview(data), out, f"{store.url}/{key}")
    return out


def _object_key(layout: ArrayLayout, number: int) -> str:
    return layout.object_key((number, *(0 for _ in layout.shape[1:])))


def _text_variable(found: Any) -> xr.Variable:
    record = mapping(found, "text")
    dims = [str(dim) for dim in sequence(entry(record, "dims", "text"), "dims")]
    values = np.array(entry(record, "values", "text"), dtype=object)
    if values.ndim != len(dims):
        raise MalformedError(f"texts of {values.ndim} dims, and {len(dims)} names of dims")
    return xr.Variable(dims, values)


def _stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the little-endian type in which values are kept without loss."""
    kept = np.dtype(np.int64) if dtype.kind in "biu" else dtype
    return array_dtype(kept.name)


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Give attributes as JSON has them; numbers of numpy become numbers."""
    plain: dict[str, Any] = json.loads(
        json.dumps(dict(attributes), default=lambda value: np.asarray(value).tolist())
    )
    return plain
