"""`tracekit analyze run-trend`: whether a number of each run rises with a setting."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.commands.configured import OPTIONS, number_of_each, warnings_of
from analyses.commands.parts import (
    ADJUSTED,
    P_HEADS,
    RESAMPLING_OPTIONS,
    SEVERAL_TESTS,
    in_units,
    numbers_of,
    rows_of,
    with_adjusted,
)
from analyses.names import named
from analyses.trends import jonckheere, kendall, page
from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis, Report

TESTED = ("statistic", "p_value", *ADJUSTED)
FACTS = ("by", "metric", "blocks", "n_resamples", "seed")


def build(
    *traces: xr.DataTree,
    by: str = "model_size",
    metric: str = "recovery",
    blocks: str | None = None,
    n_resamples: int = 9999,
    seed: int = 0,
) -> xr.Dataset:
    """Build Kendall's test of a metric against a setting, Jonckheere and Terpstra's, and Page's in blocks."""
    values = number_of_each(traces, by=by, metric=metric)
    plain = values.drop_vars(values.coords)
    levels = _levels(values["setting"], by)
    tests = {
        "Kendall's tau": kendall(plain, levels).rename(tau="statistic"),
        "Jonckheere–Terpstra": jonckheere(plain, levels, n_resamples=n_resamples, seed=seed),
    }
    if blocks is not None:
        within = number_of_each(traces, by=blocks, metric=metric)["setting"]
        tests["Page's L"] = _in_blocks(plain, levels, within.rename(blocks))
    result = with_adjusted(xr.concat(tests.values(), "test", data_vars="all"), "test")
    settings = {"by": by, "metric": metric, "blocks": blocks or "", "n_resamples": n_resamples, "seed": seed}
    return named(result.assign(value=values)).assign_coords(test=list(tests)).assign_attrs(settings)


def _levels(setting: xr.DataArray, by: str) -> xr.DataArray:
    if setting.dtype.kind not in "iuf":
        found = ", ".join(map(str, np.unique(setting)))
        raise AnalysisError(
            f"{by}: expected numbers, whose order counts, found {found}; compare such groups by `group-test`"
        )
    return setting.drop_vars(setting.coords)


def _in_blocks(values: xr.DataArray, levels: xr.DataArray, blocks: xr.DataArray) -> xr.Dataset:
    """Give Page's test of the mean at each level within each block that has runs of all levels."""
    cells = [
        [(levels == level) & (blocks == block) for level in np.unique(levels)] for block in np.unique(blocks)
    ]
    whole = [row for row in cells if all(bool(cell.any()) for cell in row)]
    if not whole:
        raise AnalysisError(
            f"blocks: expected runs of each of {np.unique(levels).size} levels with the same {blocks.name}, "
            "found no such block; leave `--blocks` out, or add the runs that are missing"
        )
    rows = [xr.concat([values[cell.values].mean("run") for cell in row], "level") for row in whole]
    tested = page(xr.concat(rows, "block"), unit="block", condition="level")
    return tested.rename(page_l="statistic")[["statistic", "p_value"]]


def report(dataset: xr.Dataset) -> Report:
    """Report each test, and the mean of the runs at each value of the setting."""
    by, metric, value = dataset.attrs["by"], dataset.attrs["metric"], dataset["value"]
    listed = ("test", *TESTED)
    warnings = warnings_of(dataset)
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in (*listed, "run", "setting", "value")},
            "units": value.attrs["units"],
            **{name: dataset.attrs[name] for name in FACTS},
            "warnings": warnings,
        },
        columns=("test", "statistic", *P_HEADS),
        rows=rows_of(dataset[name] for name in listed),
        title=f"Whether {metric} rises with {by}, over {value.size} runs",
        notes=(
            f"Means{in_units(value)}: {_means(value)}.",
            "Null: the number of a run does not depend on the setting. Unit: the run. Kendall's test is "
            "two-sided, the others one-sided: the number rises. They ask the same question: choose one "
            "beforehand, or go by the adjusted p.",
            SEVERAL_TESTS,
            *_missing(value),
            *warnings,
        ),
    )


def _means(value: xr.DataArray) -> str:
    levels = np.unique(value["setting"])
    each = [value.values[value["setting"].values == level] for level in levels]
    return ", ".join(
        f"{numbers.mean():.4g} at {level:g} ({numbers.size} runs)"
        for level, numbers in zip(levels, each, strict=True)
    )


def _missing(value: xr.DataArray) -> tuple[str, ...]:
    without = value["run"].values[np.isnan(value.values)]
    if not without.size:
        return ()
    return (
        f"Not defined for {', '.join(map(str, without))}: left out by Kendall's test; the others need all.",
    )


RUN_TREND = Analysis(
    name="run-trend",
    summary="Whether a metric rises with a setting, over runs: Kendall, Jonckheere–Terpstra, Page.",
    build=build,
    report=report,
    options={
        **OPTIONS,
        "blocks": "A setting that runs are matched by, such as seed: adds Page's test of whether the number "
        "rises within it.",
        "n_resamples": "How many times the numbers of runs are permuted.",
        "seed": RESAMPLING_OPTIONS["seed"],
    },
    n_traces=(2, None),
    details="Null hypothesis: the number of a run does not depend on the setting, which must be a number. "
    "Kendall's tau says how steadily one goes with the other, from −1 to 1; Jonckheere and Terpstra's test "
    "counts the pairs of runs that rise; Page's compares the runs of each block, such as those of the same "
    "seed. The unit of replication is the run, or the block. For a trend within a run, see `trend`.",
    examples=(
        "runs/*.zarr --by model_size",
        "runs/*.zarr --by training.optimizer.learning_rate --metric forgetting --blocks seed --json",
    ),
)
