"""How arrays are cut into chunks and shards, and under which keys these lie. Format version 1.

Everything that would differ in another version of the format is in this module.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.format.arrays import (
    check_blosc,
    check_fill,
    check_known,
    check_node,
    check_sizes,
    codec_names,
    dim_names,
    grid_shape,
    split_codecs,
)
from tracekit.format.checks import MalformedError, checking, declaring, entry, sizes
from tracekit.format.codecs import Codec, CodecName
from tracekit.format.documents import read_document, seal
from tracekit.format.precision import BFLOAT16, BITS_OF, MISSING_BFLOAT16, array_dtype, from_bfloat16
from tracekit.format.schema import Rows, Series
from tracekit.store import Store

FORMAT = "tracekit"
FORMAT_VERSION = 1
OPEN_FORMAT_VERSION = 2  # of traces whose end was not known when they were begun
COMMIT_KEY = "commit"
TIMELINE = "visits"
DERIVED = "derived"  # results of analyses: not the writer's, and no part of what was recorded
CLOCK = "wall_time_seconds"
METADATA = "zarr.json"
GAPS = "gaps"  # attribute of a group of rows: the visits that could not be written
KNOWN = ("visit", "epoch", "position", "trained_task", "update", "update_visit")  # fixed by the plan

CHUNK_BYTES = 256 << 10
SHARD_BYTES = 256 << 20
SERIES_CHUNK_BYTES = 64 << 10
CAPACITY = 1 << 30  # samples that an open-ended array says it has room for, until it is closed
MISSING_INTEGER = -1

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ArrayLayout:
    """One array on disk. Its first dim is the sample; an object holds a shard, or a chunk without one.

    Where `bits_of` names a type, the stored values are bits of it; see `tracekit.format.precision`.
    """

    key: str
    shape: Shape
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    chunk: Shape
    shard: Shape | None
    codec: Codec
    bits_of: str | None = None

    @property
    def type_name(self) -> str:
        """Name of the type of the values."""
        return self.bits_of or self.dtype.name

    @property
    def seen_dtype(self) -> np.dtype[Any]:
        """Type in which readers see the values."""
        return np.dtype(np.float32) if self.bits_of else self.dtype

    def seen(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give stored values as readers see them."""
        return from_bfloat16(stored) if self.bits_of else stored

    @property
    def object_shape(self) -> Shape:
        """Shape of what one stored object holds."""
        return self.shard or self.chunk

    @property
    def chunks_per_shard(self) -> Shape:
        """How many chunks a shard holds along each dim."""
        return tuple(s // c for s, c in zip(self.object_shape, self.chunk, strict=True))

    @property
    def objects(self) -> Shape:
        """How many objects the array has along each dim."""
        return tuple(math.ceil(n / s) for n, s in zip(self.shape, self.object_shape, strict=True))

    @property
    def fill(self) -> float | int:
        """The value that says "never written"."""
        if self.bits_of:
            return MISSING_BFLOAT16
        return math.nan if self.dtype.kind == "f" else MISSING_INTEGER

    def object_key(self, index: Shape) -> str:
        """Give the key of one object."""
        return "/".join((self.key, "c", *map(str, index)))

    def row_objects(self, row: int, columns: range | None = None) -> Iterator[Shape]:
        """Give the indices of all objects that hold a part of a row, or of some columns of it."""
        first, width = row // self.object_shape[0], self.object_shape[-1]
        places = np.ndindex(self.objects[1:])
        return ((first, *rest) for rest in places if columns is None or rest[-1] * width in columns)

    def metadata(self, attributes: Mapping[str, Any]) -> bytes:
        """Give the array's `zarr.json`, as zarr-python writes it, sealed.

        Raises
        ------
        TraceWriteError
            If its sizes are such that it would not be read again.
        """
        import zarr  # needed to write alone: it takes a third of the time that a command has to start
        from zarr.storage import MemoryStore

        with declaring(self.key):
            check_sizes(self.shape, self.chunk, self.object_shape, self.dtype.itemsize)
        contents: dict[str, Any] = {}
        zarr.create_array(
            MemoryStore(contents),
            shape=self.shape,
            dtype=self.dtype,
            chunks=self.chunk,
            shards=self.shard,
            compressors=self.codec.zarr(),
            fill_value=self.fill,
            dimension_names=self.dims,
            attributes={**attributes, **({BITS_OF: self.bits_of} if self.bits_of else {})},
        )
        return seal(json.loads(contents[METADATA].to_bytes()))


def rows_layout(rows: Rows, codec: CodecName, n_writers: int = 1) -> ArrayLayout:
    """Lay out flat rows: chunks of about 256 KiB of one visit, one shard per visit up to 256 MiB.

    A larger row is cut into equal shards, since what lies beyond its end takes place as well. Where several
    processes write, there are as many shards for each of them, if there are chunks enough.
    """
    dtype = array_dtype(rows.dtype)
    *middle, n_elements = rows.row_shape
    n_chunks = max(1, math.ceil(n_elements / (CHUNK_BYTES // dtype.itemsize)))
    most_per_shard = max(1, SHARD_BYTES // (CHUNK_BYTES * math.prod(middle)))
    n_shards = min(n_chunks, n_writers * math.ceil(n_chunks / most_per_shard / n_writers))
    per_shard = math.ceil(n_chunks / n_shards)
    columns = max(1, math.ceil(n_elements / (n_shards * per_shard)))
    return ArrayLayout(
        key=f"{rows.group}/values",
        shape=(len(rows.visits), *rows.row_shape),
        dtype=dtype,
        dims=rows.dims,
        chunk=(1, *(1 for _ in middle), columns),
        shard=(1, *middle, columns * per_shard),
        codec=Codec(codec, dtype.itemsize),
        bits_of=rows.dtype if rows.dtype == BFLOAT16 else None,
    )


def series_layout(series: Series, n_samples: int, sizes: Shape) -> ArrayLayout:
    """Lay out a series: all of a sample in one chunk, as many samples in it as 64 KiB hold."""
    dtype = array_dtype(series.dtype)
    row_bytes = max(1, math.prod(sizes) * dtype.itemsize)
    samples = min(max(1, SERIES_CHUNK_BYTES // row_bytes), max(1, n_samples))
    return ArrayLayout(
        key=f"{series.group}/{series.name}",
        shape=(n_samples, *sizes),
        dtype=dtype,
        dims=(series.sample, *series.dims),
        chunk=(samples, *sizes),
        shard=None,
        codec=Codec("none", dtype.itemsize),
    )


def open_rows(layout: ArrayLayout) -> ArrayLayout:
    """Lay out rows of which nobody knows how many will come."""
    return replace(layout, shape=(CAPACITY, *layout.shape[1:]))


def open_series(series: Series, sizes: Shape) -> ArrayLayout:
    """Lay out a series of which nobody knows how long it will be.

    Its chunks are those of a long one; they are compressed, since in a short one they are mostly empty.
    """
    layout = series_layout(series, CAPACITY, sizes)
    return replace(layout, codec=Codec("lz4", layout.dtype.itemsize))


def group_metadata(attributes: Mapping[str, Any]) -> bytes:
    """Give a group's `zarr.json`."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    return seal(document)


def parse_array(key: str, document: Mapping[str, Any], place: str) -> ArrayLayout:
    """Read an array's `zarr.json`; only what this version writes is accepted.

    Raises
    ------
    NotATraceError
        If it is anything else.
    """
    with checking(f"{place}/{key}/{METADATA}"):
        bits_of = _parse_bits(check_node(document, "array").get(BITS_OF))
        check_known(document)
        shape = sizes(entry(document, "shape", "metadata"), "shape")
        dtype = _parse_dtype(entry(document, "data_type", "metadata"), bits_of)
        outer = grid_shape(document)
        codecs, chunk = split_codecs(document)
        codec = _parse_codec(codecs, dtype)
        check_sizes(shape, chunk or outer, outer, dtype.itemsize)
        dims = dim_names(document, len(shape))
        layout = ArrayLayout(
            key, shape, dtype, dims, chunk or outer, outer if chunk else None, codec, bits_of
        )
        check_fill(document, layout.fill)
    return layout


def read_layout(store: Store, key: str) -> ArrayLayout:
    """Read the layout of one array.

    Raises
    ------
    NotATraceError
        If there is none, or not one that this version writes.
    """
    return parse_array(key, read_document(store, f"{key}/{METADATA}"), store.url)


def _parse_bits(name: Any) -> str | None:
    if name not in (None, BFLOAT16):
        raise MalformedError(f"{BITS_OF}: expected {BFLOAT16!r}, found {reprlib.repr(name)}")
    return BFLOAT16 if name else None


def _parse_dtype(name: Any, bits_of: str | None) -> np.dtype[Any]:
    if name not in (("uint16",) if bits_of else ("float16", "float32", "float64", "int64", "int32")):
        raise MalformedError(f"values of type {reprlib.repr(name)} are not read")
    return array_dtype(name)


def _parse_codec(codecs: list[Any], dtype: np.dtype[Any]) -> Codec:
    names = codec_names(codecs)
    if names == ["bytes", "blosc", "crc32c"]:
        check_blosc(codecs[1], dtype.itemsize)
        return Codec("lz4", dtype.itemsize)
    if names == ["bytes", "crc32c"]:
        return Codec("none", dtype.itemsize)
    raise MalformedError(f"codecs {reprlib.repr(names)} are not read")
