"""Forgetting and recovery of tasks over a run, lazily, from the losses of a trace.

The measures are those of Yang, Jones, Mozer and Ren, *Reawakening knowledge: anticipatory recovery from
catastrophic interference via structured training*, NeurIPS 2024 (arXiv:2403.09613), for any order of
tasks: the n-th visits of task i end at snapshots v_1 < v_2 < …, and interval n runs from v_n to v_{n+1}.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.inputs import LossMatrix, coordinate, loss_matrix
from analyses.kernels import recovery as kernels
from analyses.lazy import apply
from analyses.names import named

ABOVE_ONE = (
    "since losses before a visit are lower than after the last one. General learning lowers the losses of "
    "all tasks, and the score cannot tell that from recovery: `tracekit analyze corrected-recovery RUN "
    "CONTROL` takes it out."
)
"""Why scores exceed 1."""


def recovery(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.Dataset:
    r"""Recovery score of every interval: the share of forgetting undone before the task comes round again.

    For task i and the interval from snapshot a to snapshot b, with losses L: after = L[a, i],
    before = L[b − 1, i], peak = max over a ≤ v ≤ b − 1 of L[v, i], and over the tasks that have the interval

    .. math:: score = \frac{mean_i\,peak - mean_i\,before}{mean_i\,peak - mean_i\,after}

    Parameters
    ----------
    losses : Dataset
        Losses of a trace: `loss` with dims (visit, task), coordinates `visit` and `trained_task`. Lazy or
        not.
    loss : str
        Which loss: `eval_loss`, or `test_loss` where there is one held-out task for each task.

    Returns
    -------
    Dataset
        Lazy if `losses` is. Coordinate `interval` = 1, 2, …; only intervals completed within the run. A task
        visited less often than others has NaN in the intervals it lacks.

        - recovery_score(interval): ratio of means over tasks, no units.
        - after, before, peak, forgetting(task, interval): losses, and peak − after, in units of the loss.
        - peak_position(task, interval): (snapshot of the peak − a) / (b − a), the first peak of equal ones.
        - task_recovery_score(task, interval): (peak − before) / (peak − after) of each task.
        - n_tasks(interval): number of tasks that have the interval.
        - start_visit, end_visit(task, interval): a and b, −1 where the task lacks the interval.

        A score is NaN where nothing was forgotten (peak − after ≤ 1e-12 · peak; so always with one task), and
        where a loss it needs is NaN. A run of one epoch has no intervals.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained.

    References
    ----------
    .. [1] Yang, Jones, Mozer, Ren (2024), arXiv:2403.09613.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> result = recovery(synthetic_losses(n_tasks=4, n_epochs=3, recovery_scores=[0.25, 0.5]))
    >>> result["recovery_score"].values.round(6)
    array([0.25, 0.5 ])
    """
    matrix = loss_matrix(losses, loss)
    starts, ends = kernels.intervals(kernels.visits_of_tasks(matrix.trained_task, matrix.n_tasks))
    counted = starts != kernels.MISSING
    parts = _interval_losses(matrix, starts, ends)
    after, before, peak = parts["after"], parts["before"], parts["peak"]
    task_score = apply(
        kernels.share_recovered, after, before, peak, core=[(), (), ()], outputs={"task_recovery_score": ()}
    )
    mean_score = apply(
        kernels.recovery_score,
        after,
        before,
        peak,
        xr.DataArray(counted, dims=("task", "interval")),
        core=[("task",)] * 4,
        outputs={"recovery_score": ()},
    )
    result = xr.merge([mean_score, parts, task_score], join="exact", compat="identical")
    result = result.assign(
        forgetting=peak - after,
        n_tasks=("interval", counted.sum(axis=0)),
        start_visit=(("task", "interval"), _numbers(matrix, starts)),
        end_visit=(("task", "interval"), _numbers(matrix, ends)),
    )
    return _described(result.assign_coords(interval=np.arange(1, starts.shape[1] + 1)), matrix)


def _interval_losses(matrix: LossMatrix, starts: kernels.Integers, ends: kernels.Integers) -> xr.Dataset:
    dims = ("task", "interval")
    return apply(
        kernels.interval_losses,
        matrix.loss.rename(task="every_task"),
        core=[("visit", "every_task")],
        outputs=dict.fromkeys(("after", "before", "peak", "peak_position"), dims),
        sizes={"task": starts.shape[0], "interval": starts.shape[1]},
        parameters={"starts": starts, "ends": ends},
    ).assign_coords(_task_coordinate(matrix))


def _task_coordinate(matrix: LossMatrix) -> dict[str, xr.DataArray]:
    loss = matrix.loss
    return {str(name): values.variable for name, values in loss.coords.items() if values.dims == ("task",)}


def _numbers(matrix: LossMatrix, rows: kernels.Integers) -> kernels.Integers:
    return np.where(rows == kernels.MISSING, kernels.MISSING, matrix.visits[rows])


def _described(result: xr.Dataset, matrix: LossMatrix) -> xr.Dataset:
    units = matrix.loss.attrs.get("units", "")
    for name in ("after", "before", "peak", "forgetting"):
        result[name].attrs["units"] = units
    for name in ("recovery_score", "task_recovery_score", "peak_position"):
        result[name].attrs["units"] = "1"
    return named(result.assign_attrs(loss=str(matrix.loss.name)))


def shift_averaged_loss(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.Dataset:
    """Mean over tasks of the loss around each visit: mean_i L[v_n + o, i] for offsets o = −T … T.

    Parameters
    ----------
    losses : Dataset
        Losses of a trace: `loss` with dims (visit, task), coordinates `visit` and `trained_task`. Lazy or
        not.
    loss : str
        Which loss, as in `recovery`.

    Returns
    -------
    Dataset
        Lazy if `losses` is. Coordinates `occurrence` = n = 1 … E (the n-th visit of a task) and `offset` in
        visits, 0 being the snapshot at the end of that visit.

        - shift_averaged_loss(occurrence, offset): mean over the tasks visited n times or more. NaN where the
          offset lies beyond the run for any of them, so that every mean is over the same tasks.
        - shifted_loss(task, occurrence, offset): the loss of each task, NaN beyond the run.
        - n_tasks(occurrence): number of tasks visited n times or more.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained.

    References
    ----------
    .. [1] Yang, Jones, Mozer, Ren (2024), arXiv:2403.09613.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> result = shift_averaged_loss(synthetic_losses(n_tasks=4, n_epochs=3, recovery_scores=[0.25, 0.25]))
    >>> result["shift_averaged_loss"].sel(occurrence=1, offset=[0, 1, 2, 3]).values.round(6)
    array([1.  , 1.5 , 2.  , 1.75])
    """
    matrix = loss_matrix(losses, loss)
    visits = kernels.visits_of_tasks(matrix.trained_task, matrix.n_tasks)
    offsets = np.arange(-matrix.n_tasks, matrix.n_tasks + 1)
    counted = visits != kernels.MISSING
    result = apply(
        kernels.shifted_loss,
        matrix.loss.rename(task="every_task"),
        core=[("visit", "every_task")],
        outputs={"shifted_loss": ("task", "occurrence", "offset")},
        sizes={"task": visits.shape[0], "occurrence": visits.shape[1], "offset": offsets.size},
        parameters={"visits": visits, "offsets": offsets},
    ).assign_coords(_task_coordinate(matrix))
    mean = apply(
        kernels.mean_over_tasks,
        result["shifted_loss"],
        xr.DataArray(counted, dims=("task", "occurrence")),
        core=[("task",), ("task",)],
        outputs={"shift_averaged_loss": ()},
    )
    result = xr.merge([mean, result], join="exact", compat="identical")
    for values in result.data_vars.values():
        values.attrs["units"] = matrix.loss.attrs.get("units", "")
    return (
        named(result.assign(n_tasks=("occurrence", counted.sum(axis=0))))
        .assign_coords(
            occurrence=np.arange(1, visits.shape[1] + 1), offset=("offset", offsets, {"units": "visits"})
        )
        .assign_attrs(loss=loss)
    )


def online_loss(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.Dataset:
    """Online (prequential) loss: the loss on a task just before training on it, L[v − 1, trained_task[v]].

    Parameters
    ----------
    losses : Dataset
        Losses of a trace: `loss` with dims (visit, task), coordinates `visit`, `epoch` and `trained_task`.
    loss : str
        Which loss, as in `recovery`.

    Returns
    -------
    Dataset
        Lazy if `losses` is; all in units of the loss.

        - online_loss(visit): for every visit that trained something.
        - cumulative_online_loss(visit): sum of the online losses up to and with this visit.
        - online_loss_per_epoch(epoch): mean over the visits of an epoch, so far.
        - n_visits(epoch): number of visits in that mean.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained when.

    References
    ----------
    .. [1] Dawid (1984), Present position and potential developments: some personal views: statistical theory:
       the prequential approach, J. R. Stat. Soc. A 147, doi:10.2307/2981683.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> result = online_loss(synthetic_losses(n_tasks=4, n_epochs=3, recovery_scores=[0.25, 0.5]))
    >>> result["online_loss_per_epoch"].values.round(6)
    array([2.  , 1.75, 1.5 ])
    """
    matrix = loss_matrix(losses, loss)
    values = apply(
        kernels.online_loss,
        matrix.loss.rename(visit="snapshot"),
        core=[("snapshot", "task")],
        outputs={"online_loss": ("visit",)},
        sizes={"visit": max(0, matrix.visits.size - 1)},
        parameters={"trained_task": matrix.trained_task},
    )["online_loss"]
    visits = coordinate(matrix.loss, "visit")[1:]
    epoch = coordinate(matrix.loss, "epoch")[1:]
    values = values.assign_coords(visit=visits, trained_task=("visit", matrix.trained_task[1:]))
    epochs, n_visits = np.unique(epoch, return_counts=True)
    per_epoch = apply(
        kernels.grouped_mean,
        values.drop_vars("trained_task"),
        core=[("visit",)],
        outputs={"online_loss_per_epoch": ("epoch",)},
        sizes={"epoch": epochs.size},
        parameters={"group": epoch, "groups": epochs},
    )
    result = per_epoch.assign(online_loss=values, cumulative_online_loss=values.cumsum("visit"))
    for each in result.data_vars.values():
        each.attrs["units"] = matrix.loss.attrs.get("units", "")
    counted = result.assign(n_visits=("epoch", n_visits)).assign_coords(epoch=epochs)
    return named(counted).assign_attrs(loss=loss)
