"""Numbers of independent runs at each level of a setting."""

from __future__ import annotations

import numpy as np

from analyses.kernels.recovery import Floats, Integers


def level_means(
    values: Floats, level: Integers, *, n_levels: int, confidence: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Give the mean at each level, the ends of its interval, and the number of runs behind it.

    (..., run) -> (..., level), four times. NaN among the values is left out; the ends are NaN of fewer than
    two runs, the mean of none.
    """
    from scipy.special import stdtrit  # slow to import

    shape = (*values.shape[:-1], n_levels)
    mean, half, count = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    for place in np.ndindex(values.shape[:-1]):
        for each in range(n_levels):
            known = values[place][(level == each) & ~np.isnan(values[place])]
            n = count[(*place, each)] = known.size
            if n > 0:
                mean[(*place, each)] = known.mean()
            if n > 1:
                half[(*place, each)] = stdtrit(n - 1, (1 + confidence) / 2) * known.std(ddof=1) / n**0.5
    return mean, mean - half, mean + half, count
