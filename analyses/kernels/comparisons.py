"""Two samples against each other, and many p-values at once."""

from __future__ import annotations

import numpy as np

from analyses.kernels.recovery import Floats


def cliffs_delta(first: Floats, second: Floats) -> Floats:
    """Give the share of pairs where the first is larger less that where it is smaller.

    (…, unit) twice -> (…). NaN are left out.
    """
    signs = np.sign(first[..., :, np.newaxis] - second[..., np.newaxis, :])
    known = ~np.isnan(signs)
    n_pairs = known.sum(axis=(-1, -2))
    delta = np.full(n_pairs.shape, np.nan)
    np.divide(np.where(known, signs, 0).sum(axis=(-1, -2)), n_pairs, out=delta, where=n_pairs > 0)
    return delta


def hodges_lehmann(first: Floats, second: Floats) -> Floats:
    """Give the median difference over pairs, (…, unit) twice -> (…). NaN are left out."""
    differences = (first[..., :, np.newaxis] - second[..., np.newaxis, :]).reshape(*first.shape[:-1], -1)
    known = ~np.isnan(differences)
    median = np.full(differences.shape[:-1], np.nan)
    for place in np.argwhere(known.any(axis=-1)):
        chosen = tuple(place)
        median[chosen] = np.median(differences[chosen][known[chosen]])
    return median


def mann_whitney(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Give Mann and Whitney's U and its two-sided p-value, (…, unit) twice -> (…) twice. NaN are left out."""
    from scipy import stats  # slow to import

    statistic, p_value = (np.full(first.shape[:-1], np.nan) for _ in range(2))
    for place in np.ndindex(statistic.shape):
        samples = [each[place][~np.isnan(each[place])] for each in (first, second)]
        if min(sample.size for sample in samples) > 0:
            test = stats.mannwhitneyu(samples[0], samples[1])
            statistic[place], p_value[place] = test.statistic, test.pvalue
    return statistic, p_value


def holm(p_values: Floats) -> Floats:
    """Give p-values adjusted by Holm's method, (test,) -> (test,). NaN are no tests."""
    adjusted, known = np.full(p_values.shape, np.nan), ~np.isnan(p_values)
    order = np.argsort(p_values[known])
    left = np.arange(order.size, 0, -1)
    stepped = np.maximum.accumulate(p_values[known][order] * left)
    adjusted[np.flatnonzero(known)[order]] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Give p-values adjusted by Benjamini and Hochberg's method, (test,) -> (test,). NaN are no tests."""
    adjusted, known = np.full(p_values.shape, np.nan), ~np.isnan(p_values)
    if known.any():
        from scipy import stats  # slow to import

        adjusted[known] = stats.false_discovery_control(p_values[known])
    return adjusted
