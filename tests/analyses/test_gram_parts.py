"""Gram matrices by layer, group and parameter, and those to which visits are added later."""

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

import analyses
from analyses.grams import anchored_products, gram, gram_of_products
from analyses.groups import grouped
from analyses.kernels import similarity as kernels
from tracekit.errors import AnalysisError

FIELDS = {
    "embed.weight": 7,
    "layers.0.attention.weight": 12,
    "layers.0.norm.bias": 1,
    "layers.1.attention.weight": 12,
    "layers.1.mlp.weight": 0,
    "layers.1.norm.bias": 5,
    "lm_head.weight": 13,
}
ENDS = np.cumsum(list(FIELDS.values()))
N_VISITS = 9


def flat_values(chunks=None, middle=None):
    """Rows as `tracekit.flat` gives them, with the names of their fields."""
    shape = (N_VISITS, *(middle or ()), ENDS[-1])
    values = 3 + np.random.default_rng(2).standard_normal(shape)
    fields = [
        {"name": name, "shape": [size], "offset": int(end - size), "dtype": "float64"}
        for (name, size), end in zip(FIELDS.items(), ENDS, strict=True)
    ]
    data = values if chunks is None else da.from_array(values, chunks=chunks)
    dims = ("visit", *(["probe"] if middle else []), "element")
    return xr.DataArray(data, dims=dims, coords={"visit": np.arange(N_VISITS)}, attrs={"fields": fields})


def slow(values, places):
    """The Gram matrix of some fields, visit by visit."""
    columns = np.concatenate([np.arange(ENDS[n] - list(FIELDS.values())[n], ENDS[n]) for n in places])
    rows = values.values[..., columns].reshape(N_VISITS, -1)
    rows = rows - rows.mean(axis=0)
    return np.array([[np.sum(one * other) for other in rows] for one in rows])


@pytest.mark.parametrize("by", ["layer", "group", "parameter"])
@pytest.mark.parametrize(
    ("chunks", "middle"), [(None, None), ((4, 6), None), ((9, 50), None), ((4, 2, 6), (3,)), (None, (3,))]
)
def test_each_part_has_the_gram_matrix_of_its_columns(by, chunks, middle):
    values = flat_values(chunks, middle)
    found = gram(values, by=by)
    assert found.dims == (by, "visit", "visit_other")
    for label, places in grouped(list(FIELDS), by).items():
        np.testing.assert_allclose(found.sel({by: label}), slow(values, places), atol=1e-12)
    np.testing.assert_allclose(found.sum(by), gram(values), atol=1e-12)


def test_variables_of_a_dataset_are_parts_by_their_names():
    values = flat_values((3, 8))
    ends = dict(zip(FIELDS, ENDS, strict=True))
    named = {name: values[:, ends[name] - size : ends[name]] for name, size in FIELDS.items()}
    parts = xr.Dataset({name: each.rename(element=f"axis_{name}") for name, each in named.items()})
    for by in ("model", "layer", "group", "parameter"):
        xr.testing.assert_allclose(gram(parts, by=by).compute(), gram(values, by=by).compute(), atol=1e-12)


def test_however_many_parts_every_block_is_read_once():
    read = []

    def block(block_info):
        read.append(block_info[None]["chunk-location"])
        return flat_values().values[:, slice(*block_info[None]["array-location"][1])]

    chunks = ((N_VISITS,), (10,) * 5)
    lazy = da.map_blocks(block, chunks=chunks, dtype=float, meta=np.empty((0, 0)))
    values = flat_values().copy(data=lazy)
    found = gram(values, by="parameter")
    with dask.config.set(scheduler="threads"):
        np.testing.assert_allclose(found, gram(flat_values(), by="parameter"), atol=1e-12)
    assert sorted(read) == [(0, column) for column in range(5)]


def test_values_without_names_have_no_parts():
    with pytest.raises(AnalysisError, match="by='layer' needs the names of what is in it; give flat values"):
        gram(xr.DataArray(np.eye(2), dims=("visit", "element")), by="layer")


@pytest.mark.parametrize(
    "names",
    [
        lambda g: analyses.cosine(g),
        lambda g: analyses.distance(g),
        lambda g: analyses.residual_cosine(g, window=3),
        lambda g: analyses.cyclicity(analyses.cosine(g), period=3),
        lambda g: analyses.period(analyses.cosine(g)),
        lambda g: analyses.pca(g, n_components=2),
        lambda g: analyses.step_length(g),
        lambda g: analyses.displacement(g),
        lambda g: analyses.turning_angle(g),
        lambda g: analyses.path_length(g),
        lambda g: analyses.tortuosity(g),
        lambda g: analyses.effective_rank(g),
    ],
)
def test_what_follows_from_a_gram_matrix_follows_for_each_part(names):
    parts = gram(flat_values((3, 8)), by="layer")
    found = names(parts)
    for layer in parts["layer"].values:
        alone = names(parts.sel(layer=layer, drop=True))
        xr.testing.assert_allclose(found.sel(layer=layer, drop=True).compute(), alone.compute())


@pytest.mark.parametrize("by", ["model", "layer"])
@pytest.mark.parametrize("chunks", [None, (4, 6)])
@pytest.mark.parametrize("n_known", [1, 8])
@pytest.mark.parametrize("bad", [(), (0, 1), (3, 6)])
def test_added_visits_give_what_all_at_once_gives(by, chunks, n_known, bad):
    values = flat_values(chunks)
    holes = xr.DataArray(np.arange(ENDS[-1]) % 5 == 2, dims="element")
    values = values.where(~(values["visit"].isin(bad) & holes))
    known = anchored_products(values[:n_known], by=by).compute()
    extended = anchored_products(values, by=by, known=known)
    whole = anchored_products(values, by=by)
    xr.testing.assert_allclose(extended.compute(), whole.compute(), rtol=1e-13, atol=1e-12)
    for center in (True, False):
        found, expected = (gram_of_products(each, center=center) for each in (extended, whole))
        xr.testing.assert_allclose(found.compute(), expected.compute(), rtol=1e-13, atol=1e-12)


def test_of_added_visits_alone_products_are_taken(monkeypatch):
    taken = []
    anchored = kernels.anchored

    def noting(rows, *, first):
        taken.append(first)
        return anchored(rows, first=first)

    monkeypatch.setattr(kernels, "anchored", noting)
    known = anchored_products(flat_values()[:6])
    anchored_products(flat_values(), known=known)
    assert taken == [0, 7]
