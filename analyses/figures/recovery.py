"""Recovery score by interval, with its confidence interval (after Fig. 3 of arXiv 2403.09613)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note, runs
from analyses.figures.marks import line_at_one, say_not_defined, whole_numbers
from analyses.figures.sheet import Layout, sheet
from analyses.inference import recovery_interval
from analyses.recovery import ABOVE_ONE, recovery

LAYOUT = Layout(width=5.8, height=3.2)

APART_POINTS = 6.0
"""Runs stand this far apart on paper, or less where intervals are many, so that bars can be told apart."""

METHODS = {"bca": "BCa"}
"""Bootstrap methods whose written name is another than their option."""


def build(traces: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Give the recovery score of every interval of every run, with its confidence interval; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label, each with `/losses`.

    Returns
    -------
    Dataset
        ``recovery_score``, ``interval_low``, ``interval_high``, without units, and ``n_counted``, the number
        of tasks behind them; dims (run, interval). `interval` is empty if no task was visited twice.

    Raises
    ------
    AnalysisError
        If no run has losses.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'interval': 2}
    """
    return combine(traces, "losses", _of_run)


def _of_run(tree: xr.DataTree) -> xr.Dataset:
    scores = recovery(tree["losses"].to_dataset())
    limits = recovery_interval(scores)
    return limits.rename(n_tasks="n_counted")


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a line for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        Scores as marks joined by a line, confidence intervals as upright bars.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'interval n, from the n-th visit to a task to the next'
    """
    looks = style.run_styles(runs(dataset))
    shifts = _shifts(len(looks), dataset.sizes["interval"])
    with style.theme():
        page = sheet([_subtitle(dataset)], LAYOUT)
        lines = [
            _draw_run(page.first, dataset.sel(run=label), look, shift)
            for (label, look), shift in zip(looks.items(), shifts, strict=True)
        ]
        _finish(page.first, dataset)
        page.legend(lines)
        page.describe("Recovery score by interval", [*_notes(dataset), left_out_note(dataset)])
    return page.figure


def _shifts(n_runs: int, n_intervals: int) -> list[float]:
    """Give how far to the right of its place each run is drawn, in points."""
    apart = min(APART_POINTS, 0.6 * LAYOUT.width * 72 / max(n_intervals * n_runs, 1))
    return [apart * (place - (n_runs - 1) / 2) for place in range(n_runs)]


def _finish(axes: Axes, dataset: xr.Dataset) -> None:
    axes.axhline(0, color=style.MUTED, linewidth=0.8, zorder=0)
    if _above_one(dataset):
        line_at_one(axes)
    axes.set_xlabel("interval n, from the n-th visit to a task to the next")
    axes.set_ylabel("recovery score [share of forgetting]")
    axes.set_xlim(0.5, max(dataset.sizes["interval"], 1) + 0.5)
    whole_numbers(axes.xaxis, most=12)
    if not np.isfinite(dataset["recovery_score"].values).any():
        axes.set_yticks([0])
        say_not_defined(axes, "no task was forgotten between two visits, or none was visited twice")


def _draw_run(axes: Axes, one: xr.Dataset, look: style.RunStyle, shift_points: float) -> Line2D:
    place = offset_copy(axes.transData, axes.get_figure(root=True), x=shift_points, y=0, units="points")
    interval, score = one["interval"].values, one["recovery_score"].values
    low, high = one["interval_low"].values, one["interval_high"].values
    looks: dict[str, Any] = {"color": look.colour, "linestyle": look.line, "marker": look.marker}
    label = str(one["run"].item()) + ("" if np.isfinite(score).any() else " (not defined)")
    (line,) = axes.plot(interval, score, label=label, markersize=5.5, zorder=3, **looks)
    bars = axes.vlines(interval, low, high, color=look.colour, linewidth=1.2)
    ends = [
        axes.plot(interval, end, color=look.colour, marker="_", linestyle="none")[0] for end in (low, high)
    ]
    # only now, as the limits of the axes follow what is drawn in data units
    for artist in (line, bars, *ends):
        artist.set_transform(place)
    return line


def _subtitle(dataset: xr.Dataset) -> str:
    n_tasks = _span(dataset["n_counted"])
    return f"{dataset.attrs['confidence']:.0%} confidence intervals over tasks, n = {n_tasks}"


def _span(counts: xr.DataArray) -> str:
    """Give one number, or the fewest and the most."""
    known = counts.values[np.isfinite(counts.values)].astype(int)
    if not known.size:
        return "0"
    fewest, most = known.min(), known.max()
    return str(most) if fewest == most else f"{fewest}–{most}"


def _notes(dataset: xr.Dataset) -> list[str]:
    attrs = dataset.attrs
    method = METHODS.get(attrs["method"], attrs["method"])
    return [
        "Score: share of the forgetting that is undone before the next visit, a ratio of means over tasks.",
        f"Bars: {method} bootstrap, {attrs['n_resamples']} resamples; the unit is the task, within one run.",
        "A missing mark or bar: not defined.",
        f"A score exceeds 1 (dotted), {ABOVE_ONE}" if _above_one(dataset) else "",
    ]


def _above_one(dataset: xr.Dataset) -> bool:
    return bool((dataset["recovery_score"] > 1).any())
