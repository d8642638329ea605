"""Similarity between visits by lag, a line for each layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note, runs
from analyses.figures.marks import say_not_defined
from analyses.figures.sheet import Layout, Sheet, sheet
from analyses.inputs import SKETCH, as_recorded
from analyses.similarity import cyclicity, residual_cosine
from analyses.traces import gram_of

LAYOUT = Layout(width=3.6, height=2.9, beside=1.9, share=True)
MOST_CYCLES = 3
MOST_NAMES = 16
"""At most about so many layers are named beside the colours."""

NOTE = (
    "Mean over the pairs of visits that far apart of the cosine between weight residuals: weights less their "
    f"mean over one epoch of visits around them. Up to {MOST_CYCLES} cycles. Names tell the layers."
)


def build(traces: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Give similarity by lag of each layer of every run that recorded weights or a sketch; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.

    Returns
    -------
    Dataset
        ``similarity(run, layer, lag)``, the mean residual cosine over pairs of visits `lag` apart, NaN where
        not defined; ``place(run, layer)``, the number of the layer in the model; ``n_tasks(run)``.

    Raises
    ------
    AnalysisError
        If no run recorded weights, or its visits do not allow the similarity.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()}).sizes)
    {'run': 1, 'layer': 1, 'lag': 13}
    """
    return combine(traces, "weights", _of_run, form=SKETCH)


def _of_run(tree: xr.DataTree) -> xr.Dataset:
    n_tasks = int(tree.attrs["n_tasks"])
    gram = gram_of(tree, as_recorded(tree, "weights", SKETCH), by="layer")
    profile = cyclicity(residual_cosine(gram, window=n_tasks), period=n_tasks)[["similarity"]]
    return profile.assign(place=("layer", np.arange(profile.sizes["layer"], dtype=np.float64)))


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        A line for each layer over lags in cycles, coloured by its place in the model.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'lag [cycles]'
    """
    n_layers = int(dataset["place"].max()) + 1
    with style.theme():
        page = sheet(runs(dataset), LAYOUT)
        for label, panel in page.panels.items():
            _draw_run(panel, dataset.sel(run=label), n_layers)
        page.first.set_ylabel("cosine of weight residuals, mean")
        _colour_bar(page, _names(dataset, n_layers), n_layers)
        page.describe("Similarity between visits by lag, of each layer", [NOTE, left_out_note(dataset)])
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset, n_layers: int) -> None:
    n_tasks = int(one["n_tasks"])
    shown = one.sel(lag=slice(0, MOST_CYCLES * n_tasks)).dropna("layer", subset=["place"])
    axes.set(xlabel="lag [cycles]", ylim=(-1.05, 1.05))
    similarity = shown["similarity"].transpose("layer", "lag").values
    if not np.isfinite(similarity).any():
        say_not_defined(axes, "the run is too short, or nothing changes in it")
        return
    cycles = shown["lag"].values / n_tasks
    axes.axhline(0, color=style.FAINT, linewidth=0.8, zorder=0)
    for cycle in range(1, int(cycles[-1]) + 1):
        axes.axvline(cycle, color=style.FAINT, linewidth=0.8, zorder=0)
    colours = style.steps(n_layers)
    for place, line in zip(shown["place"].values.astype(int), similarity, strict=True):
        known = np.isfinite(line)
        axes.plot(cycles[known], line[known], color=colours(place), linewidth=1.1)


def _names(dataset: xr.Dataset, n_layers: int) -> dict[int, str]:
    """Name layers by their place, few enough not to overlap; by number where runs have different ones."""
    found: dict[int, set[str]] = {place: set() for place in range(n_layers)}
    for places in dataset["place"].transpose("run", "layer").values:
        for label, place in zip(dataset["layer"].values, places, strict=True):
            if np.isfinite(place):
                found[int(place)].add(_short(str(label)))
    step = -(-n_layers // MOST_NAMES)
    named = {place: names.pop() if len(names) == 1 else f"layer {place}" for place, names in found.items()}
    return {place: name for place, name in named.items() if place % step == 0}


def _short(name: str) -> str:
    """Give the end of a layer's name: with its list, if it is a number.

    Examples
    --------
    >>> _short("gpt_neox.layers.3"), _short("gpt_neox.embed_in")
    ('layers.3', 'embed_in')
    """
    parts = name.split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def _colour_bar(page: Sheet, names: Mapping[int, str], n_layers: int) -> None:
    borders = BoundaryNorm(np.arange(n_layers + 1) - 0.5, n_layers)
    bar = page.inner.colorbar(
        ScalarMappable(borders, style.steps(n_layers)),
        ax=list(page.panels.values()),
        pad=0.02,
    )
    bar.set_ticks(list(names), labels=list(names.values()))
    bar.ax.tick_params(length=0, labelsize=7.5)
    bar.ax.invert_yaxis()
