"""One kind of many runs lined up along `run`: what a run lacks is missing there, never made up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

SAMPLES = ("visit", "update")
NO_SAMPLE = -1
"""What coordinates of samples hold where a run has no such sample, as they do at visit 0."""

TOGETHER_BYTES = 32 << 20
"""Most bytes of values of several runs in one block."""

NOT_ALIGNED = "not_aligned"


def aligned(runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """Stack one kind of several runs, None where a run lacks it, along the dim `run`.

    Samples are matched by visit or update: runs that are shorter, or were looked at less often, are missing
    (NaN, −1 in whole numbers) where others have values. Labels (tasks, probes) stay a coordinate where all
    runs have the same; else places are matched, first with first, and the labels become a coordinate
    `task_name` with dims (run, task). A variable that differs in shape between runs, as weights of models
    of several sizes do, is left out, and named in the attribute `not_aligned`.
    """
    there = [run for run in runs if run is not None]
    dims = _dims(there)
    fitted = [None if run is None else _fitted(run, dims) for run in runs]
    names, refused = _alike(there)
    variables = {name: _stacked([_of(run, name) for run in fitted], dims) for name in names}
    attributes = _common(run.attrs for run in there)
    if refused:
        attributes[NOT_ALIGNED] = refused
    coords = {**dims, **_coordinates(fitted, dims), **_labels(runs, dims)}
    return xr.Dataset(variables, coords, attributes)


def _dims(runs: Sequence[xr.Dataset]) -> dict[str, xr.Variable]:
    """Give the coordinates of all dims that have some: all samples of any run, and labels."""
    names = dict.fromkeys(str(dim) for run in runs for dim in run.dims if dim in run.coords)
    return {name: _dim(name, [run for run in runs if name in run.coords]) for name in names}


def _dim(name: str, runs: Sequence[xr.Dataset]) -> xr.Variable:
    values = [run[name].values for run in runs]
    if all(np.array_equal(values[0], other) for other in values[1:]):
        return runs[0][name].variable
    if name in SAMPLES:
        return xr.Variable(name, np.unique(np.concatenate(values)), runs[0][name].attrs)
    return xr.Variable(name, np.arange(max(map(len, values))))


def _fitted(run: xr.Dataset, dims: Mapping[str, xr.Variable]) -> xr.Dataset:
    """Bring a run to the places of all runs."""
    numbered = {
        name: np.arange(run.sizes[name])
        for name in run.dims
        if name in run.coords and name not in SAMPLES and not _same(dims[str(name)], run[name].variable)
    }
    run = run.assign_coords(numbered)
    places = {
        name: dims[str(name)].values
        for name in run.dims
        if name in run.coords and not _same(dims[str(name)], run[name].variable)
    }
    if not places:
        return run
    missing = {name: NO_SAMPLE for name, found in run.variables.items() if found.dtype.kind == "i"}
    return run.reindex(places, fill_value={**dict.fromkeys(run.variables, np.nan), **missing})


def _alike(runs: Sequence[xr.Dataset]) -> tuple[list[str], dict[str, str]]:
    """Give the variables of the same dims and inner sizes in all runs that have them, and the others."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for run in runs:
        for name, values in run.data_vars.items():
            found.setdefault(str(name), set()).add(_form(run, values))
    alike = [name for name, forms in found.items() if len(forms) == 1]
    refused = {name: "has another shape or other fields in other runs" for name in found if name not in alike}
    return alike, refused


def _form(run: xr.Dataset, values: xr.DataArray) -> tuple[Any, ...]:
    inner = tuple(size for dim, size in values.sizes.items() if dim not in run.coords)
    fields = tuple((item["name"], tuple(item["shape"])) for item in values.attrs.get("fields", ()))
    return (values.dims, inner, fields)


def _of(run: xr.Dataset | None, name: str) -> xr.Variable | None:
    return run[name].variable if run is not None and name in run.data_vars else None


def _stacked(parts: Sequence[xr.Variable | None], dims: Mapping[str, xr.Variable]) -> xr.Variable:
    """Stack one variable; a run that lacks it is missing throughout. Small ones are read together."""
    like = next(part for part in parts if part is not None)
    dtype = np.result_type(*(part.dtype for part in parts if part is not None))
    empty = da.full(like.shape, np.nan, dtype=dtype, chunks=like.data.chunksize)
    values = da.stack([empty if part is None else part.data for part in parts])
    n_together = max(1, TOGETHER_BYTES // max(1, values[0].nbytes))
    if n_together > 1:
        values = values.rechunk((min(n_together, len(parts)), *like.shape))
    return xr.Variable(("run", *like.dims), values, like.attrs)


def _coordinates(
    runs: Sequence[xr.Dataset | None], dims: Mapping[str, xr.Variable]
) -> dict[str, xr.Variable]:
    """Give the coordinates beside those of dims: once where all runs agree, else for each run."""
    there = [run for run in runs if run is not None]
    names = dict.fromkeys(str(name) for run in there for name in run.coords if name not in dims)
    return {name: _coordinate(name, runs) for name in names}


def _coordinate(name: str, runs: Sequence[xr.Dataset | None]) -> xr.Variable:
    found = [None if run is None or name not in run.coords else run[name].variable for run in runs]
    like = next(each for each in found if each is not None)
    if all(each is not None and _same(each, like) for each in found):
        return like
    lacking = np.full(like.shape, NO_SAMPLE if like.dtype.kind == "i" else np.nan, like.dtype)
    values = [lacking if each is None else each.values for each in found]
    return xr.Variable(("run", *like.dims), np.stack(values), like.attrs)


def _labels(runs: Sequence[xr.Dataset | None], dims: Mapping[str, xr.Variable]) -> dict[str, xr.Variable]:
    """Give the labels of each run, for dims whose labels differ between the runs."""
    there = [run for run in runs if run is not None]
    differing = [
        name
        for name, places in dims.items()
        if name not in SAMPLES and not all(_has_places(run, name, places) for run in there)
    ]
    return {
        f"{name}_name": xr.Variable(
            ("run", name), np.stack([_padded(run, name, dims[name].size) for run in runs])
        )
        for name in differing
    }


def _has_places(run: xr.Dataset, name: str, places: xr.Variable) -> bool:
    return name not in run.coords or _same(run[name].variable, places)


def _padded(run: xr.Dataset | None, name: str, size: int) -> np.ndarray[Any, Any]:
    labels = [] if run is None or name not in run.coords else run[name].values.tolist()
    return np.array([*labels, *[""] * (size - len(labels))], dtype=object)


def _common(attributes: Iterable[Mapping[Any, Any]]) -> dict[str, Any]:
    """Give the attributes that all runs share."""
    first, *others = attributes
    return {
        str(name): value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }


def _same(first: xr.Variable, second: xr.Variable) -> bool:
    return first.dims == second.dims and np.array_equal(
        first.values, second.values, equal_nan=first.dtype.kind == second.dtype.kind == "f"
    )
