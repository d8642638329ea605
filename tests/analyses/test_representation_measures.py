"""CKA, Procrustes and RSA against their definitions on raw rows, and against scipy."""

import json
import tracemalloc

import dask.array as da
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import xarray as xr
from scipy.spatial.distance import pdist, squareform

from analyses.commands.representation import REPRESENTATION
from analyses.dissimilarity import rdm, rsa
from analyses.representation import cka, example_gram, procrustes
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_trace


def random(n_visits=3, n_examples=7, n_elements=11, seed=0):
    values = np.random.default_rng(seed).standard_normal((n_visits, n_examples, n_elements))
    coords = {"visit": np.arange(n_visits) * 2, "probe": [f"p{i}" for i in range(n_examples)]}
    labelled = xr.DataArray(values + 3, coords, ("visit", "probe", "element"))
    return values + 3, labelled.chunk(visit=2, probe=3, element=4)


def slow_hsic(k, m):
    """HSIC₁ as written in its source, with loops for the matrix products."""
    n = len(k)
    k, m = (
        np.array([[each[i][j] if i != j else 0.0 for j in range(n)] for i in range(n)]) for each in (k, m)
    )
    trace = sum(k[i, j] * m[j, i] for i in range(n) for j in range(n))
    sums = sum(k[i, j] * m[j, o] for i in range(n) for j in range(n) for o in range(n))
    return (trace + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * sums) / (n * (n - 3))


def slow_cka(x, y, *, unbiased):
    k, m = x @ x.T, y @ y.T
    if unbiased:
        return slow_hsic(k, m) / np.sqrt(slow_hsic(k, k) * slow_hsic(m, m))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def slow_procrustes(x, y):
    x, y = (rows - rows.mean(axis=0) for rows in (x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    rotation, _ = scipy.linalg.orthogonal_procrustes(y, x)
    return np.linalg.norm(x - y @ rotation)


def every_pair(measure, one, other):
    return np.array([[measure(x, y) for y in other] for x in one])


@pytest.mark.parametrize("unbiased", [True, False])
def test_cka_is_that_of_the_definition(unbiased):
    values, labelled = random()
    other, labelled_other = random(n_visits=2, n_elements=5, seed=1)
    labelled, labelled_other = (
        each.assign_coords(epoch=each["visit"] // 2) for each in (labelled, labelled_other)
    )
    found = cka(example_gram(labelled), example_gram(labelled_other), unbiased=unbiased)["cka"]
    assert found["epoch"].dims == ("visit",)
    expected = every_pair(lambda x, y: slow_cka(x, y, unbiased=unbiased), values, other)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found["visit_other"].values.tolist() == [0, 2]


def test_procrustes_is_the_distance_after_the_rotation_that_scipy_finds():
    values, labelled = random()
    other, labelled_other = random(n_visits=2, seed=1)
    found = procrustes(example_gram(labelled), example_gram(labelled_other))
    np.testing.assert_allclose(found, every_pair(slow_procrustes, values, other), atol=1e-7)
    assert found.attrs["units"] == "1"
    np.testing.assert_allclose(np.diagonal(procrustes(example_gram(labelled))), 0.0, atol=1e-7)


@pytest.mark.parametrize("metric", ["cosine", "correlation", "euclidean"])
def test_rdm_is_that_of_scipy_and_rsa_spearmans_correlation_of_two(metric):
    values, labelled = random()
    above = np.triu_indices(7, k=1)
    found = rdm(labelled, metric=metric)
    np.testing.assert_allclose(
        found.values[:, above[0], above[1]], [pdist(rows, metric) for rows in values], atol=1e-9
    )
    np.testing.assert_array_equal(np.diagonal(found, axis1=1, axis2=2), 0.0)
    expected = every_pair(
        lambda x, y: scipy.stats.spearmanr(pdist(x, metric), pdist(y, metric)).statistic, values, values
    )
    np.testing.assert_allclose(rsa(found)["rsa"], expected, atol=1e-9)


@pytest.mark.parametrize("chunked", [True, False])
def test_correlations_far_from_zero_keep_their_digits_and_equal_values_have_none(chunked):
    rows = 1e6 + np.random.default_rng(0).standard_normal((2, 5, 400))
    rows[:, 3] = 0.1  # adds up to something else than 400 times as much
    rows[0, 1, 7] = np.nan
    values = xr.DataArray(rows, dims=("visit", "probe", "element"))
    found = rdm(values.chunk(element=30) if chunked else values)
    expected = np.array([squareform(pdist(each, "correlation")) for each in rows])
    expected[:, 3], expected[:, :, 3], expected[0, 1], expected[0, :, 1] = (np.nan,) * 4
    expected[:, range(5), range(5)] = 0
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_correlations_are_taken_without_all_of_the_values_in_memory():
    blocks = da.random.default_rng(0).standard_normal((2, 4, 1 << 21), chunks=(2, 4, 1 << 15))
    lazy = rdm(xr.DataArray(blocks, dims=("visit", "probe", "element")))
    tracemalloc.start()
    lazy.compute(scheduler="synchronous")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < blocks.nbytes / 4


def test_products_of_examples_have_squared_units():
    values = xr.DataArray(np.eye(3)[np.newaxis], dims=("visit", "probe", "element"), attrs={"units": "V"})
    assert [example_gram(values, center=c).attrs["units"] for c in (True, False)] == ["(V)²", "(V)²"]


def test_ties_among_dissimilarities_are_ranked_as_scipy_does():
    rows = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [2, 2]])
    other = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [5, 2]])
    first, second = (
        rdm(xr.DataArray(each[np.newaxis], dims=("visit", "probe", "element")), metric="euclidean")
        for each in (rows, other)
    )
    expected = scipy.stats.spearmanr(pdist(rows), pdist(other)).statistic
    np.testing.assert_allclose(rsa(first, second)["rsa"].item(), expected)


