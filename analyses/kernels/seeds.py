"""What several runs of different seeds say together: intervals over seeds and tasks, noise ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.kernels.inference import DEGENERATE, expanded_level
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

    Seeds are drawn, and within each drawn seed tasks. What drawing tasks adds to the spread is in the spread
    between the scores of seeds already, so these are drawn together first, by as much. Draws without
    forgetting make the ends NaN.
    """
    scores = recovery_score(after, before, peak, counted)
    if len(scores) < 2 or not np.isfinite(scores).all():
        return scores.mean() if scores.size else np.asarray(np.nan), *(np.asarray(np.nan),) * 2
    rng = np.random.default_rng(seed)
    shape = (n_resamples, len(scores))
    within = _deviations(np.stack([after, before, peak]), counted, shape[0], rng)
    drawn = rng.integers(len(scores), size=shape)
    # a seed drawn twice has its tasks drawn twice
    deviations = within[rng.integers(n_resamples, size=shape), drawn]
    between = (scores[drawn] - scores.mean()) * _share_kept(scores, within)
    means = scores.mean() + (between + deviations).mean(axis=1)
    tail = (1 - expanded_level(confidence, len(scores))) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return scores.mean(), low, high


def hierarchical_intervals(
    after: Floats, before: Floats, peak: Floats, counted: Booleans, **resampling: Any
) -> tuple[Floats, ...]:
    """Give the same for every interval, (seed, task, interval) -> (interval,) three times."""
    each = [
        hierarchical_interval(after[..., n], before[..., n], peak[..., n], counted[..., n], **resampling)
        for n in range(after.shape[-1])
    ]
    return tuple(np.array(each, dtype=np.float64).reshape(-1, 3).T)


def _deviations(parts: Floats, counted: Booleans, n_draws: int, rng: np.random.Generator) -> Floats:
    """Give how far the score of drawn tasks lies from that of all, for every seed, -> (draw, seed)."""
    columns = []
    for seed, has in enumerate(counted):
        own = parts[:, seed, has]
        tasks = rng.integers(own.shape[-1], size=(n_draws, own.shape[-1]))
        columns.append(recovery_score(*own[:, tasks]) - recovery_score(*own))
    return np.stack(columns, axis=1)


def _share_kept(scores: Floats, within: Floats) -> float:
    """Give what the spread between seeds is to be multiplied by for tasks to be counted once."""
    variance = scores.var(ddof=1)
    if not variance > DEGENERATE:
        return 0.0
    return float(np.sqrt(max(0.0, 1.0 - within.var(axis=0, ddof=1).mean() / variance)))


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
