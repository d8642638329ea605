"""Norms of the weights over training, relative to where they began."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note, runs
from analyses.figures.marks import say_not_defined, visit_axis
from analyses.figures.sheet import Layout, Sheet, sheet
from analyses.inputs import REDUCTIONS
from analyses.statistics import statistics

LAYOUT = Layout(width=3.6, height=2.8, beside=0.9, share=True)
PLACES = Normalize(0, 1)
NOTE = (
    "Norm of each visit, as a share of that of the first recorded one. Tensors that begin at zero have no "
    "such share, and are in the norm of all alone."
)


def build(traces: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Give the norms of the weights of every run that recorded them, or reductions of them; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.

    Returns
    -------
    Dataset
        ``share(run, visit, tensor)``, the norm of a tensor over that at the first recorded visit, and
        ``total(run, visit)``, the same of all tensors together; NaN where the first norm is 0;
        ``place(run, tensor)``, the place of the tensor in the model, from 0 to 1; ``recorded(run, visit)``;
        ``n_tasks(run)``.

    Raises
    ------
    AnalysisError
        If no run recorded weights or their norms.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'visit': 13, 'tensor': 2}
    """
    return combine(traces, "weights", _of_run, form=REDUCTIONS)


def _of_run(tree: xr.DataTree) -> xr.Dataset:
    norm = statistics(tree, "weights", names=["norm"])["norm"]
    total = (norm**2).sum("tensor", skipna=False) ** 0.5
    place = np.linspace(0, 1, norm.sizes["tensor"])
    shares = {"share": _relative(norm), "total": _relative(total)}
    return xr.Dataset(shares).assign(place=("tensor", place))


def _relative(norm: xr.DataArray) -> xr.DataArray:
    first = norm.isel(visit=slice(1)).sum("visit", skipna=False)
    return norm / first.where(first > 0)


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        A thin line for each tensor, coloured by its place in the model, and a thick one for all together.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_ylabel()
    'norm relative to the first visit'
    """
    with style.theme():
        page = sheet(runs(dataset), LAYOUT)
        for label, panel in page.panels.items():
            _draw_run(panel, dataset.sel(run=label))
        page.first.set_ylabel("norm relative to the first visit")
        _colour_bar(page)
        page.legend([Line2D([], [], color=style.INK, linewidth=2.2, label="all tensors together")])
        page.describe("Norm of the weights over training", [NOTE, left_out_note(dataset)])
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset) -> None:
    axes.set_xlabel("visits completed")
    visits, total = one["visit"].values, one["total"].values
    drawn = np.isfinite(total)
    if np.count_nonzero(drawn) < 1:
        say_not_defined(axes, "no visit at which all weights are finite, or all of them are zero")
        return
    colours = colormaps[style.SEQUENTIAL]
    for place, share in zip(
        one["place"].values, one["share"].transpose("tensor", "visit").values, strict=True
    ):
        finite = np.isfinite(share)
        axes.plot(visits[finite], share[finite], color=colours(place), linewidth=0.8, alpha=0.8)
    axes.plot(visits[drawn], total[drawn], color=style.INK, linewidth=2.2)
    visit_axis(axes, int(one["n_tasks"]), int(visits[drawn][-1]))
    axes.child_axes[0].set_xlabel("epochs completed")


def _colour_bar(page: Sheet) -> None:
    bar = page.inner.colorbar(
        ScalarMappable(PLACES, style.SEQUENTIAL),
        ax=list(page.panels.values()),
        label="place of the tensor in the model",
        pad=0.02,
    )
    bar.set_ticks([0, 1], labels=["first", "last"])
