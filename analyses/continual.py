"""Forgetting and transfer as continual learning measures them, lazily, from the losses of a trace.

The sources measure accuracy after one visit of each task. Here it is a loss, so that signs are turned (more
forgetting and less transfer are still worse), and every measure is given at every snapshot v of any order,
over the tasks *learned earlier*: those trained at least once before visit v, and not at it. After one pass
that is the sources' j < k.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from analyses.inputs import LossMatrix, loss_matrix
from analyses.kernels import continual as kernels
from analyses.lazy import apply
from analyses.names import named
from analyses.units import units_of

DIMS = ("visit", "task")


def average_forgetting(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.Dataset:
    """Average forgetting: how far losses lie above the least they have been since training began.

    With losses L, f[v, i] = L[v, i] − min over 1 ≤ u < v of L[u, i], for the tasks i learned earlier (trained
    before visit v, and not at it). F[v] is their mean. Negative where losses are lower than ever.

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
        Lazy if `losses` is; in units of the loss.

        - average_forgetting(visit): F; NaN before two tasks were trained.
        - forgetting(visit, task): f; NaN for tasks not learned earlier, and once a loss was NaN.
        - n_tasks(visit): number of tasks learned earlier.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained.

    References
    ----------
    .. [1] Chaudhry, Dokania, Ajanthan, Torr (2018), Riemannian walk for incremental learning,
       arXiv:1801.10112, section 3.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> result = average_forgetting(synthetic_losses(n_tasks=4, n_epochs=2, recovery_scores=[0.25]))
    >>> result["average_forgetting"].sel(visit=[1, 2, 3, 4]).values.round(4)
    array([ nan, 0.5 , 0.75, 0.75])
    """
    matrix = loss_matrix(losses, loss)
    each = _by_task(kernels.forgetting, matrix, "forgetting")
    counted = _learned_earlier(matrix)
    mean = _mean(each["forgetting"], counted, "average_forgetting")
    return _described(mean.assign(each.data_vars), counted, matrix)


def backward_transfer(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.Dataset:
    """Backward transfer: how far what came later lowered the losses of tasks learned earlier.

    With losses L and a[i] the snapshot after a visit of task i, B[v] = mean over the tasks i learned earlier
    of L[a[i], i] − L[v, i]. Negative where they were forgotten. Where tasks are visited again there are two
    choices of a[i], equal after one pass: the first visit of the task, and its last one before v.

    Parameters
    ----------
    losses : Dataset
        Losses of a trace: `loss` with dims (visit, task), coordinates `visit` and `trained_task`. Lazy or
        not.
    loss : str
        Which loss, as in `average_forgetting`.

    Returns
    -------
    Dataset
        Lazy if `losses` is; in units of the loss.

        - backward_transfer(visit): B since the first visit; NaN before two tasks were trained.
        - backward_transfer_since_last(visit): B since the last visit.
        - task_backward_transfer, task_backward_transfer_since_last(visit, task): the same of each task.
        - n_tasks(visit): number of tasks learned earlier.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained.

    References
    ----------
    .. [1] Lopez-Paz, Ranzato (2017), Gradient episodic memory for continual learning, arXiv:1706.08840,
       equation 3.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> result = backward_transfer(synthetic_losses(n_tasks=4, n_epochs=2, recovery_scores=[0.25]))
    >>> result["backward_transfer"].sel(visit=[1, 2, 3, 4]).values.round(4)
    array([  nan, -0.5 , -0.75, -0.75])
    """
    matrix = loss_matrix(losses, loss)
    each = _by_task(
        kernels.backward_transfer, matrix, "task_backward_transfer", "task_backward_transfer_since_last"
    )
    counted = _learned_earlier(matrix)
    means = [_mean(values, counted, str(name).removeprefix("task_")) for name, values in each.items()]
    result = xr.merge([*means, each], join="exact", compat="identical")
    return _described(result, counted, matrix)


def forward_transfer(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.Dataset:
    """Forward transfer: how far training on other tasks lowered the loss of a task before its first visit.

    With losses L and v₁ the first visit of task i, it is the mean over tasks of L[0, i] − L[v₁ − 1, i], less
    the task trained first, which nothing came before. Snapshot 0, before any training, takes the place of
    the source's untrained model: with a pretrained model it is what this run added.

    Parameters
    ----------
    losses : Dataset
        Losses of a trace: `loss` with dims (visit, task), coordinates `visit` and `trained_task`. Lazy or
        not.
    loss : str
        Which loss, as in `average_forgetting`.

    Returns
    -------
    Dataset
        Lazy if `losses` is; in units of the loss.

        - forward_transfer(): the mean; NaN where snapshot 0 is missing, or only one task was trained.
        - task_forward_transfer(task): that of each task; NaN for the first, and for those never trained.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained.

    References
    ----------
    .. [1] Lopez-Paz, Ranzato (2017), Gradient episodic memory for continual learning, arXiv:1706.08840,
       equation 4.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> losses = synthetic_losses(n_tasks=3, n_epochs=1)
    >>> losses["eval_loss"][0] = 2.5  # every task is at 2 once any has been trained
    >>> forward_transfer(losses)["forward_transfer"].item()
    0.5
    """
    matrix = loss_matrix(losses, loss)
    each = _by_task(kernels.forward_transfer, matrix, "task_forward_transfer", dims=("task",))
    values = each["task_forward_transfer"]
    counted = xr.DataArray(kernels.met_later(matrix.trained_task, matrix.n_tasks), dims=("task",))
    mean = _mean(values, counted, "forward_transfer")
    return _in_units(mean.assign(each.data_vars), matrix)


def _by_task(
    kernel: Callable[..., object], matrix: LossMatrix, *names: str, dims: tuple[str, ...] = DIMS
) -> xr.Dataset:
    return apply(
        kernel,
        matrix.loss,
        core=[DIMS],
        outputs=dict.fromkeys(names, dims),
        parameters={"trained_task": matrix.trained_task},
        units=units_of(matrix.loss),
    )


def _learned_earlier(matrix: LossMatrix) -> xr.DataArray:
    return xr.DataArray(kernels.learned_earlier(matrix.trained_task, matrix.n_tasks), dims=DIMS)


def _mean(values: xr.DataArray, counted: xr.DataArray, name: str) -> xr.Dataset:
    return apply(kernels.mean_of_counted, values, counted, core=[("task",)] * 2, outputs={name: ()})


def _described(result: xr.Dataset, counted: xr.DataArray, matrix: LossMatrix) -> xr.Dataset:
    n_tasks = np.count_nonzero(counted, axis=1)
    return named(_in_units(result, matrix).assign(n_tasks=("visit", n_tasks)))


def _in_units(result: xr.Dataset, matrix: LossMatrix) -> xr.Dataset:
    for values in result.data_vars.values():
        values.attrs["units"] = matrix.loss.attrs.get("units", "")
    return named(result.assign_attrs(loss=str(matrix.loss.name)))
