"""Loss around the visits to a task, averaged over tasks (after Fig. 2 of arXiv 2403.09613)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note, runs
from analyses.figures.marks import loss_label, say_not_defined, whole_numbers
from analyses.figures.sheet import Layout, Sheet, sheet
from analyses.recovery import shift_averaged_loss

LAYOUT = Layout(width=3.1, height=2.9, beside=0.9, share=True)

NOTES = (
    "Offset 0 is the snapshot right after the visit, offset −1 the one just before it; between them "
    "lies the visit (grey band). A falling loss left of the band is recovery in advance of the visit. "
    "A line ends where the offset lies beyond the run for some task.",
)


def build(traces: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Give the shift-averaged loss of every run; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label, each with `/losses`.

    Returns
    -------
    Dataset
        ``shift_averaged_loss(run, occurrence, offset)`` in the units of the losses, and ``n_tasks(run)``.

    Raises
    ------
    AnalysisError
        If no run has losses.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'occurrence': 3, 'offset': 9}
    """
    return combine(traces, "losses", _of_run)


def _of_run(tree: xr.DataTree) -> xr.Dataset:
    return shift_averaged_loss(tree["losses"].to_dataset())[["shift_averaged_loss"]]


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        A line for each visit to the task, from the first (dark) to the last (light).

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'offset from the visit [visits]'
    """
    occurrences = dataset["occurrence"].values
    colours = style.steps(len(occurrences))
    with style.theme():
        page = sheet(runs(dataset), LAYOUT)
        for label, panel in page.panels.items():
            _draw_run(panel, dataset["shift_averaged_loss"].sel(run=label), colours)
        page.inner.supylabel(loss_label(dataset["shift_averaged_loss"]), fontsize=9)
        if occurrences.size:
            _colour_bar(page, occurrences, colours)
        page.describe("Loss around the visit to a task, mean over tasks", [*NOTES, left_out_note(dataset)])
    return page.figure


def _colour_bar(page: Sheet, occurrences: npt.NDArray[np.int64], colours: ListedColormap) -> None:
    edges = np.append(occurrences - 0.5, occurrences[-1] + 0.5)
    mappable = ScalarMappable(BoundaryNorm(edges, colours.N), colours)
    bar = page.inner.colorbar(
        mappable, ax=list(page.panels.values()), label="n-th visit to the task", pad=0.02
    )
    whole_numbers(bar.ax.yaxis)
    bar.ax.minorticks_off()


def _draw_run(axes: Axes, loss: xr.DataArray, colours: ListedColormap) -> None:
    axes.axvspan(-1, 0, color=style.FAINT, alpha=0.5, linewidth=0, zorder=0)
    for place, occurrence in enumerate(loss["occurrence"].values):
        line = loss.sel(occurrence=occurrence).values
        looks: dict[str, Any] = {"color": colours(place), "marker": ".", "markersize": 3}
        axes.plot(loss["offset"].values, line, label=f"visit {occurrence}", **looks)
    axes.set_xlabel("offset from the visit [visits]")
    axes.tick_params(labelbottom=True)
    whole_numbers(axes.xaxis)
    if not loss.size:
        axes.set_yticks([])
        say_not_defined(axes, "no task was visited yet")
