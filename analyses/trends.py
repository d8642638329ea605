"""Trends over ordered conditions, lazily: over intervals within a run, or over runs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.inputs import require_draws, variable
from analyses.kernels import trends as kernels
from analyses.lazy import apply
from analyses.names import named


def page_test(recovery: xr.Dataset) -> xr.Dataset:
    """Page's test of whether recovery rises from interval to interval, the same tasks in all.

    Null hypothesis: for each task, any order of its scores over intervals is as likely. Alternative: they
    rise. Statistic: L = Σ_j j R_j, with R_j the sum over tasks of the rank of interval j. Unit of
    replication: the task; those without a score in some interval are left out.

    Parameters
    ----------
    recovery : Dataset
        What `analyses.recovery` gives: the scores of tasks are tested.

    Returns
    -------
    Dataset
        Without dims; lazy if `recovery` is. page_l, p_value (one-sided, `scipy.stats.page_trend_test`),
        mean_tau (mean over tasks of Kendall's τ between interval and score, from −1 to 1, as the size of
        the trend), n_tasks. NaN of fewer than two tasks or three intervals.

    Raises
    ------
    AnalysisError
        If `recovery` is not the result of that analysis.

    References
    ----------
    .. [1] Page (1963), J. Am. Stat. Assoc. 58, doi:10.1080/01621459.1963.10500843.

    Examples
    --------
    >>> from analyses.recovery import recovery
    >>> from tracekit.testing import synthetic_losses
    >>> result = page_test(recovery(synthetic_losses(n_tasks=5, n_epochs=4, recovery_scores=[0.1, 0.2, 0.5])))
    >>> result["mean_tau"].item(), round(result["p_value"].item(), 6) == round((1 / 6) ** 5, 6)
    (1.0, True)
    """
    scores = variable(recovery, "task_recovery_score")
    return named(page(scores, unit="task", condition="interval").rename(n_units="n_tasks"))


def page(values: xr.DataArray, *, unit: str, condition: str) -> xr.Dataset:
    """Page's test of whether values rise over ordered conditions, the same units under all of them.

    Null hypothesis: for each unit, any order of its values over conditions is as likely. Alternative: they
    rise. Statistic: L = Σ_j j R_j, with R_j the sum over units of the rank of condition j.

    Parameters
    ----------
    values : DataArray
        Dims (`unit`, `condition`), and others that are kept. Units with NaN are left out.
    unit : str
        The dim of what is replicated: tasks, or seeds.
    condition : str
        The dim of conditions, in the order in which values are to rise: intervals, or sizes of models.

    Returns
    -------
    Dataset
        Without both dims; lazy if `values` are. page_l, p_value (one-sided, `scipy.stats.page_trend_test`),
        mean_tau (mean over units of Kendall's τ between condition and value, from −1 to 1, as the size of
        the trend), n_units. NaN of fewer than two units or three conditions.

    Raises
    ------
    AnalysisError
        If `values` lack one of the dims.

    References
    ----------
    .. [1] Page (1963), J. Am. Stat. Assoc. 58, doi:10.1080/01621459.1963.10500843.

    Examples
    --------
    >>> scores = xr.DataArray([[0.1, 0.2, 0.4], [0.2, 0.1, 0.3]], dims=("seed", "size"))
    >>> page(scores, unit="seed", condition="size")["page_l"].item()  # 28 if both rose throughout
    27.0
    """
    outputs: dict[str, tuple[str, ...]] = dict.fromkeys(("page_l", "p_value", "mean_tau", "n_units"), ())
    kernel = np.vectorize(kernels.page, signature="(n,m)->(),(),(),()")
    return apply(kernel, values, core=[(unit, condition)], outputs=outputs)


def kendall(values: xr.DataArray, against: xr.DataArray, *, dim: str = "run") -> xr.Dataset:
    """Kendall's rank correlation over independent units, such as a score against the size of the model.

    Null hypothesis: the two are independent. Unit of replication: a place along `dim`, such as a run; visits
    of one run are none.

    Parameters
    ----------
    values, against : DataArray
        Both with dim `dim`; other dims are kept. Places with NaN in either are left out.
    dim : str
        The dim of independent units.

    Returns
    -------
    Dataset
        tau (τ_b, from −1 to 1) and p_value (two-sided, `scipy.stats.kendalltau`); lazy if an input is. NaN of
        fewer than two units, or where one does not vary.

    Raises
    ------
    AnalysisError
        If an input lacks `dim`.

    References
    ----------
    .. [1] Kendall (1938), Biometrika 30, doi:10.1093/biomet/30.1-2.81.

    Examples
    --------
    >>> score = xr.DataArray([0.1, 0.2, 0.4, 0.3], dims="run")
    >>> round(kendall(score, xr.DataArray([10, 20, 30, 40], dims="run"))["tau"].item(), 4)
    0.6667
    """
    return apply(
        np.vectorize(kernels.kendall, signature="(n),(n)->(),()"),
        values,
        against,
        core=[(dim,), (dim,)],
        outputs={"tau": (), "p_value": ()},
    )


def jonckheere(
    values: xr.DataArray, groups: xr.DataArray, *, dim: str = "run", n_resamples: int = 9999, seed: int = 0
) -> xr.Dataset:
    """Jonckheere–Terpstra test of whether values rise over ordered groups of independent units.

    Null hypothesis: all groups have the same distribution. Alternative: values rise with the group. The
    statistic is the number of pairs of units from two groups that rise with them, ties a half. The null deals
    groups out to units anew. Unit of replication: a place along `dim`, such as a run.

    Parameters
    ----------
    values, groups : DataArray
        Both with dim `dim`; groups are numbers whose order counts, such as sizes of models.
    dim : str
        The dim of independent units.
    n_resamples : int
        How many permutations are drawn.
    seed : int
        Seed of the drawing.

    Returns
    -------
    Dataset
        Without `dim`; lazy if an input is. statistic, and p_value = (b + 1) / (B + 1), one-sided. NaN where a
        value is, and of a single group.

    Raises
    ------
    AnalysisError
        If an input lacks `dim`, or `n_resamples` is below 1.

    References
    ----------
    .. [1] Jonckheere (1954), Biometrika 41, doi:10.1093/biomet/41.1-2.133.

    Examples
    --------
    >>> score = xr.DataArray([0.1, 0.2, 0.4, 0.3, 0.5, 0.6], dims="run")
    >>> size = xr.DataArray([1, 1, 2, 2, 3, 3], dims="run")
    >>> jonckheere(score, size)["statistic"].item()  # all twelve pairs
    12.0
    """
    require_draws("n_resamples", n_resamples, seed)
    return apply(
        np.vectorize(kernels.jonckheere, signature="(n),(n)->(),()", excluded=("n_resamples", "seed")),
        values,
        groups,
        core=[(dim,), (dim,)],
        outputs={"statistic": (), "p_value": ()},
        parameters={"n_resamples": n_resamples, "seed": seed},
    )
