"""Summaries of the pairwise recovery matrix: what training on one task does to the loss of every other."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.inputs import coordinate
from analyses.kernels import pairwise as kernels
from analyses.lazy import apply, require_dims
from tracekit.errors import AnalysisError

PAIRS = ("trained", "evaluated")


def pairwise_summary(recovery_matrix: xr.DataArray, trained_task: xr.DataArray) -> xr.Dataset:
    """Mean pairwise recovery by epoch, and by how soon the two tasks come round.

    R[v, i, j] = L_j(θ_v) − L_j(θ_v after M updates on task i): what a trial visit to task i would lower the
    loss of task j by, at snapshot v. The lag of a task at v is the number of visits that lie before its next
    one: 0 for the task about to be visited. So under any order, entries with equal lags are alike.

    Parameters
    ----------
    recovery_matrix : DataArray, dims (visit, trained, evaluated)
        R at chosen snapshots, with coordinates `visit` and `epoch` along `visit`. Lazy or not. `trained` and
        `evaluated` run over the same tasks, 0 … T − 1.
    trained_task : DataArray, dims (visit,)
        The task of every visit of the run with its coordinate `visit`, as in `losses["trained_task"]`; −1
        where nothing was trained.

    Returns
    -------
    Dataset
        Lazy if the matrix is; in units of the loss.

        - mean_recovery(epoch, trained, evaluated): mean over the snapshots of an epoch.
        - recovery_by_lag(trained_lag, evaluated_lag): mean over snapshots and tasks of those lags. NaN where
          there are none.
        - n_entries(trained_lag, evaluated_lag): number of entries in that mean. Tasks that the recorded run
          does not visit again after v have no lag, so that its last epoch counts in part only.

    Raises
    ------
    AnalysisError
        If a dim or a coordinate is missing, or the matrix is not square over tasks.

    References
    ----------
    .. [1] Yang, Jones, Mozer, Ren (2024), arXiv:2403.09613, Figs. 8b and 18.

    Examples
    --------
    >>> trained_task = xr.DataArray([-1, 0, 1, 0, 1], dims="visit", coords={"visit": np.arange(5)})
    >>> coords = {"visit": [1, 2], "epoch": ("visit", [0, 0])}
    >>> matrix = xr.DataArray([[[2, 0], [0, 1]], [[1, 0], [0, 2]]], coords, ("visit", *PAIRS)).astype(float)
    >>> pairwise_summary(matrix, trained_task)["recovery_by_lag"].values  # visits 1 and 2 go on to 1 and 0
    array([[1., 0.],
           [0., 2.]])
    """
    require_dims(recovery_matrix, ("visit", *PAIRS))
    n_tasks = recovery_matrix.sizes["trained"]
    if recovery_matrix.sizes["evaluated"] != n_tasks:
        raise AnalysisError(
            f"{recovery_matrix.name or 'matrix'}: expected as many evaluated as trained tasks, found "
            f"{recovery_matrix.sizes['evaluated']} and {n_tasks}; give the matrix over all tasks"
        )
    epoch = coordinate(recovery_matrix, "epoch")
    epochs = np.unique(epoch)
    core = [("visit", *PAIRS)]
    matrix = recovery_matrix.drop_vars(("visit", "epoch"))
    mean = apply(
        kernels.mean_by_group,
        matrix,
        core=core,
        outputs={"mean_recovery": ("epoch", *PAIRS)},
        sizes={"epoch": epochs.size},
        parameters={"group": epoch, "groups": epochs},
    ).assign_coords(epoch=epochs)
    result = xr.merge([mean, _by_lag(recovery_matrix, trained_task, n_tasks)], join="exact")
    for name in ("mean_recovery", "recovery_by_lag"):
        result[name].attrs["units"] = recovery_matrix.attrs.get("units", "")
    return result


def _by_lag(matrix: xr.DataArray, trained_task: xr.DataArray, n_tasks: int) -> xr.Dataset:
    visits = coordinate(trained_task, "visit")
    tasks = np.asarray(trained_task.values, dtype=np.int64)
    lags = kernels.visits_until(visits, tasks, coordinate(matrix, "visit"), n_tasks)
    n_lags = int(lags.max(initial=-1)) + 1
    dims = ("trained_lag", "evaluated_lag")
    result = apply(
        kernels.mean_by_lag,
        matrix.drop_vars(("visit", "epoch")),
        core=[("visit", *PAIRS)],
        outputs={"recovery_by_lag": dims, "n_entries": dims},
        sizes=dict.fromkeys(dims, n_lags),
        parameters={"lags": lags, "n_lags": n_lags},
    )
    each = {dim: (dim, np.arange(n_lags), {"units": "visits"}) for dim in dims}
    return result.assign(n_entries=result["n_entries"].astype(np.int64)).assign_coords(each)
