"""Intervals over seeds and tasks, and the noise ceiling, against loops."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from analyses.commands.seeds import SEEDS
from analyses.kernels import seeds as kernels
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


def slow_mean_squares(parts):
    """Mean squares of seeds, of tasks, and of what is left, of linear parts of the scores."""
    n_seeds, n_tasks = parts[0].shape
    table = np.zeros((n_seeds, n_tasks))
    for seed in range(n_seeds):
        after, before, peak = (part[seed] for part in parts)
        score = slow_score(after, before, peak)
        forgetting = np.mean(peak - after)
        for task in range(n_tasks):
            left = peak[task] - before[task] - score * (peak[task] - after[task])
            table[seed, task] = score + left / forgetting
    grand = table.mean()
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    seeds = n_tasks * sum((row - grand) ** 2 for row in rows) / (n_seeds - 1)
    tasks = n_seeds * sum((column - grand) ** 2 for column in columns) / (n_tasks - 1)
    left = [(table[s, t] - rows[s] - columns[t] + grand) ** 2 for s in range(n_seeds) for t in range(n_tasks)]
    return seeds, tasks, sum(left) / ((n_seeds - 1) * (n_tasks - 1))


def slow_interval(parts, confidence, n_draws):
    """A loop that draws seeds, and the same tasks for all of them."""
    rng = np.random.default_rng(7)
    n_seeds, n_tasks = parts[0].shape
    scores = [slow_score(*(part[seed] for part in parts)) for seed in range(n_seeds)]
    grand = sum(scores) / n_seeds
    seeds, tasks, rest = slow_mean_squares(parts)
    keep = np.sqrt(max(0, 1 - rest / tasks))
    deviations = []
    for _ in range(n_draws):
        of_seeds = np.mean([scores[s] for s in rng.integers(n_seeds, size=n_seeds)]) - grand
        drawn = rng.integers(n_tasks, size=n_tasks)
        again = [slow_score(*(part[seed][drawn] for part in parts)) for seed in range(n_seeds)]
        wider = [np.sqrt(n / (n - 1)) for n in (n_seeds, n_tasks)]
        deviations.append(wider[0] * of_seeds + keep * wider[1] * (np.mean(again) - grand))
    squares = [seeds**2 / (n_seeds - 1)]
    if keep > 0:
        squares += [tasks**2 / (n_tasks - 1), rest**2 / ((n_seeds - 1) * (n_tasks - 1))]
    freedom = (seeds + max(0, tasks - rest)) ** 2 / sum(squares)
    freedom = max(freedom, min(n_seeds, n_tasks) - 1 if keep > 0 else n_seeds - 1)
    tail = (1 - confidence) / 2
    factor = stats.t.isf(tail, freedom) / stats.norm.isf(tail)
    low, high = (grand + factor * np.quantile(deviations, share) for share in (tail, 1 - tail))
    return grand, low, high


@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize(("of_tasks", "n_tasks"), [(0.0, 8), (0.3, 8), (0.3, 2)])
def test_the_interval_is_that_of_loops_of_drawing(spread, of_tasks, n_tasks):
    together = runs(spread=spread, n_tasks=n_tasks)
    easier = 1 - of_tasks * np.random.default_rng(1).random(together.sizes["task"])
    together["before"] = together["before"] * xr.DataArray(easier, dims="task")
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


def test_tasks_that_all_runs_share_widen_the_interval_however_many_runs_there_are():
    """The mean over ever more runs of the same tasks says no more about other tasks."""
    few, many = (runs(n_seeds=n, spread=0.0).isel(interval=[0]) for n in (5, 40))
    easier = xr.DataArray(np.linspace(1, 0.6, few.sizes["task"]), dims="task")
    widths = []
    for together in (few, many):
        together["before"] = together["before"] * easier
        found = seeds_interval(together, n_resamples=999)
        widths.append((found["interval_high"] - found["interval_low"]).item())
    assert min(widths) > 0.15
    np.testing.assert_allclose(*widths, rtol=0.3)


def test_tasks_that_a_run_lacks_have_no_part_in_what_tasks_do():
    together = runs()
    together["start_visit"][{"run": 0, "task": 0}] = -1
    found = seeds_interval(together, n_resamples=999)
    assert np.isfinite(found["interval_low"]).all()
    alone = together.isel(task=[0, 1])
    assert np.isfinite(seeds_interval(alone, n_resamples=99)["interval_low"]).all()


def test_scores_above_one_come_with_a_warning_that_says_why():
    traces = [synthetic_trace(recovery_scores=[score, 0.3]) for score in (0.4, 1.4)]
    found = SEEDS.report(SEEDS.build(*traces, n_resamples=9).compute())
    (warning,) = found.numbers["warnings"]
    assert warning in found.notes
    assert warning.startswith("Warning: of a run, interval 1: the score exceeds 1 (up to 1.4)")


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
    with pytest.raises(AnalysisError, match="confidence: expected a number between 0 and 1, found 2"):
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
    assert found.columns == ("interval", "mean score", "95 % low", "95 % high")
    with pytest.raises(AnalysisError, match="runs over seeds have the same tasks and intervals"):
        SEEDS.build(*traces, synthetic_trace(n_tasks=4))


@pytest.mark.parametrize(
    ("second", "software", "differing"),
    [
        ({"seed": 2, "tasks": {"order_seed": 3}, "width": 4}, "2", []),
        ({"seed": 2, "width": 5, "optimizer": {"kind": "sgd"}}, "1", ["width", "optimizer.kind"]),
    ],
)
def test_settings_that_differ_besides_seeds_are_named(second, software, differing):
    traces = [synthetic_trace() for _ in range(2)]
    first = {"seed": 1, "width": 4}
    for trace, configuration, version in zip(traces, (first, second), ("1", software), strict=True):
        trace.attrs.update(configuration=configuration, software={"numpy": version})
    found = SEEDS.report(SEEDS.build(*traces, n_resamples=9).compute())
    assert found.numbers["differing"] == differing
    assert [", ".join(differing) in note for note in found.numbers["warnings"]] == [True] * bool(differing)
    assert set(found.numbers["warnings"]) <= set(found.notes)
