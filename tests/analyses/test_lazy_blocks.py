"""Blocks of columns: one BLAS thread each, while dask has all cores at work."""

import dask.array as da
import numpy as np
from threadpoolctl import threadpool_info

from analyses.blocks import sum_over_blocks


def blas_threads():
    return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")


def test_blas_has_one_thread_within_a_block_and_gets_the_others_back():
    before, seen = blas_threads(), []

    def kernel(rows):
        seen.append(blas_threads())
        return rows @ rows.T

    values = da.ones((4, 1000), chunks=(4, 10))
    total = sum_over_blocks(kernel, values, block_bytes=4 * 8 * 10).compute(scheduler="synchronous")

    np.testing.assert_array_equal(total, np.full((4, 4), 1000.0))
    assert set(seen) == {1}
    assert blas_threads() == before


def test_threads_that_overlap_give_blas_its_threads_back():
    before = blas_threads()
    values = da.ones((8, 4000), chunks=(8, 10))
    total = sum_over_blocks(lambda rows: rows @ rows.T, values, block_bytes=8 * 8 * 10)
    np.testing.assert_array_equal(total.compute(scheduler="threads", num_workers=8), np.full((8, 8), 4000.0))
    assert blas_threads() == before
