"""Loss on each task just before training on it (after Fig. 1c of arXiv 2403.09613)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note, runs
from analyses.figures.marks import loss_label, say_not_defined, visit_axis, whole_numbers
from analyses.figures.sheet import Layout, sheet
from analyses.recovery import online_loss

LAYOUT = Layout(width=7.0, height=3.0)
TITLE = "thick: mean of each epoch; thin: every visit"
NOTE = (
    "What a model would pay that is asked about each task before it may learn it. In the first epoch every "
    "task is new, and nothing can be remembered: compare the later ones."
)


def build(traces: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Give the online loss of every run, by visit and by epoch; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label, each with `/losses`.

    Returns
    -------
    Dataset
        ``online_loss(run, visit)`` and ``online_loss_per_epoch(run, epoch)`` in the units of the losses;
        ``middle(run, epoch)``, the mean number of the visits of an epoch; ``recorded(run, visit)``;
        ``n_tasks(run)``.

    Raises
    ------
    AnalysisError
        If no run has losses.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'visit': 12, 'epoch': 3}
    """
    return combine(traces, "losses", _of_run)


def _of_run(tree: xr.DataTree) -> xr.Dataset:
    losses = tree["losses"].to_dataset()
    online = online_loss(losses)
    visit, epoch = losses["visit"].values, losses["epoch"].values
    middle = [visit[1:][epoch[1:] == each].mean() for each in online["epoch"].values]
    return online[["online_loss", "online_loss_per_epoch"]].assign(middle=("epoch", middle))


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, all runs in one panel; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        For each run a thin line through its visits, and a thick one through the means of its epochs.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'visit'
    """
    looks = style.run_styles(runs(dataset))
    with style.theme():
        page = sheet([TITLE], LAYOUT)
        lines = [_draw_run(page.first, dataset.sel(run=label), look) for label, look in looks.items()]
        _finish(page.first, dataset)
        page.legend(lines)
        page.describe("Online loss: on each task just before training on it", [NOTE, left_out_note(dataset)])
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset, look: style.RunStyle) -> Line2D:
    axes.plot(one["visit"].values, one["online_loss"].values, color=look.colour, linewidth=0.8, alpha=0.5)
    (line,) = axes.plot(
        one["middle"].values,
        one["online_loss_per_epoch"].values,
        label=str(one["run"].item()),
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        linewidth=2,
        markersize=5.5,
    )
    return line


def _finish(axes: Axes, dataset: xr.Dataset) -> None:
    axes.set_xlabel("visit")
    axes.set_ylabel(loss_label(dataset["online_loss"]))
    n_tasks = np.unique(dataset["n_tasks"].values)
    if not dataset.sizes["visit"]:
        axes.set(xticks=[], yticks=[])
        say_not_defined(axes, "no task was visited yet")
    elif n_tasks.size == 1:
        visit_axis(axes, int(n_tasks[0]), int(dataset["visit"].values[-1]))
        axes.child_axes[0].set_xlabel("epochs completed")
    else:
        whole_numbers(axes.xaxis)
