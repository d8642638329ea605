"""Tests whose null turns curves or matrices round in time, so that what is next to each other stays so."""

from __future__ import annotations

import numpy as np

from analyses.kernels.recovery import MISSING, Booleans, Floats, Integers

FEWEST_SNAPSHOTS = 2
"""Snapshots that an interval needs between its visits for a rotation to change anything."""

ROUNDING = 1e-12
"""Statistics that differ by less are equal."""


def p_value(null: Floats, found: Floats) -> Floats:
    """Give (b + 1) / (B + 1), b of B draws being as large or larger, (draw, …) and (…) -> (…)."""
    at_least = np.count_nonzero(~(null < found - ROUNDING), axis=0)
    return np.where(np.isnan(found), np.nan, (at_least + 1) / (len(null) + 1))


def forgotten_curves(loss: Floats, starts: Integers, ends: Integers) -> tuple[Floats, Integers]:
    """Give the losses between two visits, less their mean, (visit, task) -> (task, interval, snapshot).

    The snapshot right after the first visit is left out. Also their number, (task, interval); the rest of the
    snapshots are NaN.
    """
    counts = np.where(starts == MISSING, 0, np.maximum(ends - starts - 1, 0))
    curves = np.full((*starts.shape, counts.max(initial=1)), np.nan)
    for task, interval in np.argwhere(counts > 0):
        inside = loss[starts[task, interval] + 1 : ends[task, interval], task]
        curves[task, interval, : inside.size] = inside - inside.mean()
    return curves, counts


def less_shared(loss: Floats, trained_task: Integers) -> Floats:
    """Take off what tasks share at each snapshot, (…, visit, task) -> same: their mean, less their levels.

    The task just trained has no part in it: its loss is low for another reason. Nor have losses without
    number; where a run diverged they are NaN.
    """
    loss = np.where(np.isfinite(loss), loss, np.nan)
    counted = (trained_task[:, np.newaxis] != np.arange(loss.shape[-1])) & ~np.isnan(loss)
    level = _mean_where(counted, loss, axis=-2)
    return np.asarray(loss - _mean_where(counted, loss - level, axis=-1))


def _mean_where(counted: Booleans, values: Floats, *, axis: int) -> Floats:
    total = np.where(counted, values, 0.0).sum(axis=axis, keepdims=True)
    return np.asarray(total / np.maximum(counted.sum(axis=axis, keepdims=True), 1))


def recovery_test(
    loss: Floats,
    *,
    trained_task: Integers,
    starts: Integers,
    ends: Integers,
    n_resamples: int,
    seed: int,
) -> tuple[Floats, ...]:
    """Give drop, p-value and number of tasks of each interval, and of the mean over all of them.

    (visit, task) -> (interval,) three times, and () three times. A drop is how far the last loss before a
    visit lies below the mean since the one before, once what tasks share is taken off. Its null takes a
    snapshot at random for the last one.
    """
    curves, counts = forgotten_curves(less_shared(loss, trained_task), starts, ends)
    usable = counts >= FEWEST_SNAPSHOTS
    last = -_at(curves, np.maximum(counts - 1, 0))
    rng = np.random.default_rng(seed)
    drawn = np.stack([-_at(curves, _any(rng, counts)) for _ in range(n_resamples)])
    each = [
        _studentised_test(drawn[:, usable[:, n], n], last[usable[:, n], n]) for n in range(starts.shape[1])
    ]
    complete = usable.all(axis=1) & (starts.shape[1] > 0)
    pooled = _studentised_test(_mean(drawn[:, complete]), _mean(last[complete]))
    table = np.array(each, dtype=np.float64).reshape(-1, 3)
    return (*table.T, *(np.asarray(number) for number in pooled))


def _any(rng: np.random.Generator, counts: Integers) -> Integers:
    return np.asarray(rng.random(counts.shape) * counts, dtype=np.int64)


def _at(curves: Floats, snapshot: Integers) -> Floats:
    return np.take_along_axis(curves, snapshot[..., np.newaxis], axis=-1)[..., 0]


def _mean(drops: Floats) -> Floats:
    """Give the mean over intervals, (…, interval) -> (…)."""
    return np.asarray(drops.mean(axis=-1) if drops.shape[-1] else drops.sum(axis=-1))


def _studentised_test(drawn: Floats, found: Floats) -> tuple[float, float, int]:
    """Give mean, p-value and number of the drops of tasks, (draw, task) and (task,)."""
    if found.size < 2:
        return np.nan, np.nan, found.size
    return float(found.mean()), float(p_value(_studentised(drawn), _studentised(found))), found.size


def _studentised(drops: Floats) -> Floats:
    """Give Student's t of the mean over tasks, (…, task) -> (…); NaN where all tasks are the same.

    The last of several snapshots varies more than one taken at random, for it has neighbours on one side
    alone. The spread over tasks shows how much.
    """
    spread = drops.std(axis=-1, ddof=1)
    t = np.full(spread.shape, np.nan)
    np.divide(drops.mean(axis=-1), spread, out=t, where=spread > ROUNDING)
    return t


def without_lag_means(similarity: Floats) -> Floats:
    """Give the matrix less its mean at every lag, (visit, visit_other) -> same; 0 for lag 0 and NaN."""
    n = len(similarity)
    rest = np.zeros((n, n))
    for lag in range(1, n):
        values = np.diagonal(similarity, lag)
        known = ~np.isnan(values)
        if known.any():
            first = np.arange(n - lag)[known]
            rest[first, first + lag] = values[known] - values[known].mean()
    return rest + rest.T


def mantel(similarity: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Give the correlation of two matrices between visits, and its p-value under rotation of the visits.

    (visit, visit_other) twice -> () twice. Both are taken less their means at every lag.
    """
    known = ~(np.isnan(np.diagonal(similarity)) | np.isnan(np.diagonal(other)))
    first, second = (without_lag_means(each[np.ix_(known, known)]) for each in (similarity, other))
    length = np.sqrt(np.square(first).sum() * np.square(second).sum())
    if not length > ROUNDING:
        return np.asarray(np.nan), np.asarray(np.nan)
    turned = [np.sum(np.roll(first, (shift, shift), axis=(0, 1)) * second) for shift in range(len(first))]
    correlation = np.array(turned) / length
    return correlation[0], p_value(correlation[1:], correlation[0])
