"""Similarity of representations, from the Gram matrix between examples that each of them gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from analyses.kernels.recovery import Floats, Integers
from analyses.kernels.similarity import (
    FLOAT_BYTES,
    ROUNDING,
    WORK_BYTES,
    cosine,
    distance,
    double_center,
    gram,
)

FEWEST = 4
"""Examples that the unbiased estimate needs: it divides by n − 3."""


SAME_DIGITS = 10
"""Dissimilarities that agree to so many digits of the largest are ties."""


def example_gram(values: Floats, *, center: bool = True) -> Floats:
    """Give inner products between examples, (..., example, element) -> (..., example, example_other)."""
    return _each(lambda rows: gram(rows, center=center), values, values.shape[-2])


def sums_over_elements(values: Floats, anchors: Floats) -> Floats:
    """Give inner products of ones and of examples less an anchor, from which those less their mean follow.

    (..., example, element) and (..., example) -> (..., place, place_other); the ones are at place 0. They add
    up over blocks of elements, and an anchor that is one of an example's values keeps their digits.
    """
    n_places = values.shape[-2] + 1
    total = np.zeros((*values.shape[:-2], n_places, n_places))
    width = max(1, WORK_BYTES // (n_places * FLOAT_BYTES))
    rows = np.ones((n_places, min(width, values.shape[-1])))
    for place in np.ndindex(values.shape[:-2]):
        for start in range(0, values.shape[-1], width):
            piece = values[place][:, start : start + width]
            less = rows[:, : piece.shape[-1]]
            less[1:] = piece
            with np.errstate(invalid="ignore", over="ignore"):
                less[1:] -= anchors[place][:, np.newaxis]
                total[place] += less @ less.T
    return total


def around_means(products: Floats) -> Floats:
    """Give inner products of examples less their mean over elements, from those less an anchor.

    (..., place, place_other) -> (..., example, example_other); 0 for an example that rounding alone keeps
    from its mean.
    """
    n_elements, totals = products[..., :1, :1], products[..., :1, 1:]
    squares = products[..., 1:, 1:]
    with np.errstate(invalid="ignore"):
        centered = squares - totals.swapaxes(-1, -2) * totals / np.where(n_elements > 0, n_elements, np.nan)
    lengths, before = (np.diagonal(each, axis1=-2, axis2=-1) for each in (centered, squares))
    nothing = lengths <= ROUNDING * before
    return np.where(nothing[..., np.newaxis] | nothing[..., np.newaxis, :], 0.0, centered)


def center_examples(matrix: Floats) -> Floats:
    """Give inner products around the mean example, (..., example, example_other) -> same."""
    return _each(double_center, matrix, matrix.shape[-1])


def _each(kernel: Callable[[Floats], Floats], values: Floats, n_examples: int) -> Floats:
    result = np.empty((*values.shape[:-2], n_examples, n_examples))
    for place in np.ndindex(values.shape[:-2]):
        result[place] = kernel(values[place])
    return result


def u_centered(matrix: Floats) -> Floats:
    """Give the matrix without its diagonal, centered so that sums without bias follow: same shape.

    The inner product of two such matrices is n (n − 3) HSIC₁. NaN of fewer than four examples.
    """
    n = matrix.shape[-1]
    if n < FEWEST:
        return np.full(matrix.shape, np.nan)
    hollow = _hollow(matrix)
    rows = hollow.sum(axis=-1)
    total = rows.sum(axis=-1)[..., np.newaxis, np.newaxis]
    centered = hollow - (rows[..., np.newaxis] + rows[..., np.newaxis, :]) / (n - 2)
    return _hollow(centered + total / ((n - 1) * (n - 2)))


def _hollow(matrix: Floats) -> Floats:
    return np.where(np.eye(matrix.shape[-1], dtype=bool), 0.0, matrix)


def ranked(matrix: Floats) -> Floats:
    """Give centered ranks of the entries above the diagonal, on both sides of it: same shape.

    The cosine between two such matrices is Spearman's correlation. NaN where any entry is.
    """
    from scipy import stats  # slow to import

    above = np.triu_indices(matrix.shape[-1], k=1)
    entries = _without_rounding(matrix[..., above[0], above[1]])
    result = np.zeros(matrix.shape)
    if entries.size:
        ranks = stats.rankdata(entries, axis=-1, nan_policy="propagate")
        result[..., above[0], above[1]] = ranks - ranks.mean(axis=-1, keepdims=True)
    return result + result.swapaxes(-1, -2)


def _without_rounding(entries: Floats) -> Floats:
    """Make those the same that differ in the last digits alone, as equal distances of different rows do."""
    largest = np.abs(entries).max(axis=-1, keepdims=True, initial=0.0)
    return np.round(entries / np.where(largest > 0, largest, 1.0), SAME_DIGITS)


def alike(first: Floats, second: Floats) -> Floats:
    """Give the cosine between matrices, (..., one, n, n) and (..., other, n, n) -> (..., one, other).

    NaN for a matrix of zeros.
    """
    one, other = (_unit(matrices) for matrices in (first, second))
    return np.clip(one @ other.swapaxes(-1, -2), -1.0, 1.0)


def _unit(matrices: Floats) -> Floats:
    vectors = matrices.reshape((*matrices.shape[:-2], -1))
    length = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return vectors / np.where(length > 0, length, np.nan)


def shuffled(first: Floats, second: Floats, orders: Iterable[Integers]) -> Floats:
    """Give `alike` with the second's examples in each of the orders, -> (order, ..., one, other)."""
    return np.stack([alike(first, second[..., order[:, np.newaxis], order]) for order in orders])


