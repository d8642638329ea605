"""Statistics computed from tensors are those of a slow twin, and those that were recorded."""

import tracemalloc
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import analyses
from analyses.commands.norms import NORMS
from analyses.kernels import statistics as kernels
from analyses.statistics import NAMES
from tracekit import flat
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_trace


def slow(rows):
    """Statistics of one tensor over visits, (visit, element)."""
    rows = np.asarray(rows, np.float64)
    steps = [np.nan, *(np.linalg.norm(after - before) for before, after in pairwise(rows))]
    return {
        "norm": [np.linalg.norm(row) for row in rows],
        "mean": [row.mean() for row in rows],
        "std": [row.std() for row in rows],
        "min": [row.min() for row in rows],
        "max": [row.max() for row in rows],
        "absolute_mean": [np.abs(row).mean() for row in rows],
        "update_size": steps,
        "distance_from_start": [np.linalg.norm(row - rows[0]) for row in rows],
    }


@pytest.mark.parametrize("lead", [(6,), (6, 3)])
@pytest.mark.parametrize("cuts", [(), (4,), (1, 5, 9)])
def test_sums_of_pieces_join_to_the_statistics_of_the_whole(lead, cuts):
    sizes = np.array([4, 1, 7])
    rows = np.random.default_rng(0).standard_normal((*lead, 12))
    starts = sorted({0, 4, 5, *cuts})
    owners = np.repeat(np.arange(3), sizes)[starts]
    parts = kernels.sums(rows, np.array(starts))
    found = kernels.statistics(kernels.joined(parts, owners, n_tensors=3), sizes.astype(float))
    assert list(found) == list(NAMES)
    for number, (start, stop) in enumerate([(0, 4), (4, 5), (5, 12)]):
        for place in np.ndindex(lead[1:]):
            one = rows[(slice(None), *place, slice(start, stop))]
            for name, expected in slow(one).items():
                np.testing.assert_allclose(
                    found[name][(slice(None), *place, number)], expected, rtol=1e-12, atol=1e-12
                )


def test_values_that_are_no_numbers_show_and_equal_ones_have_no_spread():
    rows = np.array([[[0.1] * 7, [1, 2, np.nan, 4, 5, 6, 7], [1, 2, np.inf, 4, 5, 6, -7]]] * 2)
    sizes = np.full(3, 7.0)
    parts = kernels.sums(rows.reshape(2, -1), np.array([0, 7, 14]))
    found = kernels.statistics(parts, sizes)
    np.testing.assert_allclose(found["std"][:, 0], 0, atol=1e-7)
    assert all(np.isnan(values[1, 1]) for values in found.values())
    assert [found[name][0, 2] for name in ("norm", "max", "min")] == [np.inf, np.inf, -7]
    assert np.isnan(found["std"][0, 2])


def test_sums_of_half_precision_neither_overflow_nor_round():
    rows = np.random.default_rng(0).uniform(100, 60000, (4, 900)).astype(np.float16)
    found = kernels.statistics(kernels.sums(rows, np.array([0])), np.array([900.0]))
    for name, expected in slow(rows).items():
        np.testing.assert_allclose(found[name][:, 0], expected, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["weights", "gradients", "activations"])
def test_a_trace_in_full_gives_its_statistics(kind):
    trace = synthetic_trace(n_tasks=4, n_epochs=3)
    found = analyses.statistics(trace, kind, select="*bias")
    assert found.attrs["source"] == "computed"
    assert found["tensor"].values.tolist() == ["block.bias"]
    rows = trace[kind]["block.bias"].values
    for place in np.ndindex(rows.shape[1:-1]):
        for name, expected in slow(rows[(slice(None), *place)]).items():
            np.testing.assert_allclose(
                found[name][(slice(None), *place, 0)], expected, rtol=1e-9, atol=1e-7, err_msg=name
            )


def test_a_visit_without_numbers_is_not_defined_and_spoils_no_other():
    trace = synthetic_trace(n_tasks=4, n_epochs=2)
    broken = trace.map_over_datasets(
        lambda node: node.where(node["visit"] != 3) if "visit" in node.dims else node
    )
    found = analyses.statistics(broken).compute()
    whole = analyses.statistics(trace).compute()
    assert np.isnan(found.to_dataarray().sel(visit=3)).all()
    assert np.isnan(found["update_size"].sel(visit=4)).all()
    rest = [0, 1, 2, 5, 6, 7, 8]
    xr.testing.assert_allclose(found.sel(visit=rest), whole.sel(visit=rest))


def reduced(trace, *names):
    """The same trace, with reductions in place of the weights."""
    node = analyses.statistics(trace, names=names).compute()
    without = trace.filter(lambda node: "weights" not in node.path)
    return xr.DataTree.from_dict({**without.to_dict(), "/weights_reductions": node * 2})


