"""`tracekit analyze pairwise-recovery`: what training on one task does to the losses of the others."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.commands.parts import facts, in_units, numbers_of, rows_of, titled
from analyses.pairwise import pairwise_summary
from analyses.traces import losses_of, order_of, pairwise_recovery_of
from tracekit.protocols import Analysis, Report

LAGS = ("trained_lag", "evaluated_lag")


def build(*traces: xr.DataTree, first_epoch: int = 0) -> xr.Dataset:
    """Build the mean pairwise recovery by epoch, and by how soon both tasks come round."""
    (trace,) = traces
    matrix = pairwise_recovery_of(trace, first_epoch)
    result = pairwise_summary(matrix, losses_of(trace)["trained_task"])
    return result.assign_attrs(
        first_epoch=first_epoch, n_snapshots=matrix.sizes["visit"], order=order_of(trace)
    )


def report(dataset: xr.Dataset) -> Report:
    """Report by lag what a trial does to its own task, to the task that comes after it, and to all others."""
    by_lag = dataset["recovery_by_lag"].transpose(*LAGS)
    lags = by_lag["trained_lag"]
    own = by_lag.values.diagonal()
    after = np.append(by_lag.values.diagonal(1), [np.nan] * min(1, own.size))
    others = by_lag.where(by_lag["trained_lag"] != by_lag["evaluated_lag"]).mean("evaluated_lag")
    columns = (lags, *(xr.DataArray(values, dims="trained_lag") for values in (own, after)), others)
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in (*LAGS, "epoch", "mean_recovery")},
            "recovery_by_lag": numbers_of(by_lag),
            "n_entries": numbers_of(dataset["n_entries"].transpose(*LAGS)),
            **facts(dataset, by_lag, "first_epoch", "n_snapshots", "order"),
        },
        columns=("lag of the trained task", "own loss", "of the task after it", "of others, mean"),
        rows=rows_of(columns),
        title=titled(f"Pairwise recovery: how far a trial visit lowers losses{in_units(by_lag)}", dataset),
        notes=_notes(dataset),
    )


def _notes(dataset: xr.Dataset) -> tuple[str, ...]:
    n_snapshots, first = dataset.attrs["n_snapshots"], dataset.attrs["first_epoch"]
    if n_snapshots == 0:
        return (f"No snapshot from epoch {first} on: choose an earlier one with --first-epoch.",)
    return (
        "Lag: visits that the run makes before it comes to the task; 0 is the task about to be visited. "
        "Negative: training on one task raises the loss of the other.",
        f"Means over {n_snapshots} snapshots, from epoch {first} on, and over all tasks of a lag. "
        "All pairs of lags: --json; all pairs of tasks, by epoch: --out FILE.zarr.",
    )


PAIRWISE_RECOVERY = Analysis(
    name="pairwise-recovery",
    summary="What training on one task does to the losses of the others, by when their turns come.",
    build=build,
    report=report,
    options={
        "first_epoch": "Leave out snapshots of epochs before this one, counted from 0; -1 takes in the "
        "untrained model, on which any training lowers all losses."
    },
    details="Entry (i, j) is how far a trial visit to task i lowers the loss of task j; the trial is undone. "
    "Needs `recorders: [{kind: pairwise_recovery}]` in the run.",
    examples=("demo/cyclic.zarr --first-epoch 1 --out pairwise.zarr",),
)
