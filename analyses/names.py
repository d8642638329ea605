"""What each number is called in words: the attribute `long_name` of every variable of a result."""

from __future__ import annotations

from typing import TypeVar

import xarray as xr

from analyses.units import NONE

Result = TypeVar("Result", xr.DataArray, xr.Dataset)

POOLED = "pooled_"
"""Begins the names of numbers that are of all intervals together."""

LONG_NAMES = {
    # losses
    "after": "loss after the visit that begins the interval",
    "before": "loss before the visit that ends the interval",
    "peak": "highest loss within the interval",
    "peak_position": "place of the peak, as a share of the interval",
    "recovery_score": "share of the forgetting that is undone, ratio of means over tasks",
    "recovery_score_control": "recovery score of the control",
    "recovery_score_other": "recovery score of the second run",
    "less_shared_score": "recovery score of losses less what tasks share",
    "less_shared_score_other": "the same of the second run",
    "corrected_score": "recovery score less general learning",
    "corrected_score_control": "recovery score of the control less general learning",
    "task_recovery_score": "share of the forgetting that is undone, of each task",
    "mean_score": "recovery score, mean over runs",
    "forgetting": "how far the loss rose above its least",
    "start_visit": "visit that begins the interval",
    "end_visit": "visit that ends the interval",
    "general_learning": "loss, mean over tasks",
    "eval_loss": "loss of every task",
    "test_loss": "loss of every held-out task",
    "online_loss": "loss just before training on the task",
    "online_loss_per_epoch": "loss just before training on the task, mean over visits of the epoch",
    "cumulative_online_loss": "loss just before training on the task, sum over visits so far",
    "shift_averaged_loss": "loss around visits, mean over tasks",
    "shifted_loss": "loss around visits, of each task",
    "average_forgetting": "how far losses rose above their least, mean over tasks",
    "backward_transfer": "fall of the loss since the first visit of a task, mean over tasks",
    "backward_transfer_since_last": "fall of the loss since the last visit of a task, mean over tasks",
    "forward_transfer": "fall of the loss before the first visit of a task, mean over tasks",
    "task_backward_transfer": "fall of the loss since the first visit of a task",
    "task_backward_transfer_since_last": "fall of the loss since the last visit of a task",
    "task_forward_transfer": "fall of the loss before the first visit of a task",
    "mean_recovery": "fall of the loss of a task by a trial visit to another, mean over visits of the epoch",
    "recovery_by_lag": "fall of the loss of a task by a trial visit to another, by when their turns come",
    # similarity and paths
    "products": "inner products of differences from the first visit",
    "gram": "inner products between visits",
    "residual_gram": "inner products between residuals",
    "cosine": "cosine between visits",
    "residual_cosine": "cosine between residuals",
    "distance": "distance between visits",
    "similarity": "similarity",
    "mean_similarity": "similarity of visits that far apart, mean over pairs",
    "contrast": "similarity at multiples of the cycle less that at other lags",
    "scores": "coordinates along principal components",
    "explained_variance_ratio": "share of the variance of each component",
    "participation_ratio": "number of directions, by participation ratio",
    "effective_rank": "number of directions, by entropy",
    "step_length": "distance from the visit before",
    "displacement": "distance from the first visit",
    "turning_angle": "angle between the steps into and out of a visit",
    "path_length": "length of the path",
    "tortuosity": "length of the path by the distance between its ends",
    "prominence": "rise of the similarity at multiples of a period",
    "detected_period": "most prominent period",
    "norm": "Euclidean norm",
    "mean": "mean of the elements",
    "std": "standard deviation of the elements",
    "min": "least element",
    "max": "greatest element",
    "absolute_mean": "mean of the absolute elements",
    "update_size": "norm of the change since the visit recorded before",
    "distance_from_start": "norm of the change since the first visit",
    # representations
    "example_gram": "inner products between examples",
    "rdm": "dissimilarity between examples",
    "cka": "centered kernel alignment",
    "rsa": "rank correlation of dissimilarities",
    "procrustes_distance": "distance after the best rotation",
    "null_mean": "the same of shuffled examples, mean",
    "null_high": "the same of shuffled examples, 95th percentile",
    # inference
    "interval_low": "lower end of the confidence interval",
    "interval_high": "upper end of the confidence interval",
    "difference": "score of the first run less that of the second",
    "drop": "mean loss between visits less the last one",
    "p_value": "p-value",
    "p_holm": "p-value, adjusted by Holm's method",
    "p_benjamini_hochberg": "p-value, adjusted by Benjamini and Hochberg's method",
    "adjusted": "adjusted p-value",
    "statistic": "statistic of the test",
    "tau": "Kendall's rank correlation",
    "mean_tau": "Kendall's rank correlation, mean over units",
    "page_l": "Page's L",
    "correlation": "Mantel's correlation",
    "cliffs_delta": "share of pairs that are larger less share that are smaller",
    "hodges_lehmann": "difference, median over pairs",
    "mann_whitney_u": "Mann and Whitney's U",
    "upper": "noise ceiling, upper bound",
    "lower": "noise ceiling, lower bound",
    "ceiling_upper": "noise ceiling, upper bound",
    "ceiling_lower": "noise ceiling, lower bound",
    # numbers of what was counted
    "n_tasks": "number of tasks",
    "n_tasks_other": "number of tasks of the second run",
    "n_units": "number of units",
    "n_runs": "number of runs",
    "level_mean": "mean over the runs of a level",
    "n_visits": "number of visits",
    "n_pairs": "number of pairs of visits",
    "n_entries": "number of entries in the mean",
    "n_first": "number of runs of the first group",
    "n_second": "number of runs of the second group",
}


def named(result: Result) -> Result:
    """Say in words what each variable is; whole numbers without units get none: "1".

    Variables that are not in `LONG_NAMES` keep the `long_name` they have, or get their name with spaces.

    Examples
    --------
    >>> named(xr.Dataset({"p_value": 0.5}))["p_value"].attrs["long_name"]
    'p-value'
    >>> named(xr.DataArray(0.5, name="pooled_p_value")).attrs["long_name"]
    'p-value, of all intervals together'
    """
    if isinstance(result, xr.DataArray):
        return result.assign_attrs(_described(str(result.name), result))
    return result.assign(
        {name: values.assign_attrs(_described(str(name), values)) for name, values in result.items()}
    )


def _described(name: str, values: xr.DataArray) -> dict[str, str]:
    units = {"units": NONE} if values.dtype.kind in "iu" and "units" not in values.attrs else {}
    return {"long_name": _long_name(name, values), **units}


def _long_name(name: str, values: xr.DataArray) -> str:
    if name.startswith(POOLED):
        return f"{_long_name(name.removeprefix(POOLED), values)}, of all intervals together"
    kept = values.attrs.get("long_name", name.replace("_", " "))
    return LONG_NAMES.get(name, str(kept))
