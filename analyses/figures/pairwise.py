"""Pairwise recovery by lag as a heatmap (after Figs. 8b and 18 of arXiv 2403.09613)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note
from analyses.figures.heatmaps import draw_square, edges_of, heatmaps
from analyses.figures.marks import say_not_defined, whole_numbers
from analyses.pairwise import pairwise_summary
from analyses.traces import PAIRWISE, losses_of, pairwise_recovery_of

LAGS = ("trained_lag", "evaluated_lag")


def build(traces: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Give the mean pairwise recovery by lag of every run that recorded it; computes nothing.

    Snapshots before any training are left out: there, training on any task lowers all losses.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.

    Returns
    -------
    Dataset
        ``recovery_by_lag(run, trained_lag, evaluated_lag)`` in units of the loss, NaN where there are no
        entries; ``limit()``, where the colours end: the largest size off the diagonal; ``n_tasks(run)``.

    Raises
    ------
    AnalysisError
        If no run recorded pairwise recovery.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'trained_lag': 4, 'evaluated_lag': 4}
    """
    combined = combine(traces, PAIRWISE, _of_run)
    mean = combined["recovery_by_lag"]
    off_diagonal = abs(mean.where(mean["trained_lag"] != mean["evaluated_lag"]))
    largest = off_diagonal.max() if mean.size else xr.DataArray(np.nan)
    units = mean.attrs.get("units", "")
    return combined.assign(limit=largest.where(largest > 0, 1.0)).assign_attrs(units=units)


def _of_run(tree: xr.DataTree) -> xr.Dataset:
    summary = pairwise_summary(pairwise_recovery_of(tree), losses_of(tree)["trained_task"])
    return summary[["recovery_by_lag"]]


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        Heatmaps on one colour scale; hatched where there are no entries.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'visits before the evaluated task'
    """
    units = dataset.attrs["units"] or "units not recorded"
    with style.theme():
        page = heatmaps(dataset, _draw_run, label=f"fall of the loss [{units}]", beyond="both")
        page.describe("Pairwise recovery: what a trial visit to one task does to another", _notes(dataset))
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset, scale: Normalize) -> bool:
    """Draw one run, without the lags that others alone have; say whether any of it is not defined."""
    mean = one["recovery_by_lag"].transpose(*LAGS)
    for name in LAGS:
        mean = mean.dropna(name, how="all")
    n_lags = int(mean["trained_lag"].max()) + 1 if mean.size else 1
    square = mean.reindex({name: np.arange(n_lags) for name in LAGS}) if mean.size else None
    draw_square(axes, None if square is None else square.values, edges_of(n_lags), scale)
    if square is None:
        say_not_defined(axes, "no snapshot after which both tasks are visited again")
    for axis in (axes.xaxis, axes.yaxis):
        whole_numbers(axis)
    axes.set(xlabel="visits before the evaluated task", ylabel="visits before the trained task")
    return bool(mean.size and mean.isnull().any())


def _notes(dataset: xr.Dataset) -> list[str]:
    return [
        "0 is the task about to be visited. Mean over snapshots, those before any training left out.",
        "Blue: training on one task raises the loss of the other. Diagonal: own loss; it may lie beyond the "
        "colours.",
        left_out_note(dataset),
    ]
