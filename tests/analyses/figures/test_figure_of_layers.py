"""The figure of CKA between layers, by number and by what it says."""

import numpy as np
import pytest
import xarray as xr

from analyses import cka, example_gram
from analyses.figures.registry import REPRESENTATION_LAYERS
from tracekit.errors import AnalysisError
from tracekit.testing import no_compute, synthetic_trace

BUILD, DRAW = REPRESENTATION_LAYERS.build, REPRESENTATION_LAYERS.draw


def with_layers(n_layers, seed=0, n_examples=6):
    """Give random activations of layers of 4 elements at visits 0, 2, 4, and a trace that holds them."""
    rows = np.random.default_rng(seed).standard_normal((3, n_examples, 4 * n_layers))
    fields = [{"name": f"layers.{n}.mlp", "shape": [4]} for n in range(n_layers)]
    values = xr.DataArray(
        rows,
        {"visit": [0, 2, 4], "probe": np.arange(n_examples)},
        ("visit", "probe", "element"),
        attrs={"fields": fields},
    ).chunk(element=3)
    flat = values.to_dataset(name="values")
    tree = xr.DataTree.from_dict(
        {"/activations": xr.Dataset(coords={"visit": [0, 2, 4]}), "/activations/flat": flat}
    )
    tree.attrs = {"n_tasks": 4, "order": "cyclic", "path": "run.zarr"}
    return rows.reshape(3, n_examples, n_layers, 4), tree


def expected(rows):
    """CKA of one pair of layers at a time, dims (example, layer, element)."""
    n_layers = rows.shape[1]
    layers = [xr.DataArray(rows[:, n], dims=("probe", "element")) for n in range(n_layers)]
    return [
        [
            cka(*(example_gram(each.expand_dims("visit")) for each in (one, other)), n_permutations=1)["cka"]
            .squeeze()
            .item()
            for other in layers
        ]
        for one in layers
    ]


def test_it_is_the_cka_between_layers_at_the_last_or_any_snapshot():
    rows, trace = with_layers(3)
    with no_compute():
        built = [BUILD({"a": trace}, visit=visit) for visit in (None, 2)]
    for found, place, visit in zip(built, (2, 1), (4, 2), strict=True):
        np.testing.assert_allclose(found["cka"][0], expected(rows[place]), atol=1e-12)
        assert found["snapshot"].item() == visit


def test_runs_may_have_different_layers_and_each_panel_its_own():
    (_, wide), (rows, narrow) = with_layers(4), with_layers(2, seed=1)
    dataset = BUILD({"four": wide, "two": narrow}).compute()
    np.testing.assert_allclose(dataset["cka"][1, :2, :2], expected(rows[2]), atol=1e-12)
    figure = DRAW(dataset)
    assert [panel.get_title(loc="left") for panel in figure.axes[:2]] == ["four, visit 4", "two, visit 4"]
    assert [panel.get_xlim()[1] for panel in figure.axes[:2]] == [3.5, 1.5]
    assert "layers.0 to layers.3" in " ".join(text.get_text() for text in figure.findobj(match_text))


def match_text(artist):
    return hasattr(artist, "get_text")


def test_too_few_examples_are_told():
    figure = DRAW(BUILD({"a": with_layers(2, n_examples=3)[1]}).compute())
    assert any("CKA needs four examples" in text.get_text() for text in figure.findobj(match_text))


def test_a_run_without_activations_is_left_out_and_a_visit_without_them_refused():
    _, trace = with_layers(2)
    without = synthetic_trace().filter(lambda node: "activations" not in node.path)
    assert BUILD({"a": trace, "b": without}).attrs["left_out"] == ["b"]
    with pytest.raises(AnalysisError, match=r"run .a.: expected visit 3, found run\.zarr: visits 0, 2, 4"):
        BUILD({"a": trace}, visit=3)
