"""Page, Kendall and Jonckheere–Terpstra against loops over pairs, and against scipy."""

from itertools import combinations, permutations

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from analyses.commands.significance import TREND
from analyses.kernels import trends as kernels
from analyses.recovery import recovery
from analyses.trends import jonckheere, kendall, page_test
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_losses, synthetic_trace


def slow_tau(values, against):
    pairs = list(combinations(range(len(values)), 2))
    signs = [np.sign(values[j] - values[i]) * np.sign(against[j] - against[i]) for i, j in pairs]
    return sum(signs) / len(pairs)


def slow_page(scores):
    """L of the definition, and its exact p-value from every order of every task."""
    ranks = scipy.stats.rankdata(scores, axis=1)
    n_tasks, n = scores.shape
    found = sum((j + 1) * ranks[i, j] for i in range(n_tasks) for j in range(n))
    single = [sum((j + 1) * rank for j, rank in enumerate(order)) for order in permutations(range(1, n + 1))]
    null = [0]
    for _ in range(n_tasks):
        null = [total + each for total in null for each in single]
    return found, np.mean(np.array(null) >= found)


def test_page_is_that_of_every_order():
    scores = np.random.default_rng(0).random((4, 3))
    statistic, p_value, tau, n_tasks = kernels.page(scores)
    expected = slow_page(scores)
    np.testing.assert_allclose([statistic, p_value], expected)
    np.testing.assert_allclose(tau, np.mean([slow_tau(row, range(3)) for row in scores]))
    assert n_tasks == 4


def test_tasks_without_all_intervals_are_left_out_and_too_few_give_nan():
    scores = np.random.default_rng(0).random((5, 4))
    scores[1, 2] = np.nan
    np.testing.assert_array_equal(kernels.page(scores), kernels.page(np.delete(scores, 1, axis=0)))
    assert np.isnan(kernels.page(scores[:, :2])[0])
    np.testing.assert_array_equal(kernels.page(scores[:1]), [np.nan, np.nan, np.nan, 1])


def test_rising_recovery_has_a_trend_and_level_recovery_has_none():
    rng = np.random.default_rng(0)
    for planted, low, high in (([0.1, 0.3, 0.5], 0.0, 1e-4), ([0.3], 0.05, 1.0)):
        losses = synthetic_losses(n_tasks=10, n_epochs=4, recovery_scores=planted)
        losses["eval_loss"] += 0.02 * rng.standard_normal(losses["eval_loss"].shape)
        assert low <= page_test(recovery(losses))["p_value"] <= high


def test_kendall_is_that_of_loops_and_leaves_out_nan():
    rng = np.random.default_rng(1)
    values, sizes = rng.random((2, 7)), np.arange(7.0)
    values[1, 3] = np.nan
    found = kendall(xr.DataArray(values, dims=("interval", "run")), xr.DataArray(sizes, dims="run"))
    np.testing.assert_allclose(found["tau"][0], slow_tau(values[0], sizes))
    known = np.arange(7) != 3
    np.testing.assert_allclose(found["tau"][1], slow_tau(values[1, known], sizes[known]))
    np.testing.assert_array_equal(kernels.kendall(sizes, values[1]), kernels.kendall(values[1], sizes))
    np.testing.assert_array_equal(
        kernels.kendall(values[1, 2:5], -sizes[2:5]), [slow_tau(values[1, 2:5:2], [2, 1]), 1]
    )
    np.testing.assert_allclose(found["p_value"][0], scipy.stats.kendalltau(sizes, values[0]).pvalue)
    assert np.isnan(kendall(found["tau"][:1], found["tau"][:1], dim="interval")["tau"])


def slow_jonckheere(values, groups):
    pairs = [(a, b) for a in range(len(values)) for b in range(len(values)) if groups[a] < groups[b]]
    return sum((values[b] > values[a]) + 0.5 * (values[b] == values[a]) for a, b in pairs)


