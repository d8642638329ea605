"""`tracekit analyze recovery-test`, `trend`: whether a run recovers, and more and more so."""

from __future__ import annotations

import xarray as xr

from analyses.commands.parts import (
    ADJUSTED,
    P_HEADS,
    RESAMPLING_OPTIONS,
    SEVERAL_TESTS,
    Loss,
    dashes,
    in_units,
    numbers_of,
    rows_of,
    titled,
    with_adjusted,
)
from analyses.names import named
from analyses.recovery import recovery
from analyses.rotation import TESTED, recovery_test
from analyses.traces import losses_of, order_of
from analyses.trends import page_test
from tracekit.protocols import Analysis, Report

POOLED = tuple(f"pooled_{name}" for name in TESTED)


def build_recovery_test(
    *traces: xr.DataTree, loss: Loss = "eval_loss", n_resamples: int = 9999, seed: int = 0
) -> xr.Dataset:
    """Build the rotation test of every interval, with p-values adjusted for their number."""
    (trace,) = traces
    result = recovery_test(losses_of(trace), loss=loss, n_resamples=n_resamples, seed=seed)
    return named(with_adjusted(result)).assign_attrs(order=order_of(trace))


def report_recovery_test(dataset: xr.Dataset) -> Report:
    """Report drops and p-values."""
    listed = ("interval", "drop", "p_value", *ADJUSTED, "n_tasks")
    each = rows_of(dataset[name] for name in listed)
    drop, p_value, n_tasks = (dataset[name].item() for name in POOLED)
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in (*listed, *POOLED)},
            **{name: dataset.attrs[name] for name in ("n_resamples", "seed", "order", "loss")},
        },
        columns=("interval", f"drop{in_units(dataset['drop'])}", *P_HEADS, "tasks"),
        rows=(*each, ("all", drop, p_value, float("nan"), float("nan"), n_tasks)),
        title=titled("Whether losses drop before a visit", dataset),
        notes=(
            "Drop: mean loss between two visits less the last one, when what all tasks share at a snapshot "
            "is taken off. Null: once forgotten, a loss is stationary until the next visit; its curve is "
            "turned round at random. Unit: the task. One-sided.",
            "Where tasks are still being forgotten up to the next visit, it finds less than there is.",
            SEVERAL_TESTS,
            *dashes(dataset["p_value"]),
        ),
    )


def build_trend(*traces: xr.DataTree, loss: Loss = "eval_loss") -> xr.Dataset:
    """Build Page's test of the scores of tasks over intervals."""
    (trace,) = traces
    scores = recovery(losses_of(trace), loss=loss)
    return (
        page_test(scores)
        .assign(recovery_score=scores["recovery_score"])
        .assign_attrs(order=order_of(trace), loss=loss)
    )


def report_trend(dataset: xr.Dataset) -> Report:
    """Report whether recovery rises over intervals."""
    tested = ("page_l", "p_value", "mean_tau", "n_tasks")
    numbers = {name: dataset[name].item() for name in tested}
    undefined = dataset["p_value"].isnull().item()
    missing = ("Not defined: it needs two tasks with a score in each of three intervals or more.",)
    return Report(
        numbers={
            **numbers,
            **{name: numbers_of(dataset[name]) for name in ("interval", "recovery_score")},
            **{name: dataset.attrs[name] for name in ("order", "loss")},
        },
        columns=("Page's L", "p", "mean Kendall's tau", "tasks"),
        rows=(tuple(numbers.values()),),
        title=titled("Whether recovery rises from interval to interval", dataset),
        notes=(
            "Null: any order of a task's scores over intervals is as likely. Unit: the task. One-sided.",
            *(missing if undefined else ()),
        ),
    )


RECOVERY_TEST = Analysis(
    name="recovery-test",
    summary="Whether tasks recover before they come round again: rotation of loss curves, within one run.",
    build=build_recovery_test,
    report=report_recovery_test,
    options={name: RESAMPLING_OPTIONS[name] for name in ("loss", "n_resamples", "seed")},
    details="Null hypothesis: once forgotten, the loss of a task stays where it is, but for noise, until the "
    "task's next visit. A plain test of the peak against the loss before the visit would always reject: a "
    "maximum is at least as large as any later value; here the curve between two visits is turned round at "
    "random. One-sided; the unit of replication is the task. One run says nothing of other seeds.",
    examples=("demo/cyclic.zarr", "demo/cyclic.zarr --json"),
)
TREND = Analysis(
    name="trend",
    summary="Whether recovery rises from interval to interval: Page's test over tasks, and Kendall's tau.",
    build=build_trend,
    report=report_trend,
    options={"loss": RESAMPLING_OPTIONS["loss"]},
    details="Null hypothesis: for each task, any order of its recovery scores over intervals is as likely. "
    "One-sided: they rise. The unit of replication is the task. For a trend over runs, such as over sizes of "
    "models, see `run-trend`.",
    examples=("demo/cyclic.zarr",),
)
