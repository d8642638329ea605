"""The period that similarity between visits repeats with, lazily, without being told it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.inputs import coordinate
from analyses.kernels import periods as kernels
from analyses.kernels.recovery import Integers
from analyses.lazy import apply
from analyses.similarity import cyclicity
from analyses.units import units_of
from tracekit.errors import AnalysisError


def period(similarity: xr.DataArray, *, longest: int | None = None) -> xr.Dataset:
    """Find the period of a run: how far similarity rises at multiples of each, and where it rises most.

    With s(l) the mean similarity at lag l, the prominence of period p is the mean, over the pairs of visits
    at lags l = p, 2p, …, of s(l) − (s(l − ⌊p/2⌋) + s(l + ⌊p/2⌋)) / 2. A steady drift cancels, and so does
    twice the period, half of which is a period itself. Of a run recorded every few visits, periods that are
    multiples of the step between records are tried; lags in between are filled in on a straight line.

    Parameters
    ----------
    similarity : DataArray, dims (visit, visit_other)
        A symmetric matrix between visits, such as a centered cosine. Pairs with NaN are left out.
    longest : int, optional
        Longest period to try; the longest that fits into the run if not given.

    Returns
    -------
    Dataset
        Lazy if `similarity` is. Coordinate `period` = 2, 3, … in visits.

        - prominence(period): in units of the similarity; NaN where no pairs are that far apart.
        - detected_period(): of the periods more prominent than both their neighbours, the shortest with at
          least 0.9 of the greatest prominence; NaN where none is above 0. No test: noise has peaks too.

    Raises
    ------
    AnalysisError
        If `longest` is below 2, or `similarity` is not a matrix between visits.

    Examples
    --------
    >>> visit = np.arange(12)
    >>> similar = np.cos(2 * np.pi * (visit - visit[:, None]) / 3)
    >>> matrix = xr.DataArray(similar, dims=("visit", "visit_other"), coords={"visit": visit})
    >>> period(matrix)["detected_period"].item()
    3.0
    """
    if longest is not None and longest < 2:
        raise AnalysisError(f"longest: expected 2 visits or more, found {longest}; leave it out for all")
    profile = cyclicity(similarity, period=2)
    periods = _tried(coordinate(similarity, "visit"), longest)
    prominence = apply(
        kernels.prominences,
        profile["similarity"],
        profile["n_pairs"],
        core=[("lag",), ("lag",)],
        outputs={"prominence": ("period",)},
        sizes={"period": len(periods)},
        parameters={"periods": periods},
        units=units_of(similarity),
        one_by_one=True,
    )
    best = apply(
        kernels.best_period,
        prominence["prominence"],
        core=[("period",)],
        outputs={"detected_period": ()},
        parameters={"periods": periods},
        units="visits",
        one_by_one=True,
    )
    result = prominence.assign(best.data_vars)
    return result.assign_coords(period=("period", np.array(periods, dtype=np.int64), {"units": "visits"}))


def _tried(visits: Integers, longest: int | None) -> list[int]:
    """Give the periods that were recorded, and fit into the run: p + ⌊p/2⌋ is one of its lags."""
    step = int(visits[1] - visits[0]) if visits.size > 1 else 1
    greatest = int(visits[-1] - visits[0]) if visits.size else 0
    tried = range(step, (longest or greatest) + 1, step)
    return [each for each in tried if each > 1 and each + each // 2 <= greatest]
