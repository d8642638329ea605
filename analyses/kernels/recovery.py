"""Recovery of forgotten tasks, from a matrix of losses and the visits of each task."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

MISSING = -1
"""Stands for a visit that did not take place (a task visited less often than the others)."""

NO_FORGETTING = 1e-12
"""Forgetting that is at most this share of the peak loss counts as none."""


def visits_of_tasks(trained_task: Integers, n_tasks: int) -> Integers:
    """Give the rows at which each task was trained, (visit,) -> (task, occurrence), padded with `MISSING`."""
    rows = [np.flatnonzero(trained_task == task) for task in range(n_tasks)]
    table = np.full((n_tasks, max((row.size for row in rows), default=0)), MISSING, dtype=np.int64)
    for task, row in enumerate(rows):
        table[task, : row.size] = row
    return table


def intervals(visits: Integers) -> tuple[Integers, Integers]:
    """Give the first row of every interval and the row that ends it, both (task, interval)."""
    ends = visits[:, 1:]
    return np.where(ends == MISSING, MISSING, visits[:, :-1]), ends


def interval_losses(loss: Floats, starts: Integers, ends: Integers) -> tuple[Floats, Floats, Floats, Floats]:
    """Give after, before, peak and the place of the peak, (..., visit, task) -> (..., task, interval).

    The last three are over the rows start … end − 1. NaN where a task does not have the interval.
    """
    shape = (*loss.shape[:-2], *starts.shape)
    after, before, peak, position = (np.full(shape, np.nan) for _ in range(4))
    for task, interval in np.argwhere(starts != MISSING):
        start, end = starts[task, interval], ends[task, interval]
        inside = loss[..., start:end, task]
        after[..., task, interval] = inside[..., 0]
        before[..., task, interval] = inside[..., -1]
        peak[..., task, interval] = inside.max(axis=-1)
        position[..., task, interval] = inside.argmax(axis=-1) / (end - start)
    return after, before, peak, np.where(np.isnan(peak), np.nan, position)


def share_recovered(after: Floats, before: Floats, peak: Floats) -> Floats:
    """Give (peak − before) / (peak − after) element by element, NaN where nothing was forgotten."""
    with np.errstate(invalid="ignore"):
        forgetting = np.asarray(peak - after)
        regained = np.asarray(peak - before)
    forgotten = forgetting > NO_FORGETTING * np.abs(peak)
    share = np.full(forgetting.shape, np.nan)
    np.divide(regained, forgetting, out=share, where=forgotten)
    return share


def recovery_score(after: Floats, before: Floats, peak: Floats, counted: Booleans | bool = True) -> Floats:
    """Give the share recovered of the means over the counted tasks, (..., task) -> (...)."""
    means = (np.mean(part, axis=-1, where=counted) for part in (after, before, peak))
    return share_recovered(*means)


def shifted_loss(loss: Floats, visits: Integers, offsets: Integers) -> Floats:
    """Give the loss around each visit, (..., visit, task) -> (..., task, occurrence, offset), NaN beyond."""
    rows = visits[..., np.newaxis] + offsets
    within = (visits[..., np.newaxis] != MISSING) & (rows >= 0) & (rows < loss.shape[-2])
    tasks = np.arange(visits.shape[0])[:, np.newaxis, np.newaxis]
    return np.where(within, loss[..., np.where(within, rows, 0), tasks], np.nan)


def mean_over_tasks(values: Floats, counted: Booleans) -> Floats:
    """Give the mean over the counted tasks, (..., task) -> (...); a NaN among them gives NaN."""
    return np.asarray(np.mean(values, axis=-1, where=counted))


def online_loss(loss: Floats, trained_task: Integers) -> Floats:
    """Give the loss on each task just before training on it, (..., visit, task) -> (..., visit − 1)."""
    return np.asarray(loss[..., np.arange(trained_task.size - 1), trained_task[1:]])


def grouped_mean(values: Floats, group: Integers, groups: Integers) -> Floats:
    """Give the mean of the values of each group, (..., visit) -> (..., group)."""
    means = [values[..., group == wanted].mean(axis=-1) for wanted in groups]
    return np.stack(means, axis=-1) if means else np.empty((*values.shape[:-1], 0))
