"""A dask array of stored rows that leaves out what is not asked for before it makes any task.

Dask cuts an array into blocks first and then slices the blocks: one visit of a row of many blocks costs a task
for each of them, and after a second slice whole blocks are read (measured: 80–200 times a memory map for one
visit). And where all of an array is asked for, its blocks are put together in a copy, which costs as much as
the reading. So a slice of a `StoredArray` gives a `StoredArray` of fewer rows or columns, cut into blocks anew;
and to compute one is a single task, which decodes in threads, each value into its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import dask
import dask.array as da
import numpy as np
from dask.array.core import finalize as concatenate
from dask.base import tokenize
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.system import CPU_COUNT

from tracekit.stored import StoredRows, Stretch, Values

SYNCHRONOUS = ("sync", "synchronous", "single-threaded")


class StoredArray(da.Array):
    """A dask array of stored rows. Whatever is made of it, other than a slice, is an ordinary dask array."""

    stored: StoredRows

    def __new__(cls, stored: StoredRows, name: str) -> Self:
        plain = da.from_array(stored, chunks=stored.blocks(), name=name, asarray=False)
        self: Self = super().__new__(cls, plain.dask, name, plain.chunks, meta=plain._meta)
        self.stored = stored
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredArray, (self.stored, self.name)

    def __getitem__(self, key: Any) -> da.Array:
        """Cut rows and columns; leave anything else to dask."""
        if not _is_plain(key):
            return super().__getitem__(key)
        stored, rest = self.stored.cut(key)
        cut = self._of(stored)
        return (
            cut
            if all(part == slice(None) for part in rest if isinstance(part, slice))
            and all(isinstance(part, slice) for part in rest)
            else super(StoredArray, cut).__getitem__(rest)
        )

    def columns(self, stretches: Sequence[Stretch]) -> StoredArray:
        """Give some stretches of the columns of whole rows, one after another."""
        return self._of(self.stored.columns(stretches))

    def _of(self, stored: StoredRows) -> StoredArray:
        facts = (stored.rows, stored.stretches, stored.tail, stored.one_row)
        return StoredArray(stored, f"trace-{tokenize(self.name, *facts)}")

    def __dask_postcompute__(self) -> tuple[Any, tuple[Any, ...]]:
        return put_together, (self.stored,)

    @staticmethod
    def __dask_optimize__(graph: Mapping[Any, Any], keys: Any, **settings: Any) -> Mapping[Any, Any]:
        """Read arrays that are wanted whole in one task each, and optimize as dask does where there are others."""
        flat_keys = list(flatten(keys)) if isinstance(keys, list | set | tuple) else [keys]
        whole = {key: stored for key in flat_keys if (stored := _wanted_whole(graph, key)) is not None}
        others = [key for key in flat_keys if key not in whole]
        n_threads = (
            1 if dask.config.get("scheduler", None) in SYNCHRONOUS else max(1, CPU_COUNT // len(whole or "1"))
        )
        layers = {
            key: MaterializedLayer({key: (StoredRows.read, stored, n_threads)})
            for key, stored in whole.items()
        }
        reads = HighLevelGraph(layers, {key: set() for key in layers})
        if not others:
            return reads
        optimized = da.optimize(graph, others, **settings)
        return HighLevelGraph.merge(optimized, reads) if layers else optimized


def put_together(blocks: Any, stored: StoredRows) -> Values:
    """Put computed blocks together. Where dask lets us, `stored` is read whole instead."""
    values: Values = concatenate(blocks)
    return values


def _wanted_whole(graph: Mapping[Any, Any], key: Any) -> StoredRows | None:
    """Give the rows that a task puts together, or None where a task does anything else."""
    layer = graph.layers.get(key, {}) if isinstance(graph, HighLevelGraph) else {}
    task = layer.get(key)
    if getattr(task, "func", None) is not put_together:
        return None
    stored: StoredRows = task.args[1]
    return stored


def _is_plain(key: Any) -> bool:
    """Say whether a key is made of slices, integers and lists or arrays of one dim."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is Ellipsis
        or isinstance(part, slice | int | np.integer)
        or (isinstance(part, list | np.ndarray) and np.ndim(part) == 1)
        for part in parts
    )
