"""Forgetting and transfer as continual learning measures them, from losses and the visits of each task."""

from __future__ import annotations

import numpy as np

from analyses.kernels.recovery import MISSING, Booleans, Floats, Integers


def trained(trained_task: Integers, n_tasks: int) -> Booleans:
    """Say which task was trained when, (visit,) -> (visit, task)."""
    return np.asarray(trained_task[:, np.newaxis] == np.arange(n_tasks))


def learned_earlier(trained_task: Integers, n_tasks: int) -> Booleans:
    """Say which tasks were trained before each visit and not at it, (visit,) -> (visit, task)."""
    now = trained(trained_task, n_tasks)
    return np.logical_or.accumulate(now, axis=0) & ~now


def forgetting(loss: Floats, trained_task: Integers) -> Floats:
    """Give how far each loss lies above its least before, (..., visit, task) -> same.

    The least is over the earlier snapshots after any training. NaN where a task was not learned earlier.
    """
    untrained = trained_task == MISSING
    known = np.where(untrained[:, np.newaxis], np.inf, loss)
    least = np.full(loss.shape, np.inf)
    least[..., 1:, :] = np.minimum.accumulate(known, axis=-2)[..., :-1, :]
    counted = learned_earlier(trained_task, loss.shape[-1])
    return _difference(loss, least, counted)


def backward_transfer(loss: Floats, trained_task: Integers) -> tuple[Floats, Floats]:
    """Give how far each loss lies below that after the task's first, and its last, visit before.

    (..., visit, task) -> same, twice. NaN where a task was not learned earlier.
    """
    now = trained(trained_task, loss.shape[-1])
    rows = np.arange(len(now))[:, np.newaxis]
    first = np.minimum.accumulate(np.where(now, rows, len(now) - 1), axis=0)
    last = np.maximum.accumulate(np.where(now, rows, 0), axis=0)
    counted = learned_earlier(trained_task, loss.shape[-1])
    return _fall_since(loss, first, counted), _fall_since(loss, last, counted)


def _fall_since(loss: Floats, rows: Integers, counted: Booleans) -> Floats:
    earlier = loss[..., rows, np.arange(loss.shape[-1])]
    return _difference(earlier, loss, counted)


def _difference(minuend: Floats, subtrahend: Floats, counted: Booleans) -> Floats:
    """Subtract where counted, and give NaN elsewhere, and of two infinite losses."""
    difference = np.full(minuend.shape, np.nan)
    with np.errstate(invalid="ignore"):
        np.subtract(minuend, subtrahend, out=difference, where=counted)
    return difference


def met_later(trained_task: Integers, n_tasks: int) -> Booleans:
    """Say which tasks were trained, but not first of all, (visit,) -> (task,)."""
    tasks = trained_task[trained_task != MISSING]
    first = tasks[0] if tasks.size else MISSING
    return np.asarray(trained(tasks, n_tasks).any(axis=0) & (np.arange(n_tasks) != first))


def forward_transfer(loss: Floats, trained_task: Integers) -> Floats:
    """Give how far the loss on each task fell before its first visit, (..., visit, task) -> (..., task).

    NaN for the task trained first, for those never trained, and where the first row follows training.
    """
    n_tasks = loss.shape[-1]
    if trained_task.size == 0 or trained_task[0] != MISSING:
        return np.full((*loss.shape[:-2], n_tasks), np.nan)
    first = trained(trained_task, n_tasks).argmax(axis=0)
    just_before = loss[..., first - 1, np.arange(n_tasks)]
    return _difference(loss[..., 0, :], just_before, met_later(trained_task, n_tasks))


def mean_of_counted(values: Floats, counted: Booleans) -> Floats:
    """Give the mean over the counted tasks, (..., task) -> (...); NaN where there are none."""
    total = np.sum(values, axis=-1, where=counted)
    n_counted = np.count_nonzero(np.broadcast_to(counted, values.shape), axis=-1)
    mean = np.full(total.shape, np.nan)
    np.divide(total, n_counted, out=mean, where=n_counted > 0)
    return mean
