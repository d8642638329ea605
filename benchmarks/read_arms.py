"""What is read in `store.py --only read`, and how: by tracekit, by zarr-python, and from a memory map.

zarr-python reads the same stores by stretches of columns, as its user would who knows where a tensor lies.
`zarrs`, its codec pipeline in Rust, is measured where it is installed (`pip install zarrs`); nothing else
needs it. Neither knows which visits are committed.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from tracekit import Field, load, open_trace
from tracekit.format.layout import read_layout
from tracekit.format.shards import read_index
from tracekit.store import LocalStore

Arm = Callable[[int], Any]
ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
CHUNKS_AT_ONCE = 4  # 1 MiB
STRIDE = 7  # every read of one visit takes another visit


@dataclass(frozen=True)
class Read:
    """One thing that is read: what of it is aimed at, and how tracekit reads it."""

    label: str
    aim: float
    visits: str  # "all", or "one" at a time
    names: tuple[str, ...] | None  # None: the row as it lies, with all in it
    traced: Callable[[Path], Callable[[Any], Any]]  # from a path to a function of the visits chosen


def reads(fields: Sequence[Field], megabyte: str, kilobyte: str) -> list[Read]:
    """Give what is read."""
    every = tuple(field.name for field in fields)
    return [
        Read("everything", 2, "all", None, _row),
        Read("one visit, as a row", 2, "one", None, _row),
        *(
            Read(f"one visit, {len(fields)} variables, {how}{option}", 2, "one", every, _named(chunks, read))
            for option, chunks in ((", chunks=None", None), ("", "auto"))
            for how, read in (("tracekit.load", load), ("xarray's load", xr.Dataset.load))
        ),
        Read("a parameter of 1 MB, all visits", 3, "all", (megabyte,), _parameter(megabyte)),
        Read("a parameter of 1 KB, all visits", 50, "all", (kilobyte,), _parameter(kilobyte)),
    ]


class Arms:
    """The arms of one read, over the same values in several stores and in a raw file."""

    def __init__(self, read: Read, folder: Path, n_visits: int, fields: Sequence[Field]) -> None:
        self._read = read
        self._folder = folder
        self._n_visits = n_visits
        ends = list(itertools.accumulate(field.size for field in fields))
        self._places = {
            field.name: slice(end - field.size, end) for field, end in zip(fields, ends, strict=True)
        }
        self._shape = (n_visits, ends[-1])

    def all(self, codecs: Sequence[str]) -> dict[str, Arm]:
        """Give the arms by name; every one reads anew whatever it is called for."""
        arms: dict[str, Arm] = {"map": self._mapped}
        for codec in codecs:
            path = self._folder / f"{codec}.zarr"
            traced = self._read.traced(path)
            arms[codec] = lambda number, traced=traced: traced(self._visits(number))
            arms[f"zarr {codec}"] = self._zarr(path)
            if importlib.util.find_spec("zarrs") is not None:
                with zarr.config.set(ZARRS):
                    arms[f"zarrs {codec}"] = self._zarr(path)
        return arms

    def _mapped(self, number: int) -> Any:
        rows = np.memmap(self._folder / "rows.raw", np.float32, "r", shape=self._shape)
        # one visit by name is one visit, read at once: nobody could be faster
        columns = self._columns()[0] if self._read.visits == "all" else slice(None)
        return np.array(rows[self._visits(number), columns])

    def _zarr(self, path: Path) -> Arm:
        array: Any = zarr.open_group(path, mode="r")["weights/values"]
        return lambda number: [array[self._visits(number), columns] for columns in self._columns()]

    def _visits(self, number: int) -> Any:
        return slice(None) if self._read.visits == "all" else number * STRIDE % self._n_visits

    def _columns(self) -> list[slice]:
        return [self._places[name] for name in self._read.names] if self._read.names else [slice(None)]


def _row(path: Path) -> Callable[[Any], Any]:
    values = open_trace(path)["weights/flat"].to_dataset()["values"]
    return lambda visit: values.isel(visit=visit).values


def _named(
    chunks: Literal["auto"] | None, read: Callable[[xr.Dataset], xr.Dataset]
) -> Callable[[Path], Callable[[Any], Any]]:
    def traced(path: Path) -> Callable[[Any], Any]:
        weights = open_trace(path, chunks=chunks)["weights"].to_dataset()
        return lambda visit: read(weights.isel(visit=visit))

    return traced


def _parameter(name: str) -> Callable[[Path], Callable[[Any], Any]]:
    def traced(path: Path) -> Callable[[Any], Any]:
        values = open_trace(path)["weights"][name]
        return lambda visit: values.isel(visit=visit).values

    return traced


def decoding(path: Path, *, from_file: bool) -> Arm:
    """Check and decode a visit's chunks on one core: what no reader escapes.

    They lie in memory already, or are read from the file, some at a time; where they lie is known.
    """
    store = LocalStore(path)
    layout = read_layout(store, "weights/values")
    key = layout.object_key((0, 0))
    whole = memoryview(store.get(key) or b"")
    with store.open(key) as shard:
        entries = read_index(shard, layout, key).reshape(-1, 2).tolist()
    rows: npt.NDArray[Any] = np.empty((len(entries), layout.chunk[-1]), layout.dtype)

    def decode(_: int) -> None:
        with store.open(key) as shard:
            for first in range(0, len(entries), CHUNKS_AT_ONCE):
                batch = entries[first : first + CHUNKS_AT_ONCE]
                start, stop = batch[0][0], sum(batch[-1])
                data = memoryview(shard.range(start, stop - start) or b"") if from_file else whole[start:stop]
                for number, (offset, length) in enumerate(batch, first):
                    layout.codec.decode_into(data[offset - start :][:length], rows[number], key)

    return decode