def test_what_was_recorded_is_read():
    trace = reduced(synthetic_trace(n_tasks=4), "norm", "mean")
    found = analyses.statistics(trace, names=["norm"], select=["*", "!*bias"])
    assert found.attrs["source"] == "recorded"
    assert found["tensor"].values.tolist() == ["block.weight"]
    expected = 2 * analyses.statistics(synthetic_trace(n_tasks=4))["norm"].sel(tensor=["block.weight"])
    np.testing.assert_array_equal(found["norm"], expected)


def test_what_was_not_recorded_is_named():
    trace = reduced(synthetic_trace(n_tasks=4), "norm")
    with pytest.raises(
        AnalysisError, match=r"expected 'weights', found .*losses.*; record it, or its red.* \(std\)"
    ):
        analyses.statistics(trace, names=["std"])
    with pytest.raises(AnalysisError, match="no statistic 'nrom'"):
        analyses.statistics(trace, names=["nrom"])
    with pytest.raises(AnalysisError, match=r"no name matches '\*\.wieght'"):
        analyses.statistics(trace, names=["norm"], select="*.wieght")


def test_the_report_tells_where_every_tensor_began_and_ended():
    report = NORMS.report(NORMS.build(synthetic_trace(n_tasks=4), statistic="distance_from_start").compute())
    assert [row[0] for row in report.rows] == ["block.weight", "block.bias"]
    first, last, least, most = report.rows[0][1:]
    assert first == least == 0
    np.testing.assert_allclose([last, most], [0, 2], atol=1e-7)
    assert report.numbers["source"] == "computed"
    assert "13 visits" in report.notes[0]


def test_statistics_have_the_units_of_the_tensors():
    values = flat(synthetic_trace(n_tasks=4), "gradients").assign_attrs(units="nats")
    tree = xr.DataTree.from_dict(
        {"/gradients": xr.Dataset(), "/gradients/flat": values.to_dataset(name="values")}
    )
    assert {each.attrs["units"] for each in analyses.statistics(tree, "gradients").values()} == {"nats"}


def test_a_statistic_that_was_not_recorded_is_computed_with_all_others():
    trace = synthetic_trace(n_tasks=4)
    node = 2 * analyses.statistics(trace, names=["norm"]).compute()
    both = xr.DataTree.from_dict({**trace.to_dict(), "/weights_reductions": node})
    found, expected = (analyses.statistics(each, names=["norm", "std"]) for each in (both, trace))
    assert found.attrs["source"] == "computed"
    xr.testing.assert_equal(found, expected)


def test_a_block_of_several_pieces_has_the_statistics_of_the_whole(monkeypatch):
    trace = synthetic_trace(n_tasks=4)
    whole = analyses.statistics(trace).compute()
    values = trace["weights/flat"]["values"]
    columns = 3
    assert values.sizes["element"] % columns
    monkeypatch.setattr(kernels, "WORK_BYTES", columns * values.sizes["visit"] * 8)
    xr.testing.assert_allclose(analyses.statistics(trace).compute(), whole)


def test_one_pass_over_a_trace_reads_every_value_once():
    trace = synthetic_trace(n_tasks=4)
    values = flat(trace, "weights")
    read = []

    def counted(block):
        read.append(block.size)
        return block

    watched = values.copy(data=values.data.map_blocks(counted, dtype=values.dtype, meta=np.empty((0, 0))))
    tree = xr.DataTree.from_dict(
        {"/weights": xr.Dataset(), "/weights/flat": watched.to_dataset(name="values")}
    )
    analyses.statistics(tree).compute(scheduler="synchronous")
    assert sum(read) == values.size


def lazy_weights(n_tensors, size, block):
    """A trace of 3 visits of tensors of ones, lazy, in blocks of some columns."""
    fields = [{"name": f"layers.{n}.weight", "shape": [size]} for n in range(n_tensors)]
    values = xr.DataArray(
        da.ones((3, n_tensors * size), chunks=(3, block), dtype=np.float32),
        dims=("visit", "element"),
        coords={"visit": np.arange(3)},
        attrs={"fields": fields},
    )
    flat_values = values.to_dataset(name="values")
    return xr.DataTree.from_dict({"/weights": xr.Dataset(), "/weights/flat": flat_values})


def peak_of(work):
    tracemalloc.start()
    found = work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found, peak


def test_nothing_as_large_as_a_row_is_made_before_it_is_read():
    """A number for every element took 8 GB for a model of a billion parameters."""
    found, peak = peak_of(lambda: analyses.statistics(lazy_weights(100, 10**7, 10**6)))
    assert found.sizes == {"visit": 3, "tensor": 100}
    assert peak < 10 * 2**20


def test_a_block_gives_sums_of_its_own_tensors_alone():
    """Those of all tensors, from each block, would be 400 × 400 × 3 × 7 numbers here: 27 MB."""
    trace = lazy_weights(400, 100, 100)
    analyses.statistics(trace, names=["norm"]).compute(scheduler="synchronous")
    found, peak = peak_of(lambda: analyses.statistics(trace).compute(scheduler="synchronous"))
    assert peak < 10 * 2**20
    np.testing.assert_array_equal(found["norm"], 10)
