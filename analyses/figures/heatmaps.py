"""What heatmaps of several runs have in common: a panel for each run, one colour scale, and its bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from analyses.figures import style
from analyses.figures.combine import runs
from analyses.figures.marks import say_not_defined, undefined_entry, undefined_ground, whole_numbers
from analyses.figures.sheet import Layout, Sheet, sheet
from analyses.kernels.recovery import Floats

LAYOUT = Layout(width=3.3, height=3.45, beside=0.9)

NEARLY_ALL = 0.9
"""Colours reach from −1 to 1 if similarities off the diagonal reach this; else they end at the largest."""

ALMOST_NOTHING = 0.05
"""Colours do not end below this, so that rounding errors do not look like a pattern."""

DrawRun = Callable[[Axes, xr.Dataset, Normalize], bool]
"""Draws one run in a panel; says whether any of it is not defined."""


def limit_of(similarity: xr.DataArray) -> xr.DataArray:
    """Give where colours end: the largest size off the diagonal, but at least 0.05, and 1 from 0.9 on."""
    first, other = similarity.dims[-2:]
    off_diagonal = similarity.where(similarity[first] != similarity[other], 0.0)
    largest = abs(off_diagonal.fillna(0.0)).max()
    return largest.clip(min=ALMOST_NOTHING).where((largest > 0) & (largest < NEARLY_ALL), 1.0)


def diagonal_note(dataset: xr.Dataset) -> str:
    """Say that the diagonal is beyond the colours of similarities, where it is."""
    return "The diagonal, 1, lies beyond the colours." if float(dataset["limit"]) < 1 else ""


def heatmaps(
    dataset: xr.Dataset,
    draw_run: DrawRun,
    *,
    label: str,
    beyond: Literal["neither", "both", "min", "max"] | None = None,
    titles: Sequence[str] | None = None,
    scale: Normalize | None = None,
    colours: str = style.DIVERGING,
) -> Sheet:
    """Draw a panel for each run, with colours from −`limit` to `limit` if no other scale is given.

    `beyond` says at which ends there may be more than colours show: of similarities, that is the diagonal.
    """
    if scale is None:
        limit = float(dataset["limit"])
        scale, beyond = Normalize(-limit, limit), beyond or ("max" if limit < 1 else "neither")
    page = sheet(titles or runs(dataset), LAYOUT)
    panels = list(page.panels.values())
    each = zip(panels, runs(dataset), strict=True)
    has_gaps = [draw_run(panel, dataset.sel(run=name), scale) for panel, name in each]
    if any(has_gaps):
        page.legend([undefined_entry()])
    page.inner.colorbar(
        ScalarMappable(scale, colours),
        ax=panels,
        label=label,
        extend=beyond or "neither",
        pad=0.02,
    )
    return page


def draw_square(
    axes: Axes, values: Floats | None, edges: Floats, scale: Normalize, colours: str = style.DIVERGING
) -> None:
    """Draw a matrix as squares between edges, the first row on top; hatched where it is not defined."""
    undefined_ground(axes)
    axes.set_aspect("equal")
    if values is not None:
        axes.pcolormesh(edges, edges, values, norm=scale, cmap=colours, rasterized=True)
    axes.set(xlim=edges[[0, -1]], ylim=edges[[-1, 0]])
    axes.spines[["top", "right"]].set_visible(True)


def draw_numbered(
    axes: Axes,
    values: Floats,
    scale: Normalize,
    *,
    what: str,
    nothing: str,
    colours: str = style.DIVERGING,
) -> bool:
    """Draw a matrix between things that are told by their number; say whether any of it is not defined.

    `nothing` is written where none of it is.
    """
    draw_square(axes, values, edges_of(len(values)), scale, colours)
    undefined = np.isnan(values)
    if undefined.all():
        say_not_defined(axes, nothing)
    for axis in (axes.xaxis, axes.yaxis):
        whole_numbers(axis)
    axes.set(xlabel=f"other {what}", ylabel=what)
    return bool(undefined.any())


def titles_of_snapshots(dataset: xr.Dataset) -> list[str]:
    """Give the label of every run with the visit that is shown of it."""
    return [f"{label}, visit {int(dataset['snapshot'].sel(run=label))}" for label in runs(dataset)]


def edges_of(n: int) -> Floats:
    """Give the edges of cells around the whole numbers below n."""
    return np.arange(n + 1, dtype=np.float64) - 0.5
