"""How sure a recovery score is: bootstrap and permutation over tasks.

scipy.stats takes as long to import as all else together, so it is imported where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analyses.kernels.recovery import Booleans, Floats, Integers, recovery_score

Method = Literal["percentile", "basic", "bca"]
Alternative = Literal["two-sided", "greater", "less"]

BATCH_ELEMENTS = 2**20
"""How many numbers are resampled at a time, so that memory does not grow with the number of resamples."""

DEGENERATE = 1e-12
"""Relative change of a statistic, when any one task is left out, that counts as none."""


@dataclass(frozen=True)
class Resampling:
    """How to resample, the same for every interval."""

    confidence: float = 0.95
    n_resamples: int = 9999
    seed: int = 0
    method: Method = "percentile"
    alternative: Alternative = "two-sided"


def expanded_level(confidence: float, n: int) -> float:
    """Give the level at which a percentile interval of n units has the width of one from Student's t.

    α′/2 = Φ(−√(n / (n − 1)) t_{α/2, n − 1}): Hesterberg (2015), doi:10.1080/00031305.2015.1089789.
    """
    from scipy import special

    quantile = np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + confidence) / 2)
    return float(1 - 2 * special.ndtr(-quantile))


def recovery_interval(
    after: Floats, before: Floats, peak: Floats, counted: Booleans, *, resampling: Resampling
) -> tuple[Floats, Floats]:
    """Give the ends of the confidence interval of a recovery score, (..., task) -> (...), twice."""
    counted = np.broadcast_to(counted, after.shape)
    low, high = np.full(after.shape[:-1], np.nan), np.full(after.shape[:-1], np.nan)
    for place in np.ndindex(low.shape):
        parts = np.stack([part[place][counted[place]] for part in (after, before, peak)])
        low[place], high[place] = _bootstrap(Score(parts[:, np.newaxis]), resampling)
    return low, high


def difference_of_scores(
    first: Floats, second: Floats, *, paired: bool, resampling: Resampling
) -> tuple[float, float, float, float]:
    """Give difference, ends of its interval and p-value, of the mean score over intervals of two runs.

    Both are (part, interval, task), the parts being after, before and peak. Paired runs have the same tasks.
    """
    units = Difference(np.concatenate([first, second], axis=-1), first.shape[-1], paired)
    low, high = _bootstrap(units, resampling)
    estimate = float(units.of_runs(*units.runs)) if min(run.size for run in units.runs) else np.nan
    return estimate, low, high, _p_value(units, resampling)


@dataclass(frozen=True, eq=False)
class Score:
    """The mean score over intervals as a function of the tasks in it; `parts` is (part, interval, task)."""

    parts: Floats

    @property
    def samples(self) -> tuple[Integers, ...]:
        """The units of replication, by number: what is drawn from."""
        return (np.arange(self.parts.shape[-1]),)

    def __call__(self, tasks: Integers, *, axis: int = -1) -> Floats:
        """Give the score of chosen tasks, (..., task) -> (...)."""
        after, before, peak = self.parts[..., tasks]
        return np.asarray(recovery_score(after, before, peak).mean(axis=0))


@dataclass(frozen=True, eq=False)
class Difference:
    """The difference between the scores of two runs as a function of the tasks in each.

    `parts` holds the tasks of the first run and after them those of the second. Paired tasks are drawn
    together.
    """

    parts: Floats
    n_first: int
    paired: bool

    @property
    def runs(self) -> tuple[Integers, Integers]:
        """The tasks of each run, by number."""
        n_both = self.parts.shape[-1]
        return np.arange(self.n_first), np.arange(self.n_first, n_both)

    @property
    def samples(self) -> tuple[Integers, ...]:
        """The units of replication, by number: what is drawn from."""
        return self.runs[:1] if self.paired else self.runs

    def of_runs(self, first: Integers, second: Integers, *, axis: int = -1) -> Floats:
        """Give the difference for chosen tasks of either run, (..., task) -> (...)."""
        score = Score(self.parts)
        return score(first) - score(second)

    def __call__(self, *chosen: Integers, axis: int = -1) -> Floats:
        """Give the difference for chosen units, (..., unit) -> (...)."""
        first = chosen[0]
        return self.of_runs(first, first + self.n_first if self.paired else chosen[1])


def _bootstrap(statistic: Score | Difference, resampling: Resampling) -> tuple[float, float]:
    """Give a confidence interval of a statistic; NaN where any draw is undefined, or units are too few."""
    samples = statistic.samples
    n_units = min(sample.size for sample in samples)
    if n_units < 2 or not np.isfinite(estimate := float(statistic(*samples))):
        return np.nan, np.nan
    if _is_degenerate(statistic, samples, estimate):
        return estimate, estimate
    undefined: list[bool] = []

    def _watched(*chosen: Integers, axis: int = -1) -> Floats:
        values = statistic(*chosen)
        undefined.append(bool(np.isnan(values).any()))
        return np.where(np.isnan(values), estimate, values)

    from scipy import stats

    interval = stats.bootstrap(
        samples,
        _watched,
        vectorized=True,
        method=resampling.method,
        confidence_level=expanded_level(resampling.confidence, n_units),
        n_resamples=resampling.n_resamples,
        batch=_batch(statistic.parts),
        rng=np.random.default_rng(resampling.seed),
    ).confidence_interval
    return (np.nan, np.nan) if any(undefined) else (float(interval.low), float(interval.high))


def _is_degenerate(statistic: Score | Difference, samples: tuple[Integers, ...], estimate: float) -> bool:
    """Say whether the statistic is the same whichever unit is left out, so that it has no spread."""
    changes = []
    for index, sample in enumerate(samples):
        others = [np.broadcast_to(other, (sample.size, other.size)) for other in samples]
        others[index] = np.stack([np.delete(sample, unit) for unit in range(sample.size)])
        changes.append(np.abs(statistic(*others) - estimate).max())
    return bool(max(changes) <= DEGENERATE * max(1.0, abs(estimate)))


def _p_value(statistic: Difference, resampling: Resampling) -> float:
    """Give the p-value of a permutation test; NaN where the difference of any permutation is undefined."""
    runs = statistic.runs
    if min(run.size for run in runs) < 2 or np.isnan(statistic.of_runs(*runs)):
        return np.nan
    from scipy import stats

    result = stats.permutation_test(
        runs,
        statistic.of_runs,
        permutation_type="samples" if statistic.paired else "independent",
        vectorized=True,
        n_resamples=resampling.n_resamples,
        batch=_batch(statistic.parts),
        alternative=resampling.alternative,
        rng=np.random.default_rng(resampling.seed),
    )
    return float(np.nan if np.isnan(result.null_distribution).any() else result.pvalue)


def _batch(parts: Floats) -> int:
    return max(1, BATCH_ELEMENTS // parts.size)


def order_test(
    first: Floats,
    second: Floats,
    counted: Booleans,
    counted_other: Booleans,
    *,
    paired: bool,
    resampling: Resampling,
) -> tuple[Floats, ...]:
    """Give difference, low, high and p-value of every interval, and of the mean over all intervals.

    (part, task, interval) twice and (task, interval) twice -> (interval,) four times and () four times.
    Pooled over intervals only the tasks count that have them all.
    """
    runs = ((first, counted), (second, counted_other))
    each = [
        difference_of_scores(
            *(parts[:, has[:, interval], interval][:, np.newaxis] for parts, has in runs),
            paired=paired,
            resampling=resampling,
        )
        for interval in range(first.shape[-1])
    ]
    pooled = (np.nan,) * 4
    if each:
        complete = (parts[:, has.all(axis=1)].swapaxes(1, 2) for parts, has in runs)
        pooled = difference_of_scores(*complete, paired=paired, resampling=resampling)
    table = np.array(each, dtype=np.float64).reshape(-1, 4)
    return (*table.T, *(np.asarray(number) for number in pooled))
