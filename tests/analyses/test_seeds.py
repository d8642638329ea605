"""Intervals over seeds and tasks, and the noise ceiling, against loops."""

import numpy as np
import pytest
import xarray as xr

from analyses.commands.seeds import SEEDS
from analyses.kernels import seeds as kernels
from analyses.kernels.inference import expanded_level
from analyses.recovery import recovery
from analyses.seeds import noise_ceiling, seeds_interval
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_losses, synthetic_trace


def runs(n_seeds=6, spread=0.1, noise=0.05, n_tasks=8):
    rng = np.random.default_rng(0)
    each = []
    for _ in range(n_seeds):
        losses = synthetic_losses(n_tasks=n_tasks, recovery_scores=[0.4 + spread * rng.standard_normal()])
        losses["eval_loss"] += noise * rng.standard_normal(losses["eval_loss"].shape)
        each.append(recovery(losses))
    return xr.concat(each, "run", coords="minimal", compat="override")


def slow_score(after, before, peak):
    return (sum(peak) - sum(before)) / (sum(peak) - sum(after))


def slow_interval(parts, confidence, n_draws):
    """Two loops of drawing: seeds, then tasks, with the spread between seeds less what tasks make of it."""
    rng = np.random.default_rng(7)
    n_seeds, n_tasks = parts[0].shape
    scores = [slow_score(*(part[seed] for part in parts)) for seed in range(n_seeds)]
    grand = sum(scores) / n_seeds

    def deviation(seed):
        tasks = rng.integers(n_tasks, size=n_tasks)
        return slow_score(*(part[seed][tasks] for part in parts)) - scores[seed]

    within = np.mean([np.var([deviation(seed) for _ in range(300)], ddof=1) for seed in range(n_seeds)])
    keep = np.sqrt(max(0, 1 - within / np.var(scores, ddof=1)))
    means = []
    for _ in range(n_draws):
        drawn = rng.integers(n_seeds, size=n_seeds)
        means.append(grand + np.mean([keep * (scores[s] - grand) + deviation(s) for s in drawn]))
    tail = (1 - expanded_level(confidence, n_seeds)) / 2
    return grand, np.quantile(means, tail), np.quantile(means, 1 - tail)


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_the_interval_is_that_of_two_loops_of_drawing(spread):
    together = runs(spread=spread)
    parts = [together[name].isel(interval=0).values for name in ("after", "before", "peak")]
    expected = slow_interval(parts, 0.8, 3000)
    found = seeds_interval(together, confidence=0.8).isel(interval=0)
    named = [found[name] for name in ("mean_score", "interval_low", "interval_high")]
    np.testing.assert_allclose(named, expected, atol=0.006)


def test_runs_that_are_the_same_leave_the_spread_over_tasks():
    same = runs(n_seeds=1).isel(run=[0] * 5)
    found = seeds_interval(same, n_resamples=999)
    assert (found["interval_high"] - found["interval_low"] > 0.01).all()
    exact = seeds_interval(runs(n_seeds=1, noise=0.0).isel(run=[0] * 5), n_resamples=99)
    np.testing.assert_allclose(exact["interval_high"], exact["interval_low"])


def test_one_run_has_no_interval_and_a_missing_score_none_either():
    alone = seeds_interval(runs().isel(run=[0]), n_resamples=9)
    assert np.isfinite(alone["mean_score"]).all()
    assert np.isnan(alone["interval_low"]).all()
    broken = runs()
    broken["peak"][0, 0, 0] = np.nan
    np.testing.assert_array_equal(
        np.isnan(seeds_interval(broken, n_resamples=9)["interval_low"]), [True, False]
    )


def test_errors_name_what_was_found():
    with pytest.raises(AnalysisError, match="expected dim 'run'"):
        seeds_interval(runs().isel(run=0))
    with pytest.raises(AnalysisError, match="found 2 and 9"):
        seeds_interval(runs(), confidence=2, n_resamples=9)


def slow_ceiling(curves):
    upper, lower = [], []
    for place, curve in enumerate(curves):
        others = [other for index, other in enumerate(curves) if index != place]
        upper.append(np.corrcoef(curve, np.mean(curves, axis=0))[0, 1])
        lower.append(np.corrcoef(curve, np.mean(others, axis=0))[0, 1])
    return np.mean(upper), np.mean(lower)


def test_the_noise_ceiling_is_that_of_the_definition():
    rng = np.random.default_rng(3)
    curves = rng.standard_normal(20) + 0.5 * rng.standard_normal((5, 20))
    expected = slow_ceiling(curves)
    np.testing.assert_allclose(kernels.noise_ceiling(curves), expected)
    labelled = xr.DataArray(curves.reshape(5, 4, 5), dims=("run", "visit", "task")).chunk(visit=2)
    found = noise_ceiling(labelled)
    np.testing.assert_allclose([found["upper"], found["lower"]], expected)
    assert found["lower"] < found["upper"]


def test_the_ceiling_of_one_run_or_of_constants_is_not_defined():
    assert np.isnan(kernels.noise_ceiling(np.ones((1, 4)))).all()
    assert np.isnan(kernels.noise_ceiling(np.ones((3, 4)))).all()


def test_the_report_of_runs_and_of_runs_that_differ():
    traces = [synthetic_trace(n_tasks=5) for _ in range(3)]
    found = SEEDS.report(SEEDS.build(*traces, n_resamples=99).compute())
    np.testing.assert_allclose(found.numbers["mean_score"], [0.25, 0.5])
    assert found.numbers["n_runs"] == 3
    assert any("Fewer than five runs" in note for note in found.notes)
    with pytest.raises(AnalysisError, match="runs over seeds have the same tasks and intervals"):
        SEEDS.build(*traces, synthetic_trace(n_tasks=4))
