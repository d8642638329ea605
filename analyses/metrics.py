"""Metrics: one number for each run, for tables over many runs.

Each takes its number from a measure (`analyses.recovery` and its like); metrics that name the same measure
share one computation of it.
"""

from __future__ import annotations

import xarray as xr

from analyses.recovery import ABOVE_ONE, online_loss, recovery
from analyses.runs import over_runs
from tracekit.protocols import Metric

WARNING = f"a score in it exceeds 1, {ABOVE_ONE}"


def measure_recovery(losses: xr.Dataset) -> xr.Dataset:
    """Give the recovery of every interval of every run."""
    return over_runs(recovery, losses)


def measure_online_loss(losses: xr.Dataset) -> xr.Dataset:
    """Give the online loss of every run."""
    return over_runs(online_loss, losses)


def measure_final_loss(losses: xr.Dataset) -> xr.Dataset:
    """Give the loss of every task at the last snapshot of every run."""
    return over_runs(_last, losses)


def _last(losses: xr.Dataset) -> xr.Dataset:
    return losses[["eval_loss"]].isel(visit=[-1]).squeeze("visit", drop=True)


def _final_score(measured: xr.Dataset) -> xr.DataArray:
    """Give the score of the last interval that a run has, which is not the last of the longest run."""
    last = (measured["n_tasks"] > 0).sum("interval")
    score = measured["recovery_score"]
    return score.where(score["interval"] == last).sum("interval", min_count=1, keep_attrs=True)


RECOVERY = Metric(
    name="recovery",
    summary="recovery score, mean over intervals",
    measure=measure_recovery,
    number=lambda measured: measured["recovery_score"].mean("interval", keep_attrs=True),
    doubtful=lambda measured: (measured["recovery_score"] > 1).any("interval"),
    warning=WARNING,
)
FINAL_RECOVERY = Metric(
    name="final-recovery",
    summary="recovery score of the last interval",
    measure=measure_recovery,
    number=_final_score,
    doubtful=lambda measured: _final_score(measured) > 1,
    warning=WARNING,
)
TASK_RECOVERY = Metric(
    name="task-recovery",
    summary="recovery score of each task, mean over tasks and intervals",
    measure=measure_recovery,
    number=lambda measured: measured["task_recovery_score"].mean(["task", "interval"], keep_attrs=True),
    doubtful=lambda measured: (measured["task_recovery_score"] > 1).any(["task", "interval"]),
    warning=WARNING,
)
FORGETTING = Metric(
    name="forgetting",
    summary="peak loss less the loss after training, mean over tasks and intervals",
    measure=measure_recovery,
    number=lambda measured: measured["forgetting"].mean(["task", "interval"], keep_attrs=True),
)
PEAK_POSITION = Metric(
    name="peak-position",
    summary="where in an interval the loss peaks, as a share of its length, mean over tasks and intervals",
    measure=measure_recovery,
    number=lambda measured: measured["peak_position"].mean(["task", "interval"], keep_attrs=True),
)
ONLINE_LOSS = Metric(
    name="online-loss",
    summary="loss on each task just before training on it, mean over visits",
    measure=measure_online_loss,
    number=lambda measured: measured["online_loss"].mean("visit", keep_attrs=True),
)
LATER_ONLINE_LOSS = Metric(
    name="later-online-loss",
    summary="loss on each task just before training on it, mean over epochs but the first",
    measure=measure_online_loss,
    number=lambda measured: (
        measured["online_loss_per_epoch"].sel(epoch=slice(1, None)).mean("epoch", keep_attrs=True)
    ),
)
FINAL_LOSS = Metric(
    name="final-loss",
    summary="loss at the last snapshot, mean over tasks",
    measure=measure_final_loss,
    number=lambda measured: measured["eval_loss"].mean("task", keep_attrs=True),
)
