"""The path of a run through weight space, or any other, lazily from a Gram matrix between visits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from analyses.grams import matrix_dims
from analyses.kernels import trajectories as kernels
from analyses.kernels.recovery import Floats
from analyses.lazy import apply
from analyses.units import NONE, root, units_of
from tracekit.errors import AnalysisError


def pca(gram: xr.DataArray, *, n_components: int = 3) -> xr.Dataset:
    """Principal components of a trajectory: eigenvectors × √eigenvalues of the centered Gram matrix.

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix, centered or not: it is centered here.
    n_components : int
        How many components, from the largest. Those beyond the number of visits are NaN.

    Returns
    -------
    Dataset
        Lazy if `gram` is. Coordinate `component` = 1, 2, …

        - scores(visit, component): in units of the values. Each component has the sign that makes its
          score of largest size positive. NaN for NaN visits.
        - explained_variance_ratio(component): eigenvalue / sum of all eigenvalues; NaN where nothing moves.
        - participation_ratio(): (Σλ)² / Σλ², from 1 (a line) up to the number of visits less one.

    Raises
    ------
    AnalysisError
        If `gram` is not a matrix between visits, or `n_components` is below 1.

    Examples
    --------
    >>> from analyses.grams import gram
    >>> line = xr.DataArray([[0.0, 0.0], [3.0, 4.0], [9.0, 12.0]], dims=("visit", "element"))
    >>> result = pca(gram(line), n_components=2)
    >>> result["scores"].sel(component=1).values.round(4)
    array([-6.6667, -1.6667,  8.3333])
    >>> round(result["participation_ratio"].item(), 4)
    1.0
    """
    dims = matrix_dims(gram)
    if n_components < 1:
        raise AnalysisError(f"n_components: expected 1 or more, found {n_components}; 3 is usual")
    result = apply(
        kernels.pca,
        gram,
        core=[dims],
        outputs={
            "scores": (dims[0], "component"),
            "explained_variance_ratio": ("component",),
            "participation_ratio": (),
        },
        sizes={"component": n_components},
        parameters={"n_components": n_components},
        one_by_one=True,
    )
    result["scores"].attrs["units"] = root(units_of(gram))
    return result.assign_coords(component=np.arange(1, n_components + 1))


def step_length(gram: xr.DataArray) -> xr.DataArray:
    """Distance of each recorded visit from the one recorded before it.

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix.

    Returns
    -------
    DataArray, dims (visit,)
        In units of the values; NaN at the first visit.

    Raises
    ------
    AnalysisError
        If `gram` is not a matrix between visits.

    Examples
    --------
    >>> from analyses.grams import gram
    >>> path = xr.DataArray([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]], dims=("visit", "element"))
    >>> step_length(gram(path)).values.round(6)
    array([nan,  5.,  1.])
    """
    return _along_path(kernels.step_length, gram, "step_length", root(units_of(gram)))


def displacement(gram: xr.DataArray) -> xr.DataArray:
    """Distance of each recorded visit from the first.

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix.

    Returns
    -------
    DataArray, dims (visit,)
        In units of the values; 0 at the first visit.

    Raises
    ------
    AnalysisError
        If `gram` is not a matrix between visits.

    Examples
    --------
    >>> from analyses.grams import gram
    >>> path = xr.DataArray([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], dims=("visit", "element"))
    >>> displacement(gram(path)).values.round(6)
    array([ 0.,  5., 10.])
    """
    return _along_path(kernels.displacement, gram, "displacement", root(units_of(gram)))


def turning_angle(gram: xr.DataArray) -> xr.DataArray:
    """Angle between the step into each recorded visit and the step out of it, 0 on a straight path.

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix.

    Returns
    -------
    DataArray, dims (visit,)
        In radians, from 0 to π; NaN at the first and last visit, and where a step has no length.

    Raises
    ------
    AnalysisError
        If `gram` is not a matrix between visits.

    Examples
    --------
    >>> from analyses.grams import gram
    >>> path = xr.DataArray([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], dims=("visit", "element"))
    >>> np.degrees(turning_angle(gram(path))).values.round(6)
    array([nan, 90., nan])
    """
    return _along_path(kernels.turning_angle, gram, "turning_angle", "radians")


def path_length(gram: xr.DataArray) -> xr.DataArray:
    """Length of the path: the sum of the distances between neighbouring recorded visits.

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix.

    Returns
    -------
    DataArray, dims ()
        In units of the values. Visits not recorded shorten the path; NaN where a visit holds a NaN.

    Raises
    ------
    AnalysisError
        If `gram` is not a matrix between visits.

    Examples
    --------
    >>> from analyses.grams import gram
    >>> path = xr.DataArray([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]], dims=("visit", "element"))
    >>> round(path_length(gram(path)).item(), 6)
    7.0
    """
    return _of_path(kernels.path_length, gram, "path_length", root(units_of(gram)))


def tortuosity(gram: xr.DataArray) -> xr.DataArray:
    """Path length divided by the distance between first and last recorded visit; 1 for a straight path.

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix.

    Returns
    -------
    DataArray, dims ()
        1 or more, no units. NaN where the path ends where it began, and where a visit holds a NaN.

    Raises
    ------
    AnalysisError
        If `gram` is not a matrix between visits.

    Examples
    --------
    >>> from analyses.grams import gram
    >>> path = xr.DataArray([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]], dims=("visit", "element"))
    >>> round(tortuosity(gram(path)).item(), 6)
    1.4
    """
    return _of_path(kernels.tortuosity, gram, "tortuosity")


def effective_rank(gram: xr.DataArray) -> xr.DataArray:
    """Effective rank of the path: exp(−Σ p log p), with p = σ / Σσ and σ the singular values around the mean.

    Parameters
    ----------
    gram : DataArray, dims (visit, visit_other)
        A Gram matrix, centered or not: it is centered here. Its eigenvalues are σ².

    Returns
    -------
    DataArray, dims ()
        From 1 (a line) to the number of visits less one. NaN where nothing moves. NaN visits are left out.

    Raises
    ------
    AnalysisError
        If `gram` is not a matrix between visits.

    References
    ----------
    .. [1] Roy, Vetterli (2007), The effective rank, 15th European Signal Processing Conference, 606–610.

    Examples
    --------
    >>> from analyses.grams import gram
    >>> square = xr.DataArray([[1.0, 0], [0, 1], [-1, 0], [0, -1]], dims=("visit", "element"))
    >>> round(effective_rank(gram(square)).item(), 4)
    2.0
    """
    return _of_path(kernels.effective_rank, gram, "effective_rank")


def _of_path(
    kernel: Callable[[Floats], Floats], gram: xr.DataArray, name: str, units: str = NONE
) -> xr.DataArray:
    core = [matrix_dims(gram)]
    return apply(kernel, gram, core=core, outputs={name: ()}, units=units, one_by_one=True)[name]


def _along_path(
    kernel: Callable[[Floats], Floats], gram: xr.DataArray, name: str, units: str
) -> xr.DataArray:
    dims = matrix_dims(gram)
    outputs = {name: dims[:1]}
    return apply(kernel, gram, core=[dims], outputs=outputs, units=units, one_by_one=True)[name]
