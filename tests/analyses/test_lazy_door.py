"""The one door to apply_ufunc: what it checks, and what it leaves alone."""

import numpy as np
import pytest
import xarray as xr

from analyses.lazy import apply, require_dims, whole
from tracekit.errors import AnalysisError
from tracekit.testing import ComputedError, no_compute


def span(rows, factor=1.0):
    return factor * rows.min(axis=-1), factor * rows.max(axis=-1)


def rows(chunks):
    array = xr.DataArray(np.arange(12.0).reshape(3, 4), dims=("visit", "element"), name="rows")
    return array.chunk(chunks) if chunks else array


@pytest.mark.parametrize("chunks", [None, {"visit": 1, "element": 2}])
def test_outputs_come_by_name_and_split_core_dims_are_made_whole(chunks):
    outputs = {"low": (), "high": ()}
    with no_compute():
        found = apply(span, rows(chunks), core=[("element",)], outputs=outputs, parameters={"factor": 2.0})
    assert bool(found.chunks) == bool(chunks)
    np.testing.assert_array_equal(found["low"], [0, 8, 16])
    np.testing.assert_array_equal(found["high"], [6, 14, 22])


@pytest.mark.parametrize("chunks", [None, {"visit": 1}])
def test_new_dims_have_the_sizes_that_were_declared(chunks):
    found = apply(
        lambda x: np.repeat(x.sum(axis=-1)[..., None], 5, axis=-1),
        rows(chunks),
        core=[("element",)],
        outputs={"sums": ("copy",)},
        sizes={"copy": 5},
    )
    assert dict(found.sizes) == {"visit": 3, "copy": 5}
    np.testing.assert_array_equal(found["sums"][:, 4], [6, 22, 38])


def test_a_missing_dim_is_named():
    with pytest.raises(AnalysisError, match=r"rows: expected dim 'task', found dims \('visit', 'element'\)"):
        require_dims(rows(None), ("visit", "task"))


def test_an_array_without_elements_needs_no_dask():
    assert whole(rows({"visit": 1}).isel(visit=slice(0)), ("visit",)).chunks is None


def test_the_scheduler_that_refuses_says_what_was_computed():
    with no_compute(), pytest.raises(ComputedError, match="only building was expected"):
        rows({"visit": 1}).compute()
    assert rows({"visit": 1}).sum().compute() == 66
