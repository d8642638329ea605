"""Tests by rotation against loops that turn lists round, and what they find in planted runs."""

import numpy as np
import pytest
import xarray as xr

from analyses.commands.significance import RECOVERY_TEST
from analyses.grams import gram
from analyses.kernels import rotation as kernels
from analyses.rotation import mantel, recovery_test
from analyses.similarity import residual_cosine
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_losses, synthetic_trace

UNEVEN = [[0, 1, 2, 3, 1, 2, 3, 0, 2, 3, 1, 1]]


def slow_less_shared(losses):
    """Losses less the mean over the tasks not just trained, each less its own level."""
    loss, trained = losses["eval_loss"].values, losses["trained_task"].values
    visits, tasks = range(len(loss)), range(loss.shape[1])
    level = [np.mean([loss[v, i] for v in visits if trained[v] != i]) for i in tasks]
    shared = [np.mean([loss[v, i] - level[i] for i in tasks if trained[v] != i]) for v in visits]
    return np.array([[loss[v, i] - shared[v] for i in tasks] for v in visits])


def slow_drops(loss, trained, interval, shifts=None):
    """Mean of each task's turned curve less its last value, in the intervals that can be turned."""
    drops = {}
    for task in range(loss.shape[1]):
        visits = [v for v in range(len(loss)) if trained[v] == task]
        if len(visits) < interval + 2:
            continue
        curve = [loss[v, task] for v in range(visits[interval] + 1, visits[interval + 1])]
        if len(curve) < 2:
            continue
        shift = 0 if shifts is None else shifts[task] % len(curve)
        turned = curve[shift:] + curve[:shift]
        drops[task] = sum(turned) / len(turned) - turned[-1]
    return list(drops.values())


def slow_t(drops):
    mean = sum(drops) / len(drops)
    return mean / np.sqrt(sum((drop - mean) ** 2 for drop in drops) / (len(drops) - 1))


def noisy(scores=(0.0,), order=None, n_tasks=8, n_epochs=4, seed=0):
    losses = synthetic_losses(n_tasks=n_tasks, n_epochs=n_epochs, recovery_scores=scores, order=order)
    losses["eval_loss"] += 0.1 * np.random.default_rng(seed).standard_normal(losses["eval_loss"].shape)
    return losses


@pytest.mark.parametrize("order", [None, UNEVEN])
def test_drops_and_p_values_are_those_of_turned_curves(order):
    losses = noisy(scores=[0.3], order=order)
    found = recovery_test(losses, n_resamples=1999)
    run = slow_less_shared(losses), losses["trained_task"].values
    rng = np.random.default_rng(1)
    for n in range(found.sizes["interval"]):
        drops = slow_drops(*run, n)
        assert found["n_tasks"][n] == len(drops)
        if len(drops) < 2:
            assert np.isnan(found["p_value"][n])
            continue
        null = [slow_t(slow_drops(*run, n, rng.integers(10**6, size=8))) for _ in range(1000)]
        expected = np.mean([each >= slow_t(drops) for each in null])
        np.testing.assert_allclose(found["drop"][n], sum(drops) / len(drops))
        np.testing.assert_allclose(found["p_value"][n], expected, atol=0.05)


def test_recovery_is_found_and_its_absence_is_not():
    recovers = recovery_test(noisy(scores=[0.9], n_tasks=12), n_resamples=199)
    np.testing.assert_allclose(recovers["p_value"], 0.005)
    assert recovers["pooled_p_value"] == 0.005
    assert recovers["pooled_drop"] > 0
    rises = recovery_test(noisy(scores=[0.0], n_tasks=12), n_resamples=199)
    assert (rises["p_value"] > 0.05).all()


def test_pooled_over_intervals_counts_tasks_that_have_all():
    found = recovery_test(noisy(order=UNEVEN), n_resamples=19)
    assert found["pooled_n_tasks"] == 0
    assert np.isnan(found["pooled_p_value"])


