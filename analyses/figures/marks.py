"""Ticks and labels, and what is said where nothing can be shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator

from analyses.figures import style
from analyses.figures.sheet import wrapped

MOST_EPOCHS = 8
"""About so many epochs are numbered along an axis of visits."""

HATCHED: dict[str, Any] = {
    "facecolor": style.UNDEFINED,
    "edgecolor": style.FAINT,
    "hatch": "////",
    "linewidth": 0,
}


def loss_label(loss: xr.DataArray) -> str:
    """Name an axis of losses, with their units."""
    return f"loss [{loss.attrs.get('units') or 'units not recorded'}]"


def line_at_one(axes: Axes) -> None:
    """Mark the score of full recovery."""
    axes.axhline(1, color=style.MUTED, linewidth=0.8, linestyle=":", zorder=0)


def whole_numbers(axis: Axis, most: int = 8) -> None:
    """Tick at whole numbers, about `most` at most, so that they do not overlap."""
    axis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1))


def visit_axis(axes: Axes, n_tasks: int, n_visits: int) -> None:
    """Count visits along the bottom of a panel, at starts of epochs, and epochs along its top."""
    n_epochs = n_visits / n_tasks
    if n_epochs < 1:
        whole_numbers(axes.xaxis)
    else:
        axes.xaxis.set_major_locator(MultipleLocator(n_tasks * math.ceil(n_epochs / MOST_EPOCHS)))
    _epoch_axis(axes, n_tasks)


def _epoch_axis(axes: Axes, n_tasks: int) -> None:
    top = axes.secondary_xaxis("top", (lambda x: np.divide(x, n_tasks), lambda x: np.multiply(x, n_tasks)))
    top.xaxis.label.set(fontsize=8, color=style.MUTED)
    top.tick_params(labelsize=7.5, colors=style.MUTED)
    top.spines["top"].set_color(style.FAINT)
    whole_numbers(top.xaxis)


def say_not_defined(axes: Axes, why: str) -> None:
    """Say in the middle of an empty panel that there is nothing to show, and why."""
    axes.text(
        0.5,
        0.5,
        f"not defined:\n{wrapped(why, 32)}",
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=style.MUTED,
        bbox={"facecolor": "white", "edgecolor": style.FAINT, "boxstyle": "round,pad=0.5"},
    )


def undefined_ground(axes: Axes) -> None:
    """Hatch the ground of a panel, to be seen wherever a value is undefined."""
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, zorder=-1, **HATCHED))


def undefined_entry() -> Patch:
    """Give the entry of the hatched ground in a legend."""
    return Patch(label="not defined", **HATCHED)
