"""Which period a matrix between visits repeats with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyses.kernels.recovery import Floats

AS_GOOD = 0.9
"""A period counts as good as the best if its prominence is this share of it: 3T does as well as T."""

ROUNDING = 1e-9
"""A rise of similarity by less is none."""


def prominences(profile: Floats, n_pairs: Floats, periods: Sequence[int]) -> Floats:
    """Give how far the profile rises at multiples of each period, (lag,) twice -> (period,).

    Lags that were not recorded are filled in on a straight line.
    """
    lags, known = np.arange(profile.size), ~np.isnan(profile)
    if not known.any():
        return np.full(len(periods), np.nan)
    filled = np.interp(lags, lags[known], profile[known])
    return np.array([_prominence(filled, n_pairs, period) for period in periods])


def _prominence(profile: Floats, n_pairs: Floats, period: int) -> float:
    """Mean over pairs at lags period, 2·period, … of what they have over the lags half a period away."""
    half = period // 2
    lags = np.arange(period, profile.size - half, period)
    rise = profile[lags] - (profile[lags - half] + profile[lags + half]) / 2
    weight = n_pairs[lags]
    return float(rise @ weight / weight.sum()) if weight.sum() > 0 else np.nan


def best_period(prominence: Floats, periods: Sequence[int]) -> Floats:
    """Give the shortest period that is as good as the best, (period,) -> (); NaN where there is none.

    A period rises at its multiples, and more so than the next shorter and the next longer one: on a path that
    bends, prominence grows with the period, but has no peak.
    """
    around = np.pad(np.where(np.isnan(prominence), -np.inf, prominence), 1, constant_values=np.inf)
    here = around[1:-1] - ROUNDING
    is_peak = (here > 0) & (here > around[:-2]) & (here > around[2:])
    if not is_peak.any():
        return np.asarray(np.nan)
    as_good = is_peak & (here >= AS_GOOD * here[is_peak].max())
    return np.asarray(float(periods[int(np.argmax(as_good))]))
