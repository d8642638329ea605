"""Cosine, distance, residual cosine and cyclicity, each against its definition on raw rows."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from analyses.grams import gram
from analyses.kernels import similarity as kernels
from analyses.similarity import cosine, cyclicity, distance, residual_cosine
from tracekit import flat
from tracekit.errors import AnalysisError
from tracekit.testing import no_compute, synthetic_trace


def slow_cosine(rows):
    return np.array([[_cosine(one, other) for other in rows] for one in rows])


def _cosine(one, other):
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return one @ other / length if length > 0 else np.nan


def slow_residuals(rows, visits, window, *, cut=False):
    """Rows less the mean of those recorded in the window; NaN where the window reaches beyond."""
    step = visits[1] - visits[0] if len(visits) > 1 else 1
    residuals = np.full_like(rows, np.nan)
    for row, visit in enumerate(visits):
        window_visits = range(visit - window // 2, visit - window // 2 + window)
        wanted = [v for v in window_visits if (v - visit) % step == 0]
        found = [list(visits).index(v) for v in wanted if v in visits]
        if cut or len(found) == len(wanted):
            residuals[row] = rows[row] - rows[found].mean(axis=0)
    return residuals


def path(n_visits, n_elements=6, step=1):
    rng = np.random.default_rng(n_visits)
    rows = np.cumsum(rng.standard_normal((n_visits, n_elements)), axis=0) + 50
    coords = {"visit": np.arange(n_visits) * step}
    return rows, xr.DataArray(rows, dims=("visit", "element"), coords=coords).chunk(visit=2, element=4)


def test_cosines_and_distance_are_those_of_the_rows():
    rows, labelled = path(9)
    np.testing.assert_allclose(cosine(gram(labelled, center=False)), slow_cosine(rows), atol=1e-12)
    np.testing.assert_allclose(cosine(gram(labelled)), slow_cosine(rows - rows.mean(axis=0)), atol=1e-10)
    apart = np.linalg.norm(rows[:, np.newaxis] - rows, axis=-1)
    np.testing.assert_allclose(distance(gram(labelled)), apart, atol=1e-9)
    assert (np.diagonal(distance(gram(labelled))) == 0).all()


def test_rounding_makes_no_cosine_above_one_and_no_distance_below_zero():
    rows = np.random.default_rng(0).standard_normal(50) * np.arange(1, 40)[:, np.newaxis]
    twice = xr.DataArray(np.repeat(rows, 2, axis=0), dims=("visit", "element"))
    matrix = gram(twice, center=False)
    assert np.abs(cosine(matrix)).max() <= 1
    np.testing.assert_allclose(distance(matrix)[::2, 1::2].values.diagonal(), 0, atol=1e-5)
    np.testing.assert_allclose(distance(gram(twice))[::2, 1::2].values.diagonal(), 0, atol=1e-5)


@pytest.mark.parametrize("center", [True, False])
def test_cosines_of_short_rows_are_those_of_long_ones(center):
    _, labelled = path(9)
    short, long = (cosine(gram(factor * labelled, center=center)) for factor in (1e-6, 1.0))
    np.testing.assert_allclose(short, long, atol=1e-10)


def test_rows_of_length_zero_and_nan_have_no_cosine():
    rows = xr.DataArray([[0.0, 0.0], [1.0, 0.0], [np.nan, 1.0]], dims=("visit", "element"))
    expected = np.array([[np.nan, np.nan, np.nan], [np.nan, 1.0, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(cosine(gram(rows, center=False)), expected)


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_stop_to_change_have_residuals_without_direction(seed):
    rng = np.random.default_rng(seed)
    rows = np.cumsum(rng.standard_normal((20, 300)), axis=0).astype("f4").astype(float)
    rows[8:] = rows[8]
    expected = slow_cosine(slow_residuals(rows, range(20), 5))
    values = xr.DataArray(rows, dims=("visit", "element"), coords={"visit": np.arange(20)})
    found = residual_cosine(values, window=5)
    assert np.isnan(expected[10:]).all()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_a_row_that_is_the_mean_of_all_has_no_direction(seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((12, 99))
    rows[1] = 0
    rows[0] = -rows[2:].sum(axis=0)
    expected = slow_cosine(rows)
    values = xr.DataArray(rows + 10 * rng.standard_normal(99), dims=("visit", "element"))
    np.testing.assert_allclose(cosine(gram(values)), expected, atol=1e-12)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 8])
def test_residual_cosine_is_that_of_the_raw_rows(window, cut):
    rows, labelled = path(12)
    expected = slow_cosine(slow_residuals(rows, range(12), window, cut=cut))
    for values in (labelled, gram(labelled)):
        found = residual_cosine(values, window=window, cut_windows=cut)
        if window > 1:
            np.testing.assert_allclose(found, expected, atol=1e-9)
        else:
            assert np.isnan(found).all()


@pytest.mark.parametrize(("step", "window"), [(2, 4), (2, 8), (3, 9), (4, 4)])
def test_residual_cosine_of_visits_recorded_at_a_cadence(step, window):
    rows, labelled = path(10, step=step)
    expected = slow_cosine(slow_residuals(rows, np.arange(10) * step, window))
    found = residual_cosine(labelled, window=window)
    if window > step:
        np.testing.assert_allclose(found, expected, atol=1e-9)
    else:
        assert np.isnan(found).all()


@pytest.mark.parametrize("cut", [False, True])
def test_a_last_visit_out_of_step_has_part_in_no_window(cut):
    rows, labelled = path(10, step=4)
    labelled = labelled.assign_coords(visit=[*range(0, 36, 4), 34])
    found = residual_cosine(labelled, window=8, cut_windows=cut)
    assert np.isnan(found[-1]).all()
    expected = slow_cosine(slow_residuals(rows[:9], np.arange(9) * 4, 8, cut=cut))
    np.testing.assert_allclose(found[:9, :9], expected, atol=1e-9)


def test_residual_cosine_refuses_windows_that_visits_do_not_fill():
    _, labelled = path(10, step=3)
    with pytest.raises(AnalysisError, match="even steps that divide 4, found steps of 3"):
        residual_cosine(labelled, window=4)
    with pytest.raises(AnalysisError, match="found steps of 3, 6"):
        residual_cosine(labelled.isel(visit=[0, 1, 2, 4]), window=3)
    with pytest.raises(AnalysisError, match="1 visit or more, found 0"):
        residual_cosine(labelled, window=0)
    for visits, steps in (([0, 0, 0], "0"), ([9, 6, 3], "-3")):
        with pytest.raises(AnalysisError, match=f"found steps of {steps};"):
            residual_cosine(labelled[:3].assign_coords(visit=visits), window=3)
    with pytest.raises(AnalysisError, match="expected a coordinate 'visit'"):
        residual_cosine(labelled.drop_vars("visit"), window=3)


def test_a_nan_visit_undoes_the_windows_that_hold_it_and_no_others():
    rows, labelled = path(12)
    rows[4, 2] = np.nan
    found = residual_cosine(labelled.copy(data=rows), window=3)
    np.testing.assert_allclose(found, slow_cosine(slow_residuals(rows, range(12), 3)), atol=1e-9)
    defined = ~np.isnan(np.diagonal(found))
    np.testing.assert_array_equal(np.flatnonzero(defined), [1, 2, 6, 7, 8, 9, 10])


def test_a_circle_has_the_residual_cosine_of_its_angles():
    trace = synthetic_trace(n_tasks=5, n_epochs=4)
    found = residual_cosine(flat(trace, "weights"), window=5)
    lag = found["visit"] - found["visit_other"]
    expected = np.cos(2 * np.pi * lag / 5).transpose("visit", "visit_other")
    inner = {"visit": slice(2, 18), "visit_other": slice(2, 18)}
    np.testing.assert_allclose(found.sel(inner), expected.sel(inner), atol=1e-9)
    assert np.isnan(found.sel(visit=[0, 1, 19, 20])).all()


@given(st.integers(2, 9), st.integers(1, 5), st.integers(1, 3))
def test_lag_profile_and_contrast_are_means_over_pairs(n_visits, period, step):
    rng = np.random.default_rng(n_visits)
    matrix = rng.standard_normal((n_visits, n_visits))
    matrix = matrix + matrix.T
    matrix[0, 1] = matrix[1, 0] = np.nan
    visits = np.arange(n_visits) * step
    pairs = {}
    for s in range(n_visits):
        for t in range(s, n_visits):
            if not np.isnan(matrix[s, t]):
                pairs.setdefault(visits[t] - visits[s], []).append(matrix[s, t])
    profile, n_pairs = kernels.lag_profile(matrix, visits, visits[-1] + 1)
    for lag in range(visits[-1] + 1):
        assert n_pairs[lag] == len(pairs.get(lag, []))
        np.testing.assert_allclose(profile[lag], np.mean(pairs[lag]) if lag in pairs else np.nan)
    at, rest = (
        [v for lag, vs in pairs.items() if lag and (lag % period == 0) == is_at for v in vs]
        for is_at in (True, False)
    )
    expected = np.mean(at) - np.mean(rest) if at and rest else np.nan
    np.testing.assert_allclose(kernels.lag_contrast(profile, n_pairs, period), expected, atol=1e-12)


def test_cyclicity_of_a_circle_is_highest_at_its_period():
    found = cyclicity(
        residual_cosine(flat(synthetic_trace(n_tasks=5, n_epochs=5), "weights"), window=5), period=5
    )
    np.testing.assert_allclose(found["similarity"].sel(lag=[0, 5, 10]), 1.0)
    assert found["contrast"] > 1.0
    assert found["n_pairs"].dtype == np.int64


def test_lags_of_visits_recorded_at_a_cadence_reach_from_the_first_to_the_last():
    _, labelled = path(4, step=3)
    labelled = labelled.assign_coords(visit=[6, 9, 12, 15])
    found = cyclicity(distance(gram(labelled)), period=3)
    assert found["n_pairs"].values.tolist() == [4, 0, 0, 3, 0, 0, 2, 0, 0, 1]
    assert np.isnan(found["similarity"].sel(lag=[1, 2, 4, 5, 7, 8])).all()
    assert found["lag"].values.tolist() == list(range(10))


def test_cyclicity_has_the_units_of_what_is_compared():
    _, labelled = path(6)
    found = cyclicity(distance(gram(labelled.assign_attrs(units="V"))), period=2)
    units = {name: found[name].attrs["units"] for name in ("similarity", "contrast", "n_pairs", "lag")}
    assert units == {"similarity": "V", "contrast": "V", "n_pairs": "1", "lag": "visits"}


def test_a_matrix_keeps_the_order_of_its_dims():
    _, labelled = path(9)
    matrix = gram(labelled).assign_coords(visit_other=np.arange(9))
    for measure in (cosine, distance):
        found = measure(matrix.transpose("visit_other", "visit"))
        assert found.dims == ("visit_other", "visit")
        np.testing.assert_array_equal(found.transpose("visit", "visit_other"), measure(matrix))


def test_gradients_of_tasks_are_compared_across_snapshots():
    gradients = flat(synthetic_trace(n_tasks=4, n_epochs=2), "task_gradients")
    with no_compute():
        samples = gradients.stack(sample=("visit", "task"), create_index=False)
        found = cosine(gram(samples, dim="sample", center=False))
    rows = [gradients.sel(visit=visit, task=task).values for visit in range(9) for task in gradients["task"]]
    np.testing.assert_allclose(found, slow_cosine(rows), atol=1e-12)
    assert found["visit"].values.tolist() == np.repeat(np.arange(9), 4).tolist()
    assert found["task"].values.tolist() == gradients["task"].values.tolist() * 9


def test_errors_of_shape_say_what_to_give():
    rows = xr.DataArray(np.eye(3), dims=("visit", "element"))
    for measure in (cosine, distance):
        with pytest.raises(AnalysisError, match=r"give a Gram matrix, as in gram\(values\)"):
            measure(rows)
    with pytest.raises(AnalysisError, match="expected dim 'visit_other'"):
        cyclicity(rows.assign_coords(visit=[0, 1, 2]), period=2)
    with pytest.raises(AnalysisError, match="period: expected 1 visit or more, found 0"):
        cyclicity(rows, period=0)
