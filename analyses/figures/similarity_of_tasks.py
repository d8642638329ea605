"""Cosine between the gradients of all tasks at a snapshot (after Fig. 8a of arXiv 2403.09613)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.dissimilarity import rdm
from analyses.figures import style
from analyses.figures.combine import combine, left_out_note
from analyses.figures.heatmaps import diagonal_note, draw_numbered, heatmaps, limit_of, titles_of_snapshots
from analyses.inputs import SKETCH, as_recorded, coordinate
from analyses.traces import tensors_of
from tracekit.errors import AnalysisError

KIND = "task_gradients"
TASKS = ("task", "task_other")


def build(traces: Mapping[str, xr.DataTree], *, visit: int | None = None) -> xr.Dataset:
    """Give the cosine between gradients of tasks of every run that recorded them; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.
    visit : int, optional
        The snapshot; the last one that a run recorded if None.

    Returns
    -------
    Dataset
        ``cosine(run, task, task_other)`` from −1 to 1, tasks by their number, NaN where a gradient is zero or
        NaN, and beyond the tasks of a run; ``snapshot(run)``, the visit; ``limit()``, where the colours end;
        ``n_tasks(run)``.

    Raises
    ------
    AnalysisError
        If no run recorded gradients of tasks, or not at `visit`.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> build({"cyclic": synthetic_trace(n_tasks=4)})["cosine"].values[0, 0].round(6) + 0.0
    array([ 1.,  0., -1.,  0.])
    """
    combined = combine(traces, KIND, lambda tree: _of_run(tree, visit), form=SKETCH)
    return combined.assign(limit=limit_of(combined["cosine"]))


def _of_run(tree: xr.DataTree, visit: int | None) -> xr.Dataset:
    gradients = tensors_of(tree, as_recorded(tree, KIND, SKETCH), None)
    visits = coordinate(gradients, "visit")
    if visit is not None and visit not in visits:
        raise AnalysisError(
            f"visit: expected one with recorded gradients of tasks, such as {visits[-1]}, found {visit}"
        )
    chosen = int(visits[-1]) if visit is None else visit
    cosine = 1 - rdm(gradients.sel(visit=[chosen]), dim="task", metric="cosine").isel(visit=0, drop=True)
    numbers = {dim: np.arange(cosine.sizes[dim]) for dim in TASKS}
    bare = xr.DataArray(cosine.variable, numbers).drop_attrs()
    return bare.to_dataset(name="cosine").assign(snapshot=chosen)


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        Heatmaps on one colour scale; hatched where a gradient has no direction.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'other task'
    """
    with style.theme():
        page = heatmaps(
            dataset, _draw_run, label="cosine between gradients", titles=titles_of_snapshots(dataset)
        )
        page.describe("Gradients of all tasks at one snapshot, compared with each other", _notes(dataset))
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset, scale: Normalize) -> bool:
    """Draw one run; say whether any of it is not defined."""
    n_tasks = int(one["n_tasks"])
    found = one["cosine"].values[:n_tasks, :n_tasks]
    return draw_numbered(axes, found, scale, what="task", nothing="no gradient has a direction")


def _notes(dataset: xr.Dataset) -> list[str]:
    return [
        "One cell per pair of tasks, by their number; all recorded parameters in one row.",
        "Above 0: a step on either task lowers the loss of both. Below: what helps one hurts the other.",
        diagonal_note(dataset),
        left_out_note(dataset),
    ]
