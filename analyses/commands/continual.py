"""`tracekit analyze continual`: forgetting and transfer as continual learning measures them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.commands.parts import (
    RESAMPLING_OPTIONS,
    Loss,
    facts,
    in_units,
    numbers_of,
    rows_of,
    titled,
    worded,
)
from analyses.continual import average_forgetting, backward_transfer, forward_transfer
from analyses.kernels.recovery import Integers
from analyses.names import named
from analyses.traces import losses_of, order_of
from tracekit.protocols import Analysis, Report

BY_VISIT = ("average_forgetting", "backward_transfer", "backward_transfer_since_last", "n_tasks")


def build(*traces: xr.DataTree, loss: Loss = "eval_loss") -> xr.Dataset:
    """Build average forgetting, backward and forward transfer of a run."""
    (trace,) = traces
    losses = losses_of(trace)
    measures = [measure(losses, loss=loss) for measure in (average_forgetting, backward_transfer)]
    merged = xr.merge([*measures, forward_transfer(losses, loss=loss)], join="exact", compat="override")
    return named(merged.assign_coords(epoch=losses["epoch"])).assign_attrs(order=order_of(trace), loss=loss)


def report(dataset: xr.Dataset) -> Report:
    """Report the measures at the end of every epoch, so far."""
    forgetting = dataset["average_forgetting"]
    ends = _last_of_each(dataset["epoch"].values)
    columns = [dataset["epoch"], dataset["visit"], *(dataset[name] for name in BY_VISIT)]
    transfer = float(dataset["forward_transfer"])
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in ("visit", "epoch", *BY_VISIT)},
            "forward_transfer": transfer,
            **facts(dataset, forgetting, "order", "loss"),
        },
        columns=("epoch", "visit", "average forgetting", "backward transfer", "since last visit", "tasks"),
        rows=rows_of(column[ends] for column in columns),
        title=titled(f"Forgetting and transfer{in_units(forgetting)} at the end of each epoch", dataset),
        notes=(
            "Over tasks trained before the visit and not at it. Positive forgetting: losses above the least "
            "they have been. Negative backward transfer: losses above what they were after the task's visit.",
            f"Forward transfer {worded(transfer)}: how far losses fell before a task's first visit, mean "
            "over all tasks but the first.",
        ),
    )


def _last_of_each(epoch: Integers) -> Integers:
    """Give the row at which each epoch ends, so far; the snapshot before any training is none."""
    last = np.flatnonzero(np.append(epoch[1:] != epoch[:-1], epoch.size > 0))
    return np.asarray(last[epoch[last] >= 0])


CONTINUAL = Analysis(
    name="continual",
    summary="Average forgetting, backward and forward transfer, as continual learning measures them.",
    build=build,
    report=report,
    options={"loss": RESAMPLING_OPTIONS["loss"]},
    details="Average forgetting (Chaudhry et al. 2018), and transfer (Lopez-Paz and Ranzato 2017) in losses "
    "in place of accuracies: negative backward transfer is forgetting.",
    examples=("demo/cyclic.zarr",),
)
