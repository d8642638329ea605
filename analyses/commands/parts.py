"""What reports and options of several analyses have in common."""

from __future__ import annotations

import math
from typing import Any, Literal

import xarray as xr

from analyses.comparisons import adjusted
from analyses.units import NONE

Loss = Literal["eval_loss", "test_loss"]

RESAMPLING_OPTIONS = {
    "loss": "Which loss: of the tasks as trained, or of held-out tasks.",
    "confidence": "Level of the confidence intervals.",
    "n_resamples": "How many times tasks are drawn or permuted.",
    "seed": "Seed of the drawing.",
}
VALUE_OPTIONS = {
    "kind": "Which values: weights, gradients, weights_sketch, or any other kind in the trace; of rows per "
    "update, that of the first update of each visit.",
    "select": "A glob, or re:REGEX, over the names of parameters or modules; all of them if not given.",
}

ADJUSTED = ("p_holm", "p_benjamini_hochberg")
P_HEADS = ("p", "p, Holm", "p, BH")
SEVERAL_TESTS = (
    "p, Holm and p, BH are adjusted for how many tests there are: Holm's bounds the chance of any false "
    "rejection, Benjamini and Hochberg's the share of false ones among all."
)


UNDEFINED = "A dash: not defined, for want of forgetting, of tasks, or of finite losses."


def with_adjusted(dataset: xr.Dataset, dim: str = "interval") -> xr.Dataset:
    """Add the p-values adjusted for the number of tests along a dim."""
    p_values = dataset["p_value"]
    return dataset.assign(
        p_holm=adjusted(p_values, dim=dim, method="holm"),
        p_benjamini_hochberg=adjusted(p_values, dim=dim, method="benjamini-hochberg"),
    )


PART_OPTIONS = {
    **VALUE_OPTIONS,
    "by": "Of all tensors together, or of each layer, group (attention, mlp, embeddings, norms, head, other) "
    "or parameter by itself, from one read; names tell what belongs where.",
}


def numbers_of(array: xr.DataArray) -> Any:
    """Give plain Python numbers, in lists nested by dim."""
    return array.values.tolist()


def rows_of(columns: Any) -> tuple[tuple[Any, ...], ...]:
    """Give the rows of a table from its columns."""
    return tuple(zip(*(numbers_of(column) for column in columns), strict=True))


def dashes(values: xr.DataArray) -> tuple[str, ...]:
    """Say why some values are not defined, if any."""
    return (UNDEFINED,) if bool(values.isnull().any()) else ()


def percent_of(dataset: xr.Dataset) -> str:
    """Write the level of the confidence intervals, as in 95 %."""
    return f"{100 * dataset.attrs['confidence']:g} %"


def interval_heads(dataset: xr.Dataset) -> tuple[str, str]:
    """Give the heads of the columns with the ends of confidence intervals."""
    return f"{percent_of(dataset)} low", f"{percent_of(dataset)} high"


def worded(number: float) -> str:
    """Write a number into a sentence; what is not defined is said to be so.

    Examples
    --------
    >>> worded(0.123456), worded(float("nan"))
    ('0.1235', 'not defined')
    """
    return "not defined" if math.isnan(number) else f"{number:.4g}"


def joined(numbers: xr.DataArray) -> str:
    """List numbers in a sentence."""
    return ", ".join(map(str, numbers.values.tolist()))


def facts(dataset: xr.Dataset, values: xr.DataArray, *names: str) -> dict[str, Any]:
    """Give the units of values, and attributes by name."""
    return {"units": values.attrs.get("units", ""), **{name: dataset.attrs[name] for name in names}}


def in_units(values: xr.DataArray) -> str:
    """Name the units in brackets, if there are any."""
    units = str(values.attrs.get("units", ""))
    return f" ({units})" if units not in ("", NONE) else ""


def subject_of(dataset: xr.Dataset, *, begins: bool = True) -> str:
    """Name the kind of tensors that were compared, and which of them; with a capital where it `begins`."""
    chosen = f" matching {dataset.attrs['select']}" if dataset.attrs["select"] else ""
    kind = str(dataset.attrs["kind"])
    return (kind.capitalize() if begins else kind) + chosen


def titled(heading: str, dataset: xr.Dataset) -> str:
    """Add the order of the tasks to a heading."""
    order = str(dataset.attrs["order"])
    return f"{heading}, {order} order" if order else heading
