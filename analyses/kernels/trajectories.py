"""The path of a row through its space, from the Gram matrix of its visits."""

from __future__ import annotations

import numpy as np

from analyses.kernels.recovery import Floats
from analyses.kernels.similarity import distance, double_center, missing_rows


def pca(gram: Floats, n_components: int) -> tuple[Floats, Floats, Floats]:
    """Give scores, shares of variance and participation ratio, of the matrix (visit, visit_other).

    The matrix is centered first, which changes nothing in one that is. Missing visits have NaN scores.
    """
    known = ~missing_rows(gram)
    centered = double_center(gram[np.ix_(known, known)])
    eigenvalues, eigenvectors = np.linalg.eigh((centered + centered.T) / 2)
    eigenvalues = np.maximum(eigenvalues[::-1], 0.0)
    scores = np.full((len(gram), n_components), np.nan)
    n_known = min(n_components, eigenvalues.size)
    kept = (eigenvectors[:, ::-1] * np.sqrt(eigenvalues))[:, :n_known]
    scores[known, :n_known] = kept * _signs(kept)
    share = np.full(n_components, np.nan)
    total, squares = eigenvalues.sum(), np.square(eigenvalues).sum()
    if total > 0:
        share[:n_known] = eigenvalues[:n_known] / total
    return scores, share, np.asarray(total**2 / squares if total > 0 else np.nan)


def _signs(scores: Floats) -> Floats:
    """Give ±1 per component so that the score of largest size becomes positive."""
    if scores.size == 0:
        return np.ones(scores.shape[1])
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return np.where(largest < 0, -1.0, 1.0)


def step_length(gram: Floats) -> Floats:
    """Give the distance of each visit from the one before, (visit, visit_other) -> (visit,); first NaN."""
    steps = np.full(len(gram), np.nan)
    steps[1:] = np.diagonal(distance(gram), offset=1)
    return steps


def displacement(gram: Floats) -> Floats:
    """Give the distance of each visit from the first, (visit, visit_other) -> (visit,)."""
    return distance(gram)[:1].ravel()


def turning_angle(gram: Floats) -> Floats:
    """Give the angle between the steps into and out of each visit, (visit, visit_other) -> (visit,).

    NaN at the first and last visit, and where a step has no length.
    """
    angle = np.full(len(gram), np.nan)
    steps = np.diff(np.diff(gram, axis=0), axis=1)
    squares = np.diagonal(steps)
    length = np.sqrt(np.where(squares > 0, squares, np.nan))
    cosine = np.diagonal(steps, offset=1) / (length[:-1] * length[1:])
    angle[1:-1] = np.arccos(np.clip(cosine, -1.0, 1.0))
    return angle


def path_length(gram: Floats) -> Floats:
    """Give the sum of all steps, (visit, visit_other) -> (); NaN where a visit is missing."""
    return np.asarray(step_length(gram)[1:].sum())


def tortuosity(gram: Floats) -> Floats:
    """Give path length / distance from first to last, (visit, visit_other) -> (); NaN for a closed path."""
    ends = displacement(gram)[-1:]
    if ends.size == 0 or not ends[0] > 0:
        return np.asarray(np.nan)
    return np.asarray(path_length(gram) / ends[0])


def effective_rank(gram: Floats) -> Floats:
    """Give exp(entropy of the shares of the singular values), (visit, visit_other) -> (); of known visits."""
    known = ~missing_rows(gram)
    centered = double_center(gram[np.ix_(known, known)])
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh((centered + centered.T) / 2), 0.0))
    if not singular.sum() > 0:
        return np.asarray(np.nan)
    share = singular[singular > 0] / singular.sum()
    return np.asarray(np.exp(-np.sum(share * np.log(share))))