def with_null(first: Floats, second: Floats, *, n_permutations: int, seed: int) -> tuple[Floats, ...]:
    """Give `alike`, and mean, 95th percentile and p-value of its null: pairs of examples shuffled.

    p = (b + 1) / (B + 1), of b among B shuffles that are as much alike or more.
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(first.shape[-1]) for _ in range(n_permutations)]
    found = alike(first, second)
    null = shuffled(first, second, orders)
    at_least = np.count_nonzero(null >= found - 1e-12, axis=0)
    p_value = np.where(np.isnan(found), np.nan, (at_least + 1) / (n_permutations + 1))
    return found, null.mean(axis=0), np.quantile(null, 0.95, axis=0), p_value


def procrustes(first: Floats, second: Floats) -> Floats:
    """Give the least distance under rotation, (..., one, n, n), (..., other, n, n) -> (..., one, other).

    Both are Gram matrices of centered examples, scaled to unit trace here. With square roots K^½ of them the
    sum of the singular values of XᵀY is that of K_x^½ K_y^½, so no rotation need be found.
    """
    one, other = (_root(matrices) for matrices in (first, second))
    distances = np.empty((*first.shape[:-2], other.shape[-3]))
    for place in np.ndindex(first.shape[:-2]):
        product = one[place] @ other[place[:-1]]
        distances[place] = np.sqrt(np.maximum(2 - 2 * _nuclear_norm(product), 0.0))
    return distances


def _nuclear_norm(matrices: Floats) -> Floats:
    known = np.isfinite(matrices).all(axis=(-1, -2))
    norm = np.full(known.shape, np.nan)
    norm[known] = np.linalg.svd(matrices[known], compute_uv=False).sum(axis=-1)
    return norm


def _root(matrices: Floats) -> Floats:
    """Give square roots of Gram matrices of unit trace; NaN where there is no spread or no number."""
    trace = np.trace(matrices, axis1=-2, axis2=-1)[..., np.newaxis, np.newaxis]
    known = np.isfinite(matrices).all(axis=(-1, -2), keepdims=True) & (trace > 0)
    scaled = np.where(known, matrices / np.where(known, trace, 1.0), 0.0)
    values, vectors = np.linalg.eigh(scaled)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[..., np.newaxis, :]) @ vectors.swapaxes(-1, -2)
    return np.where(known, root, np.nan)


def dissimilarity(matrix: Floats, *, euclidean: bool) -> Floats:
    """Give distances between examples, or 1 − cosine, from inner products: same shape, diagonal zero."""
    if euclidean:
        return _each(distance, matrix, matrix.shape[-1])
    return _hollow(1.0 - _each(cosine, matrix, matrix.shape[-1]))
