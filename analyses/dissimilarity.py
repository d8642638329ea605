"""Representational similarity analysis, lazily: which examples lie far apart, here as there."""

from __future__ import annotations

from typing import Literal, get_args

import xarray as xr

from analyses.comparing import compare
from analyses.grams import OTHER
from analyses.kernels import representation as kernels
from analyses.lazy import apply, require_dims
from analyses.representation import example_gram, gram_around_means
from analyses.units import NONE, units_of
from tracekit.errors import AnalysisError

Dissimilarity = Literal["cosine", "correlation", "euclidean"]


def rdm(values: xr.DataArray, *, dim: str = "probe", metric: Dissimilarity = "correlation") -> xr.DataArray:
    """Representational dissimilarity matrix: how far apart the examples lie at each visit.

    Parameters
    ----------
    values : DataArray
        Dims (visit, `dim`, …), as `example_gram` takes them.
    dim : str
        The dim of examples.
    metric : {"correlation", "cosine", "euclidean"}
        1 − Pearson's correlation over elements, 1 − cosine, or Euclidean distance.

    Returns
    -------
    DataArray, dims (visit, `dim`, `dim`_other)
        Zero on the diagonal; in units of the values if Euclidean, otherwise from 0 to 2. Lazy if `values` is.
        NaN for an example that holds a NaN, or has no direction.

    Raises
    ------
    AnalysisError
        If the values lack `dim`, or `metric` is none of those.

    References
    ----------
    .. [1] Kriegeskorte, Mur, Bandettini (2008), Front. Syst. Neurosci. 2, doi:10.3389/neuro.06.004.2008.

    Examples
    --------
    >>> values = xr.DataArray([[[1.0, 0.0], [0.0, 2.0]]], dims=("visit", "probe", "element"))
    >>> rdm(values, metric="cosine").values
    array([[[0., 1.],
            [1., 0.]]])
    """
    if metric not in get_args(Dissimilarity):
        raise AnalysisError(
            f"metric: expected one of {', '.join(get_args(Dissimilarity))}, found {metric!r}; choose one"
        )
    require_dims(values, (dim,))
    if metric == "correlation":
        matrix = gram_around_means(values, dim=dim)
    else:
        matrix = example_gram(values, dim=dim, center=metric == "euclidean")
    core = (dim, dim + OTHER)
    parameters = {"euclidean": metric == "euclidean"}
    units = units_of(values) if metric == "euclidean" else NONE
    result = apply(
        kernels.dissimilarity, matrix, core=[core], outputs={"rdm": core}, parameters=parameters, units=units
    )
    return result["rdm"].assign_attrs(metric=metric)


def rsa(
    matrix: xr.DataArray,
    other: xr.DataArray | None = None,
    *,
    dim: str = "visit",
    n_permutations: int = 99,
    seed: int = 0,
) -> xr.Dataset:
    """Representational similarity: Spearman's correlation of dissimilarities, beside that of shuffled pairs.

    Parameters
    ----------
    matrix : DataArray, dims (`dim`, example, example_other)
        What `rdm` gives of one run.
    other : DataArray, optional
        The same of another run, layer or model with the same examples; `matrix` itself if not given.
    dim : str
        What is compared: `visit`, or a dim of layers.
    n_permutations : int
        How many shuffles of the examples make the null. All pairs are shuffled alike.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    Dataset
        Dims (`dim`, `dim`_other); lazy if an input is. rsa, from −1 to 1 over the pairs of examples, and
        null_mean, null_high and p_value as in `cka`. NaN where dissimilarities are NaN or all the same.

    Raises
    ------
    AnalysisError
        If an input is not such a matrix, the examples are not the same, or `n_permutations` is below 1.

    References
    ----------
    .. [1] Kriegeskorte, Mur, Bandettini (2008), Front. Syst. Neurosci. 2, doi:10.3389/neuro.06.004.2008.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> values = xr.DataArray(rng.standard_normal((1, 6, 9)), dims=("visit", "probe", "element"))
    >>> rsa(rdm(values), rdm(2 * values + 1))["rsa"].values
    array([[1.]])
    """
    return compare("rsa", kernels.ranked, matrix, other, dim=dim, n_permutations=n_permutations, seed=seed)
