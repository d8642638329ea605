"""`tracekit analyze group-test`: whether runs of one configuration differ from runs of another."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import xarray as xr

from analyses.commands.configured import OPTIONS, number_of_each, warnings_of
from analyses.commands.parts import (
    ADJUSTED,
    P_HEADS,
    SEVERAL_TESTS,
    in_units,
    numbers_of,
    rows_of,
    with_adjusted,
)
from analyses.comparisons import effect_size
from analyses.names import named
from tracekit.protocols import Analysis, Report

LEVEL = 0.05
TESTED = ("hodges_lehmann", "cliffs_delta", "mann_whitney_u", "p_value", *ADJUSTED)


def build(*traces: xr.DataTree, by: str = "order", metric: str = "recovery") -> xr.Dataset:
    """Build the effect sizes and tests of every pair of groups of runs."""
    values = number_of_each(traces, by=by, metric=metric)
    groups = {
        each: values.isel(run=values["setting"].values == each) for each in np.unique(values["setting"])
    }
    pairs = list(combinations(groups.items(), 2))
    tests = [_pair(*first, *second) for first, second in pairs]
    result = with_adjusted(xr.concat(tests, "pair", data_vars="all", coords="all"), "pair")
    facts = {"by": by, "metric": metric, "n_runs": len(traces)}
    return named(result.assign(value=values)).assign_attrs(facts)


def _pair(name: object, first: xr.DataArray, other: object, second: xr.DataArray) -> xr.Dataset:
    plain = [each.drop_vars(each.coords) for each in (first, second)]
    counts = {name: each.notnull().sum() for name, each in zip(("n_first", "n_second"), plain, strict=True)}
    names = {"first": str(name), "second": str(other)}
    return effect_size(*plain, dim="run").assign(counts).assign_coords(names)


def report(dataset: xr.Dataset) -> Report:
    """Report how far each pair of groups lies apart."""
    by, metric = dataset.attrs["by"], dataset.attrs["metric"]
    listed = ("first", "second", *TESTED, "n_first", "n_second")
    warnings = warnings_of(dataset)
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in (*listed, "run", "value")},
            "setting": [str(each) for each in dataset["setting"].values],
            "units": dataset["value"].attrs["units"],
            **{name: dataset.attrs[name] for name in ("by", "metric", "n_runs")},
            "warnings": warnings,
        },
        columns=(
            *("first", "second", f"difference{in_units(dataset['value'])}", "Cliff's delta", "U"),
            *(*P_HEADS, "runs", "runs of second"),
        ),
        rows=rows_of(dataset[name] for name in listed),
        title=f"{metric}, by {by}: {dataset['value'].attrs['long_name']}",
        notes=(
            "Difference: median over all pairs of a run of the first group and one of the second (Hodges and "
            "Lehmann). Cliff's delta: share of pairs in which the first is larger less that in which it is "
            "smaller. p: Mann and Whitney's test, two-sided; unit: the run.",
            SEVERAL_TESTS,
            *_too_few(dataset),
            *warnings,
        ),
    )


def _too_few(dataset: xr.Dataset) -> tuple[str, ...]:
    """Say so where no outcome could be significant."""
    sizes = zip(dataset["n_first"].values.tolist(), dataset["n_second"].values.tolist(), strict=True)
    least, first, second = max((2 / math.comb(sum(pair), pair[0]), *pair) for pair in sizes)
    if least <= LEVEL:
        return ()
    return (
        f"Of {first} and {second} runs no p falls below {min(1.0, least):.2g}, whatever they are. To compare "
        "two runs over their tasks, see `order-test`.",
    )


GROUP_TEST = Analysis(
    name="group-test",
    summary="Whether runs of different settings differ in a metric: effect sizes and tests, over runs.",
    build=build,
    report=report,
    options=OPTIONS,
    n_traces=(2, None),
    details="Runs are put into groups by a setting, and every pair of groups is compared in a number of "
    "each run. Null hypothesis: the runs of both groups are from the same distribution. The unit of "
    "replication is the run, so give runs of several seeds: four of each for p to fall below 0.05. For "
    "settings that are numbers, such as the size of the model, see `run-trend`.",
    examples=(
        "runs/*.zarr --by order",
        "runs/*.zarr --by training.optimizer.learning_rate --metric forgetting --out groups.csv",
    ),
)
