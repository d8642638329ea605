"""Sums over tensors that lie one after another in a row, from which their statistics follow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.kernels.recovery import Floats, Integers
from analyses.kernels.similarity import FLOAT_BYTES, WORK_BYTES

UFUNCS = (*(np.add,) * 5, np.minimum, np.maximum)
"""What makes each sum of its terms: the last two are the least and the most."""


def sums(values: npt.NDArray[Any], starts: Integers) -> Floats:
    """Sum over pieces of a row, (visit, …, element) and (piece,) -> (sum, visit, …, piece).

    The sums are Σ x, Σ x², Σ |x|, Σ (x − that of the visit before)², Σ (x − that of the first visit)², min x
    and max x. Pieces begin at `starts`, the first at 0, and none is empty.
    """
    *lead, n_columns = values.shape
    width = max(1, WORK_BYTES // (math.prod(lead) * FLOAT_BYTES or 1))
    stretches = range(0, n_columns, width)
    cuts = np.union1d(starts, stretches).astype(np.int64)
    memory = np.empty((2, math.prod(lead) * min(width, n_columns)))
    parts = [np.empty((len(UFUNCS), *lead, 0))]
    for first in stretches:
        within = cuts[(cuts >= first) & (cuts < first + width)] - first
        parts.append(_sums_of_stretch(values[..., first : first + width], within, memory))
    pieces = np.searchsorted(starts, cuts, side="right") - 1
    return joined(np.concatenate(parts, axis=-1), pieces, n_tensors=len(starts))


def _sums_of_stretch(values: npt.NDArray[Any], starts: Integers, memory: Floats) -> Floats:
    x, terms = memory[:, : values.size].reshape(2, *values.shape)
    x[...] = values
    with np.errstate(invalid="ignore", over="ignore"):
        each = zip(UFUNCS, _terms(x, terms), strict=True)
        return np.stack([ufunc.reduceat(terms, starts, axis=-1) for ufunc, terms in each])


def _terms(x: Floats, memory: Floats) -> Iterator[Floats]:
    """Give what goes into each sum: made in memory of its own, it takes twice as long."""
    yield x
    yield np.square(x, out=memory)
    yield np.abs(x, out=memory)
    memory[:1] = np.nan
    np.subtract(x[1:], x[:-1], out=memory[1:])
    yield np.square(memory, out=memory)
    np.subtract(x, x[:1], out=memory)
    yield np.square(memory, out=memory)
    yield from (x, x)


def joined(parts: Floats, owners: Integers, *, n_tensors: int) -> Floats:
    """Join sums of pieces of the same tensor, (sum, …, piece) and (piece,) -> (sum, …, tensor).

    `owners` numbers the tensor of every piece, ascending. A tensor without a piece has 0 and the infinities.
    """
    result = np.zeros((*parts.shape[:-1], n_tensors))
    result[-2], result[-1] = np.inf, -np.inf
    if owners.size:
        starts = np.concatenate([[0], np.flatnonzero(np.diff(owners)) + 1])
        for number, ufunc in enumerate(UFUNCS):
            result[number][..., owners[starts]] = ufunc.reduceat(parts[number], starts, axis=-1)
    return result


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
