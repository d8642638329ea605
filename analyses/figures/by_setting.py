"""A number of many runs against a setting (after the ablations of arXiv 2403.09613)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses.commands.configured import number_of_each, warnings_of
from analyses.figures import style
from analyses.figures.combine import runs
from analyses.figures.marks import say_not_defined
from analyses.figures.sheet import Layout, sheet
from analyses.levels import level_means
from analyses.traces import order_of

LAYOUT = Layout(width=5.8, height=3.2)
MANY_TIMES = 20
"""Levels that are so many times as large as others lie on a logarithmic axis."""

MOST_TICKS = 8


def build(
    traces: Mapping[str, xr.DataTree], *, by: str = "model_size", metric: str = "recovery"
) -> xr.Dataset:
    """Give a metric of every run, and its mean at each level of a setting, by order; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.
    by : str
        The setting: model_size, optimizer, or any that differs, such as ``"training.updates_per_visit"``.
    metric : str
        The number, as `tracekit list` names it.

    Returns
    -------
    Dataset
        ``level_mean``, ``interval_low``, ``interval_high`` and ``n_runs``, dims (run, level), where `run`
        stands for all runs of one order, by its name; ``value``, ``setting`` and ``order`` of each `trace`.

    Raises
    ------
    AnalysisError
        If there is no such setting, or it is the same in all runs.
    PluginError
        If there is no such metric.
    """
    values = number_of_each(list(traces.values()), by=by, metric=metric)
    setting = values["setting"].drop_vars(values.coords)
    order = np.array([order_of(tree) or "no order" for tree in traces.values()], dtype=object)
    names = np.unique(order)
    means = [level_means(values[order == name], setting[order == name]) for name in names]
    run = xr.Variable("run", names)
    result = xr.concat(means, run, join="outer", data_vars="all", combine_attrs="override")
    alone = {
        "value": values.variable,
        "setting": setting.variable,
        "order": xr.Variable("run", order),
        "doubtful": values["doubtful"].variable,
    }
    single = xr.Dataset(alone, {"run": list(traces)}).rename(run="trace")
    return result.assign(single.variables).assign_attrs(by=by, metric=metric)


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a line for each order; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        Single runs as faint marks, means as a line, intervals over runs as upright bars.
    """
    looks = style.run_styles(runs(dataset))
    with style.theme():
        page = sheet([f"{dataset.attrs['confidence']:.0%} intervals over runs"], LAYOUT)
        lines = [_draw_order(page.first, dataset, name, look) for name, look in looks.items()]
        _finish(page.first, dataset)
        page.legend(lines)
        page.describe(f"{dataset.attrs['metric']} by {dataset.attrs['by']}", _notes(dataset))
    return page.figure


def _places(dataset: xr.Dataset, levels: xr.DataArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Give where levels lie along the axis: at their number, or one beside the other if they are texts."""
    if dataset["level"].dtype.kind in "iuf":
        return np.asarray(levels.values, dtype=np.float64)
    known = dataset["level"].values.tolist()
    return np.array([known.index(level) for level in levels.values.tolist()], dtype=np.float64)


def _draw_order(axes: Axes, dataset: xr.Dataset, name: str, look: style.RunStyle) -> Line2D:
    one = dataset.sel(run=name)
    alone = dataset["order"].values == name
    axes.plot(
        _places(dataset, dataset["setting"][alone]),
        dataset["value"].values[alone],
        linestyle="none",
        marker=look.marker,
        markersize=4,
        color=look.colour,
        alpha=0.35,
    )
    there = np.isfinite(one["level_mean"].values)
    places, mean = _places(dataset, one["level"])[there], one["level_mean"].values[there]
    low, high = one["interval_low"].values[there], one["interval_high"].values[there]
    axes.vlines(places, low, high, color=look.colour, linewidth=1.2)
    (line,) = axes.plot(
        places, mean, color=look.colour, linestyle=look.line, marker=look.marker, markersize=5.5, label=name
    )
    return line


def _finish(axes: Axes, dataset: xr.Dataset) -> None:
    units = dataset["value"].attrs.get("units", "1")
    axes.set_ylabel(dataset.attrs["metric"] + ("" if units == "1" else f" [{units}]"))
    axes.set_xlabel(dataset.attrs["by"])
    levels, places = dataset["level"], _places(dataset, dataset["level"])
    if places.min() > 0 and places.max() >= MANY_TIMES * places.min():
        axes.set_xscale("log")
    if places.size <= MOST_TICKS or levels.dtype.kind not in "iuf":
        labels = [f"{each:g}" if levels.dtype.kind in "iuf" else str(each) for each in levels.values]
        axes.set_xticks(places, labels=labels)
        axes.minorticks_off()
    if not np.isfinite(dataset["level_mean"].values).any():
        axes.set_yticks([])
        say_not_defined(axes, "the metric is not defined for any run")


def _notes(dataset: xr.Dataset) -> list[str]:
    n_runs = int(dataset["n_runs"].sum())
    return [
        f"Faint: single runs, {n_runs} in all. Lines: their mean. Bars: Student's interval over the runs of "
        "a level, which are to differ in their seed alone; none of a single run.",
        "Whether the number rises: tracekit analyze run-trend.",
        *warnings_of(dataset, "trace"),
    ]
