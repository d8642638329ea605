"""Statistics of every tensor over visits: read where they were recorded, computed where tensors were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

import tracekit
from analyses.blocks import BLOCK_BYTES, column_blocks
from analyses.inputs import REDUCTIONS, recorded
from analyses.kernels import statistics as kernels
from analyses.kernels.recovery import Floats, Integers
from analyses.lazy import apply
from analyses.units import units_of
from tracekit.errors import AnalysisError
from tracekit.patterns import choose

NAMES = (
    "norm",
    "mean",
    "std",
    "min",
    "max",
    "absolute_mean",
    "update_size",
    "distance_from_start",
)


def statistics(
    trace: xr.DataTree,
    kind: str = "weights",
    *,
    names: Sequence[str] = NAMES,
    select: str | Sequence[str] | None = None,
) -> xr.Dataset:
    """Statistics of every tensor of a kind at every recorded visit.

    Where the trace holds all of them as reductions they are read; else they are computed from the tensors,
    all in one pass over the rows. Both agree to a relative 1e-5 for float32 tensors (whose sums reductions
    take in float32), plus 1e-6 times the norm for `mean` and `std`.

    Parameters
    ----------
    trace : DataTree
        An opened trace.
    kind : str
        `"weights"`, `"gradients"`, `"activations"`, …
    names : sequence of str
        Of x, all elements of a tensor: `norm` √Σ x², `mean`, `std` √(Σ (x − mean)² / n), `min`, `max`,
        `absolute_mean`; and of its way, `update_size` ‖x_v − x_u‖ with u the visit recorded before v (NaN at
        the first one), `distance_from_start` ‖x_v − x_0‖ with 0 the first visit recorded.
    select : str or sequence of str, optional
        Patterns over names of tensors, as in `tracekit.patterns.choose`; all of them if None.

    Returns
    -------
    Dataset
        Lazy, float64, dims (visit[, probe or task], tensor), in units of the tensors. The attribute `source`
        says `"recorded"` or `"computed"`.

    Raises
    ------
    AnalysisError
        If the trace holds neither the tensors nor all of the reductions.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> found = statistics(synthetic_trace(n_tasks=4), names=["norm", "update_size"])
    >>> found["norm"].dims, found["tensor"].values.tolist()
    (('visit', 'tensor'), ['block.weight', 'block.bias'])
    >>> found["update_size"].isel(visit=1).values.round(3)
    array([1., 1.])
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise AnalysisError(f"no statistic {unknown[0]!r}; there are {', '.join(NAMES)}")
    reduced = f"{kind}{REDUCTIONS}"
    if reduced in trace.children and set(names) <= set(trace[reduced].data_vars):
        found = trace[reduced].to_dataset()[list(names)]
        if select is not None:
            tensors = choose(found["tensor"].values.tolist(), select, error=AnalysisError)
            found = found.sel(tensor=tensors)
        return found.assign_attrs(source="recorded")
    if kind not in trace.children or "flat" not in trace[kind].children:
        raise AnalysisError(
            f"{trace.attrs.get('path', 'the trace')}: expected {kind!r}, found "
            f"{', '.join(recorded(trace)) or 'nothing'}; record it, or its reductions ({', '.join(names)})"
        )
    return _computed(tracekit.flat(trace, kind, select))[list(names)].assign_attrs(source="computed")


def _computed(values: xr.DataArray) -> xr.Dataset:
    fields = values.attrs["fields"]
    sizes = np.array([math.prod(field["shape"]) for field in fields], dtype=np.int64)
    sample, *middle = (str(dim) for dim in values.dims if dim != "element")
    lead = (sample, *middle)
    totals = xr.DataArray(
        _sums(values.transpose(*lead, "element").data, sizes),
        dims=("sum", *lead, "tensor"),
        coords={str(name): found for name, found in values.coords.items() if "element" not in found.dims},
    )
    dims = (sample, "tensor")
    found = apply(
        partial(_named, sizes=sizes.astype(np.float64)),
        totals,
        core=[("sum", *dims)],
        outputs=dict.fromkeys(NAMES, dims),
        units=units_of(values),
    )
    names = [field["name"] for field in fields]
    return found.transpose(*lead, "tensor").assign_coords(tensor=np.array(names, object))


def _named(totals: Floats, *, sizes: Floats) -> tuple[Floats, ...]:
    """Give the statistics in the order of their names, (…, sum, visit, tensor) -> (…, visit, tensor)."""
    found = kernels.statistics(np.moveaxis(totals, -3, 0), sizes)
    return tuple(found[name] for name in NAMES)


def _sums(rows: Any, sizes: Integers) -> Any:
    """Sum over tensors, dims (sum, visit, …, tensor): one task for all visits of a block of columns."""
    ends, join = np.cumsum(sizes), partial(kernels.joined, n_tensors=len(sizes))
    if not hasattr(rows, "dask"):
        starts, owners = _pieces(ends, [rows.shape[-1]])
        return join(kernels.sums(rows, starts), owners)
    all_rows = ((math.prod(rows.shape[:-1]),), rows.chunks[-1])
    blocks = rows.rechunk((*rows.shape[:-1], column_blocks(all_rows, rows.dtype.itemsize, BLOCK_BYTES)[1]))
    borders = np.cumsum(blocks.chunks[-1])
    starts, owners = _pieces(ends, borders)
    parts = _each_block(blocks, borders, starts).rechunk({rows.ndim: -1})
    return parts.map_blocks(join, owners, chunks=(*parts.chunks[:-1], (len(sizes),)), dtype=np.float64)


def _each_block(blocks: Any, borders: Integers, starts: Integers) -> Any:
    """Sum over the pieces of tensors that each block holds, dims (sum, visit, …, piece).

    Sums of all tensors from each of thousands of blocks would take more memory than the values.
    """
    import dask.array as da

    holder = np.searchsorted(borders, starts, side="right")  # the block of every piece
    n_pieces = tuple(np.bincount(holder, minlength=len(borders)).tolist())
    places = da.from_array(starts - np.concatenate([[0], borders])[holder], chunks=(n_pieces,))
    *lead, element, sums = range(blocks.ndim + 1)
    return da.blockwise(
        kernels.sums,
        (sums, *lead, element),
        blocks,
        (*lead, element),
        places,
        (element,),
        new_axes={sums: len(kernels.UFUNCS)},
        adjust_chunks={element: n_pieces},
        align_arrays=False,  # the axis of elements, and that of pieces, have as many blocks
        concatenate=True,
        dtype=np.float64,
        meta=np.empty((0,) * (blocks.ndim + 1)),
    )


def _pieces(ends: Integers, borders: npt.ArrayLike) -> tuple[Integers, Integers]:
    """Cut a row where tensors end and at borders: where pieces start, and the tensor of each, (piece,)."""
    cuts = np.union1d(ends, borders)
    starts = np.union1d(0, cuts[:-1]) if cuts.size and cuts[-1] > 0 else cuts[:0]
    return starts, np.searchsorted(ends, starts, side="right")
