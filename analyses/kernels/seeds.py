"""What several runs of different seeds say together: intervals over seeds and tasks, noise ceiling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analyses.kernels.inference import DEGENERATE
from analyses.kernels.recovery import Booleans, Floats, recovery_score


def hierarchical_interval(
    after: Floats,
    before: Floats,
    peak: Floats,
    counted: Booleans,
    *,
    confidence: float,
    n_resamples: int,
    seed: int,
) -> tuple[Floats, Floats, Floats]:
    """Give the mean score over seeds and the ends of its interval, (seed, task) -> () three times.

    Seeds are drawn, and tasks, the same ones for all seeds. What tasks do to one seed and not to the others
    is in the spread between seeds already, so the draws of tasks are drawn together by as much. Quantiles are
    widened, not taken further out: the tails of means of a few drawn seeds are too short. Draws without
    forgetting make the ends NaN.
    """
    scores = recovery_score(after, before, peak, counted)
    if len(scores) < 2 or not np.isfinite(scores).all():
        return scores.mean() if scores.size else np.asarray(np.nan), *(np.asarray(np.nan),) * 2
    parts = np.stack([after, before, peak])[..., counted.all(axis=0)]
    spread = _spread(scores, parts)
    rng = np.random.default_rng(seed)
    deviations = _means_of_drawn(scores - scores.mean(), n_resamples, rng)
    if spread.share_of_tasks > 0:
        deviations += spread.share_of_tasks * _deviations_of_drawn_tasks(parts, n_resamples, rng)
    tail = (1 - confidence) / 2
    low, high = _student_over_normal(tail, spread.freedom) * np.quantile(deviations, [tail, 1 - tail])
    return scores.mean(), scores.mean() + low, scores.mean() + high


def _student_over_normal(tail: float, freedom: float) -> float:
    """Give how many times as far out as the normal distribution Student's t has the same tail."""
    from scipy import special

    return float(special.stdtrit(freedom, tail) / special.ndtri(tail))


def hierarchical_intervals(
    after: Floats, before: Floats, peak: Floats, counted: Booleans, **resampling: Any
) -> tuple[Floats, ...]:
    """Give the same for every interval, (seed, task, interval) -> (interval,) three times."""
    each = [
        hierarchical_interval(after[..., n], before[..., n], peak[..., n], counted[..., n], **resampling)
        for n in range(after.shape[-1])
    ]
    return tuple(np.array(each, dtype=np.float64).reshape(-1, 3).T)


@dataclass(frozen=True)
class Spread:
    """What seeds, tasks, and both together (the rest) add to the variance of the mean, as if each were alone.

    The rest is in those of seeds and of tasks as well, so the variance is seeds + tasks − rest.
    """

    seeds: float
    tasks: float
    rest: float
    n_seeds: int
    n_tasks: int

    @property
    def share_of_tasks(self) -> float:
        """What deviations of drawn tasks are to be multiplied by for the rest to be counted once."""
        if not self.tasks > self.rest:
            return 0.0
        return float(np.sqrt(1 - self.rest / self.tasks))

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the variance; not below those of its parts."""
        squares = [self.seeds**2 / (self.n_seeds - 1)]
        variance, least = self.seeds, self.n_seeds - 1
        if self.share_of_tasks > 0:
            variance += self.tasks - self.rest
            least = min(self.n_seeds, self.n_tasks) - 1
            squares += [
                self.tasks**2 / (self.n_tasks - 1),
                self.rest**2 / ((self.n_seeds - 1) * (self.n_tasks - 1)),
            ]
        total = sum(squares)
        return max(least, variance**2 / total) if total > DEGENERATE**2 else float(least)


def _spread(scores: Floats, parts: Floats) -> Spread:
    """Analyse the variance of scores, by seed and task, of the tasks that all seeds have."""
    _, n_seeds, n_tasks = parts.shape
    seeds = float(scores.var(ddof=1)) / n_seeds
    if n_tasks < 2:
        return Spread(seeds, 0.0, 0.0, n_seeds, n_tasks)
    each = _scores_by_task(parts)
    by_task = each.mean(axis=0)
    rest = each - each.mean(axis=1, keepdims=True) - by_task + each.mean()
    square = float(np.square(rest).sum()) / ((n_seeds - 1) * (n_tasks - 1))
    tasks = float(by_task.var(ddof=1)) / n_tasks
    return Spread(seeds, tasks, square / (n_seeds * n_tasks), n_seeds, n_tasks)


def _scores_by_task(parts: Floats) -> Floats:
    """Give numbers whose means over tasks are scores, to first order, (part, seed, task) -> (seed, task)."""
    after, before, peak = parts
    forgetting = (peak - after).mean(axis=1, keepdims=True)
    score = recovery_score(after, before, peak)[:, np.newaxis]
    return np.asarray(score + (peak - before - score * (peak - after)) / forgetting)


def _means_of_drawn(deviations: Floats, n_draws: int, rng: np.random.Generator) -> Floats:
    """Give the mean of drawn deviations, as variable as that of new ones would be, (unit,) -> (draw,)."""
    n = len(deviations)
    drawn = rng.integers(n, size=(n_draws, n))
    return np.asarray(deviations[drawn].mean(axis=1) * np.sqrt(n / (n - 1)))


def _deviations_of_drawn_tasks(parts: Floats, n_draws: int, rng: np.random.Generator) -> Floats:
    """Give how far the mean score of drawn tasks lies from that of all, (part, seed, task) -> (draw,)."""
    n = parts.shape[-1]
    tasks = rng.integers(n, size=(n_draws, n))
    each = [recovery_score(*own[:, tasks]) - recovery_score(*own) for own in parts.swapaxes(0, 1)]
    return np.asarray(np.mean(each, axis=0) * np.sqrt(n / (n - 1)))


def noise_ceiling(curves: Floats) -> tuple[Floats, Floats]:
    """Give mean correlations of seeds with the mean of all, and of all others, (seed, …) -> ()."""
    if len(curves) < 2 or curves.size == 0:
        return np.asarray(np.nan), np.asarray(np.nan)
    curves = curves.reshape(len(curves), -1)
    total = curves.sum(axis=0)
    with_all = [_correlation(curve, total) for curve in curves]
    with_others = [_correlation(curve, total - curve) for curve in curves]
    return np.asarray(np.mean(with_all)), np.asarray(np.mean(with_others))


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    length = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / length) if length > 0 else np.nan
