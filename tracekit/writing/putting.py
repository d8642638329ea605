"""Putting rows into a trace: held against what was declared, then written, or compared where they repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.errors import TraceWriteError
from tracekit.format.shards import write_row
from tracekit.reading.stored import StoredRows
from tracekit.store import Store
from tracekit.writing.background import Background, Cargo
from tracekit.writing.batches import DeclaredRows
from tracekit.writing.buffers import Memory
from tracekit.writing.columns import not_repeated
from tracekit.writing.contents import Contents
from tracekit.writing.measuring import Written
from tracekit.writing.teams import Team, stretches

Wait = Callable[[], None]
"""Returns when values have arrived, in whatever thread it is called."""


class RowPutter:
    """Takes the rows of a trace and has them written in the background.

    Parameters
    ----------
    store : Store
        Where the trace lies.
    contents : Contents
        The kinds that were declared.
    background : Background
        What writes.
    team : Team, optional
        The processes that write each row together; this one writes its own columns.
    """

    def __init__(self, store: Store, contents: Contents, background: Background, team: Team | None) -> None:
        self.written = Written()
        self._store = store
        self._contents = contents
        self._background = background
        self._team = team

    def buffer(self, group: str, memory: Memory) -> npt.NDArray[Any]:
        """Give memory for one row of a kind; waits while too much is under way."""
        declared = self._contents.kind(group)
        return self._background.buffers.lend(declared.rows.row_shape, declared.layout.dtype, memory)

    def stretches(self, group: str) -> list[range]:
        """Give the columns of a row that each process writes."""
        return stretches(self._team, self._contents.kind(group).layout)

    def put(
        self,
        group: str,
        sample: int,
        values: npt.NDArray[Any],
        under_way: Sequence[Wait],
        *,
        snapshot: int,
        committed: int,
    ) -> None:
        """Take the row of a kind for the snapshot to come, where so many are committed.

        Raises
        ------
        TraceWriteError
            If it is not one that was declared, or was put already.
        """
        declared = self._contents.kind(group)
        self._contents.axes.place(declared, sample, snapshot)
        name = f"{group}, {declared.rows.sample} {sample}"
        check_row(f"{self._store.url}/{name}", declared, sample, values)
        declared.put.add(sample)
        repeated = declared.visit_of[sample] < committed
        work = partial(self._compare if repeated else self._write, declared, sample)
        self._background.do(Cargo(name, (group, sample)), partial(_once_there, under_way, work), values)

    def _write(self, declared: DeclaredRows, sample: int, values: npt.NDArray[Any]) -> None:
        began = time.perf_counter()
        write_row(self._store, declared.layout, declared.row_of[sample], values, self._own(declared))
        self.written.add(declared.rows.group, time.perf_counter() - began, values.nbytes)

    def _compare(self, declared: DeclaredRows, sample: int, values: npt.NDArray[Any]) -> None:
        compare_row(self._store, declared, sample, values, self._own(declared))

    def _own(self, declared: DeclaredRows) -> range:
        """Give the columns that this process writes."""
        return stretches(self._team, declared.layout)[0 if self._team is None else self._team.rank]


def _once_there(
    under_way: Sequence[Wait], work: Callable[[npt.NDArray[Any]], None], values: npt.NDArray[Any]
) -> None:
    for wait in under_way:
        wait()
    work(values)


def check_row(place: str, declared: DeclaredRows, sample: int, values: npt.NDArray[Any]) -> None:
    """Check that a row is one that was declared, of the declared shape and type, and was not put yet.

    Raises
    ------
    TraceWriteError
        If it is not; `place` says which row.
    """
    rows, layout = declared.rows, declared.layout
    if sample not in declared.row_of:
        raise TraceWriteError(f"{place} is not among the {rows.sample}s it was declared for")
    if sample in declared.put:
        raise TraceWriteError(f"{place} was put already")
    if values.shape != rows.row_shape:
        raise TraceWriteError(
            f"{place}: expected shape {rows.row_shape} for dims {rows.dims[1:]}, found {values.shape}"
        )
    if layout.bits_of and values.dtype != layout.dtype:
        raise TraceWriteError(
            f"{place}: expected the bits of {layout.bits_of} as uint16, found {values.dtype}; make them with "
            "tracekit.format.precision.to_bfloat16"
        )


def compare_row(
    store: Store, declared: DeclaredRows, sample: int, values: npt.NDArray[Any], own: range
) -> None:
    """Hold some columns of a row that a resumed run gives once more against the committed ones, bit by bit.

    Raises
    ------
    TraceWriteError
        If they differ.
    """
    if sample in declared.gaps:
        return
    row, columns = declared.row_of[sample], (own.start, own.stop)
    stored = StoredRows(store, declared.layout, np.array([row]), (columns,), (len(own),))
    part = values[..., own.start : own.stop]
    again = declared.layout.seen(np.ascontiguousarray(part, declared.layout.dtype))
    if stored[0].tobytes() != again.tobytes():
        raise not_repeated(f"{store.url}/{declared.rows.group}, {declared.rows.sample} {sample}")
