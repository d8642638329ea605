"""Gram matrices, and the similarities and distances that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.kernels.recovery import Booleans, Floats, Integers

FLOAT_BYTES = 8

WORK_BYTES = 4 * 2**20
"""Size of the pieces that a Gram matrix is made of: its temporaries stay near this size."""

LEAST_COLUMNS = 512
"""Of thousands of visits, pieces are no narrower: to add a matrix up would take longer than its product."""

ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Share of the largest square below which a square may be rounding alone."""


def gram(values: npt.NDArray[Any], *, center: bool = True) -> Floats:
    """Give the inner products between rows, (visit, element) -> (visit, visit_other).

    With `center` the products are those around the first row, which `double_center` turns into those around
    the mean.
    """
    products = anchored(values)
    return products[1:, 1:] if center else raw(products)


def anchored(values: npt.NDArray[Any], *, first: int = 0) -> Floats:
    """Give inner products of an anchor and rows less the anchor, (visit, element) -> (place, place_other).

    The anchor is the first row, at place 0; row v less the anchor is at place v + 1. Rows that come later
    change nothing of the products there are. Differences and products are taken in float64: so no digit is
    lost of what rows differ by, although they differ little. Only places from `first` on are given, by all.
    """
    total = np.zeros((len(values) + 1 - first, len(values) + 1))
    with np.errstate(invalid="ignore", over="ignore"):
        for rows in _anchored_pieces(values):
            total += rows[first:] @ rows.T
    return total


