"""Loss of one task over training, its visits marked (after Fig. 1 of arXiv 2403.09613)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note, runs
from analyses.figures.marks import loss_label, visit_axis
from analyses.figures.sheet import Layout, sheet
from tracekit.errors import AnalysisError

LAYOUT = Layout(width=7.0, height=2.5, columns=1, share=True)

MARKS: dict[str, Any] = {"color": style.INK, "marker": "o", "linestyle": "none", "markersize": 4.5}


def build(traces: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Give the loss of one task at every snapshot of every run; computes nothing.

    The task is the middle one of the first run, so that its visits stand apart from the starts of epochs.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label, each with `/losses`.

    Returns
    -------
    Dataset
        ``loss(run, visit)`` in the units of the losses; ``loss_before(run, visit)`` and
        ``loss_after(run, visit)``, the same where the next and the last visit trained the task and NaN
        elsewhere; ``recorded(run, visit)``; ``n_tasks(run)``; ``attrs["task"]``, its name.

    Raises
    ------
    AnalysisError
        If no run has losses, or a run that has them does not have the task.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'visit': 13}
    """
    names = {label: _task_names(tree) for label, tree in traces.items() if "losses" in tree.children}
    task = next((tasks[len(tasks) // 2] for tasks in names.values()), "")
    for label, tasks in names.items():
        if task not in tasks:
            raise AnalysisError(
                f"the runs have no task in common to draw: {label!r} has no task {task!r}; "
                "give runs that were trained on the same tasks"
            )
    return combine(traces, "losses", lambda tree: _of_one_task(tree, task)).assign_attrs(task=task)


def _task_names(tree: xr.DataTree) -> list[str]:
    return [str(name) for name in tree["losses"].to_dataset()["task"].values]


def _of_one_task(tree: xr.DataTree, task: str) -> xr.Dataset:
    losses = tree["losses"].to_dataset()
    index = _task_names(tree).index(task)
    loss = losses["eval_loss"].isel(task=index)
    trained = losses["trained_task"] == index
    # by number, as a cadence may have left out the snapshot that comes next
    next_trained = trained.reindex(visit=loss["visit"] + 1, fill_value=False).assign_coords(
        visit=loss["visit"]
    )
    return xr.Dataset(
        {"loss": loss, "loss_before": loss.where(next_trained), "loss_after": loss.where(trained)}
    )


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        In each panel the loss as a line, and for each visit to the task an upright line and two marks.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'visits completed'
    """
    with style.theme():
        page = sheet(runs(dataset), LAYOUT)
        for label, look in style.run_styles(page.panels).items():
            _draw_run(page.panels[label], dataset.sel(run=label), look.colour)
        page.first.child_axes[0].set_xlabel("epochs completed")
        page.last.set_xlabel("visits completed")
        page.legend(_legend())
        page.describe(f"Loss of one task over training: {dataset.attrs['task']}", [left_out_note(dataset)])
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset, colour: str) -> None:
    one = one.sel(visit=one["recorded"])
    visit, after = one["visit"].values, one["loss_after"].values
    for moment in visit[np.isfinite(after)]:
        axes.axvline(moment, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.plot(visit, one["loss"].values, color=colour, marker=".", markersize=2, label="loss")
    axes.plot(visit, one["loss_before"].values, markerfacecolor="white", label="before", **MARKS)
    axes.plot(visit, after, label="after", **MARKS)
    axes.set_ylabel(loss_label(one["loss"]))
    visit_axis(axes, int(one["n_tasks"]), int(visit[-1]))


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=style.FAINT, linewidth=0.8, label="visit to the task"),
        Line2D([], [], markerfacecolor="white", label="loss just before it", **MARKS),
        Line2D([], [], label="loss right after it", **MARKS),
    ]
