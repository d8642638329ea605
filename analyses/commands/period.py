"""`tracekit analyze period`: the period that a run repeats with."""

from __future__ import annotations

import xarray as xr

from analyses.commands import by_part
from analyses.commands.parts import PART_OPTIONS, numbers_of, rows_of, subject_of, titled
from analyses.groups import By
from analyses.periods import period
from analyses.similarity import cosine
from analyses.traces import gram_of, order_of
from tracekit.protocols import Analysis, Report

SHOWN = 8


def build(
    *traces: xr.DataTree, kind: str = "weights", select: str | None = None, by: By = "model"
) -> xr.Dataset:
    """Build the prominence of every period, from the centered cosine between visits."""
    (trace,) = traces
    result = period(cosine(gram_of(trace, kind, select, by=by)))
    facts = {"kind": kind, "select": select or "", "by": by, "order": order_of(trace)}
    return result.assign_attrs(facts, n_tasks=int(trace.attrs["n_tasks"]))


def report(dataset: xr.Dataset) -> Report:
    """Report the most prominent periods, or the period of each part."""
    if dataset.attrs["by"] != "model":
        return by_part.period(dataset)
    best = float(dataset["detected_period"])
    n_tasks = dataset.attrs["n_tasks"]
    most = dataset["prominence"].fillna(-1).values.argsort()[::-1][:SHOWN]
    named = ("period", "prominence")
    found = f"Period {best:.0f} visits" if best > 0 else "No period"
    return Report(
        numbers={
            "detected_period": best,
            **{name: numbers_of(dataset[name]) for name in named},
            **{name: dataset.attrs[name] for name in ("n_tasks", "kind", "select", "order")},
        },
        columns=("period", "prominence"),
        rows=rows_of(dataset[name][most] for name in named),
        title=titled(f"{subject_of(dataset)}: rise of the centered cosine at multiples of a period", dataset),
        notes=(
            f"{found}; there are {n_tasks} tasks. Of the periods tried, the {SHOWN} most prominent.",
            "The prominence says how far similarity rises. It is no test: noise has peaks too.",
        ),
    )


PERIOD = Analysis(
    name="period",
    summary="The period that weights, gradients or activations repeat with, found without being told.",
    build=build,
    report=report,
    options=PART_OPTIONS,
    examples=("demo/cyclic.zarr", "demo/cyclic.zarr --by layer", "demo/cyclic.zarr --kind activations"),
)