def test_jonckheere_counts_pairs_and_agrees_with_the_normal_approximation():
    rng = np.random.default_rng(2)
    groups = np.repeat([1.0, 2.0, 5.0], [4, 5, 6])
    values = np.round(rng.standard_normal(15) + 0.3 * groups, 1)
    found = jonckheere(xr.DataArray(values, dims="run"), xr.DataArray(groups, dims="run"), n_resamples=4999)
    assert found["statistic"] == slow_jonckheere(values, groups)
    n, sizes = 15, np.array([4, 5, 6])
    mean = (n**2 - (sizes**2).sum()) / 4
    variance = (n**2 * (2 * n + 3) - (sizes**2 * (2 * sizes + 3)).sum()) / 72
    expected = scipy.stats.norm.sf((slow_jonckheere(values, groups) - 0.5 - mean) / np.sqrt(variance))
    np.testing.assert_allclose(found["p_value"], expected, atol=0.01)


def test_jonckheere_of_every_permutation():
    values, groups = np.array([0.3, 0.1, 0.5, 0.4, 0.9]), np.array([1.0, 1, 2, 2, 3])
    null = [slow_jonckheere(values, order) for order in permutations(groups)]
    exact = np.mean(np.array(null) >= slow_jonckheere(values, groups))
    _, p_value = kernels.jonckheere(values, groups, n_resamples=9999, seed=0)
    np.testing.assert_allclose(p_value, exact, atol=0.01)


def test_jonckheere_of_two_groups_is_that_of_mann_and_whitney_and_repeats_by_its_seed():
    values = np.random.default_rng(3).standard_normal(14)
    groups = np.repeat([1.0, 2.0], 7)
    (found, one), (_, same), (_, other) = (
        kernels.jonckheere(values, groups, n_resamples=999, seed=seed) for seed in (1, 1, 2)
    )
    assert found == scipy.stats.mannwhitneyu(values[7:], values[:7]).statistic
    assert one == same != other


def test_published_examples_of_trends():
    """Hollander and Wolfe, Nonparametric statistical methods, example 6.2 (J = 79, p near 0.02).

    And Kendall's τ_b with ties on both sides, by its definition.
    """
    values = np.array([40.0, 35, 38, 43, 44, 41, 38, 40, 47, 44, 40, 42, 48, 40, 45, 43, 46, 44])
    groups = np.repeat([1.0, 2.0, 3.0], 6)
    statistic, p_value = kernels.jonckheere(values, groups, n_resamples=9999, seed=0)
    assert statistic == 79
    np.testing.assert_allclose(p_value, 0.0231, atol=0.005)
    pairs = list(combinations(range(len(values)), 2))
    signs = np.array([[np.sign(each[j] - each[i]) for i, j in pairs] for each in (values, groups)])
    tau = signs.prod(axis=0).sum() / np.sqrt(np.abs(signs).sum(axis=1).prod())
    np.testing.assert_allclose(kernels.kendall(values, groups)[0], tau)


def test_page_of_ratings_with_ties():
    """The ratings of ten students that scipy documents: L = 133.5, p = 0.00182."""
    ratings = [[3, 4, 3], [2, 2, 4], [3, 3, 5], [1, 3, 2], [2, 3, 2]]
    ratings += [[2, 4, 5], [1, 2, 4], [3, 4, 4], [2, 4, 5], [1, 3, 4]]
    statistic, p_value, _, n_units = kernels.page(np.array(ratings, dtype=float))
    np.testing.assert_allclose([statistic, p_value, n_units], [133.5, 0.0018191161948127822, 10])


def test_what_is_not_defined_and_what_is_wrong():
    values = xr.DataArray([1.0, np.nan, 2.0], dims="run")
    groups = xr.DataArray([1, 2, 3], dims="run")
    assert np.isnan(jonckheere(values, groups)["p_value"])
    assert np.isnan(jonckheere(values.fillna(0), 0 * groups)["p_value"])
    with pytest.raises(AnalysisError, match="n_resamples: expected 1 or more, found 0"):
        jonckheere(values, groups, n_resamples=0)
    with pytest.raises(AnalysisError, match="expected dim 'run'"):
        kendall(values.rename(run="seed"), groups)


def test_the_report_says_when_there_are_too_few_intervals():
    found = TREND.report(TREND.build(synthetic_trace(n_tasks=4, n_epochs=3)).compute())
    assert "three intervals or more" in found.notes[-1]
    found = TREND.report(TREND.build(synthetic_trace(n_tasks=4, n_epochs=5)).compute())
    assert found.numbers["n_tasks"] == 4
    assert 0 < found.numbers["p_value"] <= 1
