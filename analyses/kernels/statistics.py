"""Sums over tensors that lie one after another in a row, from which their statistics follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.kernels.recovery import Floats, Integers

ADDED = 5
"""The first five sums are added up over pieces of a row; the last two are the least and the most."""
N_SUMS = 7


def sums(values: npt.NDArray[Any], owners: Integers, *, n_tensors: int) -> Floats:
    """Sum over the elements of each tensor, (visit, …, element) and (element,) -> (sum, visit, …, tensor).

    The sums are Σ x, Σ x², Σ |x|, Σ (x − that of the visit before)², Σ (x − that of the first visit)², min x
    and max x. `owners` numbers the tensor of every element, ascending. For tensors without an element here, 0
    and the infinities.
    """
    x = np.asarray(values, np.float64)
    result = np.zeros((N_SUMS, *x.shape[:-1], n_tensors))
    result[ADDED], result[ADDED + 1] = np.inf, -np.inf
    if owners.size == 0:
        return result
    starts = np.concatenate([[0], np.flatnonzero(np.diff(owners)) + 1])
    present = owners[starts]
    with np.errstate(invalid="ignore", over="ignore"):
        step = np.concatenate([np.full_like(x[:1], np.nan), np.diff(x, axis=0)])
        for number, terms in enumerate((x, x * x, np.abs(x), step * step, (x - x[:1]) ** 2)):
            result[number][..., present] = np.add.reduceat(terms, starts, axis=-1)
        result[ADDED][..., present] = np.minimum.reduceat(x, starts, axis=-1)
        result[ADDED + 1][..., present] = np.maximum.reduceat(x, starts, axis=-1)
    return result


def joined(parts: Floats) -> Floats:
    """Join the sums of pieces of a row, (piece, sum, …) -> (sum, …)."""
    return np.concatenate(
        [
            parts[:, :ADDED].sum(0),
            parts[:, ADDED : ADDED + 1].min(0),
            parts[:, ADDED + 1 :].max(0),
        ]
    )


def statistics(totals: Floats, sizes: Floats) -> dict[str, Floats]:
    """Give statistics by name, each (visit, …, tensor), from sums and numbers of elements (tensor,)."""
    total, squares, absolute, steps, moved, least, most = totals
    mean = total / sizes
    with np.errstate(invalid="ignore"):
        variance = np.maximum(squares / sizes - mean**2, 0)
    return {
        "norm": np.sqrt(squares),
        "mean": mean,
        "std": np.sqrt(variance),
        "min": least,
        "max": most,
        "absolute_mean": absolute / sizes,
        "update_size": np.sqrt(steps),
        "distance_from_start": np.sqrt(moved),
    }
