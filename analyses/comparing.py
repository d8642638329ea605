"""Two sets of matrices between examples, compared pair by pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from analyses.grams import OTHER, matrix_dims
from analyses.inputs import require_draws
from analyses.kernels import representation as kernels
from analyses.kernels.recovery import Floats
from analyses.lazy import apply, require_dims
from tracekit.errors import AnalysisError

NULL = ("null_mean", "null_high", "p_value")


def compare(
    name: str,
    kernel: Callable[[Floats], Floats],
    matrix: xr.DataArray,
    other: xr.DataArray | None,
    *,
    dim: str,
    **null: int,
) -> xr.Dataset:
    """Compare what a kernel makes of each matrix between examples, with the null of shuffled pairs."""
    require_draws("n_permutations", null["n_permutations"], null["seed"], usual=99)
    first, second, core = pair_of(matrix, other, dim)
    made = [
        apply(kernel, each, core=[dims[1:]], outputs={"made": dims[1:]})["made"]
        for each, dims in zip((first, second), core, strict=True)
    ]
    outputs = dict.fromkeys((name, *NULL), (dim, dim + OTHER))
    return apply(kernels.with_null, *made, core=core, outputs=outputs, parameters=null)


def pair_of(
    matrix: xr.DataArray, other: xr.DataArray | None, dim: str
) -> tuple[xr.DataArray, xr.DataArray, list[tuple[str, ...]]]:
    """Give both with `dim` under two names, and the core dims of either."""
    other = matrix if other is None else other
    for each in (matrix, other):
        require_dims(each, (dim,))
    examples = matrix_dims(matrix)
    _require_same_examples(matrix, other, examples[0])
    renamed = other.rename({dim: dim + OTHER})
    along = [name for name, each in renamed.coords.items() if each.dims == (dim + OTHER,)]
    own = [name for name in along if name != dim + OTHER]
    return matrix, renamed.drop_vars(own), [(dim, *examples), (dim + OTHER, *examples)]


def _require_same_examples(matrix: xr.DataArray, other: xr.DataArray, dim: str) -> None:
    require_dims(other, (dim, dim + OTHER))
    found = [each.sizes[dim] for each in (matrix, other)]
    if found[0] != found[1]:
        raise AnalysisError(
            f"expected the same examples in both, found {found[0]} and {found[1]} along {dim!r}; "
            "leave out what only one has"
        )
    if dim in matrix.coords and dim in other.coords and not np.array_equal(matrix[dim], other[dim]):
        raise AnalysisError(
            f"expected the same examples in both, found other names along {dim!r}; "
            "bring them into the same order, and leave out what only one has"
        )
