"""How alike layers represent the same examples: CKA between all layers, at one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.figures import style
from analyses.figures.combine import combine, left_out_note
from analyses.figures.heatmaps import draw_numbered, heatmaps, titles_of_snapshots
from analyses.layers import at_visit, examples_of, of_each_layer
from analyses.representation import cka, example_gram

KIND = "activations"
LAYERS = ("layer", "layer_other")


def build(traces: Mapping[str, xr.DataTree], *, visit: int | None = None) -> xr.Dataset:
    """Give the unbiased CKA between layers of every run that recorded activations; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.
    visit : int, optional
        The snapshot; the last one that a run recorded if None.

    Returns
    -------
    Dataset
        ``cka(run, layer, layer_other)``, at most 1, layers by their number, NaN where not defined, and beyond
        the layers of a run; ``snapshot(run)``, the visit; ``n_layers(run)``; ``n_tasks(run)``. The attribute
        `layers` names those of the first run.

    Raises
    ------
    AnalysisError
        If no run recorded activations, or not at `visit`.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> dict(build({"cyclic": synthetic_trace()})["cka"].sizes)
    {'run': 1, 'layer': 1, 'layer_other': 1}
    """
    return combine(traces, KIND, partial(_of_run, visit=visit))


def _of_run(tree: xr.DataTree, *, visit: int | None) -> xr.Dataset:
    (values,) = at_visit([examples_of(tree, KIND, None)], [tree], visit)
    matrices = of_each_layer(values, partial(example_gram, dim="example"))
    found = cka(matrices, dim="layer", n_permutations=1)["cka"]
    numbers = {dim: np.arange(found.sizes[dim]) for dim in LAYERS}
    bare = xr.DataArray(found.variable, numbers).drop_attrs()
    facts = {"snapshot": int(values["visit"]), "n_layers": matrices.sizes["layer"]}
    return bare.to_dataset(name="cka").assign(facts).assign_attrs(layers=matrices["layer"].values.tolist())


def draw(dataset: xr.Dataset) -> Figure:
    """Draw what `build` gave, a panel for each run; computes nothing.

    Parameters
    ----------
    dataset : Dataset
        From `build`, computed.

    Returns
    -------
    Figure
        Heatmaps on one colour scale; hatched where CKA is not defined.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> figure = draw(build({"cyclic": synthetic_trace()}).compute())
    >>> figure.axes[0].get_xlabel()
    'other layer'
    """
    with style.theme():
        page = heatmaps(
            dataset,
            _draw_run,
            label="CKA between layers, unbiased",
            beyond="min",
            titles=titles_of_snapshots(dataset),
            scale=Normalize(0, 1),
            colours=style.SEQUENTIAL,
        )
        page.describe("How alike layers represent the same examples", _notes(dataset))
    return page.figure


def _draw_run(axes: Axes, one: xr.Dataset, scale: Normalize) -> bool:
    """Draw one run; say whether any of it is not defined."""
    n_layers = int(one["n_layers"])
    found = one["cka"].values[:n_layers, :n_layers]
    return draw_numbered(
        axes, found, scale, what="layer", nothing="CKA needs four examples", colours=style.SEQUENTIAL
    )


def _notes(dataset: xr.Dataset) -> list[str]:
    names = dataset.attrs["layers"]
    return [
        f"One cell per pair of layers, by their number, {names[0]} to {names[-1]}.",
        "0: no more alike than examples that have nothing in common. 1: the same but for rotation and scale.",
        left_out_note(dataset),
    ]
