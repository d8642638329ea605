"""Recovery less what general learning does, lazily: training on any task lowers the losses of all.

The recovery score cannot tell a loss that falls because its task is about to come round again from one that
falls with all others. Early in a run all losses fall fast, and the score can exceed 1 by far.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.inputs import coordinate, loss_matrix, variable
from analyses.kernels import rotation as kernels
from analyses.kernels.recovery import Integers
from analyses.lazy import apply, require_dims
from analyses.names import named
from analyses.recovery import recovery
from analyses.units import units_of
from tracekit.errors import AnalysisError


def general_learning(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.DataArray:
    """General learning: the mean loss over tasks at each snapshot, B[v] = mean_i L[v, i].

    Of a shuffled control, it is a curve without anticipation: at each snapshot tasks of every age are in it.
    Of held-out tasks (`test_loss`), it is what the run learned about tasks that it never met.

    Parameters
    ----------
    losses : Dataset
        Losses of a trace, with a coordinate `visit`. Lazy or not.
    loss : str
        Which loss: `eval_loss` or `test_loss`, any number of tasks.

    Returns
    -------
    DataArray, dims (visit,)
        Lazy if `losses` is; in units of the loss. NaN where the loss of a task is.

    Raises
    ------
    AnalysisError
        If the loss is missing, or has no dim `visit`.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> general_learning(synthetic_losses(n_tasks=4, n_epochs=1))[:3].values
    array([2.   , 1.75 , 1.625])
    """
    values = variable(losses, loss)
    require_dims(values, ("visit",))
    tasks = [dim for dim in values.dims if dim != "visit"]
    mean = values.mean(tasks, skipna=False, keep_attrs=True)
    alone = mean.drop_vars([name for name in mean.coords if name != "visit"])
    return named(alone.rename("general_learning"))


def less_shared(losses: xr.Dataset, *, loss: str = "eval_loss") -> xr.Dataset:
    r"""Losses less what all tasks of a run share at a snapshot: general learning, and noise that moves all.

    With N(v) the tasks not just trained at snapshot v, and the mean over all snapshots at which task j is
    among them as its level,

    .. math:: L'[v, i] = L[v, i] - mean_{j \in N(v)} (L[v, j] - level_j)

    Where a loss is a part that all tasks share and one of their own, independent between tasks, scores of L'
    are independent between tasks but for O(1/T), which tests over tasks take for granted: see `order_test`.
    In a cyclic run, at each snapshot tasks of every age are in the mean, so that recovery is not shared, and
    stays. It is smaller by what recovery itself rises from interval to interval: 0.21, 0.46 and 0.71 of a
    planted 0.25, 0.5 and 0.75.

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
        `loss` alone, with coordinates and units; lazy if `losses` is. Where a loss is NaN or infinite it has
        no part in means, and is NaN.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> losses = synthetic_losses(n_tasks=8, n_epochs=2, recovery_scores=[0.5])
    >>> noisy = losses.assign(eval_loss=losses["eval_loss"] + np.sin(losses["visit"]))
    >>> [round(recovery(each)["recovery_score"].item(), 2) for each in (losses, noisy)]
    [0.5, 0.67]
    >>> [round(recovery(less_shared(each))["recovery_score"].item(), 2) for each in (losses, noisy)]
    [0.41, 0.41]
    """
    matrix = loss_matrix(losses, loss)
    core = ("visit", "task")
    result = apply(
        kernels.less_shared,
        matrix.loss,
        core=[core],
        outputs={loss: core},
        parameters={"trained_task": matrix.trained_task},
        units=units_of(matrix.loss),
    )
    return result.assign_coords(matrix.loss.coords)


def corrected_recovery(losses: xr.Dataset, baseline: xr.DataArray, *, loss: str = "eval_loss") -> xr.Dataset:
    r"""Recovery of losses less a baseline B that falls with general learning: the score of L[v, i] − B[v].

    With after, before and peak as in `recovery`, but of L[v, i] − B[v],

    .. math:: score = \frac{mean_i\,peak - mean_i\,before}{mean_i\,peak - mean_i\,after}

    Where L[v, i] = g(v) + m(v, i), general learning g and memory m, and B is g but for a constant, it is the
    score of the memory alone. A control's B is g but for a constant once all tasks have been visited; in the
    first interval tasks are met for the first time, which moves B as well. A baseline of held-out tasks does
    not have that, but rises where a run overfits.

    Noise that all tasks of the run share stays in, so that intervals and tests over tasks are too sure where
    there is much of it. Taking it off as well, by `less_shared`, takes off B and all that B stands for: the
    scores are then those of `less_shared` alone, whatever B is. So it is one or the other.

    Parameters
    ----------
    losses : Dataset
        Losses of a trace: `loss` with dims (visit, task), coordinates `visit` and `trained_task`. Lazy or
        not.
    baseline : DataArray, dims (visit,)
        As `general_learning` gives it of a shuffled control of the same tasks, seed and budget, or of the
        held-out tasks of the same run.
    loss : str
        Which loss, as in `recovery`.

    Returns
    -------
    Dataset
        As `recovery` gives it, of corrected losses, up to the last visit of either. Lazy if one of them is.

    Raises
    ------
    AnalysisError
        If the loss is missing, is not recorded at every visit, or does not say which task was trained; if
        the baseline lacks a visit of the run before its own last one.

    References
    ----------
    .. [1] Yang, Jones, Mozer, Ren (2024), arXiv:2403.09613, for the score. The correction is ours.

    Examples
    --------
    >>> from tracekit.testing import synthetic_losses
    >>> memory = synthetic_losses(n_tasks=4, n_epochs=3, recovery_scores=[0.25, 0.5])
    >>> learned = 5 * 0.9 ** memory["visit"].astype(float)
    >>> losses = memory.assign(eval_loss=memory["eval_loss"] + learned)
    >>> recovery(losses)["recovery_score"].values.round(2)
    array([2.13, 1.36])
    >>> corrected_recovery(losses, learned)["recovery_score"].values.round(2)
    array([0.25, 0.5 ])
    """
    matrix = loss_matrix(losses, loss)
    require_dims(baseline, ("visit",))
    visits = _shared(matrix.visits, coordinate(baseline, "visit"), loss)
    known = matrix.loss.sel(visit=visits)
    corrected = (known - baseline.sel(visit=visits)).assign_attrs(known.attrs)
    return recovery(corrected.assign_coords(known.coords).to_dataset(name=loss), loss=loss)


def _shared(visits: Integers, others: Integers, name: str) -> Integers:
    """Give the visits up to the last of either, all of which the baseline must have."""
    last = min(visits.max(initial=-1), others.max(initial=-1))
    wanted: Integers = visits[visits <= last]
    missing = np.setdiff1d(wanted, others)
    if missing.size:
        raise AnalysisError(
            f"{name}: expected a baseline at every visit of the run, found none at visit {missing[0]} "
            f"({missing.size} missing); record the losses of the control at every visit"
        )
    return wanted
