"""The period that a run repeats with is found, and none where there is none."""

import numpy as np
import pytest
import xarray as xr

from analyses.commands.period import PERIOD
from analyses.grams import gram
from analyses.kernels import periods as kernels
from analyses.periods import period
from analyses.similarity import cosine
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_trace


def slow_prominence(profile, n_pairs, period):
    rise, weight, lag = 0.0, 0.0, period
    while lag + period // 2 < len(profile):
        neighbours = profile[lag - period // 2] + profile[lag + period // 2]
        rise += n_pairs[lag] * (profile[lag] - neighbours / 2)
        weight += n_pairs[lag]
        lag += period
    return rise / weight if weight else np.nan


def test_prominence_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    profile, n_pairs = rng.standard_normal(30), np.arange(30, 0, -1)
    periods = range(2, 25)
    expected = [slow_prominence(profile, n_pairs, each) for each in periods]
    np.testing.assert_allclose(kernels.prominences(profile, n_pairs, periods), expected)


def test_lags_between_those_recorded_are_filled_in_on_a_straight_line():
    rng = np.random.default_rng(1)
    known, n_pairs = rng.standard_normal(9), np.arange(25, 0, -1)
    profile = np.full(25, np.nan)
    profile[::3] = known
    filled = [(known[n // 3] * (3 - n % 3) + known[min(n // 3 + 1, 8)] * (n % 3)) / 3 for n in range(25)]
    expected = [slow_prominence(filled, n_pairs, each) for each in range(2, 16)]
    np.testing.assert_allclose(kernels.prominences(profile, n_pairs, range(2, 16)), expected)


def slow_best(prominence, periods):
    peaks = []
    for before, here, after, each in zip(
        prominence, prominence[1:], prominence[2:], periods[1:], strict=False
    ):
        if here > 0 and not before >= here and not after >= here:
            peaks.append((each, here))
    good = [each for each, height in peaks if height >= 0.9 * max(height for _, height in peaks)]
    return good[0] if good else np.nan


def test_the_best_period_is_the_shortest_of_the_high_peaks():
    rng = np.random.default_rng(2)
    for _ in range(300):
        prominence = rng.standard_normal(rng.integers(1, 14))
        prominence[rng.random(prominence.size) < 0.2] = np.nan
        periods = range(2, 2 + prominence.size)
        assert kernels.best_period(prominence, periods) == pytest.approx(
            slow_best(prominence, periods), nan_ok=True
        )


@pytest.mark.parametrize("n_visits", [4, 5, 13, 14])
def test_every_period_is_tried_that_has_lags_on_both_sides(n_visits):
    found = period(stripes(n_visits, 4).assign_attrs(units="m"))
    fits = [each for each in range(2, n_visits) if each + each // 2 <= n_visits - 1]
    assert found["period"].values.tolist() == fits
    assert found["prominence"].notnull().all()
    assert [found[name].attrs["units"] for name in ("prominence", "detected_period")] == ["m", "visits"]


def stripes(n_visits, cycle, *, step=1, drift=0.0, noise=0.0):
    """Similarity that is high at lags that are multiples of the cycle, falls with the lag, and is noisy."""
    visit = np.arange(0, n_visits, step)
    lag = np.abs(visit - visit[:, np.newaxis])
    similar = np.exp(-(((lag + cycle / 2) % cycle - cycle / 2) ** 2) / 4) - drift * lag
    similar += noise * np.random.default_rng(0).standard_normal(similar.shape)
    return xr.DataArray((similar + similar.T) / 2, {"visit": visit}, ("visit", "visit_other"))


@pytest.mark.parametrize("cycle", [4, 7, 16, 25])
@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_a_planted_period_is_found_whatever_the_drift(cycle, drift):
    found = period(stripes(6 * cycle + 1, cycle, drift=drift, noise=0.05))
    assert found["detected_period"] == cycle


def test_a_run_recorded_every_few_visits_has_the_period_in_visits():
    found = period(stripes(126, 15, step=3))
    assert found["detected_period"] == 15
    assert found["period"].values[:3].tolist() == [3, 6, 9]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_no_period_is_found_where_similarity_only_falls(power):
    lag = np.abs(np.arange(20) - np.arange(20)[:, np.newaxis])
    matrix = xr.DataArray(-0.01 * lag**power, {"visit": np.arange(20)}, ("visit", "visit_other"))
    assert np.isnan(period(matrix)["detected_period"])


@pytest.mark.parametrize("n_visits", [0, 1, 2, 3])
def test_short_runs_have_none(n_visits):
    assert np.isnan(period(stripes(n_visits, 4))["detected_period"])


def test_visits_with_nan_are_left_out_and_all_nan_is_none():
    matrix = stripes(61, 10)
    matrix[5], matrix[:, 5] = np.nan, np.nan
    assert period(matrix)["detected_period"] == 10
    assert np.isnan(period(matrix * np.nan)["detected_period"])


def test_the_longest_period_can_be_chosen():
    assert period(stripes(61, 10), longest=12).sizes["period"] == 11
    with pytest.raises(AnalysisError, match="longest: expected 2 visits or more, found 1"):
        period(stripes(61, 10), longest=1)


def test_the_circle_of_weights_is_found_from_a_trace():
    trace = synthetic_trace(n_tasks=6, n_epochs=5)
    found = PERIOD.report(PERIOD.build(trace).compute())
    assert found.numbers["detected_period"] == 6
    assert "Period 6 visits; there are 6 tasks" in found.notes[0]
    weights = trace["weights/flat"]["values"]
    assert period(cosine(gram(weights)))["detected_period"] == 6
