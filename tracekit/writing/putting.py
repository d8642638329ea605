"""What is put into a trace, held against what was declared, and against what was committed before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.errors import TraceWriteError
from tracekit.reading.stored import StoredRows
from tracekit.store import Store
from tracekit.writing.batches import DeclaredRows
from tracekit.writing.columns import Column, not_repeated


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


def compare_row(store: Store, declared: DeclaredRows, sample: int, values: npt.NDArray[Any]) -> None:
    """Hold a row that a resumed run gives once more against the one that was committed, bit by bit.

    Raises
    ------
    TraceWriteError
        If they differ.
    """
    if sample in declared.gaps:
        return
    row, n_columns = declared.row_of[sample], values.shape[-1]
    stored = StoredRows(store, declared.layout, np.array([row]), ((0, n_columns),), (n_columns,))
    again = declared.layout.seen(np.ascontiguousarray(values, declared.layout.dtype))
    if stored[0].tobytes() != again.tobytes():
        raise not_repeated(f"{store.url}/{declared.rows.group}, {declared.rows.sample} {sample}")


def missing_of(
    visit: int, n_updates: int, rows: Mapping[str, DeclaredRows], columns: Mapping[str, Column]
) -> Iterable[str]:
    """Name what was declared for a visit and is not there: rows, and samples of series."""
    yield from (group for group, kind in rows.items() if kind.missing(visit))
    expected = {"visit": visit + 1, "update": n_updates}
    for key, column in columns.items():
        n_expected = expected[column.layout.dims[0]]
        if column.n_samples != n_expected:
            yield f"{key} ({column.n_samples} of {n_expected} samples)"
