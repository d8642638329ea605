"""Similarity of representations, lazily: how alike the same examples lie at two visits, layers, or runs.

All of it follows from one matrix between examples for each representation, so that layers of different width,
and models that share no coordinates, can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from analyses.blocks import BLOCK_BYTES, sum_over_blocks
from analyses.comparing import compare, pair_of
from analyses.grams import OTHER, PLACES
from analyses.kernels import representation as kernels
from analyses.lazy import apply, require_dims
from analyses.units import squared, units_of


def example_gram(
    values: xr.DataArray, *, dim: str = "probe", center: bool = True, block_bytes: int = BLOCK_BYTES
) -> xr.DataArray:
    """Inner products between examples at each visit: K[v, i, j] = Σ_e x[v, i, e] x[v, j, e].

    Parameters
    ----------
    values : DataArray
        Dims (visit, `dim`, …), or other dims in place of `visit`. Those after `dim`, in the order in which
        they lie, are flattened.
    dim : str
        The dim of examples: `probe` of activations, `task` of gradients of tasks.
    center : bool
        Take the mean over examples off every element first, as all but `rdm` need it.
    block_bytes : int
        Most bytes of one block, which holds all examples of some columns.

    Returns
    -------
    DataArray
        Dims (visit, `dim`, `dim`_other), float64, in squared units of the values; lazy if they are. With
        `center`, examples with NaN have no part in the mean.

    Raises
    ------
    AnalysisError
        If the values lack `dim`.

    Examples
    --------
    >>> values = xr.DataArray([[[1.0, 0.0], [3.0, 0.0]]], dims=("visit", "probe", "element"))
    >>> example_gram(values).values
    array([[[ 1., -1.],
            [-1.,  1.]]])
    """
    kernel = partial(kernels.example_gram, center=center)
    finish = kernels.center_examples if center else np.asarray
    return _between_examples(kernel, values, dim, finish=finish, block_bytes=block_bytes)


def gram_around_means(values: xr.DataArray, *, dim: str) -> xr.DataArray:
    """Inner products between examples less their own means over elements, for correlations between them.

    Dims as those of `example_gram`. All is read once: to take the means off first, all would be in memory.
    """
    require_dims(values, (dim,))
    columns = values.dims[values.dims.index(dim) + 1 :]
    anchors = values.isel(dict.fromkeys(columns, slice(1))).sum(columns, skipna=False)
    kernel, finish = kernels.sums_over_elements, kernels.around_means
    return _between_examples(kernel, values, dim, anchors.variable.data, n_more=1, finish=finish)


def _between_examples(
    kernel: Callable[..., Any],
    values: xr.DataArray,
    dim: str,
    *of_rows: Any,
    n_more: int = 0,
    finish: Callable[..., Any],
    block_bytes: int = BLOCK_BYTES,
) -> xr.DataArray:
    """Sum what a kernel gives of blocks of elements; finish makes the sums a matrix between examples."""
    require_dims(values, (dim,))
    n_batch, n_examples = values.dims.index(dim), values.sizes[dim]
    batch, core = values.dims[:n_batch], (dim, dim + OTHER)
    sums = sum_over_blocks(
        kernel,
        values.variable.data,
        *of_rows,
        n_batch=n_batch,
        n_places=n_examples + n_more,
        block_bytes=block_bytes,
    )
    result = apply(
        finish,
        xr.DataArray(sums, dims=(*batch, *PLACES)),
        core=[PLACES],
        outputs={"example_gram": core},
        sizes=dict.fromkeys(core, n_examples),
        units=squared(units_of(values)),
    )["example_gram"]
    kept = {name: each for name, each in values.coords.items() if set(each.dims) <= {*batch, dim}}
    result = result.assign_coords(kept)
    return result.assign_coords({dim + OTHER: values[dim].values}) if dim in values.coords else result


def cka(
    gram: xr.DataArray,
    other: xr.DataArray | None = None,
    *,
    dim: str = "visit",
    unbiased: bool = True,
    n_permutations: int = 99,
    seed: int = 0,
) -> xr.Dataset:
    r"""Linear centered kernel alignment, with the null of shuffled pairs of examples beside it.

    .. math:: CKA = \frac{HSIC(K, L)}{\sqrt{HSIC(K, K)\,HSIC(L, L)}}

    By default HSIC is the estimate without bias HSIC₁ [2]_, [3]_, with K̃ and L̃ without their diagonals

    .. math:: HSIC_1 = \frac{1}{n (n - 3)} \left[ tr(\tilde K \tilde L)
              + \frac{1^T \tilde K 1\,1^T \tilde L 1}{(n - 1)(n - 2)}
              - \frac{2}{n - 2} 1^T \tilde K \tilde L 1 \right]

    The biased one [1]_, tr(K H L H) / (n − 1)² with H = I − 1/n, nears 1 for independent data with more
    elements than examples, and says nothing there.

    Parameters
    ----------
    gram : DataArray, dims (`dim`, example, example_other)
        What `example_gram` gives of one run.
    other : DataArray, optional
        The same of another run, layer or model with the same examples; `gram` itself if not given.
    dim : str
        What is compared: `visit`, or a dim of layers.
    unbiased : bool
        Whether to take HSIC₁. It needs four examples or more, and can be below 0.
    n_permutations : int
        How many shuffles of the examples make the null. All pairs are shuffled alike.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    Dataset
        Dims (`dim`, `dim`_other), other dims are kept; lazy if an input is. NaN where all examples are the
        same, where one holds a NaN, and of fewer than four examples if unbiased.

        - cka: at most 1.
        - null_mean, null_high: mean and 95th percentile of the CKA of shuffled pairs.
        - p_value: (b + 1) / (B + 1), of b among B shuffles with a CKA as high. Null: which example is which
          does not matter. Unit: the example.

    Raises
    ------
    AnalysisError
        If an input is not such a matrix, the examples are not the same, or `n_permutations` is below 1.

    References
    ----------
    .. [1] Kornblith, Norouzi, Lee, Hinton (2019), arXiv:1905.00414.
    .. [2] Song, Smola, Gretton, Bedo, Borgwardt (2012), J. Mach. Learn. Res. 13, 1393–1434.
    .. [3] Nguyen, Raghu, Kornblith (2021), arXiv:2010.15327.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> values = xr.DataArray(rng.standard_normal((2, 25, 1024)), dims=("visit", "probe", "element"))
    >>> abs(cka(example_gram(values))["cka"][0, 1].item()) < 0.1  # two visits with nothing in common
    True
    >>> round(cka(example_gram(values), unbiased=False)["cka"][0, 1].item(), 1)
    1.0
    """
    kernel = kernels.u_centered if unbiased else kernels.center_examples
    return compare("cka", kernel, gram, other, dim=dim, n_permutations=n_permutations, seed=seed)


def procrustes(gram: xr.DataArray, other: xr.DataArray | None = None, *, dim: str = "visit") -> xr.DataArray:
    """Orthogonal Procrustes distance: the least ‖X − Y Q‖ over all rotations and reflections Q.

    X and Y are the examples, centered and scaled to ‖X‖ = ‖Y‖ = 1, and the least is √(2 − 2 ‖XᵀY‖_*), with
    the sum of singular values ‖·‖_*. Fewer elements are filled up with zeros.

    Parameters
    ----------
    gram : DataArray, dims (`dim`, example, example_other)
        What `example_gram` gives of one run.
    other : DataArray, optional
        The same of another run, layer or model with the same examples; `gram` itself if not given.
    dim : str
        What is compared: `visit`, or a dim of layers.

    Returns
    -------
    DataArray, dims (`dim`, `dim`_other)
        From 0 to √2, no units; good to about 1e-7. NaN where all examples are the same, or one holds a NaN.
        Lazy if an input is.

    Raises
    ------
    AnalysisError
        If an input is not such a matrix, or the examples are not the same.

    References
    ----------
    .. [1] Schönemann (1966), Psychometrika 31, doi:10.1007/BF02289451.
    .. [2] Ding, Denain, Steinhardt (2021), arXiv:2108.01661.

    Examples
    --------
    >>> values = xr.DataArray([[[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]]], dims=("visit", "probe", "element"))
    >>> turned = 5 * values.isel(element=[1, 0])
    >>> round(procrustes(example_gram(values), example_gram(turned)).item(), 6)
    0.0
    """
    first, second, core = pair_of(gram, other, dim)
    result = apply(
        kernels.procrustes, first, second, core=core, outputs={"procrustes_distance": (dim, dim + OTHER)}
    )["procrustes_distance"]
    return result.assign_attrs(units="1")