def test_independent_data_have_no_unbiased_cka_and_nearly_all_of_the_biased_one():
    _, labelled = random(n_visits=6, n_examples=25, n_elements=1024)
    off_diagonal = ~np.eye(6, dtype=bool)
    matrix = example_gram(labelled)
    unbiased = cka(matrix)
    assert abs(unbiased["cka"].values[off_diagonal].mean()) < 0.02
    biased = cka(matrix, unbiased=False)
    np.testing.assert_allclose(biased["cka"].values[off_diagonal], 0.976, atol=0.01)
    np.testing.assert_allclose(biased["null_mean"].values[off_diagonal], 0.976, atol=0.01)


def slow_null(x, y, orders):
    return [slow_cka(x, y[order], unbiased=True) for order in orders]


@pytest.mark.parametrize("n_examples", [4, 7])  # of four, shuffles that change nothing are among them
def test_the_null_is_that_of_shuffled_pairs(n_examples):
    values, labelled = random(n_visits=2, n_examples=n_examples)
    found = cka(example_gram(labelled), n_permutations=99, seed=3).compute()
    rng = np.random.default_rng(3)
    null = slow_null(values[0], values[1], [rng.permutation(n_examples) for _ in range(99)])
    for name, expected in {
        "null_mean": sum(null) / 99,
        "null_high": np.quantile(null, 0.95),
        "p_value": (sum(each >= found["cka"][0, 1].item() - 1e-9 for each in null) + 1) / 100,
    }.items():
        np.testing.assert_allclose(found[name][0, 1], expected)


def test_p_values_of_independent_data_are_uniform():
    _, one = random(n_visits=20, n_examples=10)
    _, other = random(n_visits=20, n_examples=10, seed=1)
    for compare, prepare in ((cka, example_gram), (rsa, rdm)):
        p_values = compare(prepare(one), prepare(other))["p_value"].values
        assert 0.02 < (p_values <= 0.05).mean() < 0.09
        assert 0.4 < p_values.mean() < 0.6


@pytest.mark.parametrize("scale", [2, 1e-6])
def test_rotations_and_scales_change_nothing_and_other_widths_can_be_compared(scale):
    values, labelled = random(n_visits=1)
    rotation = scipy.stats.ortho_group.rvs(11, random_state=0)
    turned = labelled.copy(data=scale * values @ rotation)
    wide = xr.concat([turned, 0 * turned], "element")
    matrices = example_gram(labelled), example_gram(wide)
    np.testing.assert_allclose(cka(*matrices)["cka"], 1.0)
    np.testing.assert_allclose(procrustes(*matrices), 0.0, atol=1e-7)
    np.testing.assert_allclose(
        rsa(rdm(labelled, metric="euclidean"), rdm(wide, metric="euclidean"))["rsa"], 1
    )


