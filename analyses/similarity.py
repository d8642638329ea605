"""Similarity of a run to itself over time: all of it from one visits × visits Gram matrix, lazily."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from analyses.grams import OTHER, gram, matrix_dims
from analyses.inputs import coordinate
from analyses.kernels import similarity as kernels
from analyses.kernels.recovery import Floats, Integers
from analyses.lazy import apply
from analyses.units import NONE, root, units_of
from tracekit.errors import AnalysisError


def cosine(gram: xr.DataArray) -> xr.DataArray:
    """Cosine between visits: G[s, t] / √(G[s, s] G[t, t]).

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix: `gram(values)` gives the centered cosine, `gram(values, center=False)` the raw one.

    Returns
    -------
    DataArray, dims (visit, visit_other)
        From −1 to 1; NaN where a visit is NaN or has length zero.

    Raises
    ------
    AnalysisError
        If it is not a matrix between the places of one dim.

    Examples
    --------
    >>> values = xr.DataArray([[1.0, 0.0], [1.0, 1.0]], dims=("visit", "element"))
    >>> cosine(gram(values, center=False)).values.round(4)
    array([[1.    , 0.7071],
           [0.7071, 1.    ]])
    """
    return _map(kernels.cosine, gram, "cosine", NONE)


def distance(gram: xr.DataArray) -> xr.DataArray:
    """Euclidean distance between visits: √(G[s, s] + G[t, t] − 2 G[s, t]).

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix; a centered one keeps more digits, and gives the same.

    Returns
    -------
    DataArray, dims (visit, visit_other)
        In units of the values; NaN where a visit is NaN.

    Raises
    ------
    AnalysisError
        If it is not a matrix between the places of one dim.

    Examples
    --------
    >>> values = xr.DataArray([[0.0, 0.0], [3.0, 4.0]], dims=("visit", "element"))
    >>> distance(gram(values)).values
    array([[0., 5.],
           [5., 0.]])
    """
    return _map(kernels.distance, gram, "distance", root(units_of(gram)))


def residual_gram(
    values: xr.DataArray | xr.Dataset, *, window: int, cut_windows: bool = False
) -> xr.DataArray:
    """Gram matrix of the residuals w̃(t) = w(t) − mean of w over the window of `window` visits centered on t.

    The window of visit t holds the visits t − ⌊window/2⌋ … t − ⌊window/2⌋ + window − 1: exactly `window`
    of them, so that under a cyclic order of as many tasks every task counts once. For an even window one
    visit more lies before t than after it. With A the matrix of window averages the residuals have Gram
    matrix (I − A) G (I − A)ᵀ, so that nothing but the Gram matrix G is needed.

    Parameters
    ----------
    values : DataArray or Dataset
        Values with dims (visit, …), or their Gram matrix with dims (visit, visit_other).
    window : int
        Length of the window in visits; T, the number of tasks, in the source.
    cut_windows : bool
        Average what is there where a window reaches beyond the recorded visits, instead of giving NaN.

    Returns
    -------
    DataArray, dims (visit, visit_other)
        In squared units of the values. NaN for visits whose window is cut or holds a NaN visit. A last visit
        that is not evenly spaced with the others (recorded because it is the last) has part in no window, and
        is NaN.

    Raises
    ------
    AnalysisError
        If `window` is below 1, or the recorded visits are not evenly spaced by a step that divides it.

    References
    ----------
    .. [1] Yang, Jones, Mozer, Ren (2024), arXiv:2403.09613.

    Examples
    --------
    >>> line = xr.DataArray([[0.0], [1.0], [5.0]], dims=("visit", "element"), coords={"visit": [0, 1, 2]})
    >>> residual_gram(line, window=3).values
    array([[nan, nan, nan],
           [nan,  1., nan],
           [nan, nan, nan]])
    """
    matrix = values if isinstance(values, xr.DataArray) and "visit" + OTHER in values.dims else gram(values)
    visits = coordinate(matrix, "visit")
    _require_window(visits[kernels.evenly_spaced(visits)], window)
    average = kernels.window_average(visits, window, cut=cut_windows)
    return _map(kernels.residual_gram, matrix, "residual_gram", units_of(matrix), average=average)


def residual_cosine(
    values: xr.DataArray | xr.Dataset, *, window: int, cut_windows: bool = False
) -> xr.DataArray:
    """Cosine between residuals w̃(t) = w(t) − mean of w over the window of `window` visits centered on t.

    Parameters
    ----------
    values, window, cut_windows
        As for `residual_gram`, which says which visits a window holds.

    Returns
    -------
    DataArray, dims (visit, visit_other)
        From −1 to 1; NaN where `residual_gram` is, and for visits whose residual is zero, or 1e-7 of the
        largest distance from the mean: as where values have stopped to change.

    Raises
    ------
    AnalysisError
        If `window` is below 1, or the recorded visits are not evenly spaced by a step that divides it.

    References
    ----------
    .. [1] Yang, Jones, Mozer, Ren (2024), arXiv:2403.09613.

    Examples
    --------
    >>> angle = 2 * np.pi * np.arange(9) / 3
    >>> rows = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> circle = xr.DataArray(rows, dims=("visit", "element"), coords={"visit": np.arange(9)})
    >>> residual_cosine(circle, window=3).sel(visit=1, visit_other=[1, 2, 3, 4]).values.round(4)
    array([ 1. , -0.5, -0.5,  1. ])
    """
    residual = residual_gram(values, window=window, cut_windows=cut_windows)
    return _map(kernels.cosine, residual, "residual_cosine", NONE)


def _require_window(visits: Integers, window: int) -> None:
    if window < 1:
        raise AnalysisError(f"window: expected 1 visit or more, found {window}; take the number of tasks")
    steps = np.unique(np.diff(visits))
    if steps.size > 1 or (steps.size == 1 and (steps[0] < 1 or window % steps[0])):
        raise AnalysisError(
            f"a window of {window} visits needs visits recorded at even steps that divide {window}, "
            f"found steps of {', '.join(map(str, steps))}; record every visit, or choose another window"
        )


def cyclicity(similarity: xr.DataArray, *, period: int) -> xr.Dataset:
    """Mean similarity by lag, and how much higher it is at lags that are multiples of the period.

    Parameters
    ----------
    similarity : DataArray, dims (visit, visit_other)
        A symmetric matrix between visits, such as a cosine. Pairs with NaN are left out.
    period : int
        Length of the cycle in visits: T, the number of tasks.

    Returns
    -------
    Dataset
        Lazy if `similarity` is.

        - similarity(lag): mean over the pairs of visits `lag` apart; NaN where there are none.
        - n_pairs(lag): number of those pairs.
        - contrast(): mean over all pairs whose lag is period, 2·period, … less the mean over all pairs of any
          other lag above 0. NaN where either has no pairs, so always for period 1.

    Raises
    ------
    AnalysisError
        If `period` is below 1, or `similarity` is not a matrix between visits.

    Examples
    --------
    >>> similar = (np.arange(6) - np.arange(6)[:, None]) % 3 == 0
    >>> matrix = xr.DataArray(similar * 1.0, dims=("visit", "visit_other"), coords={"visit": np.arange(6)})
    >>> cyclicity(matrix, period=3)["contrast"].item()
    1.0
    """
    if period < 1:
        raise AnalysisError(f"period: expected 1 visit or more, found {period}; take the number of tasks")
    visits = coordinate(similarity, "visit")
    n_lags = int(visits[-1] - visits[0]) + 1 if visits.size else 0
    profile = apply(
        kernels.lag_profile,
        similarity,
        core=[("visit", "visit" + OTHER)],
        outputs={"similarity": ("lag",), "n_pairs": ("lag",)},
        sizes={"lag": n_lags},
        parameters={"visits": visits, "n_lags": n_lags},
        units=units_of(similarity),
        one_by_one=True,
    )
    contrast = apply(
        kernels.lag_contrast,
        profile["similarity"],
        profile["n_pairs"],
        core=[("lag",), ("lag",)],
        outputs={"contrast": ()},
        parameters={"period": period},
        units=units_of(similarity),
        one_by_one=True,
    )
    profile["n_pairs"].attrs["units"] = NONE
    profile = profile.assign(contrast=contrast["contrast"], n_pairs=profile["n_pairs"].astype(np.int64))
    return profile.assign_coords(lag=("lag", np.arange(n_lags), {"units": "visits"}))


def _map(
    kernel: Callable[..., Floats], matrix: xr.DataArray, name: str, units: str, **parameters: Floats
) -> xr.DataArray:
    """Apply a kernel that turns one matrix between visits into another."""
    dims = matrix_dims(matrix)
    result = apply(
        kernel, matrix, core=[dims], outputs={name: dims}, parameters=parameters, units=units, one_by_one=True
    )
    return result[name].transpose(*matrix.dims)
