"""`tracekit analyze order-test`: whether one run recovers more than another, such as its shuffled control."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from analyses.commands.parts import (
    ADJUSTED,
    P_HEADS,
    RESAMPLING_OPTIONS,
    SEVERAL_TESTS,
    Loss,
    dashes,
    interval_heads,
    numbers_of,
    rows_of,
    with_adjusted,
)
from analyses.correction import less_shared
from analyses.inference import COUNTS, POOLED, TESTED, order_test
from analyses.kernels.inference import Alternative
from analyses.names import named
from analyses.recovery import recovery
from analyses.reports import NO_INTERVALS, above_one
from analyses.traces import losses_of, order_of
from tracekit.protocols import Analysis, Report

Shared = Literal["removed", "kept"]
SCORES = ("recovery_score", "recovery_score_other")
LESS_SHARED = ("less_shared_score", "less_shared_score_other")
RUNS = ("first run, ", "second run, ")
SETTINGS = (
    "alternative",
    "n_resamples",
    "seed",
    "confidence",
    "paired",
    "order",
    "order_other",
    "loss",
    "shared",
)


def build(
    *traces: xr.DataTree,
    loss: Loss = "eval_loss",
    shared: Shared = "removed",
    n_resamples: int = 9999,
    seed: int = 0,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> xr.Dataset:
    """Build the permutation test of the first trace against the second."""
    first, second = traces
    losses = [losses_of(trace) for trace in traces]
    plain = [recovery(each, loss=loss) for each in losses]
    scores = (
        plain if shared == "kept" else [recovery(less_shared(each, loss=loss), loss=loss) for each in losses]
    )
    result = order_test(
        *scores, n_resamples=n_resamples, seed=seed, alternative=alternative, confidence=confidence
    )
    found = dict(zip(SCORES, plain, strict=True))
    if shared == "removed":
        found |= dict(zip(LESS_SHARED, scores, strict=True))
    both = slice(result.sizes["interval"])
    scored = {name: each["recovery_score"].isel(interval=both) for name, each in found.items()}
    facts = {"order": order_of(first), "order_other": order_of(second), "loss": loss, "shared": shared}
    return named(with_adjusted(result.assign(scored))).assign_attrs(facts)


def report(dataset: xr.Dataset) -> Report:
    """Report the test of one order against another."""
    less = dataset.attrs["shared"] == "removed"
    scores = LESS_SHARED if less else SCORES
    listed = ("interval", *SCORES, *TESTED, *ADJUSTED, *COUNTS, *POOLED)
    warnings = [
        note for name, run in zip(SCORES, RUNS, strict=True) for note in above_one(dataset[name], run)
    ]
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in (*listed, *scores)},
            **{name: dataset.attrs[name] for name in SETTINGS},
            "warnings": warnings,
        },
        columns=(
            *("interval", "first", "second", "difference"),
            *(*interval_heads(dataset), *P_HEADS, "tasks"),
        ),
        rows=_rows(dataset, scores),
        title=f"Recovery score{' less what tasks share' * less}, {_first_less_second(dataset)}",
        notes=(*_notes(dataset), *warnings),
    )


def _rows(dataset: xr.Dataset, scores: tuple[str, str]) -> tuple[tuple[Any, ...], ...]:
    """Give a row for each interval, and one for all of them."""
    if dataset.sizes["interval"] == 0:
        return ()
    means = [dataset[name].mean("interval", skipna=False).item() for name in scores]
    *pooled, n_tasks = (dataset[f"pooled_{name}"].item() for name in (*TESTED, "n_tasks"))
    each = rows_of(dataset[name] for name in ("interval", *scores, *TESTED, *ADJUSTED, "n_tasks"))
    return (*each, ("all", *means, *pooled, *[np.nan] * len(ADJUSTED), n_tasks))


def _first_less_second(dataset: xr.Dataset) -> str:
    orders = (dataset.attrs["order"] or "first", dataset.attrs["order_other"] or "second")
    return "{} less {}".format(*(f"{order} order" for order in orders))


def _notes(dataset: xr.Dataset) -> tuple[str, ...]:
    swap = "swapped between the runs" if dataset.attrs["paired"] else "dealt out to the runs anew"
    notes = [
        f"Permutation test, {dataset.attrs['alternative']}. "
        "Null: a task's losses do not depend on the order. "
        f'Unit: the task, its losses {swap}. Row "all": mean over intervals, one test.',
        _about_shared(str(dataset.attrs["shared"])),
        "One run of each order: other seeds are not spoken for.",
        SEVERAL_TESTS,
    ]
    if dataset.sizes["interval"] == 0:
        notes.append(NO_INTERVALS)
    return (*notes, *dashes(dataset["p_value"]))


def _about_shared(shared: str) -> str:
    if shared == "removed":
        return (
            "Scores are of losses less what all tasks of a run share at a snapshot, general learning and "
            "noise; `--shared kept` takes losses as they are, which `recovery` does too."
        )
    return (
        "Noise that all tasks of a run share is not in the null: where there is much of it, p is too small. "
        "`--shared removed` takes it off."
    )


ORDER_TEST = Analysis(
    name="order-test",
    summary="Whether the first trace recovers more than the second: a permutation test over tasks.",
    build=build,
    report=report,
    options={
        **RESAMPLING_OPTIONS,
        "shared": "Whether what all tasks of a run share at each snapshot is taken off before the test.",
        "alternative": "Whether the first trace is to recover differently, more (greater), or less.",
    },
    n_traces=(2, 2),
    details="Null hypothesis: what a task loses and regains does not depend on the order, so that either run "
    "could have given its losses. The unit of replication is the task; with the same tasks in both runs they "
    "are compared in pairs. Tasks must be independent, and are not where the loss of all of them moves at "
    "once: what they share at a snapshot is taken off first. One run of each order says nothing of other "
    "seeds; of several, see `group-test`.",
    examples=(
        "demo/cyclic.zarr demo/shuffled.zarr --alternative greater",
        "demo/cyclic.zarr demo/shuffled.zarr --json",
    ),
)