def test_examples_far_from_zero_lose_no_digits():
    values, labelled = random()
    away = values - values.mean(axis=1, keepdims=True)
    found = example_gram(labelled + 2.0**20)
    np.testing.assert_allclose(found, away @ away.swapaxes(1, 2), atol=1e-7)


def test_a_visit_at_which_all_is_small_is_ranked_as_any_other():
    _, labelled = random(n_visits=1)
    both = xr.concat([labelled, 1e-12 * labelled.assign_coords(visit=[1])], "visit")
    np.testing.assert_allclose(rsa(rdm(both.compute(), metric="euclidean"))["rsa"], 1.0)


def test_layers_are_compared_at_every_visit():
    values, labelled = random()
    narrow = labelled.isel(element=slice(4))
    layers = xr.concat([example_gram(labelled), example_gram(narrow)], "layer")
    found = cka(layers, dim="layer")["cka"]
    assert found.dims == ("visit", "layer", "layer_other")
    expected = [slow_cka(rows, rows[:, :4], unbiased=True) for rows in values]
    np.testing.assert_allclose(found[:, 0, 1], expected)


def test_what_is_not_defined_is_nan_without_a_warning():
    _, labelled = random(n_examples=3)
    assert np.isnan(cka(example_gram(labelled))["cka"]).all()
    same = 0 * labelled + 1
    for found in (cka(example_gram(same), unbiased=False)["cka"], procrustes(example_gram(same))):
        assert np.isnan(found).all()
    values, labelled = random()
    values[1, 2, 3] = np.nan
    broken = labelled.copy(data=values)
    for found in (
        *cka(example_gram(broken)).data_vars.values(),
        procrustes(example_gram(broken)),
        rsa(rdm(broken))["rsa"],
    ):
        np.testing.assert_array_equal(np.isnan(found[1]), True)
        assert np.isfinite(found[0, [0, 2]]).all()


def test_errors_name_what_was_found():
    _, labelled = random()
    matrix = example_gram(labelled)
    with pytest.raises(AnalysisError, match="expected dim 'probe'"):
        example_gram(labelled.isel(probe=0))
    with pytest.raises(AnalysisError, match="found 7 and 5 along 'probe'"):
        cka(matrix, matrix.isel(probe=slice(5), probe_other=slice(5)))
    with pytest.raises(AnalysisError, match="other names along 'probe'"):
        cka(matrix, matrix.assign_coords(probe=list("abcdefg")))
    with pytest.raises(AnalysisError, match="other names along 'probe'"):
        cka(matrix, matrix.assign_coords(probe=matrix["probe"].values[::-1]))
    with pytest.raises(AnalysisError, match="expected dim 'probe_other'"):
        cka(matrix, labelled)
    with pytest.raises(AnalysisError, match="n_permutations: expected 1 or more, found 0"):
        cka(matrix, n_permutations=0)
    with pytest.raises(AnalysisError, match="metric: expected one of cosine, correlation, euclidean"):
        rdm(labelled, metric="cosin")
    with pytest.raises(AnalysisError, match="expected dims such as"):
        cka(labelled)


@pytest.mark.parametrize("measure", ["cka", "biased-cka", "procrustes", "rsa"])
@pytest.mark.parametrize("n_runs", [1, 2])
def test_reports_of_one_run_and_of_two(measure, n_runs):
    trace = synthetic_trace(n_tasks=5, n_epochs=3)
    built = REPRESENTATION.build(*[trace] * n_runs, measure=measure, dissimilarity="euclidean")
    found = REPRESENTATION.report(built.compute())
    json.dumps(found.numbers)
    # every visit is the same activations at another place: examples lie alike at all of them
    np.testing.assert_allclose(
        found.numbers["similarity"], 0.0 if measure == "procrustes" else 1.0, atol=1e-6
    )
    assert found.rows[-1][0] == (10 if n_runs == 1 else 15)
    assert all(len(row) == len(found.columns) for row in found.rows)


