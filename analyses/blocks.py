"""Sums of a kernel over blocks of columns, lazily: a task for each block, which holds all rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.threads import one_blas_thread

BLOCK_BYTES = 64 * 2**20
"""Most memory that one block of columns, over all visits, takes."""

SMALL = 8
"""Chunks are joined to blocks of up to 1/8 of the most: it saves tasks, but copies what it joins."""

LINKS = 64
"""Sums that follow from each other; what they give goes into sums of its own."""

Stretches = Sequence[tuple[int, int]]
Kernel = Callable[..., npt.NDArray[np.float64]]
Keys = list[tuple[Any, ...]]


def sum_over_blocks(
    kernel: Kernel,
    values: Any,
    *of_rows: Any,
    n_batch: int = 0,
    n_places: int | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Any:
    """Sum a kernel (…, row, element) -> (…, place, place) over blocks of columns, one dask task for each.

    The first `n_batch` axes are left as they are, the next is that of rows, and all others count as columns.
    Blocks are unions or pieces of the chunks there are, all rows each. There are as many places as rows if
    nothing else is said. Arrays `of_rows`, (…, row), go to the kernel with every block.
    """
    n_places = n_places or values.shape[n_batch]
    if 0 in values.shape:
        return np.zeros((*values.shape[:n_batch], n_places, n_places))
    if isinstance(values, np.ndarray):
        return kernel(_as_rows(values, n_batch), *of_rows)
    kept = values.chunks[:n_batch]
    room = block_bytes // math.prod(max(sizes) for sizes in kept)
    blocks = values.rechunk((*kept, *column_blocks(values.chunks[n_batch:], values.dtype.itemsize, room)))
    of_rows = tuple(each.rechunk((*kept, -1)) for each in of_rows)
    parts = _each_block(kernel, blocks, (n_places, n_places), n_batch, of_rows)
    return parts.sum(axis=tuple(range(n_batch, values.ndim)))


def sums_of_stretches(
    kernel: Kernel,
    values: Any,
    groups: Sequence[Stretches],
    shape: tuple[int, int],
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Any:
    """Sum a kernel (row, element) -> `shape` over blocks of columns, for each group of them: (group, *shape).

    A group is some stretches (start, stop) of the last axis, with all of the axes between rows and it. Blocks
    end where stretches do; what was read is cut, and not read again.
    """
    if 0 in values.shape:
        return np.zeros((len(groups), *shape))
    if isinstance(values, np.ndarray):
        return np.stack([_added([kernel(_as_rows(values[..., a:b], 0)) for a, b in each]) for each in groups])
    # of thousands of rows, what is made of a block takes more memory than a block: so that there are fewer
    room = max(block_bytes, math.prod(shape) * 8)
    *chunks, last = column_blocks(values.chunks, values.dtype.itemsize, room)
    ends = np.cumsum(last)
    borders = sorted({*ends.tolist(), *itertools.chain.from_iterable(itertools.chain(*groups))} - {0})
    blocks = values.rechunk((*chunks, tuple(np.diff(borders, prepend=0).tolist())))
    members = [[n for n, end in enumerate(borders) if _within(end, each)] for each in groups]
    return _sums(_each_block(kernel, blocks, shape, 0), members, shape)


def _within(end: int, stretches: Stretches) -> bool:
    return any(start < end <= stop for start, stop in stretches)


def _each_block(
    kernel: Kernel, blocks: Any, shape: tuple[int, int], n_batch: int, of_rows: tuple[Any, ...] = ()
) -> Any:
    """Apply a kernel to every block, dims (…, 1 for each axis summed, row, other)."""
    import dask.array as da  # of no use to arrays in memory, and slow to import

    axes, summed = tuple(range(blocks.ndim)), tuple(range(n_batch, blocks.ndim))
    row, other = blocks.ndim, blocks.ndim + 1
    # rows stay an axis, of size 1, until the sum: to leave one out, dask copies every block
    return da.blockwise(
        _on_block,
        (*axes, row, other),
        blocks,
        axes,
        *itertools.chain.from_iterable((each, axes[: n_batch + 1]) for each in of_rows),
        kernel=kernel,
        n_batch=n_batch,
        new_axes={row: shape[0], other: shape[1]},
        adjust_chunks=dict.fromkeys(summed, 1),
        dtype=np.float64,
        meta=np.empty((0,) * (blocks.ndim + 2)),
    )


def _on_block(block: npt.NDArray[Any], *of_rows: npt.NDArray[Any], kernel: Kernel, n_batch: int) -> Any:
    with one_blas_thread():
        result = np.asarray(kernel(_as_rows(block, n_batch), *of_rows))
    n_summed = block.ndim - n_batch
    return result.reshape((*result.shape[:n_batch], *(1,) * n_summed, *result.shape[n_batch:]))


def _as_rows(block: npt.NDArray[Any], n_batch: int) -> npt.NDArray[Any]:
    kept = block.shape[: n_batch + 1]
    return block.reshape((*kept, math.prod(block.shape[n_batch + 1 :])))


def _sums(parts: Any, members: Sequence[Iterable[int]], shape: tuple[int, int]) -> Any:
    """Add up parts whose blocks along the last axis of columns are members of a group: (group, *shape)."""
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    name = f"sum-of-blocks-{tokenize(parts.name, members)}"
    layer: dict[Any, Any] = {}
    for group, columns in enumerate(members):
        keys = [
            (parts.name, *before, column, 0, 0)
            for before in itertools.product(*map(range, parts.numblocks[:-3]))
            for column in columns
        ]
        layer |= _in_stages((name, group, 0, 0), keys, shape)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[parts])
    chunks = ((1,) * len(members), *((size,) for size in shape))
    return da.Array(graph, name, chunks, dtype=np.float64)


def _in_stages(key: tuple[Any, ...], keys: Keys, shape: tuple[int, int]) -> dict[Any, Any]:
    """Add up `LINKS` keys at a time, then these sums, and so on.

    To order tasks that follow from each other, dask takes memory that grows with the square of how many.
    """
    made: dict[Any, Any] = {}
    stage = 0
    while len(keys) > LINKS:
        sums: Keys = [(f"{key[0]}-stage-{stage}", key[1], first) for first in range(0, len(keys), LINKS)]
        for total in sums:
            made |= _one_after_another(total, keys[total[2] : total[2] + LINKS])
        keys, stage = sums, stage + 1
    return made | _one_after_another(key, keys, shape)


def _one_after_another(
    key: tuple[Any, ...], keys: Keys, shape: tuple[int, int] | None = None
) -> dict[Any, Any]:
    """Add up keys as they come, so that each can be forgotten.

    Dask's own sum is a tree, whose branches wait for each other: of thousands of visits, that is much memory.
    """
    made: dict[Any, Any] = {}
    total = keys[:1]
    for place, each in enumerate(keys[1:-1]):
        so_far = (f"{key[0]}-so-far", *key[1:], place)
        made[so_far] = (_added, [*total, each])
        total = [so_far]
    return made | {key: (_added, [*total, *keys[1:][-1:]], shape and (1, *shape))}


def _added(parts: list[npt.NDArray[np.float64]], shape: tuple[int, ...] | None = None) -> Any:
    total = parts[0].copy() if parts else np.zeros(shape or ())
    for part in parts[1:]:
        total += part
    return total if shape is None else total.reshape(shape)


def column_blocks(
    chunks: tuple[tuple[int, ...], ...], itemsize: int, block_bytes: int
) -> tuple[tuple[int, ...], ...]:
    """Give chunks with all rows whole and columns merged or split so that a block fits into `block_bytes`.

    Examples
    --------
    >>> column_blocks(((2, 2), (3, 3, 3, 3)), itemsize=8, block_bytes=4 * 8 * 48)
    ((4,), (6, 6))
    >>> column_blocks(((4,), (10, 10)), itemsize=8, block_bytes=4 * 8 * 5)
    ((4,), (5, 5, 5, 5))
    """
    n_rows = sum(chunks[0])
    room = max(1, block_bytes // (max(1, n_rows) * itemsize))
    blocks: list[tuple[int, ...]] = []
    for axis in reversed(chunks[1:]):
        blocks.append(_fitted(axis, room))
        room = max(1, room // max(blocks[-1]))
    return ((n_rows,), *reversed(blocks))


def _fitted(sizes: tuple[int, ...], room: int) -> tuple[int, ...]:
    fitted: list[int] = []
    for size in sizes:
        if fitted and fitted[-1] + size <= room // SMALL:
            fitted[-1] += size
        else:
            fitted += _split(size, room)
    return tuple(fitted)


def _split(size: int, room: int) -> list[int]:
    """Split into as few pieces as fit, of nearly equal size."""
    n_pieces = max(1, -(-size // room))
    return [size // n_pieces + (piece < size % n_pieces) for piece in range(n_pieces)]