def _anchored_pieces(values: npt.NDArray[Any]) -> Iterator[Floats]:
    """Give the anchor and the rows less the anchor, some columns at a time, in memory that is used again."""
    n_places = len(values) + 1
    width = max(LEAST_COLUMNS, WORK_BYTES // (n_places * FLOAT_BYTES))
    memory = np.empty(n_places * min(width, values.shape[1]))
    for start in range(0, values.shape[1], width):
        piece = values[:, start : start + width]
        rows = memory[: n_places * piece.shape[1]].reshape(n_places, -1)
        rows[0] = _anchor(piece)
        rows[1:] = piece
        rows[1:] -= rows[0]
        yield rows


def _anchor(piece: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the first row; of a column in which that is not finite, the first value that is, or else 0."""
    if np.isfinite(piece[0]).all():
        return np.asarray(piece[0])
    finite = np.isfinite(piece)
    first = np.take_along_axis(piece, finite.argmax(axis=0)[np.newaxis], axis=0)[0]
    return np.where(finite.any(axis=0), first, 0)


def raw(products: Floats) -> Floats:
    """Give the inner products of the rows themselves from anchored ones, (place, place) -> (visit, visit)."""
    along = products[0, 1:]
    with np.errstate(invalid="ignore"):
        rows = products[1:, 1:] + along[:, np.newaxis] + along + products[0, 0]
    return without_rows(rows, missing_rows(rows))


def centered(products: Floats) -> Floats:
    """Give the inner products around the mean row from anchored ones, (place, place) -> (visit, visit)."""
    return double_center(products[1:, 1:])


def extended(products: Floats, added: Floats) -> Floats:
    """Give anchored products with those of added rows, (known, known), (added, place) -> (place, place)."""
    n_known = len(products)
    earlier = np.concatenate([products, added[:, :n_known].T], axis=1)
    return np.concatenate([earlier, added])


def double_center(gram: Floats) -> Floats:
    """Give inner products around the mean row, (visit, visit_other) -> same; NaN rows are left out."""
    missing = missing_rows(gram)
    with np.errstate(invalid="ignore"):
        known = np.where(missing[:, np.newaxis] | missing, 0.0, gram)
        weights = np.where(missing, 0.0, 1.0) / max(1, np.count_nonzero(~missing))
        rows = known @ weights
        centered = known - rows[:, np.newaxis] - rows + weights @ rows
    return without_rows(without_rounding(centered, _largest_square(known)), missing)


def missing_rows(gram: Floats) -> Booleans:
    """Say which visits hold a NaN or an infinity, (visit, visit_other) -> (visit,)."""
    return ~np.isfinite(np.diagonal(gram))


def without_rows(matrix: Floats, missing: Booleans) -> Floats:
    """Put NaN in the rows and columns of the missing visits."""
    return np.where(missing[:, np.newaxis] | missing, np.nan, matrix)


def without_rounding(matrix: Floats, square: float) -> Floats:
    """Put 0 in the rows and columns that rounding alone keeps from 0, in what was made of such squares.

    A row that equals what was taken off it, such as that of a parameter that has stopped to move, would
    otherwise have the direction of rounding errors. The length of such a row is 1e-7 of the largest, or less.
    """
    nothing = np.abs(np.diagonal(matrix)) <= ROUNDING * square
    return np.where(nothing[:, np.newaxis] | nothing, 0.0, matrix)


def _largest_square(products: Floats) -> float:
    squares = np.diagonal(products)
    return float(squares.max(initial=0.0, where=np.isfinite(squares)))


def cosine(gram: Floats) -> Floats:
    """Give the cosine between rows, (visit, visit_other) -> same; NaN for a row of length zero."""
    squares = np.diagonal(gram)
    length = np.sqrt(np.where(squares > 0, squares, np.nan))
    return np.clip(gram / length[:, np.newaxis] / length, -1.0, 1.0)


def distance(gram: Floats) -> Floats:
    """Give the Euclidean distance between rows, (visit, visit_other) -> same."""
    squares = np.diagonal(gram)
    return np.sqrt(np.maximum(squares[:, np.newaxis] + squares - 2 * gram, 0.0))


def window_average(visits: Integers, window: int, *, cut: bool = False) -> Floats:
    """Give the matrix that averages rows over a window around each, (visit,) -> (visit, visit_other).

    The window of visit t holds t − ⌊window/2⌋ … t − ⌊window/2⌋ + window − 1. Rows whose window reaches beyond
    the first or last visit are NaN, or with `cut` average what is there. A last visit out of step is NaN, and
    counts in no window.
    """
    even = evenly_spaced(visits)
    first = visits - window // 2
    inside = even & (visits >= first[:, np.newaxis]) & (visits < first[:, np.newaxis] + window)
    n_inside = np.count_nonzero(inside, axis=1)
    average = np.asarray(inside / np.maximum(n_inside, 1)[:, np.newaxis], dtype=np.float64)
    average[~even] = np.nan
    if not cut:
        step = int(visits[1] - visits[0]) if visits.size > 1 else 1
        average[n_inside < window // step] = np.nan
    return average


def evenly_spaced(visits: Integers) -> Booleans:
    """Say of each visit whether it counts, (visit,) -> (visit,): not a last one after a step of its own.

    A run recorded every n visits ends with its last snapshot, which need not be a multiple of n.
    """
    steps = np.diff(visits)
    even = np.ones(len(visits), dtype=bool)
    if steps.size > 1 and steps[-1] < steps[0]:
        even[-1] = False
    return even


def residual_gram(gram: Floats, average: Floats) -> Floats:
    """Give inner products of rows less their window average: (I − A) G (I − A)ᵀ.

    NaN for the visits whose window is incomplete or holds a missing visit.
    """
    missing = missing_rows(gram)
    incomplete = np.asarray(np.isnan(average).any(axis=1))
    residual = np.eye(len(gram)) - np.where(incomplete[:, np.newaxis], 0.0, average)
    unknown = np.asarray(incomplete | ((residual != 0) & missing).any(axis=1))
    known = np.where(missing[:, np.newaxis] | missing, 0.0, gram)
    products = without_rounding(residual @ known @ residual.T, _largest_square(known))
    return without_rows(products, unknown)


def lag_profile(similarity: Floats, visits: Integers, n_lags: int) -> tuple[Floats, Integers]:
    """Give the mean similarity at lags 0 … n_lags − 1 and numbers of pairs, (visit, visit_other) -> (lag,).

    Pairs with NaN are left out; a lag without pairs is NaN.
    """
    first, second = np.triu_indices(visits.size)
    lag, value = visits[second] - visits[first], similarity[first, second]
    known = ~np.isnan(value)
    n_pairs = np.bincount(lag[known], minlength=n_lags)
    total = np.bincount(lag[known], weights=value[known], minlength=n_lags)
    return _quotient(total, n_pairs), n_pairs.astype(np.int64)


def lag_contrast(profile: Floats, n_pairs: Integers, period: int) -> Floats:
    """Give the mean over pairs at lags period, 2·period, … less that at other lags above 0, (lag,) -> ()."""
    lag = np.arange(profile.size)
    multiple = lag % period == 0
    total = np.where(n_pairs > 0, profile, 0.0) * n_pairs
    at_multiples, at_others = (
        _quotient(total[chosen].sum(), n_pairs[chosen].sum()) for chosen in (multiple & (lag > 0), ~multiple)
    )
    return np.asarray(at_multiples - at_others)


def _quotient(total: npt.ArrayLike, count: npt.ArrayLike) -> Floats:
    count = np.asarray(count)
    quotient = np.full(count.shape, np.nan)
    np.divide(total, count, out=quotient, where=count > 0)
    return quotient
