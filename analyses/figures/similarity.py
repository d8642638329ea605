"""Similarity between visits as heatmaps (after Figs. 6 and 8 of arXiv 2403.09613)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note
from analyses.figures.heatmaps import diagonal_note, draw_square, heatmaps, limit_of
from analyses.figures.marks import say_not_defined
from analyses.inputs import SKETCH, as_recorded
from analyses.similarity import cosine, residual_cosine
from analyses.traces import gram_of

Floats = npt.NDArray[np.float64]

MOST_LINES = 50
"""More epochs than this are not parted by lines, which would hide the cells."""

MOST_NUMBERS = 12
"""At most about so many epochs are numbered."""


@dataclass(frozen=True)
class Heatmap:
    """Which similarity of which kind of recorded values, and how it is called."""

    kind: str
    measure: str
    explanation: str
    similarity: Callable[[xr.DataTree, str], xr.DataArray]


WEIGHTS = Heatmap(
    "weights",
    "cosine of weight residuals",
    "The residual of a visit is its weights less their mean over one epoch of visits around it.",
    lambda tree, kind: residual_cosine(gram_of(tree, kind), window=int(tree.attrs["n_tasks"])),
)
ACTIVATIONS = Heatmap(
    "activations",
    "centered cosine of activations",
    "Activations of all probes and modules in one row, less their mean over visits.",
    lambda tree, kind: cosine(gram_of(tree, kind)),
)
GRADIENTS = Heatmap(
    "gradients",
    "cosine of gradients",
    "Gradient of the first update of each visit, all parameters in one row.",
    lambda tree, kind: cosine(gram_of(tree, kind, center=False)),
)


def build(traces: Mapping[str, xr.DataTree], heatmap: Heatmap) -> xr.Dataset:
    """Give the similarity between visits of every run that recorded the kind or a sketch; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.
    heatmap : Heatmap
        `WEIGHTS`, `ACTIVATIONS` or `GRADIENTS`.

    Returns
    -------
    Dataset
        ``similarity(run, visit, visit_other)`` from −1 to 1, NaN where not defined; ``recorded(run, visit)``,
        False where a run lacks a visit that others have; ``limit()``, where the colours end: the largest size
        off the diagonal, but at least 0.05, and 1 from 0.9 on; ``n_tasks(run)``.

    Raises
    ------
    AnalysisError
        If no run recorded the kind, or its visits do not allow the similarity.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}, WEIGHTS).sizes)
    {'run': 1, 'visit': 13, 'visit_other': 13}
    """
    combined = combine(traces, heatmap.kind, lambda tree: _of_run(tree, heatmap), form=SKETCH)
    return combined.assign(limit=limit_of(combined["similarity"])).assign_attrs(
        measure=heatmap.measure, explanation=heatmap.explanation
    )


def _of_run(tree: xr.DataTree, heatmap: Heatmap) -> xr.Dataset:
    similarity = heatmap.similarity(tree, as_recorded(tree, heatmap.kind, SKETCH))
    return similarity.to_dataset(name="similarity")


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        Heatmaps on one colour scale, with lines between epochs; hatched where the similarity is not defined.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}, WEIGHTS).compute())
    >>> figure.axes[0].get_xlabel()
    'epoch of the other visit'
    """
    measure = dataset.attrs["measure"]
    with style.theme():
        page = heatmaps(dataset, _draw_run, label=measure)
        page.describe(f"Similarity between visits: {measure}", _notes(dataset))
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset, scale: Normalize) -> bool:
    """Draw one run; say whether any of it is not defined."""
    visit = one["visit"].values[one["recorded"].values]
    similarity = one["similarity"].sel(visit=visit, visit_other=visit).values
    edges = _cell_edges(visit)
    draw_square(axes, similarity, edges, scale)
    if np.isnan(similarity).all():
        say_not_defined(axes, "the run is too short, or nothing changes in it")
    _mark_epochs(axes, edges, int(one["n_tasks"]), int(visit[-1]))
    return bool(np.isnan(similarity).any())


def _cell_edges(visit: npt.NDArray[np.int64]) -> Floats:
    """Put edges of cells half-way between the recorded visits, and as far beyond the first and last."""
    middles = (visit[1:] + visit[:-1]) / 2
    before = visit[0] - (middles[0] - visit[0] if len(middles) else 0.5)
    after = visit[-1] + (visit[-1] - middles[-1] if len(middles) else 0.5)
    return np.concatenate([[before], middles, [after]])


def _mark_epochs(axes: Axes, edges: Floats, n_tasks: int, last_visit: int) -> None:
    """Draw a line between epochs and number them, few enough not to overlap."""
    n_epochs = max(1, math.ceil(last_visit / n_tasks))
    starts = 0.5 + n_tasks * np.arange(n_epochs)
    if n_epochs <= MOST_LINES:
        inside = starts[starts > edges[0]]
        axes.vlines(inside, edges[0], edges[-1], color=style.INK, linewidth=0.5, alpha=0.6)
        axes.hlines(inside, edges[0], edges[-1], color=style.INK, linewidth=0.5, alpha=0.6)
    shown = slice(None, None, math.ceil(n_epochs / MOST_NUMBERS))
    numbers = np.arange(1, n_epochs + 1)[shown]
    middles = np.minimum(starts + n_tasks / 2, edges[-1])[shown]
    axes.set(xticks=middles, xticklabels=numbers, yticks=middles, yticklabels=numbers)
    axes.tick_params(length=0)
    axes.set(xlabel="epoch of the other visit", ylabel="epoch of the visit")


def _notes(dataset: xr.Dataset) -> list[str]:
    tasks = ", ".join(str(n) for n in sorted({int(n) for n in dataset["n_tasks"].values}))
    return [
        dataset.attrs["explanation"],
        f"One cell per pair of visits; thin lines part epochs (tasks per epoch: {tasks}).",
        diagonal_note(dataset),
        left_out_note(dataset),
    ]
