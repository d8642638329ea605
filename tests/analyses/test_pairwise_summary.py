"""Summaries of the pairwise recovery matrix against loops over its entries."""

import numpy as np
import pytest
import xarray as xr

from analyses.pairwise import pairwise_summary
from tracekit.errors import AnalysisError

N_TASKS = 4


def slow_next(order, visit, task):
    """How many visits lie before the next one of a task, from the list of visits alone."""
    later = [number for number, trained in enumerate(order, start=1) if trained == task and number > visit]
    return later[0] - visit - 1 if later else None


def slow_by_lag(matrix, order, snapshots):
    entries = {}
    for row, visit in enumerate(snapshots):
        for i in range(N_TASKS):
            for j in range(N_TASKS):
                lags = slow_next(order, visit, i), slow_next(order, visit, j)
                if None not in lags and not np.isnan(matrix[row, i, j]):
                    entries.setdefault(lags, []).append(matrix[row, i, j])
    return entries


def run(order, snapshots, seed=0):
    matrix = np.random.default_rng(seed).standard_normal((len(snapshots), N_TASKS, N_TASKS))
    coords = {"visit": snapshots, "epoch": ("visit", [max(v - 1, 0) // N_TASKS for v in snapshots])}
    labelled = xr.DataArray(matrix, coords, ("visit", "trained", "evaluated"), attrs={"units": "nats"})
    visits = np.arange(len(order) + 1)
    trained_task = xr.DataArray([-1, *order], {"visit": visits}, ("visit",))
    return matrix, labelled, trained_task


@pytest.mark.parametrize(
    "order",
    [
        [0, 1, 2, 3] * 3,
        [0, 1, 2, 3, 3, 1, 0, 2, 1, 0],  # twice running, and uneven
        [0, 1, 0, 1, 0, 1, 0],  # tasks that never come
        [0, 1, -1, 2, 3, 0, -1, 1, 2],  # visits to no task
    ],
)
def test_summaries_are_those_of_the_definition(order):
    snapshots = [0, 1, 2, 4, 5, 7]
    matrix, labelled, trained_task = run(order, snapshots)
    matrix[2, 1, 1] = np.nan
    result = pairwise_summary(labelled.copy(data=matrix), trained_task)
    expected = slow_by_lag(matrix, order, snapshots)
    for (i, j), count in np.ndenumerate(result["n_entries"]):
        entries = expected.pop((i, j), [])
        assert count == len(entries)
        mean = sum(entries) / len(entries) if entries else np.nan
        np.testing.assert_allclose(result["recovery_by_lag"][i, j], mean)
    assert not expected
    for epoch in result["epoch"].values:
        rows = [row for row, visit in enumerate(snapshots) if max(visit - 1, 0) // N_TASKS == epoch]
        np.testing.assert_allclose(result["mean_recovery"].sel(epoch=epoch), sum(matrix[rows]) / len(rows))


def test_a_planted_recovery_by_lag_comes_back():
    order = [0, 1, 2, 3] * 3
    _, labelled, trained_task = run(order, list(range(5, 9)))
    for row, visit in enumerate(labelled["visit"].values):
        lag = np.array([slow_next(order, visit, task) for task in range(N_TASKS)])
        labelled[row] = 10 * lag[:, np.newaxis] + lag
    expected = 10 * np.arange(4)[:, np.newaxis] + np.arange(4)
    result = pairwise_summary(labelled, trained_task)
    np.testing.assert_array_equal(result["recovery_by_lag"], expected)
    assert result["recovery_by_lag"].attrs["units"] == "nats"


def test_no_snapshots_give_no_lags():
    _, labelled, trained_task = run([0, 1, 2, 3], [1, 2])
    result = pairwise_summary(labelled.isel(visit=slice(0)), trained_task)
    assert (result.sizes["epoch"], result.sizes["trained_lag"]) == (0, 0)


def test_a_matrix_that_is_not_one_is_named():
    _, labelled, trained_task = run([0, 1, 2, 3], [1, 2])
    with pytest.raises(AnalysisError, match="as many evaluated as trained tasks, found 2 and 4"):
        pairwise_summary(labelled.isel(evaluated=slice(2)), trained_task)
    with pytest.raises(AnalysisError, match="expected dim 'trained'"):
        pairwise_summary(labelled.rename(trained="task"), trained_task)
    with pytest.raises(AnalysisError, match="expected a coordinate 'epoch'"):
        pairwise_summary(labelled.drop_vars("epoch"), trained_task)
