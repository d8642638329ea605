"""Trends over ordered conditions: epochs, model sizes.

scipy is slow to import, so it is imported where it is used.
"""

from __future__ import annotations

import numpy as np

from analyses.kernels.recovery import Floats
from analyses.kernels.rotation import p_value

FEWEST_CONDITIONS = 3


def page(values: Floats) -> tuple[Floats, ...]:
    """Give Page's L, its p-value, mean Kendall's τ and number of units, (unit, condition) -> ()."""
    complete = values[np.isfinite(values).all(axis=1)]
    n_units, n_conditions = complete.shape
    if n_units < 2 or n_conditions < FEWEST_CONDITIONS:
        return (*(np.asarray(np.nan),) * 3, np.asarray(float(n_units)))
    from scipy import stats

    test = stats.page_trend_test(complete)
    places = np.arange(float(n_conditions))
    mean_tau = np.mean([_tau(unit, places) for unit in complete])
    return (*map(np.asarray, (float(test.statistic), float(test.pvalue), mean_tau, float(n_units))),)


def _tau(unit: Floats, places: Floats) -> float:
    from scipy import stats

    return float(stats.kendalltau(places, unit).statistic)


def kendall(values: Floats, against: Floats) -> tuple[Floats, Floats]:
    """Give Kendall's τ_b and its two-sided p-value, (unit,) twice -> (); NaN of fewer than two units."""
    known = np.isfinite(values) & np.isfinite(against)
    if known.sum() < 2:
        return np.asarray(np.nan), np.asarray(np.nan)
    from scipy import stats

    test = stats.kendalltau(against[known], values[known])
    return np.asarray(test.statistic), np.asarray(test.pvalue)


def jonckheere(values: Floats, groups: Floats, *, n_resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Give the Jonckheere–Terpstra statistic and its one-sided p-value, (unit,) twice -> () twice.

    The statistic counts pairs of units in rising groups whose values rise as well, ties as a half. The null
    deals the groups out to units anew.
    """
    if np.isnan(values).any() or np.unique(groups).size < 2:
        return np.asarray(np.nan), np.asarray(np.nan)
    rises = (np.sign(values - values[:, np.newaxis]) + 1) / 2  # [one, other]: whether other lies above one
    rng = np.random.default_rng(seed)
    found = _pairs_that_rise(rises, groups)
    null = np.array([_pairs_that_rise(rises, rng.permutation(groups)) for _ in range(n_resamples)])
    return found, p_value(null, found)


def _pairs_that_rise(rises: Floats, groups: Floats) -> Floats:
    return np.asarray(rises[groups[:, np.newaxis] < groups].sum())
