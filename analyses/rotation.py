"""Tests that turn curves or matrices round in time, lazily: neighbours in time are alike, and stay so."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.grams import matrix_dims
from analyses.inputs import loss_matrix, require_draws
from analyses.kernels import recovery as intervals
from analyses.kernels import rotation as kernels
from analyses.lazy import apply
from tracekit.errors import AnalysisError

TESTED = ("drop", "p_value", "n_tasks")


def recovery_test(
    losses: xr.Dataset, *, loss: str = "eval_loss", n_resamples: int = 9999, seed: int = 0
) -> xr.Dataset:
    r"""Test within one run whether tasks recover before they come round again: rotation of their loss curves.

    A maximum is at least as large as any later value, so a plain test of peak against before rejects always.
    Here the curve of task i in interval n, from snapshot a + 1 to b − 1, is turned round by a random number
    of snapshots, another one for each task: the peak stays, and the loss at the end is that of any snapshot.
    The drop d_i is the mean of the curve less its last value (which differs from peak − before by what
    rotations do not change). Statistic: Student's t of the drops over tasks. What all tasks share at a
    snapshot is taken off first, such as general learning: the mean over the tasks not just trained, each less
    its own mean over the run.

    Null hypothesis: once forgotten, the loss of a task is stationary until its next visit, but for what all
    share. Where it still rises, the test rejects less often. Unit of replication: the task. One-sided.
    Calibration: `docs/calibration.md`.

    Parameters
    ----------
    losses : Dataset
        Losses of a trace: `loss` with dims (visit, task), coordinates `visit` and `trained_task`. Lazy or
        not.
    loss : str
        Which loss, as in `recovery`.
    n_resamples : int
        How many rotations are drawn.
    seed : int
        Seed of the drawing.

    Returns
    -------
    Dataset
        Lazy if `losses` is. By interval, and for the mean over all intervals with `pooled_` before the name:

        - drop(interval): mean over tasks of d_i, in units of the loss.
        - p_value(interval): (b + 1) / (B + 1). Not corrected for the number of intervals.
        - n_tasks(interval): tasks with the interval and two snapshots or more within it; NaN of fewer than
          two such tasks. Pooled, tasks that have all intervals.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained, or if
        `n_resamples` is below 1.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> losses = synthetic_losses(n_tasks=12, n_epochs=2, recovery_scores=[0.9])
    >>> losses["eval_loss"] += 0.01 * np.random.default_rng(0).standard_normal((25, 12))
    >>> recovery_test(losses, n_resamples=199)["p_value"].values
    array([0.005])
    """
    require_draws("n_resamples", n_resamples, seed)
    matrix = loss_matrix(losses, loss)
    starts, ends = intervals.intervals(intervals.visits_of_tasks(matrix.trained_task, matrix.n_tasks))
    result = apply(
        kernels.recovery_test,
        matrix.loss,
        core=[("visit", "task")],
        outputs={**dict.fromkeys(TESTED, ("interval",)), **{f"pooled_{name}": () for name in TESTED}},
        sizes={"interval": starts.shape[1]},
        parameters={
            "trained_task": matrix.trained_task,
            "starts": starts,
            "ends": ends,
            "n_resamples": n_resamples,
            "seed": seed,
        },
    )
    for name in ("drop", "pooled_drop"):
        result[name].attrs["units"] = matrix.loss.attrs.get("units", "")
    numbers = np.arange(1, starts.shape[1] + 1)
    settings = {"loss": loss, "n_resamples": n_resamples, "seed": seed, "unit": "task"}
    return result.assign_coords(interval=numbers).assign_attrs(settings)


def mantel(similarity: xr.DataArray, other: xr.DataArray) -> xr.Dataset:
    """Test whether two matrices between the same visits are alike: Mantel's correlation under rotation.

    Both are taken less their mean at every lag, since all similarity falls with the lag; what a lag alone
    tells is no evidence here (the stripes of a strictly cyclic run neither: see `cyclicity`). Null
    hypothesis: what happens at which visit in one does not matter to the other. The null turns all visits of
    one matrix round by 1, 2, … n − 1 places, so that neighbours stay neighbours; free permutation ignores
    autocorrelation, and rejects too often. Statistic: Pearson's correlation over pairs of visits. One-sided.

    Give matrices of residuals (`residual_cosine`): they are stationary where paths wander (rejection at 0.05
    under a true null: 0.03 – 0.06). Of raw or centered cosines of paths that wander, start and end are alike
    in any two runs, and the test rejects far too often (0.2 – 0.8). Calibration: `docs/calibration.md`.

    Parameters
    ----------
    similarity, other : DataArray, dims (…, visit, visit_other)
        Two symmetric matrices between the same visits, or such matrices of the same parts, each of which is
        tested by itself. Visits with NaN on the diagonal of either are left out.

    Returns
    -------
    Dataset
        Lazy if one of them is. correlation(…) and p_value(…): (b + 1) / n, of n visits. NaN where nothing is
        left once means by lag are taken off. Not corrected for the number of parts.

    Raises
    ------
    AnalysisError
        If they are not matrices between the same visits, of the same parts.

    References
    ----------
    .. [1] Mantel (1967), Cancer Research 27, 209–220.
    .. [2] Lancaster, Iatsenko, Pidde, Ticcinelli, Stefanovska (2018), Phys. Rep. 748,
       doi:10.1016/j.physrep.2018.06.001, for rotation.

    Examples
    --------
    >>> from analyses import gram, residual_cosine
    >>> path = np.random.default_rng(0).standard_normal((60, 5)).cumsum(axis=0)
    >>> rows = xr.DataArray(path, dims=("visit", "element"), coords={"visit": np.arange(60)})
    >>> similarity = residual_cosine(gram(rows), window=10)
    >>> round(mantel(similarity, similarity)["p_value"].item(), 3)
    0.02
    """
    dims = matrix_dims(similarity)
    if matrix_dims(other) != dims or similarity.sizes[dims[0]] != other.sizes[dims[0]]:
        raise AnalysisError(
            f"expected two matrices between the same visits, found dims {dict(similarity.sizes)} and "
            f"{dict(other.sizes)}; choose the visits that both have"
        )
    pair = [each.reset_coords(drop=True).drop_vars(dims, errors="ignore") for each in (similarity, other)]
    try:
        pair = list(xr.align(*pair, join="exact"))
    except ValueError as error:
        raise AnalysisError(
            f"expected two matrices of the same parts, found others; choose the parts that both have: {error}"
        ) from error
    outputs: dict[str, tuple[str, ...]] = {"correlation": (), "p_value": ()}
    return apply(kernels.mantel, *pair, core=[dims, dims], outputs=outputs, one_by_one=True)
