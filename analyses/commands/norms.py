"""`tracekit analyze norms`: the norm of every tensor, or another statistic, over visits."""

from __future__ import annotations

from typing import Literal

import xarray as xr

from analyses.commands.parts import VALUE_OPTIONS, numbers_of, rows_of, subject_of, titled
from analyses.statistics import statistics
from analyses.traces import order_of
from tracekit.protocols import Analysis, Report

Statistic = Literal[
    "norm", "mean", "std", "min", "max", "absolute_mean", "update_size", "distance_from_start"
]
FACTS = ("kind", "select", "statistic", "order", "source")


def build(
    *traces: xr.DataTree, kind: str = "weights", select: str | None = None, statistic: Statistic = "norm"
) -> xr.Dataset:
    """Build a statistic of every tensor at every visit."""
    (trace,) = traces
    return statistics(trace, kind, names=[statistic], select=select).assign_attrs(
        kind=kind, select=select or "", statistic=statistic, order=order_of(trace)
    )


def report(dataset: xr.Dataset) -> Report:
    """Report a statistic of every tensor: at the first and last visit, and its least and most."""
    name = dataset.attrs["statistic"]
    sample, *middle = (str(dim) for dim in dataset[name].dims if dim != "tensor")
    defined = dataset[name].mean(middle, skipna=False).dropna(sample, how="all")
    note = f", mean over {' and '.join(middle)}" if middle else ""
    return Report(
        numbers={
            **{key: numbers_of(dataset[key]) for key in ("tensor", sample, name)},
            **{fact: dataset.attrs[fact] for fact in FACTS},
        },
        columns=("tensor", "first", "last", "least", "most"),
        rows=_rows(defined, sample),
        title=titled(f"{subject_of(dataset)}: {name.replace('_', ' ')} of every tensor{note}", dataset),
        notes=(f"Over {defined.sizes[sample]} {sample}s; {dataset.attrs['source']}.",),
    )


def _rows(defined: xr.DataArray, sample: str) -> tuple[tuple[object, ...], ...]:
    if defined.sizes[sample] == 0:
        return ()
    ends = (defined.isel({sample: place}) for place in (0, -1))
    return rows_of((defined["tensor"], *ends, defined.min(sample), defined.max(sample)))


NORMS = Analysis(
    name="norms",
    summary="The norm of every tensor, or another statistic, over visits: as recorded, or computed.",
    build=build,
    report=report,
    options={**VALUE_OPTIONS, "statistic": "Which statistic of the elements of a tensor."},
    examples=("demo/cyclic.zarr --statistic update_size", "demo/cyclic.zarr --kind activations"),
)
