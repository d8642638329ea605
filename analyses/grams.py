"""Gram matrices between visits, lazily: of all that was recorded, or by layer, group or parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import xarray as xr

from analyses.blocks import BLOCK_BYTES, Stretches, sums_of_stretches
from analyses.groups import By, grouped, stretches
from analyses.kernels import similarity as kernels
from analyses.lazy import apply, require_dims
from analyses.names import named
from analyses.units import squared, units_of
from tracekit.errors import AnalysisError

OTHER = "_other"
"""Ends the name of the second dim of a matrix between visits."""

PLACES = ("place", "place" + OTHER)
"""Dims of anchored products: the anchor, then the visits."""

Take = Callable[..., Any]


def gram(
    values: xr.DataArray | xr.Dataset,
    *,
    dim: str = "visit",
    center: bool = True,
    by: By = "model",
    block_bytes: int = BLOCK_BYTES,
) -> xr.DataArray:
    """Gram matrix between visits: G[s, t] = Σ_e (x[s, e] − m[e]) (x[t, e] − m[e]), m the mean over visits.

    Products are those of differences from the first visit, taken and added in float64 block by block; from
    them follow centered and raw ones. So no digits are lost although rows differ little, and memory stays
    near `block_bytes` per thread. With D the distance of the visits from the first, and σ that from their
    mean, centered products have a relative error near 1e-16 (D / σ)². Gram matrices of parts add up to the
    Gram matrix of the whole.

    Parameters
    ----------
    values : DataArray or Dataset
        Dims (`dim`, …); all dims but `dim` are flattened. A Dataset gives the sum over its variables.
    dim : str
        The dim between whose places products are taken.
    center : bool
        Take the mean over `dim` off every element first. Without, m = 0.
    by : {"model", "layer", "group", "parameter"}
        What is summed over: everything, or what belongs to each layer, to each kind of module (attention,
        mlp, embeddings, norms, head, other), or to each parameter or module by itself, as `analyses.groups`
        tells by the names of variables, or of the fields of flat values from `tracekit.flat`. However many,
        all are read once.
    block_bytes : int
        Most bytes of one block, which holds all visits of some columns.

    Returns
    -------
    DataArray
        Dims ([`by`,] `dim`, `dim`_other), float64, in squared units of the values; lazy if they are. A visit
        that holds a NaN or an infinity has NaN in its row and column, and has no part in the mean. One that
        rounding alone keeps from the mean (1e-7 D away, or less) has 0.

    Raises
    ------
    AnalysisError
        If a variable lacks `dim`, there are no variables, or nothing says which names the values have.

    Examples
    --------
    >>> values = xr.DataArray([[1.0, 1.0], [3.0, 1.0], [5.0, 1.0]], dims=("visit", "element"))
    >>> gram(values).values
    array([[ 4.,  0., -4.],
           [ 0.,  0.,  0.],
           [-4.,  0.,  4.]])
    >>> parts = xr.Dataset({"layers.0.bias": values[:, 0], "layers.1.bias": values[:, 1]})
    >>> gram(parts, by="layer").sel(layer="layers.0").values[0]
    array([ 4.,  0., -4.])
    """
    products = anchored_products(values, dim=dim, by=by, block_bytes=block_bytes)
    return gram_of_products(products, dim=dim, center=center)


def anchored_products(
    values: xr.DataArray | xr.Dataset,
    *,
    dim: str = "visit",
    by: By = "model",
    known: xr.Dataset | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> xr.Dataset:
    """Inner products of differences from the first visit, to which those of later visits can be added.

    Parameters
    ----------
    values, dim, by, block_bytes
        As for `gram`.
    known : Dataset, optional
        What this gave of the first visits, in memory: products of the later ones alone are taken, with all.

    Returns
    -------
    Dataset
        products(`by`, place, place_other), with the coordinates along `dim` of the values. Place 0 is the
        anchor, which is the first visit; place v + 1 is the v-th visit less the anchor.

    Raises
    ------
    AnalysisError
        As for `gram`.

    Examples
    --------
    >>> values = xr.DataArray([[1.0, 1.0], [3.0, 1.0], [5.0, 1.0]], dims=("visit", "element"))
    >>> first = anchored_products(values[:2])
    >>> anchored_products(values, known=first).identical(anchored_products(values))
    True
    """
    sample = values if isinstance(values, xr.DataArray) else _first(values)
    known = known if known is not None and _has_anchor(known["products"]) else None
    n_known = 0 if known is None else known.sizes[PLACES[0]]
    if known is not None and n_known > sample.sizes[dim]:
        products = known["products"]
    else:
        take = partial(_products, dim=dim, n_known=n_known, block_bytes=block_bytes)
        products = _by_label(values, by, take)
        products = products if known is None else _with_known(known["products"], products)
    coordinates = {str(name): each.variable for name, each in sample.coords.items() if each.dims == (dim,)}
    units = squared(units_of(sample))
    found = products.assign_attrs(units=units).to_dataset(name="products")
    return named(found).assign_coords(coordinates)


def gram_of_products(products: xr.Dataset, *, dim: str = "visit", center: bool = True) -> xr.DataArray:
    """Gram matrix between visits, dims ([by,] `dim`, `dim`_other), of what `anchored_products` gave."""
    anchored = products["products"]
    anchored = anchored.isel(model=0, drop=True) if "model" in anchored.dims else anchored
    n_visits = anchored.sizes[PLACES[0]] - 1
    dims = (dim, dim + OTHER)
    result = apply(
        kernels.centered if center else kernels.raw,
        anchored,
        core=[PLACES],
        outputs={"gram": dims},
        sizes=dict.fromkeys(dims, n_visits),
        units=units_of(anchored),
        one_by_one=True,
    )["gram"]
    coordinates = {name: each.variable for name, each in products.coords.items() if each.dims == (dim,)}
    if dim in coordinates:
        coordinates[dim + OTHER] = xr.Variable((dim + OTHER,), coordinates[dim].values)
    return result.assign_coords(coordinates)


def matrix_dims(matrix: xr.DataArray) -> tuple[str, str]:
    """Give the two dims of a matrix between the places of one dim, such as (visit, visit_other).

    Raises
    ------
    AnalysisError
        If there are no such dims.
    """
    for dim in map(str, matrix.dims):
        if dim + OTHER in matrix.dims:
            return dim, dim + OTHER
    raise AnalysisError(
        f"{matrix.name or 'array'}: expected dims such as (visit, visit_other), found {matrix.dims}; "
        "give a Gram matrix, as in gram(values)"
    )


def _first(values: xr.Dataset) -> xr.DataArray:
    if not values.data_vars:
        raise AnalysisError("expected at least one variable, found an empty Dataset; choose what to compare")
    return next(iter(values.data_vars.values()))


def _by_label(values: xr.DataArray | xr.Dataset, by: By, take: Take) -> xr.DataArray:
    """Give the products of each label, dims (`by`, place, place_other)."""
    if isinstance(values, xr.DataArray):
        labels, products = _of_array(values, by, take)
    else:
        labels, products = _of_dataset(values, by, take)
    return xr.DataArray(products, dims=(by, *PLACES), coords={by: np.array(labels, object)})


def _of_array(values: xr.DataArray, by: By, take: Take) -> tuple[list[str], Any]:
    """Give labels, and the products of each, dims (label, place, place_other)."""
    if by == "model":
        return [by], take(values)
    groups = stretches(values, by)
    return list(groups), take(values.transpose(..., "element"), groups=list(groups.values()))


def _of_dataset(values: xr.Dataset, by: By, take: Take) -> tuple[list[str], Any]:
    each = [take(variable)[0] for variable in values.data_vars.values()]
    groups = grouped([str(name) for name in values.data_vars], by)
    return list(groups), np.stack([reduce(add, [each[n] for n in places]) for places in groups.values()])


def _products(
    values: xr.DataArray,
    *,
    dim: str,
    n_known: int,
    block_bytes: int,
    groups: Sequence[Stretches] | None = None,
) -> Any:
    """Give the products of each group of stretches of the last dim, or of all of it, less those known."""
    require_dims(values, (dim,))
    rows = values.variable.transpose(dim, ...).data
    rows = rows.reshape(-1, 1) if rows.ndim == 1 else rows
    n_places = rows.shape[0] + 1
    return sums_of_stretches(
        partial(kernels.anchored, first=n_known),
        rows,
        [[(0, rows.shape[-1])]] if groups is None else groups,
        (n_places - n_known, n_places),
        block_bytes=block_bytes,
    )


def _has_anchor(known: xr.DataArray) -> bool:
    """Say whether no later visit can be part of the anchor: one is finite throughout."""
    finite = np.isfinite(np.diagonal(known.transpose(..., *PLACES).values, axis1=-2, axis2=-1))
    return bool(finite[..., 1:].any(axis=-1).all())


def _with_known(known: xr.DataArray, added: xr.DataArray) -> xr.DataArray:
    known_dims, added_dims = ("known", "known" + OTHER), ("added", PLACES[1])
    return apply(
        kernels.extended,
        known.rename(dict(zip(PLACES, known_dims, strict=True))),
        added.rename({PLACES[0]: "added"}),
        core=[known_dims, added_dims],
        outputs={"products": PLACES},
        sizes={PLACES[0]: added.sizes[PLACES[1]]},
        one_by_one=True,
    )["products"]
