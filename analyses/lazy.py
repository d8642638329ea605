"""The one door to `xarray.apply_ufunc`, and the sum of a kernel over blocks of columns.

Both leave dask arrays lazy and work on numpy arrays at once. Nothing but shapes and coordinates is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from analyses.threads import one_blas_thread
from analyses.units import NONE
from tracekit.errors import AnalysisError

BLOCK_BYTES = 32 * 2**20
"""Most memory that one block of columns, over all visits, takes."""

SMALL = 8
"""Chunks are joined to blocks of up to 1/8 of the most: it saves tasks, but copies what it joins."""

Dims = tuple[str, ...]


def apply(
    kernel: Callable[..., Any],
    *arrays: xr.DataArray,
    core: Sequence[Dims],
    outputs: Mapping[str, Dims],
    sizes: Mapping[str, int] | None = None,
    parameters: Mapping[str, Any] | None = None,
    units: str = NONE,
) -> xr.Dataset:
    """Apply a kernel to the core dims of arrays, and give its outputs by name.

    Parameters
    ----------
    kernel : callable
        Takes one numpy array for each of `arrays`, core axes last, and gives one array, or a tuple of them.
    arrays : DataArray
        Inputs; core dims that are split into chunks are made whole.
    core : sequence of tuple of str
        Core dims of each input.
    outputs : mapping
        Core dims of each output, in the kernel's order. Every output is float64.
    sizes : mapping, optional
        Sizes of the output dims that no input has.
    parameters : mapping, optional
        Keyword arguments of the kernel.
    units : str
        Those of every output; no other attribute is taken over from the inputs.

    Raises
    ------
    AnalysisError
        If an array lacks one of its core dims.

    Examples
    --------
    >>> rows = xr.DataArray([[3.0, 4.0], [6.0, 8.0]], dims=("visit", "element"))
    >>> def norm(rows):
    ...     return np.hypot(rows[..., 0], rows[..., 1])
    >>> apply(norm, rows, core=[("element",)], outputs={"norm": ()})["norm"].values
    array([ 5., 10.])
    """
    for array, dims in zip(arrays, core, strict=True):
        require_dims(array, dims)
    results = xr.apply_ufunc(
        kernel,
        *(whole(array, dims) for array, dims in zip(arrays, core, strict=True)),
        input_core_dims=list(core),
        output_core_dims=list(outputs.values()),
        output_dtypes=[np.float64] * len(outputs),
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": dict(sizes or {})},
        kwargs=dict(parameters or {}),
    )
    results = results if isinstance(results, tuple) else (results,)
    for each in results:
        each.attrs = {"units": units}
    return xr.Dataset(dict(zip(outputs, results, strict=True)))


def require_dims(array: xr.DataArray, dims: Dims) -> None:
    """Raise `AnalysisError` unless the array has all of the dims."""
    missing = [dim for dim in dims if dim not in array.dims]
    if missing:
        repair = "rename or add it"
        if missing[0] == "visit" and "update" in array.dims:
            repair = "take one update of each visit with analyses.per_visit"
        raise AnalysisError(
            f"{array.name or 'array'}: expected dim {missing[0]!r}, found dims {array.dims}; {repair}"
        )


def whole(array: xr.DataArray, dims: Dims) -> xr.DataArray:
    """Give the array with each of the dims in one chunk; numpy arrays are given back as they are.

    An array without elements, of which dask divides by the size, becomes a numpy array.
    """
    if array.chunks is None:
        return array
    if array.size == 0:
        return array.copy(data=np.empty(array.shape, dtype=array.dtype))
    return array.chunk(dict.fromkeys(dims, -1))


def sum_over_blocks(
    kernel: Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]],
    values: Any,
    *,
    n_batch: int = 0,
    block_bytes: int = BLOCK_BYTES,
) -> Any:
    """Sum a kernel (…, row, element) -> (…, row, row) over blocks of columns, one dask task for each block.

    The first `n_batch` axes are left as they are, the next is that of rows, and all others count as columns.
    Blocks are unions or pieces of the chunks there are, all rows each.
    """
    batch, n_rows = values.shape[:n_batch], values.shape[n_batch]
    if 0 in values.shape:
        return np.zeros((*batch, n_rows, n_rows))
    if isinstance(values, np.ndarray):
        return kernel(_as_rows(values, n_batch))
    import dask.array as da  # of no use to arrays in memory, and slow to import

    axes, summed = tuple(range(values.ndim)), tuple(range(n_batch, values.ndim))
    row, other = values.ndim, values.ndim + 1
    # rows stay an axis, of size 1, until the sum: to leave one out, dask copies every block
    parts = da.blockwise(
        _on_block,
        (*axes, row, other),
        _in_blocks(values, n_batch, block_bytes),
        axes,
        kernel=kernel,
        n_batch=n_batch,
        new_axes={row: n_rows, other: n_rows},
        adjust_chunks=dict.fromkeys(summed, 1),
        dtype=np.float64,
        meta=np.empty((0,) * (values.ndim + 2)),
    )
    return parts.sum(axis=summed)


def _in_blocks(values: Any, n_batch: int, block_bytes: int) -> Any:
    """Cut a dask array so that a block holds all rows, and no more than `block_bytes`."""
    kept = values.chunks[:n_batch]
    room = block_bytes // math.prod(max(sizes) for sizes in kept)
    return values.rechunk((*kept, *column_blocks(values.chunks[n_batch:], values.dtype.itemsize, room)))


def _on_block(block: npt.NDArray[Any], *, kernel: Callable[..., Any], n_batch: int) -> Any:
    with one_blas_thread():
        result = np.asarray(kernel(_as_rows(block, n_batch)))
    n_summed = block.ndim - n_batch
    return result.reshape((*result.shape[:n_batch], *(1,) * n_summed, *result.shape[n_batch:]))


def _as_rows(block: npt.NDArray[Any], n_batch: int) -> npt.NDArray[Any]:
    kept = block.shape[: n_batch + 1]
    return block.reshape((*kept, math.prod(block.shape[n_batch + 1 :])))


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
