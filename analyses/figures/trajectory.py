"""The path of the weights in the plane of their first two principal components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note, runs
from analyses.figures.marks import say_not_defined
from analyses.figures.sheet import Layout, Sheet, sheet
from analyses.inputs import SKETCH, as_recorded
from analyses.similarity import residual_gram
from analyses.traces import gram_of
from analyses.trajectories import pca

LAYOUT = Layout(width=3.3, height=3.2, beside=0.9)
N_COMPONENTS = 2
ONE_CYCLE = Normalize(0, 1)

POINTS: dict[str, Any] = {"s": 22, "edgecolors": style.MUTED, "linewidths": 0.4, "zorder": 2}
RING: dict[str, Any] = {"linestyle": "none", "color": "none", "markeredgecolor": style.INK, "zorder": 3}
START = {**RING, "marker": "s", "markersize": 8, "markeredgewidth": 1.6}
END = {**RING, "marker": "o", "markersize": 10, "markeredgewidth": 1.6}

NOTE = "Each run has its own principal components (PC), in units of the weights; each axis has its own scale."


@dataclass(frozen=True)
class Plane:
    """What the path is of, and how it is called; `seen` makes its Gram matrix of that of the weights."""

    heading: str
    explanation: str
    seen: Callable[[xr.DataArray, int], xr.DataArray]


WEIGHTS = Plane(
    "Trajectory of the weights in their principal plane",
    "No colour: before any training.",
    lambda gram, n_tasks: gram,
)
RESIDUALS = Plane(
    "Trajectory of the weight residuals in their principal plane",
    "The residual of a visit is its weights less their mean over one epoch of visits around it: the drift is "
    "gone, the cycle stays. Visits without a whole epoch around them have none.",
    lambda gram, n_tasks: residual_gram(gram, window=n_tasks),
)


def build(traces: Mapping[str, xr.DataTree], plane: Plane = WEIGHTS) -> xr.Dataset:
    """Give the principal components of the weights of every run that recorded them; computes nothing.

    Each run has components of its own.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.
    plane : Plane
        `WEIGHTS`, or `RESIDUALS`.

    Returns
    -------
    Dataset
        ``scores(run, visit, component)`` in units of the weights; ``phase(run, visit)``, the position in
        the cycle as a share of it, from 0 to below 1, NaN before any training; ``recorded(run, visit)``;
        ``n_tasks(run)``; ``explained_variance_ratio(run, component)``.

    Raises
    ------
    AnalysisError
        If no run recorded weights.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'visit': 13, 'component': 2}
    """
    combined = combine(traces, "weights", lambda tree: _of_run(tree, plane), form=SKETCH)
    return combined.assign_attrs(heading=plane.heading, explanation=plane.explanation)


def _of_run(tree: xr.DataTree, plane: Plane) -> xr.Dataset:
    kind, n_tasks = as_recorded(tree, "weights", SKETCH), int(tree.attrs["n_tasks"])
    gram = gram_of(tree, kind)
    components = pca(plane.seen(gram, n_tasks), n_components=min(N_COMPONENTS, gram.sizes["visit"]))
    position = tree[kind]["position"]
    phase = position.where(position >= 0) / n_tasks
    return components[["scores", "explained_variance_ratio"]].assign(phase=phase.drop_vars("position"))


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        A path with one point per visit, coloured by position in the cycle; its two ends are marked.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_title(loc="left")
    'cyclic'
    """
    with style.theme():
        page = sheet(runs(dataset), LAYOUT)
        for label, panel in page.panels.items():
            _draw_run(panel, dataset.sel(run=label))
        _colour_bar(page)
        page.legend(_legend())
        notes = [dataset.attrs["explanation"], NOTE, left_out_note(dataset)]
        page.describe(dataset.attrs["heading"], notes)
    return page.figure


def _colour_bar(page: Sheet) -> None:
    bar = page.inner.colorbar(
        ScalarMappable(ONE_CYCLE, style.CYCLIC),
        ax=list(page.panels.values()),
        label="position in the cycle [share of an epoch]",
        pad=0.02,
    )
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1])


def _draw_run(axes: Axes, one: xr.Dataset) -> None:
    scores, share = one["scores"].values, one["explained_variance_ratio"].values
    recorded = np.isfinite(scores).all(axis=1)
    path, phase = scores[recorded], one["phase"].values[recorded]
    if len(path) == 0 or not share[0] > 0:
        axes.set(xticks=[], yticks=[])
        say_not_defined(axes, "too few visits, or weights that do not change")
        return
    axes.plot(*path.T, color=style.MUTED, linewidth=0.7, zorder=1, label="path")
    axes.scatter(path[:, 0], path[:, 1], c=phase, norm=ONE_CYCLE, cmap=style.CYCLIC, **POINTS)
    axes.plot(*path[0], label="start", **START)
    axes.plot(*path[-1], label="end", **END)
    axes.set_xlabel(f"PC 1 ({share[0]:.0%} of variance)")
    axes.set_ylabel(f"PC 2 ({share[1]:.0%} of variance)")
    axes.margins(0.07)


def _legend() -> list[Line2D]:
    return [Line2D([], [], label="first visit shown", **START), Line2D([], [], label="last", **END)]
