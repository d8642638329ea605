"""Under simulated truths, intervals cover and tests reject as often as they say."""

import numpy as np
import pytest

from analyses.kernels.inference import Resampling, difference_of_scores, recovery_interval

COVERAGE = (0.93, 0.97)
REJECTION = (0.03, 0.07)


def like_the_paper(rng, shape):
    """Forgetting and shares as in a run of the paper's code: spread little, and go together."""
    one, other = rng.standard_normal((2, *shape))
    return _parts(rng, 3 * (1 + 0.12 * one), 0.2 + 0.08 * (0.5 * one + np.sqrt(0.75) * other))


def skewed(rng, shape):
    """Most tasks recover little, and a few much."""
    return _parts(rng, rng.gamma(9, 1 / 9, shape), rng.beta(1.2, 4.8, shape))


def spread(rng, shape):
    """Forgetting differs by half between tasks."""
    return _parts(rng, rng.gamma(4, 1 / 4, shape), 0.3 + 0.15 * rng.standard_normal(shape))


def _parts(rng, forgetting, share):
    after = rng.gamma(4, 0.1, forgetting.shape)
    return np.stack([after, after + forgetting * (1 - share), after + forgetting])


def coverage(simulate, n_tasks, n_runs, method="percentile"):
    after, before, peak = simulate(np.random.default_rng(0), (2_000_000,))
    truth = (peak.mean() - before.mean()) / (peak.mean() - after.mean())
    rng = np.random.default_rng(n_tasks)
    held = 0
    for seed in range(n_runs):
        parts = simulate(rng, (n_tasks,))
        resampling = Resampling(n_resamples=999, seed=seed, method=method)
        low, high = recovery_interval(*parts, np.ones(n_tasks, dtype=bool), resampling=resampling)
        held += low <= truth <= high
    return held / n_runs


def rejections(simulate, n_tasks, n_runs, *, paired):
    rng = np.random.default_rng(n_tasks)
    rejected = 0
    for seed in range(n_runs):
        runs = [simulate(rng, (1, n_tasks)) for _ in range(2)]
        *_, p_value = difference_of_scores(
            *runs, paired=paired, resampling=Resampling(n_resamples=199, seed=seed)
        )
        rejected += p_value <= 0.05
    return rejected / n_runs


@pytest.mark.parametrize("n_tasks", [16, 25])
def test_intervals_cover(n_tasks):
    assert COVERAGE[0] <= coverage(like_the_paper, n_tasks, 800) <= COVERAGE[1]


@pytest.mark.parametrize("n_tasks", [16, 25])
def test_permutation_tests_reject_true_nulls_as_often_as_they_say(n_tasks):
    assert REJECTION[0] <= rejections(like_the_paper, n_tasks, 800, paired=True) <= REJECTION[1]


@pytest.mark.slow
@pytest.mark.parametrize("n_tasks", [16, 25])
@pytest.mark.parametrize("simulate", [like_the_paper, skewed, spread])
def test_intervals_cover_in_many_runs(simulate, n_tasks):
    assert COVERAGE[0] <= coverage(simulate, n_tasks, 4000) <= COVERAGE[1]


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("n_tasks", [16, 25])
@pytest.mark.parametrize("simulate", [like_the_paper, skewed, spread])
def test_permutation_tests_reject_in_many_runs(simulate, n_tasks, paired):
    assert REJECTION[0] <= rejections(simulate, n_tasks, 2000, paired=paired) <= REJECTION[1]