@pytest.mark.parametrize("sizes", [{"n_tasks": 1, "n_epochs": 3}, {"n_tasks": 3, "n_epochs": 1}])
def test_too_few_examples_are_told_not_crashed_on(sizes):
    found = REPRESENTATION.report(REPRESENTATION.build(synthetic_trace(**sizes)).compute())
    assert any("too few examples" in note for note in found.notes)


def test_values_without_examples_are_refused_by_name():
    with pytest.raises(AnalysisError, match="expected weights of several examples at each visit"):
        REPRESENTATION.build(synthetic_trace(), kind="weights")


LAYERS = {"layers.0": [0, 1, 2, 3, 9, 10, 11], "norm": [4, 5, 6, 7, 8], "layers.1": [12, 13, 14, 15, 16]}


def trace_of_layers(seed, visits=(0, 4, 8)):
    """Activations of two layers, one of which lies in two places, and a norm between them."""
    sizes = {"layers.0.mlp": 4, "norm": 5, "layers.0.attention": 3, "layers.1.mlp": 5}
    values = np.random.default_rng(seed).standard_normal((len(visits), 7, 17))
    flat_values = xr.DataArray(
        values,
        {
            "visit": list(visits),
            "position": ("visit", seed + np.arange(len(visits))),
            "probe": list("abcdefg"),
        },
        ("visit", "probe", "element"),
        attrs={"fields": [{"name": name, "shape": [size]} for name, size in sizes.items()]},
    ).chunk(element=6)
    tree = xr.DataTree.from_dict(
        {"/activations": xr.Dataset(), "/activations/flat": flat_values.to_dataset(name="values")}
    )
    tree.attrs = {"n_tasks": 4, "order": "cyclic", "path": f"run{seed}.zarr"}
    return values, tree


@pytest.mark.parametrize("visit", [None, 4])
@pytest.mark.parametrize("n_runs", [1, 2])
def test_layers_of_a_trace_are_compared_pair_by_pair(n_runs, visit):
    values, traces = zip(*(trace_of_layers(seed) for seed in range(n_runs)), strict=True)
    built = REPRESENTATION.build(*traces, between="layers", visit=visit)
    found = REPRESENTATION.report(built.compute())
    first, other = (each[2 if visit is None else 1] for each in (values[0], values[-1]))
    pairs = [(one, two) for one in LAYERS for two in LAYERS]
    pairs = pairs if n_runs == 2 else [pairs[1], pairs[2], pairs[5]]
    assert [row[:2] for row in found.rows] == pairs
    expected = [slow_cka(first[:, LAYERS[one]], other[:, LAYERS[two]], unbiased=True) for one, two in pairs]
    np.testing.assert_allclose(found.numbers["similarity"], expected)
    assert (found.numbers["visit"], found.numbers["between"]) == (visit or 8, "layers")
    json.dumps(found.numbers)


@pytest.mark.parametrize("measure", ["procrustes", "rsa"])
def test_layers_are_compared_by_every_measure(measure):
    values, trace = trace_of_layers(0)
    found = REPRESENTATION.report(REPRESENTATION.build(trace, measure=measure, between="layers").compute())
    first, norm = (values[2][:, LAYERS[name]] for name in ("layers.0", "norm"))
    distances = [pdist(rows, "correlation") for rows in (first, norm)]
    filled = np.pad(norm, [(0, 0), (0, first.shape[1] - norm.shape[1])])
    expected = (
        slow_procrustes(first, filled) if measure == "procrustes" else scipy.stats.spearmanr(*distances)[0]
    )
    np.testing.assert_allclose(found.numbers["similarity"][0], expected, atol=1e-7)
    assert ("p" in found.columns) == (measure == "rsa")


def test_a_visit_that_is_not_there_or_not_asked_for_is_refused():
    traces = trace_of_layers(0)[1], trace_of_layers(1, visits=(0, 5))[1]
    with pytest.raises(
        AnalysisError, match=r"expected visit 4, found run0.zarr: visits 0, 4, 8; run1.zarr: v.* 0, 5"
    ):
        REPRESENTATION.build(*traces, between="layers", visit=4)
    assert REPRESENTATION.build(*traces, between="layers").attrs["visit"] == 0
    with pytest.raises(AnalysisError, match="visit 4 is for between='layers'"):
        REPRESENTATION.build(*traces, visit=4)
