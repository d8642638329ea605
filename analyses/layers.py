"""Representations of the same examples in every layer, at one visit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from analyses.groups import parts_of
from analyses.inputs import coordinate
from analyses.traces import path_of, tensors_of
from tracekit.errors import AnalysisError

MOST_LISTED = 6


def examples_of(trace: xr.DataTree, kind: str, select: str | None) -> xr.DataArray:
    """Give tensors with one dim of examples, called `example`."""
    values = tensors_of(trace, kind, select)
    examples = [dim for dim in values.dims if dim not in ("visit", "element")]
    if len(examples) != 1:
        raise AnalysisError(
            f"{path_of(trace)}: expected {kind} of several examples at each visit, found dims {values.dims}; "
            "choose activations, or gradients of tasks"
        )
    return values.rename({examples[0]: "example"})


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
    shown = ", ".join(map(str, visits[:MOST_LISTED]))
    return f"visits {shown}, … {visits[-1]}" if len(visits) > MOST_LISTED else f"visits {shown or 'none'}"


def of_each_layer(values: xr.DataArray, prepare: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """Give the matrix between examples of each layer, dims (layer, example, example_other)."""
    parts = parts_of(values, "layer")
    layers = xr.concat(
        [prepare(part) for part in parts.values()], "layer", coords="minimal", compat="override"
    )
    return layers.assign_coords(layer=np.array(list(parts), object))
