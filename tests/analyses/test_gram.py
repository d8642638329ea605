"""Gram matrices: their digits, blocks, missing values, and that parts add up."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from analyses.blocks import column_blocks
from analyses.grams import gram
from analyses.kernels import similarity as kernels
from tracekit.errors import AnalysisError


def slow_gram(values, center=True):
    """Every product by itself, in float64."""
    rows = np.asarray(values, dtype=np.float64)
    rows = rows - rows.mean(axis=0) if center else rows
    return np.array([[np.sum(one * other) for other in rows] for one in rows])


def weights_like(n_visits=26, n_elements=5000, dtype=np.float32):
    """Rows far from zero that move little, as weights do: a drift, a cycle and some noise."""
    rng = np.random.default_rng(3)
    start = rng.standard_normal(n_elements) * 0.05 + 0.2
    drift, one, other = rng.standard_normal((3, n_elements)) * 1e-4
    time = np.arange(n_visits)[:, np.newaxis]
    angle = 2 * np.pi * time / 5
    rows = start + drift * time / n_visits + 0.1 * (one * np.cos(angle) + other * np.sin(angle))
    return (rows + 1e-6 * rng.standard_normal(rows.shape)).astype(dtype)


def array(values, *dims, chunks=None):
    values = values if chunks is None else da.from_array(values, chunks=chunks)
    return xr.DataArray(values, dims=dims or ("visit", "element"), coords={"visit": np.arange(len(values))})


def relative_error(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("chunks", [None, (26, 700), (1, 5000), (4, 999)])
def test_gram_of_weights_keeps_its_digits(center, chunks):
    values = weights_like()
    found = gram(array(values, chunks=chunks), center=center)
    assert relative_error(found, slow_gram(values, center)) < 1e-9


def test_centering_after_a_float32_product_would_not_do():
    values = weights_like()
    naive = kernels.double_center((values @ values.T).astype(np.float64))
    assert relative_error(naive, slow_gram(values)) > 1e-2


def test_raw_gram_keeps_the_digits_in_which_rows_differ():
    values = weights_like()
    found, exact = kernels.gram(values, center=False), slow_gram(values, center=False)
    apart = [np.diagonal(g)[:, None] + np.diagonal(g) - 2 * g for g in (found, exact)]
    assert relative_error(*apart) < 1e-5


@pytest.mark.parametrize("ratio", [1e2, 1e4])
def test_visits_far_from_the_first_lose_no_more_digits_than_is_said(ratio):
    """A path of size 1 that lies `ratio` away from where it began."""
    values = np.random.default_rng(5).standard_normal((20, 3000)) + ratio
    values[0] = 0.0
    found = kernels.double_center(kernels.gram(values)[1:, 1:])
    assert relative_error(found, slow_gram(values[1:])) < 10 * 1e-16 * ratio**2 + 1e-14


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float16, np.float64])
def test_any_number_type_is_multiplied_in_float32_or_better(dtype):
    values = (np.random.default_rng(0).standard_normal((6, 40)) * 50).astype(dtype)
    found = gram(array(values))
    assert found.dtype == np.float64
    assert relative_error(found, slow_gram(values)) < 1e-6


def test_large_integers_are_not_rounded():
    values = np.array([[2**30, 1], [2**30 + 1, 1], [2**30 + 2, 1]])
    np.testing.assert_allclose(gram(array(values)), slow_gram(values))


@given(st.integers(1, 5), st.integers(0, 7), st.integers(1, 4))
def test_pieces_of_any_width_give_the_same(n_visits, n_elements, n_columns):
    values = np.random.default_rng(n_elements).standard_normal((n_visits, n_elements))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "WORK_BYTES", n_columns * (n_visits + 1) * 8)
        patch.setattr(kernels, "LEAST_COLUMNS", 1)
        found = kernels.double_center(kernels.gram(values))
    np.testing.assert_allclose(found, slow_gram(values), atol=1e-12)


@pytest.mark.parametrize("center", [True, False])
def test_grams_of_parts_add_up(center):
    values = weights_like(dtype=np.float64)
    whole = gram(array(values), center=center)
    parts = xr.Dataset(
        {"first": array(values[:, :999], "visit", "a"), "rest": array(values[:, 999:], "visit", "b")}
    )
    np.testing.assert_allclose(gram(parts, center=center), whole, rtol=1e-12, atol=1e-12)
    summed = gram(parts["first"], center=center) + gram(parts["rest"], center=center)
    np.testing.assert_allclose(summed, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunks", [None, (3, 2, 2, 3)])
def test_all_dims_but_one_are_flattened_wherever_they_stand(chunks):
    values = np.random.default_rng(1).standard_normal((7, 4, 3, 5))
    labelled = array(values, "visit", "probe", "axis0_3", "axis1_5", chunks=chunks)
    expected = slow_gram(values.reshape(7, -1))
    np.testing.assert_allclose(gram(labelled), expected, atol=1e-12)
    moved = labelled.transpose("axis0_3", "probe", "visit", "axis1_5")
    np.testing.assert_allclose(gram(moved), expected, atol=1e-12)
    np.testing.assert_allclose(gram(labelled, block_bytes=7 * 8 * 4), expected, atol=1e-12)


def test_scalars_have_a_gram_matrix_too():
    np.testing.assert_allclose(gram(array(np.array([1.0, 3.0]), "visit", chunks=1)), [[1, -1], [-1, 1]])


@pytest.mark.parametrize("chunks", [None, (2, 3)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("center", [True, False])
def test_a_bad_first_visit_is_no_anchor(chunks, bad, center):
    values = weights_like(8, 30, np.float64)
    values[0, [7, 11]], values[1, 7] = bad, np.nan
    found = gram(array(values, chunks=chunks), center=center).values
    assert np.isnan(found[:2]).all()
    np.testing.assert_allclose(found[2:, 2:], slow_gram(values[2:], center), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("chunks", [None, (2, 3)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_visit_has_nan_rows_and_no_part_in_the_mean(chunks, bad):
    values = weights_like(8, 30, np.float64)
    values[3, 7], values[5, 29] = bad, np.nan
    found = gram(array(values, chunks=chunks)).values
    good = [0, 1, 2, 4, 6, 7]
    assert np.isnan(found[[3, 5]]).all()
    assert np.isnan(found[:, [3, 5]]).all()
    np.testing.assert_allclose(found[np.ix_(good, good)], slow_gram(values[good]), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("center", [True, False])
def test_nothing_but_nan_is_nan_without_warning(center):
    assert np.isnan(gram(array(np.full((3, 2), np.nan)), center=center)).all()


def test_no_elements_and_one_visit_give_zeros_and_no_visits_nothing():
    assert gram(array(np.empty((0, 3)))).shape == (0, 0)
    assert (gram(array(np.empty((3, 0)))) == 0).all()
    assert (gram(array(np.empty((3, 0)), chunks=(1, 1))) == 0).all()
    assert (gram(array(np.ones((1, 5)))) == 0).all()


def test_coordinates_along_the_visits_are_kept():
    labelled = array(np.eye(3)).assign_coords(position=("visit", [-1, 0, 1]), element=list("abc"))
    found = gram(labelled)
    assert found.dims == ("visit", "visit_other")
    assert found["position"].dims == ("visit",)
    assert found["visit_other"].values.tolist() == [0, 1, 2]
    assert "element" not in found.coords
    assert gram(labelled.rename(visit="run"), dim="run").dims == ("run", "run_other")


def test_errors_say_what_is_missing():
    with pytest.raises(
        AnalysisError, match=r"bias: expected dim 'visit', found dims \('update', 'element'\)"
    ):
        gram(xr.Dataset({"bias": array(np.eye(2)).rename(visit="update")}))
    with pytest.raises(AnalysisError, match="an empty Dataset"):
        gram(xr.Dataset())


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(1, 3000),
)
def test_column_blocks_keep_sizes_and_the_most_bytes(first, second, block_bytes):
    rows, *columns = column_blocks(((2, 3), tuple(first), tuple(second)), 4, block_bytes)
    assert rows == (5,)
    assert [sum(sizes) for sizes in columns] == [sum(first), sum(second)]
    one_column = 5 * 4
    assert 5 * 4 * max(columns[0]) * max(columns[1]) <= max(block_bytes, one_column)


def test_a_chunk_over_all_visits_is_one_task_each():
    values = da.zeros((126, 40_000), chunks=(126, 4000), dtype=np.float32)
    assert column_blocks(values.chunks, 4, 126 * 4 * 4000) == values.chunks
    labelled = xr.DataArray(values, dims=("visit", "element"), coords={"visit": np.arange(126)})
    found = gram(labelled, block_bytes=126 * 4000 * 4)
    assert len(found.__dask_graph__()) < 4 * 10 + 20
