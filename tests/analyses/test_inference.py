"""Confidence intervals and permutation tests, against the same done by hand."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from analyses.inference import order_test, recovery_interval
from analyses.kernels import inference as kernels
from analyses.recovery import recovery
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_losses

UNEVEN = [[0, 1, 2, 3, 1, 2, 3, 0, 2, 3, 1]]


def noisy_losses(seed, n_tasks=6, n_epochs=3, scores=(0.3, 0.5)):
    losses = synthetic_losses(n_tasks=n_tasks, n_epochs=n_epochs, recovery_scores=scores)
    noise = np.random.default_rng(seed).normal(scale=0.05, size=losses["eval_loss"].shape)
    return losses.assign(eval_loss=losses["eval_loss"] + noise)


def slow_score(after, before, peak):
    return (np.mean(peak) - np.mean(before)) / (np.mean(peak) - np.mean(after))


def triples(result, interval):
    chosen = result.sel(interval=interval)
    return np.stack([chosen[name].values for name in ("after", "before", "peak")])


def test_the_level_is_that_of_hesterberg():
    # α/2 = 0.025 becomes about 0.0105 with 16 units, and stays near 0.025 with many
    quantile = 2.131449545559323 * np.sqrt(16 / 15)
    np.testing.assert_allclose(kernels.expanded_level(0.95, 16), 1 - 2 * stats.norm.sf(quantile), rtol=1e-9)
    np.testing.assert_allclose(kernels.expanded_level(0.95, 10_000), 0.95, atol=1e-3)


@pytest.mark.parametrize("method", ["percentile", "basic"])
def test_interval_is_that_of_scores_of_drawn_tasks(method):
    result = recovery(noisy_losses(0))
    found = recovery_interval(result, method=method, n_resamples=9999)
    after, before, peak = triples(result, 1)
    rng = np.random.default_rng(7)
    draws = (rng.integers(0, 6, 6) for _ in range(9999))
    scores = [slow_score(after[drawn], before[drawn], peak[drawn]) for drawn in draws]
    tail = (1 - kernels.expanded_level(0.95, 6)) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    if method == "basic":
        estimate = slow_score(after, before, peak)
        low, high = 2 * estimate - high, 2 * estimate - low
    np.testing.assert_allclose(found["interval_low"].sel(interval=1), low, atol=0.01)
    np.testing.assert_allclose(found["interval_high"].sel(interval=1), high, atol=0.01)


def test_bca_interval_is_that_of_efron():
    result = recovery(noisy_losses(1))
    found = recovery_interval(result, method="bca", n_resamples=9999)
    after, before, peak = triples(result, 1)
    estimate = slow_score(after, before, peak)
    rng = np.random.default_rng(11)
    draws = [rng.integers(0, 6, 6) for _ in range(9999)]
    scores = np.array([slow_score(after[drawn], before[drawn], peak[drawn]) for drawn in draws])
    without = np.array(
        [slow_score(*(np.delete(part, task) for part in (after, before, peak))) for task in range(6)]
    )
    away = without.mean() - without
    acceleration = np.sum(away**3) / (6 * np.sum(away**2) ** 1.5)
    bias = stats.norm.ppf(np.mean(scores < estimate))
    tail = (1 - kernels.expanded_level(0.95, 6)) / 2
    moved = bias + stats.norm.ppf([tail, 1 - tail])
    low, high = np.quantile(scores, stats.norm.cdf(bias + moved / (1 - acceleration * moved)))
    np.testing.assert_allclose(found["interval_low"].sel(interval=1), low, atol=0.015)
    np.testing.assert_allclose(found["interval_high"].sel(interval=1), high, atol=0.015)


def test_interval_holds_the_estimate_repeats_and_depends_on_the_seed():
    result = recovery(noisy_losses(2))
    one, same, other = (recovery_interval(result, n_resamples=500, seed=seed) for seed in (0, 0, 1))
    xr.testing.assert_identical(one, same)
    assert (one["interval_low"] != other["interval_low"]).all()
    assert (one["interval_low"] < one["recovery_score"]).all()
    assert (one["interval_high"] > one["recovery_score"]).all()


def test_interval_does_not_depend_on_chunks():
    losses = noisy_losses(3)
    result = recovery(losses)
    cut = result.assign({name: values.variable.chunk(1) for name, values in result.items() if values.ndim})
    xr.testing.assert_allclose(
        recovery_interval(cut, n_resamples=99), recovery_interval(result, n_resamples=99)
    )


@pytest.mark.parametrize("method", ["percentile", "basic", "bca"])
def test_interval_of_tasks_that_agree_is_the_score(method):
    found = recovery_interval(recovery(synthetic_losses(n_tasks=4, forgetting=[1, 2, 3, 4])), method=method)
    for name in ("interval_low", "interval_high"):
        np.testing.assert_allclose(found[name], [0.25, 0.5])


def test_tasks_without_the_interval_do_not_count():
    losses = synthetic_losses(order=UNEVEN, recovery_scores=[0.25, 0.5])
    losses["eval_loss"][9, 3] += 0.1
    found = recovery_interval(recovery(losses), n_resamples=99)
    np.testing.assert_array_equal(found["n_tasks"], [4, 3])
    assert found["interval_low"].sel(interval=2) < 0.5


def test_intervals_without_number_are_nan_without_warning():
    one_task = recovery_interval(recovery(synthetic_losses(n_tasks=1)))
    assert np.isnan(one_task["interval_low"]).all()
    losses = noisy_losses(4)
    losses["eval_loss"][4, 1] = np.nan
    found = recovery_interval(recovery(losses), n_resamples=99)
    np.testing.assert_array_equal(np.isnan(found["interval_high"]), [True, False])
    assert recovery_interval(recovery(synthetic_losses(n_epochs=1))).sizes["interval"] == 0


def test_a_draw_that_forgets_nothing_leaves_no_interval():
    losses = synthetic_losses(order=[[0, 1, 2, 2, 1, 0]], recovery_scores=[0.5])
    losses["eval_loss"][4, 1] += 0.2
    found = recovery_interval(recovery(losses))
    np.testing.assert_allclose(found["recovery_score"], 0.4)
    assert np.isnan(found["interval_low"]).all()


def slow_paired_p(first, second, alternative):
    """Every swap of tasks between two runs, (interval, part, task) each."""
    n_tasks = first.shape[-1]

    def difference(one, other):
        return np.mean([slow_score(*parts) for parts in one]) - np.mean(
            [slow_score(*parts) for parts in other]
        )

    observed = difference(first, second)
    swaps = (np.array(swap, dtype=bool) for swap in product([False, True], repeat=n_tasks))
    null = [difference(np.where(swap, second, first), np.where(swap, first, second)) for swap in swaps]
    more = np.mean([value >= observed - 1e-12 for value in null])
    less = np.mean([value <= observed + 1e-12 for value in null])
    return {"greater": more, "less": less, "two-sided": min(1, 2 * min(more, less))}[alternative]


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_paired_p_values_are_those_of_all_swaps(alternative):
    results = [recovery(noisy_losses(seed)) for seed in (5, 6)]
    found = order_test(*results, alternative=alternative)
    first, second = (np.stack([triples(result, n) for n in (1, 2)]) for result in results)
    for n in (0, 1):
        expected = slow_paired_p(first[n : n + 1], second[n : n + 1], alternative)
        np.testing.assert_allclose(found["p_value"][n], expected)
    np.testing.assert_allclose(found["pooled_p_value"], slow_paired_p(first, second, alternative))
    scores = [result["recovery_score"] for result in results]
    np.testing.assert_allclose(found["difference"], scores[0] - scores[1])
    np.testing.assert_allclose(found["pooled_difference"], (scores[0] - scores[1]).mean())


def test_many_permutations_are_drawn_not_counted_out():
    results = [recovery(noisy_losses(seed, n_tasks=16)) for seed in (5, 6)]
    found = order_test(*results, n_resamples=499)
    counts = found["p_value"] * 500 / 2
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)


def test_pairing_is_by_name():
    first, second = recovery(noisy_losses(5)), recovery(noisy_losses(6))
    turned = second.isel(task=[5, 3, 4, 0, 1, 2])
    xr.testing.assert_allclose(order_test(first, turned), order_test(first, second))


def test_other_tasks_are_dealt_out_anew():
    first, second = recovery(noisy_losses(5)), recovery(noisy_losses(6, n_tasks=5))
    found = order_test(first, second, n_resamples=999)
    assert not found.attrs["paired"]
    np.testing.assert_array_equal(found["n_tasks"], 6)
    np.testing.assert_array_equal(found["n_tasks_other"], 5)
    both = np.concatenate([triples(first, 1), triples(second, 1)], axis=1)
    rng = np.random.default_rng(0)
    observed = slow_score(*both[:, :6]) - slow_score(*both[:, 6:])
    null = []
    for _ in range(4000):
        dealt = rng.permutation(11)
        null.append(slow_score(*both[:, dealt[:6]]) - slow_score(*both[:, dealt[6:]]))
    expected = 2 * min(np.mean(np.array(null) >= observed), np.mean(np.array(null) <= observed))
    np.testing.assert_allclose(found["p_value"].sel(interval=1), expected, atol=0.06)


def test_the_difference_has_an_interval_around_it():
    found = order_test(recovery(noisy_losses(5, scores=(0.8,))), recovery(noisy_losses(6, scores=(0.1,))))
    assert (found["interval_low"] < found["difference"]).all()
    assert (found["interval_high"] > found["difference"]).all()
    assert found["pooled_interval_low"] > 0


def test_a_spread_of_one_run_is_a_spread_of_the_difference():
    exact, noisy = recovery(synthetic_losses(n_tasks=6)), recovery(noisy_losses(6, n_tasks=5))
    found = order_test(exact, noisy, n_resamples=99)
    assert (found["interval_low"] < found["interval_high"]).all()


def test_two_tasks_have_an_interval_from_one_to_the_other_and_one_has_none():
    two, many = recovery(noisy_losses(5, n_tasks=2)), recovery(noisy_losses(6))
    after, before, peak = triples(two, 1)
    found = recovery_interval(two, n_resamples=999).sel(interval=1)
    ends = sorted((peak - before) / (peak - after))
    np.testing.assert_allclose([found["interval_low"], found["interval_high"]], ends)
    against_one = order_test(many, many.isel(task=[0]), n_resamples=99)
    for name in ("interval_low", "interval_high", "p_value"):
        assert np.isnan(against_one[name]).all()
    assert np.isfinite(against_one["difference"]).all()


def test_only_shared_intervals_and_tasks_are_compared():
    losses = synthetic_losses(order=UNEVEN, recovery_scores=[0.25, 0.5])
    found = order_test(recovery(losses), recovery(synthetic_losses(n_tasks=4, n_epochs=5)))
    np.testing.assert_array_equal(found["interval"], [1, 2])
    np.testing.assert_array_equal(found["n_tasks"], [4, 3])
    assert found["pooled_n_tasks"] == 3


def test_of_all_intervals_together_only_tasks_count_that_both_runs_have_in_each():
    order = {"order": UNEVEN, "recovery_scores": [0.25, 0.5]}
    uneven, full = recovery(synthetic_losses(**order)), recovery(noisy_losses(3, n_tasks=4, n_epochs=4))
    for one, other in ((uneven, full), (full, uneven)):
        found = order_test(one, other, n_resamples=99)
        np.testing.assert_array_equal(found["n_tasks"], [4, 3])
        np.testing.assert_array_equal(found["n_tasks_other"], [4, 3])
        scores = [np.mean([slow_score(*triples(run, n)[:, 1:]) for n in (1, 2)]) for run in (one, other)]
        np.testing.assert_allclose(found["pooled_difference"], scores[0] - scores[1])


def test_a_permutation_that_forgets_nothing_leaves_no_p_value():
    losses = synthetic_losses(order=[[0, 1, 2, 2, 1, 0]], recovery_scores=[0.5])
    losses["eval_loss"][4, 1] += 0.2
    first = recovery(losses).isel(task=[0, 2])
    second = first.isel(task=[1, 0]).assign_coords(task=first["task"].values)
    found = order_test(first, second, n_resamples=99)
    assert np.isfinite(found["difference"]).all()
    assert np.isnan(found["p_value"]).all()


def test_what_cannot_be_tested_is_nan_without_warning():
    one = recovery(synthetic_losses(n_tasks=1))
    found = order_test(one, one)
    assert np.isnan(found["p_value"]).all()
    assert np.isnan(found["pooled_p_value"])
    none = recovery(synthetic_losses(n_epochs=1))
    assert order_test(none, none).sizes["interval"] == 0
    assert np.isnan(order_test(none, none)["pooled_difference"])


def test_options_out_of_range_are_errors_that_say_so():
    result = recovery(noisy_losses(0))
    with pytest.raises(AnalysisError, match="confidence: expected a number between 0 and 1, found 95"):
        recovery_interval(result, confidence=95)
    with pytest.raises(AnalysisError, match="n_resamples: expected 1 or more, found 0"):
        order_test(result, result, n_resamples=0)
    with pytest.raises(AnalysisError, match="method: expected one of percentile, basic, bca, found 'BC'"):
        recovery_interval(result, method="BC")
    with pytest.raises(AnalysisError, match="alternative: expected one of two-sided, greater, less"):
        order_test(result, result, alternative="more")
    with pytest.raises(AnalysisError, match="no variable 'after'"):
        recovery_interval(synthetic_losses())
