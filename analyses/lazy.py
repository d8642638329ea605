"""The one door to `xarray.apply_ufunc`.

It leaves dask arrays lazy and works on numpy arrays at once. Nothing but shapes and coordinates is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from analyses.names import named
from analyses.units import NONE
from tracekit.errors import AnalysisError

Dims = tuple[str, ...]


def apply(
    kernel: Callable[..., Any],
    *arrays: xr.DataArray,
    core: Sequence[Dims],
    outputs: Mapping[str, Dims],
    sizes: Mapping[str, int] | None = None,
    parameters: Mapping[str, Any] | None = None,
    units: str = NONE,
    one_by_one: bool = False,
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
    one_by_one : bool
        The kernel takes core dims alone, and is called once for each place of all other dims.

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
        vectorize=one_by_one,
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": dict(sizes or {})},
        kwargs=dict(parameters or {}),
    )
    results = results if isinstance(results, tuple) else (results,)
    for each in results:
        each.attrs = {"units": units}
    return named(xr.Dataset(dict(zip(outputs, results, strict=True))))


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
