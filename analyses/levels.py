"""Runs by the level of a setting, lazily: their mean, and how sure it is."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.kernels import levels as kernels
from analyses.lazy import apply
from analyses.names import named
from analyses.units import units_of
from tracekit.errors import AnalysisError


def level_means(values: xr.DataArray, setting: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
    r"""Mean of a number of runs at each level of a setting, with Student's interval over runs.

    .. math:: \bar x_l \pm t_{n_l - 1} \, s_l / \sqrt{n_l}

    Unit of replication: the run. Runs of one level are to differ in their seed alone.

    Parameters
    ----------
    values : DataArray, dims (run,)
        A number of each run; NaN is left out. Lazy or not.
    setting : DataArray, dims (run,)
        The level of each run, a number or a text; in memory.
    confidence : float
        Share of cases in which an interval is to hold the mean of all runs of its level.

    Returns
    -------
    Dataset, dims (level,)
        Lazy if `values` are. Coordinate `level`, sorted. level_mean, interval_low, interval_high in units of
        the values, the ends NaN of fewer than two runs; n_runs.

    Raises
    ------
    AnalysisError
        If `confidence` is not between 0 and 1, or an input lacks the dim `run`.

    References
    ----------
    .. [1] Student (1908), The probable error of a mean, Biometrika 6, doi:10.1093/biomet/6.1.1.

    Examples
    --------
    >>> values = xr.DataArray([1.0, 3.0, 8.0], dims="run")
    >>> level_means(values, xr.DataArray([10, 10, 20], dims="run"))["level_mean"].values
    array([2., 8.])
    """
    if not 0 < confidence < 1:
        raise AnalysisError(f"confidence: expected a number between 0 and 1, found {confidence}")
    levels, level = np.unique(setting.values, return_inverse=True)
    result = apply(
        kernels.level_means,
        values.drop_vars(values.coords),
        core=[("run",)],
        outputs=dict.fromkeys(("level_mean", "interval_low", "interval_high", "n_runs"), ("level",)),
        sizes={"level": levels.size},
        parameters={"level": level, "n_levels": levels.size, "confidence": confidence},
        units=units_of(values),
    )
    result["n_runs"].attrs["units"] = "1"
    return named(result).assign_coords(level=levels).assign_attrs(confidence=confidence)
