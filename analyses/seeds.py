"""What runs of different seeds say together, lazily: intervals over seeds and tasks, noise ceiling."""

from __future__ import annotations

import xarray as xr

from analyses.inference import PARTS
from analyses.inputs import require_draws, variable
from analyses.kernels import seeds as kernels
from analyses.lazy import apply, require_dims
from analyses.names import named
from tracekit.errors import AnalysisError


def seeds_interval(
    recovery: xr.Dataset,
    *,
    dim: str = "run",
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> xr.Dataset:
    """Hierarchical bootstrap interval of the mean recovery score over runs of different seeds.

    Runs are drawn with replacement, and so are tasks, the same ones for all runs: runs of different seeds
    train the same tasks, and what is special to a task is in the scores of all of them, however many there
    are. Plain drawing of both counts what tasks do to single runs twice, once among runs and once among
    tasks [1]_; so deviations of drawn tasks are drawn together by √(1 − r / t), of their mean square t and
    that of run by task r, 0 where t is the smaller. With the mean square s of runs the variance is
    s + max(0, t − r), each over the number of all scores, as in the analysis of variance of both [2]_.

    Drawn deviations of n units are √(n / (n − 1)) times as large, so that they vary as new units would [4]_.
    Their quantiles at (1 ∓ confidence) / 2 are taken t / z times as far from the mean, quantiles of Student's
    t with Satterthwaite's degrees of freedom [3]_ over those of the normal distribution. Quantiles further
    out instead, as in `recovery_interval`, are too near: means of five drawn seeds have short tails.

    The interval speaks of other seeds and other tasks of the same kind, and holds for runs that each have
    tasks of their own as well. Calibration: `docs/calibration.md`.

    Parameters
    ----------
    recovery : Dataset
        What `analyses.recovery` gives of several runs, with dim `dim`: `analyses.runs.over_runs`.
    dim : str
        The dim of runs, which differ by their seed.
    confidence : float
        Share of cases in which the interval is to hold the true score.
    n_resamples : int
        How many times runs and tasks are drawn.
    seed : int
        Seed of the drawing.

    Returns
    -------
    Dataset
        Dims (interval,); lazy if `recovery` is. mean_score, interval_low, interval_high, and n_runs. NaN
        where a run lacks a score; the ends also with fewer than two runs.

    Raises
    ------
    AnalysisError
        If `recovery` is not the result of that analysis with dim `dim`, or an option is out of range.

    References
    ----------
    .. [1] Owen (2007), The pigeonhole bootstrap, Ann. Appl. Stat. 1, doi:10.1214/07-AOAS122.
    .. [2] Searle, Casella, McCulloch (1992), Variance components, doi:10.1002/9780470316856.
    .. [3] Satterthwaite (1946), Biometrics Bulletin 2, doi:10.2307/3002019.
    .. [4] Hesterberg (2015), What teachers should know about the bootstrap, The American Statistician 69(4),
       doi:10.1080/00031305.2015.1089789.

    Examples
    --------
    >>> from analyses.recovery import recovery
    >>> from tracekit.testing import synthetic_losses
    >>> planted = (0.2, 0.25, 0.3, 0.25, 0.3)
    >>> runs = [recovery(synthetic_losses(n_tasks=5, recovery_scores=[score])) for score in planted]
    >>> result = seeds_interval(xr.concat(runs, "run")).isel(interval=0)
    >>> [round(result[name].item(), 2) for name in ("interval_low", "mean_score", "interval_high")]
    [0.21, 0.26, 0.31]
    """
    if not 0 < confidence < 1:
        raise AnalysisError(f"confidence: expected a number between 0 and 1, found {confidence}")
    require_draws("n_resamples", n_resamples, seed)
    parts = [variable(recovery, name) for name in PARTS]
    for part in parts:
        require_dims(part, (dim, "task"))
    counted = variable(recovery, "start_visit") >= 0
    dims = (dim, "task")
    result = apply(
        kernels.hierarchical_intervals,
        *parts,
        counted.broadcast_like(parts[0]),
        core=[(*dims, "interval")] * 4,
        outputs=dict.fromkeys(("mean_score", "interval_low", "interval_high"), ("interval",)),
        parameters={"confidence": confidence, "n_resamples": n_resamples, "seed": seed},
    )
    settings = {"confidence": confidence, "n_resamples": n_resamples, "seed": seed, "unit": "run and task"}
    return named(result.assign(n_runs=recovery.sizes[dim])).assign_attrs(settings)


def noise_ceiling(curves: xr.DataArray, *, dim: str = "run") -> xr.Dataset:
    """Noise ceiling over seeds: how well the best account of runs could agree with each of them.

    The upper bound is the mean correlation of each run with the mean of all, its own included; the lower one
    that with the mean of all others. An account of the data that correlates as high as this with single runs
    leaves nothing to be explained.

    Parameters
    ----------
    curves : DataArray
        Dims (`dim`, …), such as losses of several runs of the same order; all other dims are flattened.
    dim : str
        The dim of runs, which differ by their seed.

    Returns
    -------
    Dataset
        lower and upper, without dims; lazy if `curves` is. NaN with fewer than two runs, where a value is
        NaN, and where a run is constant.

    Raises
    ------
    AnalysisError
        If `curves` lacks `dim`.

    References
    ----------
    .. [1] Nili, Wingfield, Walther, Su, Marslen-Wilson, Kriegeskorte (2014), PLoS Comput. Biol. 10,
       doi:10.1371/journal.pcbi.1003553.

    Examples
    --------
    >>> curves = xr.DataArray([[0.0, 1.0, 2.0], [0.0, 1.0, 2.5], [0.0, 1.5, 2.0]], dims=("run", "visit"))
    >>> {name: round(bound.item(), 3) for name, bound in noise_ceiling(curves).items()}
    {'upper': 0.986, 'lower': 0.969}
    """
    require_dims(curves, (dim,))
    plain = curves.drop_vars(curves.coords)
    core = (dim, *(str(other) for other in curves.dims if other != dim))
    outputs: dict[str, tuple[str, ...]] = {"upper": (), "lower": ()}
    return apply(kernels.noise_ceiling, plain, core=[core], outputs=outputs)
