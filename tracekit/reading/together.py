"""The same rows read once for all that is wanted of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracekit.format.marker import unchanged
from tracekit.reading.evidence import UNPROVEN_BYTES, check_held
from tracekit.reading.parts import ShardPart, Wanted, parts_of_row
from tracekit.reading.pieces import read_pieces
from tracekit.reading.sharing import in_threads

if TYPE_CHECKING:
    from tracekit.reading.stored import StoredRows

JOB_BYTES = 4 << 20  # less is no work for a second thread
ROUNDS = 4  # a thread that has done its job takes another: so many for each even out the load

Values = npt.NDArray[Any]


def read_together(views: Sequence[StoredRows], n_threads: int = 1) -> list[Values]:
    """Read views of the same rows: each chunk once, decoded to its place in every view that wants it.

    Raises
    ------
    DamagedTraceError
        If something is missing or damaged.
    TraceRolledBackError
        If the trace has gone back since it was opened.
    """
    middle = [range(size) for size in views[0].layout.shape[1:-1]]
    outputs = read_columns(views, middle, n_threads)
    return [values.reshape(view.shape) for view, values in zip(views, outputs, strict=True)]


def read_columns(views: Sequence[StoredRows], middle: Sequence[range], n_threads: int = 1) -> list[Values]:
    """Read columns of the same rows, dims (row, [middle,] element), of some stretches of the middle dims."""
    rows, layout = views[0], views[0].layout
    outputs = [_room(view, middle) for view in views]
    written = [place for place, row in enumerate(rows.rows.tolist()) if row not in rows.gaps]
    if len(written) < len(rows.rows):
        for values in outputs:
            values[np.isin(rows.rows, list(rows.gaps))] = layout.fill
    parts = parts_of_row(layout, middle, _wanted(views))
    n_chunks = len(written) * sum(len(part.pieces) for part in parts)
    per_job = max(1, JOB_BYTES // (math.prod(layout.chunk) * layout.dtype.itemsize))
    n_workers = max(rows.store.parallel_requests, n_threads if n_chunks > per_job else 1)
    if len(written) * len(parts) < n_workers * ROUNDS:
        parts = [less for part in parts for less in part.cut(per_job)]

    def work(job: tuple[int, ShardPart]) -> None:
        place, part = job
        key = layout.object_key((int(rows.rows[place]), *part.index))
        read_pieces(rows.store, layout, key, part.pieces, [values[place] for values in outputs])

    with unchanged(rows.store, rows.generation):
        in_threads(work, [(place, part) for place in written for part in parts], n_workers)
    return [layout.seen(values) for values in outputs]


def _room(view: StoredRows, middle: Sequence[range]) -> Values:
    """Give memory for a view; much of it only where stored bytes say that it is needed."""
    row_shape = (*map(len, middle), sum(stop - start for start, stop in view.stretches))
    row_bytes = math.prod(row_shape) * view.layout.dtype.itemsize
    if len(view.rows) * row_bytes > UNPROVEN_BYTES:
        check_held(view.store, view.layout, view.rows.tolist(), row_bytes)
    return np.empty((len(view.rows), *row_shape), view.layout.dtype)


def _wanted(views: Sequence[StoredRows]) -> list[Wanted]:
    wanted = []
    for output, view in enumerate(views):
        place = 0
        for start, stop in view.stretches:
            wanted.append(Wanted(range(start, stop), output, place))
            place += stop - start
    return wanted
