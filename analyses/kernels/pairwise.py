"""What training on one task does to the loss of every other, arranged by when their turns come."""

from __future__ import annotations

import numpy as np

from analyses.kernels.recovery import MISSING, Floats, Integers


def visits_until(visits: Integers, trained_task: Integers, snapshots: Integers, n_tasks: int) -> Integers:
    """Give how many visits come before each task's next one, (visit,) twice -> (snapshot, task).

    0 is the task about to be visited; `MISSING` one that is not visited again.
    """
    lags = np.full((snapshots.size, n_tasks), MISSING, dtype=np.int64)
    for visit, task in zip(visits[::-1], trained_task[::-1], strict=True):
        if task != MISSING:
            lags[snapshots < visit, task] = visit - 1 - snapshots[snapshots < visit]
    return lags


def mean_by_lag(matrix: Floats, lags: Integers, n_lags: int) -> tuple[Floats, Floats]:
    """Give the mean of entries by the lags of both tasks, and their number.

    (..., visit, trained, evaluated) -> (..., trained_lag, evaluated_lag), twice. Entries of NaN are left out.
    """
    total = np.zeros((*matrix.shape[:-3], n_lags, n_lags))
    count = np.zeros(total.shape)
    for row, lag in enumerate(lags):
        known = np.flatnonzero(lag != MISSING)
        entries = matrix[..., row, known[:, np.newaxis], known]
        places = (..., lag[known][:, np.newaxis], lag[known])
        total[places] += np.where(np.isnan(entries), 0.0, entries)
        count[places] += ~np.isnan(entries)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean, count


def mean_by_group(matrix: Floats, group: Integers, groups: Integers) -> Floats:
    """Give the mean over the snapshots of a group, (..., visit, trained, evaluated) -> (..., group, …)."""
    means = [matrix[..., group == wanted, :, :].mean(axis=-3) for wanted in groups]
    shape = (*matrix.shape[:-3], 0, *matrix.shape[-2:])
    return np.stack(means, axis=-3) if means else np.empty(shape)
