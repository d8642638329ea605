"""The analyses as plug-ins: what the command line and other programs reach by name."""

from __future__ import annotations

from typing import Literal

import xarray as xr

from analyses import reports
from analyses.commands.parts import PART_OPTIONS, RESAMPLING_OPTIONS, Loss
from analyses.groups import By
from analyses.inference import recovery_interval
from analyses.kernels.inference import Method
from analyses.names import named
from analyses.recovery import online_loss, recovery, shift_averaged_loss
from analyses.similarity import cosine, cyclicity, distance, residual_cosine, residual_gram
from analyses.traces import gram_of, losses_of, order_of
from analyses.trajectories import (
    displacement,
    effective_rank,
    path_length,
    pca,
    step_length,
    tortuosity,
    turning_angle,
)
from tracekit.protocols import Analysis

Metric = Literal["cosine", "centered-cosine", "residual-cosine", "distance"]


def build_recovery(
    *traces: xr.DataTree,
    loss: Loss = "eval_loss",
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
    method: Method = "percentile",
) -> xr.Dataset:
    """Build recovery scores with their confidence intervals."""
    (trace,) = traces
    result = recovery(losses_of(trace), loss=loss)
    interval = recovery_interval(
        result, confidence=confidence, n_resamples=n_resamples, seed=seed, method=method
    )
    return result.assign(interval.data_vars).assign_attrs(**interval.attrs, order=order_of(trace))


def build_shift_averaged_loss(*traces: xr.DataTree, loss: Loss = "eval_loss") -> xr.Dataset:
    """Build the mean loss around the visits of a task."""
    (trace,) = traces
    return shift_averaged_loss(losses_of(trace), loss=loss).assign_attrs(order=order_of(trace))


def build_online_loss(*traces: xr.DataTree, loss: Loss = "eval_loss") -> xr.Dataset:
    """Build the loss on tasks just before training on them."""
    (trace,) = traces
    return online_loss(losses_of(trace), loss=loss).assign_attrs(order=order_of(trace))


def build_similarity(
    *traces: xr.DataTree,
    kind: str = "weights",
    select: str | None = None,
    by: By = "model",
    metric: Metric = "residual-cosine",
) -> xr.Dataset:
    """Build the similarity between all visits, and its profile over lags."""
    (trace,) = traces
    n_tasks = int(trace.attrs["n_tasks"])
    matrix = _similarity(gram_of(trace, kind, select, by=by, center=metric != "cosine"), metric, n_tasks)
    profile = cyclicity(matrix, period=n_tasks).rename(similarity="mean_similarity")
    return named(profile.assign(similarity=matrix)).assign_attrs(
        kind=kind, select=select or "", by=by, metric=metric, n_tasks=n_tasks, order=order_of(trace)
    )


def _similarity(gram: xr.DataArray, metric: Metric, n_tasks: int) -> xr.DataArray:
    if metric == "residual-cosine":
        return residual_cosine(gram, window=n_tasks)
    return distance(gram) if metric == "distance" else cosine(gram)


def build_trajectory(
    *traces: xr.DataTree,
    kind: str = "weights",
    select: str | None = None,
    by: By = "model",
    n_components: int = 3,
    residuals: bool = False,
) -> xr.Dataset:
    """Build principal components of a path or of its residuals, and the lengths and turns of its steps."""
    (trace,) = traces
    matrix = gram_of(trace, kind, select, by=by)
    seen = residual_gram(matrix, window=int(trace.attrs["n_tasks"])) if residuals else matrix
    return (
        pca(seen, n_components=n_components)
        .assign(
            step_length=step_length(matrix),
            displacement=displacement(matrix),
            turning_angle=turning_angle(matrix),
            path_length=path_length(matrix),
            tortuosity=tortuosity(matrix),
            effective_rank=effective_rank(matrix),
        )
        .assign_attrs(kind=kind, select=select or "", by=by, order=order_of(trace), residuals=residuals)
    )


RECOVERY = Analysis(
    name="recovery",
    summary="How much of what was forgotten comes back before a task is trained again, and how sure that is.",
    build=build_recovery,
    report=reports.recovery,
    options={**RESAMPLING_OPTIONS, "method": "How the interval is read off the drawn scores."},
    details="The score of an interval is the share of the forgetting that is undone just before the next "
    "visit: (mean peak − mean before) / (mean peak − mean after), means over tasks. It says little without "
    "a control: see `order-test`, `corrected-recovery` and `recovery-test`.",
    examples=("demo/cyclic.zarr", "demo/cyclic.zarr --method bca --confidence 0.99 --out scores.csv"),
)
SHIFT_AVERAGED_LOSS = Analysis(
    name="shift-averaged-loss",
    summary="The loss of a task before and after its visits, mean over tasks.",
    build=build_shift_averaged_loss,
    report=reports.shift_averaged_loss,
    options={"loss": RESAMPLING_OPTIONS["loss"]},
    examples=("demo/cyclic.zarr --out shifted.csv",),
)
ONLINE_LOSS = Analysis(
    name="online-loss",
    summary="The loss on each task just before training on it, by epoch and cumulative.",
    build=build_online_loss,
    report=reports.online_loss,
    options={"loss": RESAMPLING_OPTIONS["loss"]},
    examples=("demo/cyclic.zarr",),
)
SIMILARITY = Analysis(
    name="similarity",
    summary="How alike visits are in weights, gradients or activations, by lag, and how cyclic that is.",
    build=build_similarity,
    report=reports.similarity,
    options={**PART_OPTIONS, "metric": "Measure of similarity between two visits."},
    details="The residual cosine takes the mean over one cycle around each visit off first: weights drift, "
    "and the drift hides the cycle. Its contrast, at multiples of the cycle against all other lags, is no "
    "test. Whether two runs do alike at the same visits is tested by `mantel`.",
    examples=(
        "demo/cyclic.zarr --select '*bias'",
        "demo/cyclic.zarr --by layer",
        "demo/cyclic.zarr --kind activations --metric centered-cosine",
    ),
)
TRAJECTORY = Analysis(
    name="trajectory",
    summary="The path through weight space, or any other: principal components, steps and turns.",
    build=build_trajectory,
    report=reports.trajectory,
    options={
        **PART_OPTIONS,
        "n_components": "How many principal components.",
        "residuals": "Components of what is left without the mean over one cycle around each visit: "
        "the drift goes, the cycle stays. Steps and turns are those of the path itself.",
    },
    examples=(
        "demo/cyclic.zarr --residuals",
        "demo/cyclic.zarr --by group",
        "demo/cyclic.zarr --out path.zarr",
    ),
)
