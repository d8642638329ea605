"""Two samples against each other, and many p-values at once, lazily."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import xarray as xr

from analyses.kernels import comparisons as kernels
from analyses.lazy import apply
from analyses.units import units_of
from tracekit.errors import AnalysisError

Adjustment = Literal["holm", "benjamini-hochberg"]


def effect_size(first: xr.DataArray, second: xr.DataArray, *, dim: str = "task") -> xr.Dataset:
    """Cliff's delta of two samples of independent units, with Mann and Whitney's test.

    δ = P(x > y) − P(x < y), over all pairs of a unit of the first sample and one of the second; Hodges and
    Lehmann's estimate of how far the samples lie apart is the median of x − y over the same pairs. Null
    hypothesis of the test: both samples are from the same distribution. The same tasks in two runs are not
    independent samples: there `order_test` is paired, and says more.

    Parameters
    ----------
    first, second : DataArray
        Both with dim `dim`, of any length; other dims are kept. NaN are left out.
    dim : str
        The dim of independent units.

    Returns
    -------
    Dataset
        cliffs_delta (from −1 to 1), hodges_lehmann (in units of the values), mann_whitney_u and p_value
        (two-sided, `scipy.stats.mannwhitneyu`); lazy if an input is. NaN where a sample is empty.

    Raises
    ------
    AnalysisError
        If an input lacks `dim`.

    References
    ----------
    .. [1] Cliff (1993), Psychol. Bull. 114, doi:10.1037/0033-2909.114.3.494.
    .. [2] Hodges, Lehmann (1963), Ann. Math. Stat. 34, doi:10.1214/aoms/1177704172.
    .. [3] Mann, Whitney (1947), Ann. Math. Stat. 18, doi:10.1214/aoms/1177730491.

    Examples
    --------
    >>> first, second = xr.DataArray([1.0, 2.0, 3.0], dims="task"), xr.DataArray([0.0, 2.5], dims="task")
    >>> round(effect_size(first, second)["cliffs_delta"].item(), 4)
    0.3333
    """
    other = dim + "_of_second"
    plain = [each.drop_vars(dim, errors="ignore") for each in (first, second)]
    pair = (plain[0], plain[1].rename({dim: other}))
    core: list[tuple[str, ...]] = [(dim,), (other,)]
    delta = apply(kernels.cliffs_delta, *pair, core=core, outputs={"cliffs_delta": ()})
    test = apply(kernels.mann_whitney, *pair, core=core, outputs={"mann_whitney_u": (), "p_value": ()})
    shift = apply(
        kernels.hodges_lehmann, *pair, core=core, outputs={"hodges_lehmann": ()}, units=units_of(first)
    )
    return delta.assign(shift.data_vars).assign(test.data_vars)


def adjusted(p_values: xr.DataArray, *, dim: str = "interval", method: Adjustment = "holm") -> xr.DataArray:
    """p-values adjusted for the number of tests.

    Holm's method bounds the chance of any false rejection, with m tests and p ascending:
    max over j ≤ i of min(1, (m − j + 1) p_j). Benjamini and Hochberg's bounds the share of false rejections
    among all, for independent tests: min over j ≥ i of min(1, m p_j / j).

    Parameters
    ----------
    p_values : DataArray
        Dims (`dim`, …). NaN are no tests, and stay NaN.
    dim : str
        The dim of tests.
    method : {"holm", "benjamini-hochberg"}
        Which of the two.

    Returns
    -------
    DataArray
        Dims as of `p_values`; lazy if they are.

    Raises
    ------
    AnalysisError
        If `p_values` lacks `dim`, or `method` is neither.

    References
    ----------
    .. [1] Holm (1979), Scand. J. Stat. 6, 65–70.
    .. [2] Benjamini, Hochberg (1995), J. R. Stat. Soc. B 57, doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> p_values = xr.DataArray([0.01, 0.04, 0.03], dims="interval")
    >>> adjusted(p_values).values
    array([0.03, 0.06, 0.06])
    >>> adjusted(p_values, method="benjamini-hochberg").values
    array([0.03, 0.04, 0.04])
    """
    if method not in get_args(Adjustment):
        raise AnalysisError(
            f"method: expected one of {', '.join(get_args(Adjustment))}, found {method!r}; choose one of them"
        )
    kernel = kernels.holm if method == "holm" else kernels.benjamini_hochberg
    result = apply(
        np.vectorize(kernel, signature="(n)->(n)"), p_values, core=[(dim,)], outputs={"adjusted": (dim,)}
    )["adjusted"]
    return result.transpose(*p_values.dims).assign_attrs(method=method)
