"""How alike layers represent the same examples at one visit: `representation --between layers`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analyses.commands.parts import SEVERAL_TESTS, numbers_of, rows_of, with_adjusted
from analyses.grams import OTHER
from tracekit.protocols import Report

NAMED = ("similarity", "null_mean", "null_high", "p_value", "p_holm", "p_benjamini_hochberg")


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
