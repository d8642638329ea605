"""Measures: what several analyses make of the same tensors. Whoever keeps results can keep them as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import xarray as xr


@dataclass(frozen=True)
class Measure:
    """What several analyses need of the tensors of a trace, such as their Gram matrix.

    Parameters
    ----------
    name : str
        What it is called where it is kept.
    values : callable
        `values(trace, **options)` gives the lazy DataArray that it reads, dims (visit, …).
    build : callable
        `build(values, known, n_known, **options)` gives a lazy Dataset. `known` is what it gave earlier, in
        memory, of which the first `n_known` visits still hold; None if there is nothing. What it gives must
        not depend on whether there was.
    """

    name: str
    values: Callable[..., xr.DataArray]
    build: Callable[..., xr.Dataset]


Keeper = Callable[[Measure, xr.DataTree, Mapping[str, Any]], xr.Dataset]
"""Gives a measure of a trace, computed or as it is kept."""

_KEEPER: ContextVar[Keeper | None] = ContextVar("keeper", default=None)


def measured(measure: Measure, trace: xr.DataTree, **options: Any) -> xr.Dataset:
    """Give a measure of a trace: lazy, or within `tracekit.derived.keep_measures` in memory, as it is kept.

    Parameters
    ----------
    measure : Measure
        What is measured.
    trace : DataTree
        An opened trace.
    **options
        Options of the measure, plain values as JSON has them.
    """
    keeper = _KEEPER.get()
    if keeper is not None:
        return keeper(measure, trace, options)
    return measure.build(measure.values(trace, **options), None, 0, **options)


@contextmanager
def kept_by(keeper: Keeper) -> Iterator[None]:
    """Let a keeper give the measures that are asked for within the block."""
    token = _KEEPER.set(keeper)
    try:
        yield
    finally:
        _KEEPER.reset(token)
