"""Blocks of all visits are neither copied nor blown up by what is made of them."""

import importlib

import dask.array as da
import numpy as np

from analyses import statistics
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
    seen, sums = [], kernels.sums

    def counted(values, owners, *, n_tensors):
        seen.append(values.nbytes)
        return sums(values, owners, n_tensors=n_tensors)

    monkeypatch.setattr(importlib.import_module("analyses.statistics"), "WORK_BYTES", 9 * 8 * 5)
    monkeypatch.setattr(kernels, "sums", counted)
    pieces = statistics(trace).compute()
    for name in whole.data_vars:
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-12, atol=1e-12)
    assert len(seen) > 1
    assert max(seen) <= 9 * 8 * 5
