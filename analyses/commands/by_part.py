"""What analyses say of each layer, group or parameter by itself: a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from analyses.commands.parts import numbers_of, rows_of, subject_of, titled
from tracekit.protocols import Report

NOT_DEFINED = (
    "A dash: not defined, since nothing of the part changes, too few visits are recorded, or hold NaN."
)


def similarity(dataset: xr.Dataset) -> Report:
    """Report how cyclic each part is, and how alike it is a cycle apart."""
    n_tasks = dataset.attrs["n_tasks"]
    profile = dataset["mean_similarity"]
    half = _half_cycle(profile, n_tasks)
    apart = profile.reindex(lag=[half, n_tasks])
    metric = str(dataset.attrs["metric"]).replace("-", " ")
    columns = {
        "contrast": dataset["contrast"],
        f"{metric}, lag {n_tasks}": apart.isel(lag=1),
        f"lag {half}": apart.isel(lag=0),
    }
    return of_parts(
        dataset,
        columns,
        numbers=("lag", "mean_similarity", "n_pairs", "contrast"),
        facts=("metric", "n_tasks"),
        title=_of_each(dataset, "cyclicity"),
        notes=(
            f"Contrast: the mean {metric} over pairs of visits a multiple of {n_tasks} apart less the mean "
            "over all other pairs. All lags: --json; all pairs of visits: --out FILE.zarr.",
        ),
    )


def _half_cycle(profile: xr.DataArray, n_tasks: int) -> int:
    """Give the lag nearest to half a cycle of those that recorded visits are apart."""
    within = profile.sel(lag=slice(1, n_tasks - 1)).dropna("lag", how="all")["lag"]
    return min(map(int, within.values), key=lambda lag: abs(2 * lag - n_tasks), default=n_tasks // 2)


def trajectory(dataset: xr.Dataset) -> Report:
    """Report the path of each part."""
    final = dataset["displacement"].isel(visit=slice(-1, None)).sum("visit", min_count=1)
    columns = {
        "path length": dataset["path_length"],
        "from first to last visit": final,
        "tortuosity": dataset["tortuosity"],
        "first component": dataset["explained_variance_ratio"].sel(component=1),
        "participation ratio": dataset["participation_ratio"],
        "effective rank": dataset["effective_rank"],
    }
    named = ("path_length", "tortuosity", "participation_ratio", "effective_rank", "explained_variance_ratio")
    steps = ("visit", "step_length", "displacement", "turning_angle")
    notes = ("First component: its share of the variance. Scores: --out FILE.zarr.",)
    return of_parts(
        dataset, columns, numbers=(*named, *steps), facts=(), title=_of_each(dataset, "path"), notes=notes
    )


def period(dataset: xr.Dataset) -> Report:
    """Report the period of each part."""
    found = dataset["detected_period"]
    prominence = dataset["prominence"].where(dataset["period"] == found).max("period")
    return of_parts(
        dataset,
        {"period": found, "prominence": prominence},
        numbers=("period", "prominence", "detected_period"),
        facts=("n_tasks",),
        title=_of_each(dataset, "period of the centered cosine"),
        notes=(
            f"There are {dataset.attrs['n_tasks']} tasks. The prominence is no test: noise has peaks too.",
        ),
    )


def _of_each(dataset: xr.Dataset, what: str) -> str:
    return titled(f"{subject_of(dataset)}: {what} of each {dataset.attrs['by']}", dataset)


def of_parts(
    dataset: xr.Dataset,
    columns: Mapping[str, xr.DataArray],
    *,
    numbers: tuple[str, ...],
    facts: tuple[str, ...],
    title: str,
    notes: tuple[str, ...],
    undefined: str = NOT_DEFINED,
) -> Report:
    """Make a row of each part; numbers have the part first. A dash is explained by what `undefined` says."""
    by = str(dataset.attrs["by"])
    plain: dict[str, Any] = {name: numbers_of(_part_first(dataset[name], by)) for name in (by, *numbers)}
    dashes = any(bool(column.isnull().any()) for column in columns.values())
    return Report(
        numbers={
            **plain,
            **{name: dataset.attrs[name] for name in ("kind", "select", "by", "order", *facts)},
        },
        columns=(by, *columns),
        rows=rows_of((dataset[by], *columns.values())),
        title=title,
        notes=(*notes, undefined) if dashes else notes,
    )


def _part_first(values: xr.DataArray, by: str) -> xr.DataArray:
    return values.transpose(by, ...) if by in values.dims else values
