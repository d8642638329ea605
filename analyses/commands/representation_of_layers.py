"""How alike layers represent the same examples at one visit: `representation --between layers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from analyses.commands.parts import SEVERAL_TESTS, numbers_of, rows_of, with_adjusted
from analyses.grams import OTHER
from analyses.groups import parts_of
from analyses.inputs import coordinate
from analyses.traces import path_of
from tracekit.errors import AnalysisError
from tracekit.protocols import Report

NAMED = ("similarity", "null_mean", "null_high", "p_value", "p_holm", "p_benjamini_hochberg")


def at_visit(
    values: Sequence[xr.DataArray], traces: Sequence[xr.DataTree], visit: int | None
) -> list[xr.DataArray]:
    """Give the values at one visit that all runs recorded: the last one if None."""
    recorded = [set(coordinate(each, "visit").tolist()) for each in values]
    shared = set.intersection(*recorded)
    if not shared or (visit is not None and visit not in shared):
        wanted = "a visit that all runs recorded" if visit is None else f"visit {visit}"
        found = "; ".join(
            f"{path_of(trace)}: {_listed(sorted(own))}" for trace, own in zip(traces, recorded, strict=True)
        )
        raise AnalysisError(f"expected {wanted}, found {found}; choose a visit that is there")
    chosen = max(shared) if visit is None else visit
    return [each.isel(visit=coordinate(each, "visit").tolist().index(chosen)) for each in values]


def _listed(visits: Sequence[int]) -> str:
    most = 6
    shown = ", ".join(map(str, visits[:most]))
    return f"visits {shown}, … {visits[-1]}" if len(visits) > most else f"visits {shown or 'none'}"


def of_each_layer(values: xr.DataArray, prepare: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """Give the matrix between examples of each layer, dims (layer, example, example_other)."""
    parts = parts_of(values, "layer")
    layers = xr.concat(
        [prepare(part) for part in parts.values()], "layer", coords="minimal", compat="override"
    )
    return layers.assign_coords(layer=np.array(list(parts), object))


def pairs(dataset: xr.Dataset) -> xr.Dataset:
    """Give what is found of every pair of layers; of one run, each pair once."""
    names = [name for name in NAMED if name in dataset]
    n_first, n_other = (dataset.sizes[dim] for dim in ("layer", "layer" + OTHER))
    if dataset.attrs["n_runs"] == 1:
        first, other = np.triu_indices(n_first, k=1)
    else:
        first, other = (each.ravel() for each in np.indices((n_first, n_other)))
    places = {"layer": xr.DataArray(first, dims="pair"), "layer" + OTHER: xr.DataArray(other, dims="pair")}
    return dataset[names].isel(places)


def report(
    dataset: xr.Dataset, *, what: str, heads: dict[str, str], title: str, notes: Sequence[str]
) -> Report:
    """Report how alike each pair of layers is."""
    found = pairs(dataset)
    found = with_adjusted(found, "pair") if "p_value" in found else found
    named = [name for name in NAMED if name in found]
    layers = ("layer", "layer" + OTHER)
    return Report(
        numbers={name: numbers_of(found[name]) for name in (*layers, *named)},
        columns=("layer", "other layer", *({"similarity": what, **heads}[name] for name in named)),
        rows=rows_of(found[name] for name in (*layers, *named)),
        title=title,
        notes=(*notes, *([SEVERAL_TESTS] if "p_value" in found else [])),
    )