def test_runs_without_intervals_noise_or_numbers():
    assert recovery_test(synthetic_losses(n_epochs=1), n_resamples=9).sizes["interval"] == 0
    same = synthetic_losses(n_tasks=6, n_epochs=2)
    same["eval_loss"][:] = 1.0
    assert np.isnan(recovery_test(same, n_resamples=9)["p_value"]).all()
    broken = noisy()
    broken["eval_loss"][3, 1] = np.nan
    undefined = np.isnan(recovery_test(broken, n_resamples=9)["p_value"])
    np.testing.assert_array_equal(undefined, [True, False, False])
    with pytest.raises(AnalysisError, match="n_resamples: expected 1 or more, found 0"):
        recovery_test(noisy(), n_resamples=0)


def test_the_report_adjusts_for_the_number_of_intervals():
    trace = synthetic_trace(n_tasks=8, n_epochs=4)
    trace["losses"] = xr.DataTree(noisy(scores=[0.9]))
    numbers = RECOVERY_TEST.report(RECOVERY_TEST.build(trace, n_resamples=199).compute()).numbers
    np.testing.assert_allclose(numbers["p_holm"], np.minimum(3 * np.array(numbers["p_value"]), 1), rtol=0.5)
    assert numbers["pooled_p_value"] == 0.005


def slow_without_lags(matrix):
    n, rest = len(matrix), np.zeros_like(matrix)
    for i in range(n):
        for j in range(n):
            same = [matrix[a, b] for a in range(n) for b in range(n) if b - a == j - i]
            rest[i, j] = matrix[i, j] - sum(same) / len(same)
    return rest


def slow_mantel(first, second):
    n = len(first)
    first, second = slow_without_lags(first), slow_without_lags(second)
    off = [(i, j) for i in range(n) for j in range(n) if i != j]
    length = np.sqrt(sum(first[p] ** 2 for p in off) * sum(second[p] ** 2 for p in off))

    def correlation(shift):
        return sum(first[(i + shift) % n, (j + shift) % n] * second[i, j] for i, j in off) / length

    found = correlation(0)
    return found, (sum(correlation(shift) >= found - 1e-12 for shift in range(1, n)) + 1) / n


def path(seed, n_visits=30):
    rows = np.random.default_rng(seed).standard_normal((n_visits, 4)).cumsum(axis=0)
    return xr.DataArray(rows, {"visit": np.arange(n_visits)}, ("visit", "element"))


def test_mantel_is_that_of_loops_and_leaves_out_visits_without_a_window():
    first, second = (residual_cosine(gram(path(seed)), window=6) for seed in (0, 1))
    inside = slice(3, 28)
    expected = slow_mantel(first.values[inside, inside], second.values[inside, inside])
    found = mantel(first, second)
    np.testing.assert_allclose([found["correlation"], found["p_value"]], expected, atol=1e-9)


def test_matrices_that_share_structure_beyond_the_lag_are_alike():
    shared = path(0, 60)
    other = shared + 0.3 * path(1, 60)
    first, second = (residual_cosine(gram(rows), window=8) for rows in (shared, other))
    assert mantel(first, second)["p_value"] == pytest.approx(1 / 53)


def test_stripes_alone_are_no_evidence_and_other_visits_an_error():
    lag = np.arange(12) - np.arange(12)[:, np.newaxis]
    stripes = xr.DataArray((lag % 4 == 0) * 1.0, dims=("visit", "visit_other"))
    assert np.isnan(mantel(stripes, stripes)["p_value"])
    with pytest.raises(AnalysisError, match="between the same visits"):
        mantel(stripes, stripes[:8, :8])


def test_p_values_count_the_found_one_and_those_as_large():
    null = np.array([0.1, 0.2, 0.3, np.nan])
    assert kernels.p_value(null, np.array(0.2)) == 4 / 5  # NaN counts against
    assert np.isnan(kernels.p_value(null, np.array(np.nan)))
