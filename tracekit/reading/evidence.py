"""Metadata may claim any size; before much memory is taken, some of the stored bytes must be there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracekit.errors import DamagedTraceError
from tracekit.format.frames import MOST_TIMES_SMALLER
from tracekit.format.layout import ArrayLayout, Shape
from tracekit.store import Store

UNPROVEN_BYTES = 256 << 20
UNPROVEN_BLOCKS = 1 << 17
_ROWS_LOOKED_AT = 8


def check_held(store: Store, layout: ArrayLayout, rows: Sequence[int], row_bytes: int) -> None:
    """Check that at least one of some rows has objects large enough to hold `row_bytes` of values.

    Raises
    ------
    DamagedTraceError
        If all of them are far too small, or missing.
    """
    step = max(1, len(rows) // _ROWS_LOOKED_AT)
    if not any(_held(store, layout, row) >= row_bytes for row in rows[::step]):
        raise DamagedTraceError(
            f"{store.url}/{layout.key}: a row of {row_bytes} bytes is claimed, and no stored row comes near: "
            "its files are missing or cut short, or its metadata makes it up"
        )


def _held(store: Store, layout: ArrayLayout, row: int) -> int:
    """Give how many bytes of values the objects of a row may hold at most, those too small left out."""
    held = 0
    for index in layout.row_objects(row):
        n_bytes = _clipped(layout, index)
        least = max(1, n_bytes // MOST_TIMES_SMALLER)
        held += n_bytes if store.get_range(layout.object_key(index), least - 1, 1) else 0
    return held


def _clipped(layout: ArrayLayout, index: Shape) -> int:
    """Give the bytes of values that one object holds of one row, up to the array's edge."""
    pairs = zip(index[1:], layout.object_shape[1:], layout.shape[1:], strict=True)
    return math.prod(min(size, whole - place * size) for place, size, whole in pairs) * layout.dtype.itemsize
