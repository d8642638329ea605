"""What computed analyses say in words and numbers."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.commands import by_part
from analyses.commands.parts import (
    facts,
    in_units,
    interval_heads,
    joined,
    numbers_of,
    percent_of,
    rows_of,
    subject_of,
    titled,
    worded,
)
from analyses.recovery import ABOVE_ONE
from tracekit.protocols import Report

NO_INTERVALS = "No interval is complete: no task has been trained twice, so there is nothing to recover yet."
ENDS = ("start_visit", "end_visit")


def recovery(dataset: xr.Dataset) -> Report:
    """Report recovery scores and their intervals."""
    names = ("interval", "recovery_score", "interval_low", "interval_high", "n_tasks")
    low, high = dataset["interval_low"], dataset["interval_high"]
    warnings = above_one(dataset["recovery_score"])
    numbers = {
        "warnings": warnings,
        "recovery_score": numbers_of(dataset["recovery_score"]),
        "interval_low": numbers_of(low),
        "interval_high": numbers_of(high),
        "n_tasks": int(dataset.sizes["task"]),
        "n_tasks_per_interval": numbers_of(dataset["n_tasks"]),
        "interval": numbers_of(dataset["interval"]),
        "forgetting": numbers_of(dataset["forgetting"].mean("task")),
        **{
            name: dataset.attrs[name]
            for name in ("method", "confidence", "n_resamples", "seed", "order", "loss")
        },
    }
    return Report(
        numbers=numbers,
        columns=("interval", "recovery score", *interval_heads(dataset), "tasks"),
        rows=rows_of(dataset[name] for name in names),
        title=titled("Recovery score", dataset),
        notes=(
            f"{percent_of(dataset)} intervals: {dataset.attrs['method']} bootstrap over tasks within this "
            "one run.",
            "A score says little without its control: compare with a shuffled run (order-test).",
            *_undefined_scores(dataset),
            *warnings,
        ),
    )


def above_one(score: xr.DataArray, whose: str = "") -> list[str]:
    """Warn of scores above 1, and say why there are any."""
    above = score[(score > 1).values]
    if above.size == 0:
        return []
    return [
        f"Warning: {whose}interval {joined(above['interval'])}: the score exceeds 1 (up to "
        f"{float(above.max()):.3g}), {ABOVE_ONE}"
    ]


def _undefined_scores(dataset: xr.Dataset) -> list[str]:
    if dataset.sizes["interval"] == 0:
        return [NO_INTERVALS]
    counted = dataset["start_visit"] >= 0
    finite = xr.apply_ufunc(np.isfinite, dataset["after"] + dataset["peak"])
    no_number = (~finite & counted).any("task")
    undefined = dataset["recovery_score"].isnull()
    return [
        f"Interval {joined(chosen)}: {reason}, so the recovery score is not defined."
        for chosen, reason in (
            (
                dataset["interval"][(undefined & no_number).values],
                f"a loss is NaN or infinite{_first_place(dataset, ~finite & counted)}",
            ),
            (dataset["interval"][(undefined & ~no_number).values], "nothing was forgotten"),
        )
        if chosen.size
    ]


def _first_place(dataset: xr.Dataset, chosen: xr.DataArray) -> str:
    """Say where the first of the chosen losses is: in which task, between which visits."""
    places = np.argwhere(chosen.transpose("interval", "task").values)
    if not places.size:
        return ""
    interval, task = places[0]
    start, end = (dataset[name].isel(interval=interval, task=task).item() for name in ENDS)
    name = dataset["task"].values[task] if "task" in dataset.coords else task
    return f" (first: {name}, visits {start} – {end - 1})"


def shift_averaged_loss(dataset: xr.Dataset) -> Report:
    """Report the mean loss around visits."""
    mean = dataset["shift_averaged_loss"].transpose("offset", "occurrence")
    occurrences = dataset["occurrence"].values.tolist()
    return Report(
        numbers={
            "offset": numbers_of(dataset["offset"]),
            "occurrence": occurrences,
            "shift_averaged_loss": numbers_of(mean.transpose("occurrence", "offset")),
            "n_tasks": numbers_of(dataset["n_tasks"]),
            **facts(dataset, mean, "order", "loss"),
        },
        columns=("offset", *(f"visit {occurrence}" for occurrence in occurrences)),
        rows=rows_of((dataset["offset"], *(mean.sel(occurrence=occurrence) for occurrence in occurrences))),
        title=titled(f"Loss around the n-th visit of a task{in_units(mean)}", dataset),
        notes=("Mean over tasks; not defined where the offset lies beyond the run for any of them.",),
    )


def online_loss(dataset: xr.Dataset) -> Report:
    """Report the loss on tasks just before training on them."""
    mean = dataset["online_loss_per_epoch"]
    return Report(
        numbers={
            "epoch": numbers_of(dataset["epoch"]),
            "online_loss_per_epoch": numbers_of(mean),
            "n_visits": numbers_of(dataset["n_visits"]),
            "visit": numbers_of(dataset["visit"]),
            "online_loss": numbers_of(dataset["online_loss"]),
            "cumulative_online_loss": numbers_of(dataset["cumulative_online_loss"]),
            **facts(dataset, mean, "order", "loss"),
        },
        columns=("epoch", "online loss", "visits"),
        rows=rows_of(dataset[name] for name in ("epoch", "online_loss_per_epoch", "n_visits")),
        title=titled(f"Online loss{in_units(mean)}", dataset),
        notes=("Loss on each task just before training on it, mean over the visits of an epoch so far.",),
    )


def similarity(dataset: xr.Dataset) -> Report:
    """Report the similarity between visits by lag, or how cyclic each part is."""
    if dataset.attrs["by"] != "model":
        return by_part.similarity(dataset)
    period = dataset.attrs["n_tasks"]
    shown = dataset.isel(lag=(dataset["n_pairs"] > 0).values).sel(lag=slice(0, 2 * period))
    contrast = float(dataset["contrast"])
    names = ("lag", "mean_similarity", "n_pairs")
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in names},
            "contrast": contrast,
            **{name: dataset.attrs[name] for name in ("kind", "select", "metric", "n_tasks", "order")},
        },
        columns=("lag", "mean " + dataset.attrs["metric"].replace("-", " "), "pairs"),
        rows=rows_of(shown[name] for name in names),
        title=titled(f"{subject_of(dataset)} by lag in visits", dataset),
        notes=(
            f"Contrast: {contrast:.4g}, the mean over pairs of visits a multiple of {period} apart "
            f"less the mean over all other pairs. Lags above {2 * period}, and those that no two recorded "
            "visits are apart, are left out of the table.",
            *_undefined_similarity(dataset),
        ),
    )


def _undefined_similarity(dataset: xr.Dataset) -> list[str]:
    if not bool(np.isnan(np.diagonal(dataset["similarity"].values)).all()):
        return []
    return [
        "Defined at no visit: too few are recorded for a window of one cycle, all are alike, or hold NaN."
    ]


def _path_of(dataset: xr.Dataset) -> str:
    return "Residuals of the path" if dataset.attrs["residuals"] else "Path"


def trajectory(dataset: xr.Dataset) -> Report:
    """Report the path through space, or that of each part."""
    if dataset.attrs["by"] != "model":
        return by_part.trajectory(dataset)
    single = {
        name: float(dataset[name])
        for name in ("participation_ratio", "effective_rank", "path_length", "tortuosity")
    }
    final = float(dataset["displacement"][-1]) if dataset.sizes["visit"] else np.nan
    return Report(
        numbers={
            "explained_variance_ratio": numbers_of(dataset["explained_variance_ratio"]),
            **single,
            "final_displacement": final,
            "visit": numbers_of(dataset["visit"]),
            "scores": numbers_of(dataset["scores"].transpose("component", "visit")),
            **{name: numbers_of(dataset[name]) for name in ("step_length", "displacement", "turning_angle")},
            **{name: dataset.attrs[name] for name in ("kind", "select", "order")},
        },
        columns=("component", "share of variance"),
        rows=rows_of(dataset[name] for name in ("component", "explained_variance_ratio")),
        title=titled(f"{_path_of(dataset)} of {subject_of(dataset, begins=False)}", dataset),
        notes=(
            f"Participation ratio {single['participation_ratio']:.3g}, effective rank "
            f"{single['effective_rank']:.3g}; path length {worded(single['path_length'])}, over the "
            f"{worded(final)} between first and last visit: {worded(single['tortuosity'])}.",
        ),
    )
