"""Blocks of all visits are neither copied nor blown up by what is made of them."""

import tracemalloc

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.order import order

from analyses import blocks as blocks_module
from analyses import gram, statistics
from analyses.blocks import sum_over_blocks
from analyses.kernels import statistics as kernels
from tracekit.testing import synthetic_trace


def test_no_block_is_copied_for_its_product():
    source = np.arange(4000.0).reshape(4, 1000)
    shared = []

    def kernel(rows):
        shared.append(np.shares_memory(rows, source))
        return rows @ rows.T

    blocks = da.map_blocks(
        lambda block_info: source[:, slice(*block_info[None]["array-location"][1])],
        chunks=((4,), (100,) * 10),
        dtype=float,
        meta=np.empty((0, 0)),
    )
    total = sum_over_blocks(kernel, blocks, block_bytes=4 * 8 * 100).compute(scheduler="synchronous")
    np.testing.assert_allclose(total, source @ source.T)
    assert shared == [True] * 10


def test_statistics_of_small_pieces_are_those_of_the_whole(monkeypatch):
    trace = synthetic_trace(n_tasks=4, n_epochs=2)
    whole = statistics(trace).compute()
    seen, sums = [], kernels._sums_of_stretch

    def counted(values, starts, memory):
        seen.append(values.size * 8)
        return sums(values, starts, memory)

    monkeypatch.setattr(kernels, "WORK_BYTES", 9 * 8 * 5)
    monkeypatch.setattr(kernels, "_sums_of_stretch", counted)
    pieces = statistics(trace).compute()
    for name in whole.data_vars:
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-12, atol=1e-12)
    assert len(seen) > 1
    assert max(seen) <= 9 * 8 * 5


def narrow_blocks(n_blocks):
    """Give lazy values in many blocks of one column each, dims (visit, element)."""
    values = np.random.default_rng(0).standard_normal((4, n_blocks))
    return xr.DataArray(da.from_array(values, chunks=(4, 1)), dims=("visit", "element"))


def memory_to_order(n_blocks):
    graph = dict(gram(narrow_blocks(n_blocks), block_bytes=4 * 8).data.__dask_graph__())
    tracemalloc.start()
    order(graph)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / n_blocks


def test_dask_takes_no_more_memory_for_each_block_the_more_there_are():
    """Sums that all follow from each other took 80 KB for each of 4,000 blocks, and 160 for 8,000."""
    memory_to_order(10)
    assert memory_to_order(2000) < 1.5 * memory_to_order(500)


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4, 9, 10, 27, 28, 100])
def test_sums_in_stages_are_those_of_all(n_blocks, monkeypatch):
    monkeypatch.setattr(blocks_module, "LINKS", 3)
    values = narrow_blocks(n_blocks)
    np.testing.assert_allclose(gram(values, block_bytes=4 * 8), gram(values.compute()), atol=1e-12)
