"""The analyses as plug-ins: what the command line and other programs reach by name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import xarray as xr

from analyses import reports
from analyses.inference import order_test, recovery_interval
from analyses.inputs import per_visit
from analyses.kernels.inference import Alternative, Method
from analyses.recovery import online_loss, recovery, shift_averaged_loss
from analyses.similarity import cosine, cyclicity, distance, gram, residual_cosine
from analyses.trajectories import displacement, pca, step_length, turning_angle
from tracekit import flat
from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis

Loss = Literal["eval_loss", "test_loss"]
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
    result = recovery(_losses(trace), loss=loss)
    interval = recovery_interval(
        result, confidence=confidence, n_resamples=n_resamples, seed=seed, method=method
    )
    return result.assign(interval.data_vars).assign_attrs(**interval.attrs, order=_order(trace))


def build_shift_averaged_loss(*traces: xr.DataTree, loss: Loss = "eval_loss") -> xr.Dataset:
    """Build the mean loss around the visits of a task."""
    (trace,) = traces
    return shift_averaged_loss(_losses(trace), loss=loss).assign_attrs(order=_order(trace))


def build_online_loss(*traces: xr.DataTree, loss: Loss = "eval_loss") -> xr.Dataset:
    """Build the loss on tasks just before training on them."""
    (trace,) = traces
    return online_loss(_losses(trace), loss=loss).assign_attrs(order=_order(trace))


def build_order_test(
    *traces: xr.DataTree,
    loss: Loss = "eval_loss",
    n_resamples: int = 9999,
    seed: int = 0,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> xr.Dataset:
    """Build the permutation test of the first trace against the second."""
    first, second = traces
    scores = [recovery(_losses(trace), loss=loss) for trace in traces]
    result = order_test(
        *scores, n_resamples=n_resamples, seed=seed, alternative=alternative, confidence=confidence
    )
    n_intervals = result.sizes["interval"]
    each = [score["recovery_score"].isel(interval=slice(n_intervals)) for score in scores]
    return result.assign(recovery_score=each[0], recovery_score_other=each[1]).assign_attrs(
        order=_order(first), order_other=_order(second), loss=loss
    )


def build_similarity(
    *traces: xr.DataTree, kind: str = "weights", select: str | None = None, metric: Metric = "residual-cosine"
) -> xr.Dataset:
    """Build the similarity between all visits, and its profile over lags."""
    (trace,) = traces
    n_tasks = int(trace.attrs["n_tasks"])
    values = _flat(trace, kind, select)
    matrix = _similarity(values, metric, n_tasks)
    profile = cyclicity(matrix, period=n_tasks).rename(similarity="mean_similarity")
    return profile.assign(similarity=matrix).assign_attrs(
        kind=kind, select=select or "", metric=metric, n_tasks=n_tasks, order=_order(trace)
    )


def _similarity(values: xr.DataArray, metric: Metric, n_tasks: int) -> xr.DataArray:
    if metric == "residual-cosine":
        return residual_cosine(values, window=n_tasks)
    if metric == "distance":
        return distance(gram(values))
    return cosine(gram(values, center=metric == "centered-cosine"))


def build_trajectory(
    *traces: xr.DataTree, kind: str = "weights", select: str | None = None, n_components: int = 3
) -> xr.Dataset:
    """Build the principal components of a path, and the lengths and turns of its steps."""
    (trace,) = traces
    matrix = gram(_flat(trace, kind, select))
    return (
        pca(matrix, n_components=n_components)
        .assign(
            step_length=step_length(matrix),
            displacement=displacement(matrix),
            turning_angle=turning_angle(matrix),
        )
        .assign_attrs(kind=kind, select=select or "", order=_order(trace))
    )


def _losses(trace: xr.DataTree) -> xr.Dataset:
    if "losses" not in trace.children:
        raise AnalysisError(
            f"{_path(trace)}: expected losses, found {_listed(trace.children)}; record losses in the run"
        )
    return trace["losses"].to_dataset()


def _flat(trace: xr.DataTree, kind: str, select: str | None) -> xr.DataArray:
    known = [name for name, node in trace.children.items() if "flat" in node.children]
    if kind not in known:
        raise AnalysisError(
            f"{_path(trace)}: expected {kind!r}, found {_listed(known)}; "
            "record it, or choose one of those found"
        )
    return per_visit(flat(trace, kind, select=select))


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) if names else "nothing"


def _path(trace: xr.DataTree) -> str:
    return str(trace.attrs.get("path", "the trace"))


def _order(trace: xr.DataTree) -> str:
    return str(trace.attrs.get("order", ""))


RESAMPLING_OPTIONS = {
    "loss": "Which loss: of the tasks as trained, or of held-out tasks.",
    "confidence": "Level of the confidence intervals.",
    "n_resamples": "How many times tasks are drawn or permuted.",
    "seed": "Seed of the drawing.",
}
VALUE_OPTIONS = {
    "kind": "What is compared: weights, gradients, activations, or any other kind in the trace; of rows per "
    "update, that of the first update of each visit.",
    "select": "A glob over the names of parameters or modules; all of them if not given.",
}

RECOVERY = Analysis(
    name="recovery",
    summary="How much of what was forgotten comes back before a task is trained again, and how sure that is.",
    build=build_recovery,
    report=reports.recovery,
    options={**RESAMPLING_OPTIONS, "method": "How the interval is read off the drawn scores."},
)
SHIFT_AVERAGED_LOSS = Analysis(
    name="shift-averaged-loss",
    summary="The loss of a task before and after its visits, mean over tasks.",
    build=build_shift_averaged_loss,
    report=reports.shift_averaged_loss,
    options={"loss": RESAMPLING_OPTIONS["loss"]},
)
ONLINE_LOSS = Analysis(
    name="online-loss",
    summary="The loss on each task just before training on it, by epoch and cumulative.",
    build=build_online_loss,
    report=reports.online_loss,
    options={"loss": RESAMPLING_OPTIONS["loss"]},
)
SIMILARITY = Analysis(
    name="similarity",
    summary="How alike visits are in weights, gradients or activations, by lag, and how cyclic that is.",
    build=build_similarity,
    report=reports.similarity,
    options={**VALUE_OPTIONS, "metric": "Measure of similarity between two visits."},
)
TRAJECTORY = Analysis(
    name="trajectory",
    summary="The path through weight space, or any other: principal components, steps and turns.",
    build=build_trajectory,
    report=reports.trajectory,
    options={**VALUE_OPTIONS, "n_components": "How many principal components."},
)
ORDER_TEST = Analysis(
    name="order-test",
    summary="Whether the first trace recovers more than the second: a permutation test over tasks.",
    build=build_order_test,
    report=reports.order_test,
    options={
        **RESAMPLING_OPTIONS,
        "alternative": "Whether the first trace is to recover differently, more (greater), or less.",
    },
    n_traces=(2, 2),
)
