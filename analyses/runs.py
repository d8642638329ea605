"""Measures of many runs at once: runs trained in the same order are measured together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from tracekit.errors import AnalysisError

OF_TASKS = ("task", "test_task")
TIMELINE = ("epoch", "position", "trained_task")


def over_runs(measure: Callable[[xr.Dataset], xr.Dataset], losses: xr.Dataset) -> xr.Dataset:
    """Apply a measure of losses to every run of a collection, whatever order each was trained in.

    Runs of the same order, length and number of tasks are measured together, in one call over the dim `run`;
    what a run lacks for being shorter than others is left out before, and missing in the result.

    Parameters
    ----------
    measure : callable
        Takes the losses of one run, or of several of the same order, and gives a Dataset; such as
        `analyses.recovery`.
    losses : Dataset
        The node `losses` of what `tracekit.open_traces` gives. Where there are hundreds of runs in orders of
        their own, load it first: the graph for each order takes longer to build than its numbers to compute.

    Returns
    -------
    Dataset
        What `measure` gives, with the dim `run` and its coordinates, but for those of the name of a result;
        lazy if `losses` are.

    Raises
    ------
    AnalysisError
        If there is no dim `run`, or `measure` raises it; the runs are named.

    Examples
    --------
    >>> from analyses import recovery
    >>> from tracekit.testing import synthetic_losses
    >>> runs = [synthetic_losses(recovery_scores=[score]) for score in (0.25, 0.5)]
    >>> both = xr.concat(runs, xr.Variable("run", ["low", "high"]))
    >>> over_runs(recovery, both)["recovery_score"].sel(run="high").values.round(6)
    array([0.5, 0.5])
    """
    if "run" not in losses.dims:
        raise AnalysisError(
            f"expected losses with a dim 'run', found dims {', '.join(map(str, losses.dims))}; "
            "open runs together with tracekit.open_traces, or apply the measure itself to one run"
        )
    groups = _groups(losses)
    parts = [_measured(measure, losses, group) for group in groups]
    if len(parts) > 1:
        together = xr.concat(
            parts,
            "run",
            join="outer",
            data_vars="all",
            coords="minimal",
            compat="override",
            combine_attrs="override",
        )
    else:
        together = parts[0]
    of_run = {
        name: values.variable
        for name, values in losses.coords.items()
        if values.dims == ("run",) and name not in together.data_vars
    }
    return together.isel(run=np.argsort(np.concatenate(groups))).assign_coords(of_run)


def _groups(losses: xr.Dataset) -> list[list[int]]:
    groups: dict[tuple[object, ...], list[int]] = {}
    for place in range(losses.sizes["run"]):
        groups.setdefault(_schedule(losses, place), []).append(place)
    return list(groups.values())


def _schedule(losses: xr.Dataset, place: int) -> tuple[object, ...]:
    orders = (
        losses[name].isel(run=place).values.tobytes()
        for name in TIMELINE
        if name in losses.coords and "run" in losses[name].dims
    )
    return (_of_run(losses, "snapshots_committed", place), _of_run(losses, "n_tasks", place), *orders)


def _of_run(losses: xr.Dataset, name: str, place: int) -> int | None:
    """Give a whole number that is a coordinate along `run`, None where it is not."""
    if name not in losses.coords or losses[name].dims != ("run",):
        return None
    return int(losses[name].values[place])


def _trimmed(losses: xr.Dataset, group: Sequence[int]) -> xr.Dataset:
    chosen = losses.isel(run=list(group))
    committed, n_tasks = (_of_run(losses, name, group[0]) for name in ("snapshots_committed", "n_tasks"))
    if committed is not None:
        chosen = chosen.isel(visit=chosen["visit"].values < committed)
    if n_tasks is not None:
        chosen = chosen.isel({dim: slice(n_tasks) for dim in OF_TASKS if dim in chosen.dims})
    shared = {name: chosen[name].isel(run=0).variable for name in TIMELINE if "run" in chosen[name].dims}
    return chosen.drop_vars(
        [name for name, v in chosen.coords.items() if v.dims[:1] == ("run",)]
    ).assign_coords(shared)


def _measured(
    measure: Callable[[xr.Dataset], xr.Dataset], losses: xr.Dataset, group: Sequence[int]
) -> xr.Dataset:
    try:
        measured = measure(_trimmed(losses, group))
    except AnalysisError as error:
        names = ", ".join(str(name) for name in losses["run"].values[list(group[:3])])
        more = " and others" if len(group) > 3 else ""
        raise AnalysisError(f"run {names}{more}: {error}") from error
    same = {
        name: values.expand_dims(run=len(group))
        for name, values in measured.items()
        if "run" not in values.dims
    }
    return measured.assign(same)
