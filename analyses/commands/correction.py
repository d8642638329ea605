"""`tracekit analyze corrected-recovery`: recovery without what general learning does.

The scores are of losses less a baseline. The test between run and control is that of `order-test`, of losses
less all that tasks share at a snapshot, which takes off any baseline: noise that all tasks of a run share
stays in corrected losses, and would make a test of their scores reject twice as often as it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import xarray as xr

from analyses.commands import order
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
    worded,
)
from analyses.correction import corrected_recovery, general_learning
from analyses.inference import COUNTS, POOLED, TESTED
from analyses.kernels.inference import Alternative
from analyses.names import named
from analyses.reports import above_one
from analyses.traces import losses_of, path_of
from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis, Report

Baseline = Literal["control", "held-out"]
CORRECTED = ("corrected_score", "corrected_score_control")
SCORES = ("recovery_score", "recovery_score_control", *CORRECTED)
SAME = {"n_tasks": "tasks", "updates_per_visit": "updates per visit"}
SETTINGS = ("baseline", "alternative", "n_resamples", "seed", "confidence", "paired", "order", "loss")


def build(
    *traces: xr.DataTree,
    loss: Loss = "eval_loss",
    baseline: Baseline = "control",
    n_resamples: int = 9999,
    seed: int = 0,
    alternative: Alternative = "greater",
    confidence: float = 0.95,
) -> xr.Dataset:
    """Build recovery less general learning of a run and its control, and the test between them."""
    _require_same_budget(*traces)
    tested = order.build(
        *traces,
        loss=loss,
        n_resamples=n_resamples,
        seed=seed,
        alternative=alternative,
        confidence=confidence,
    )
    corrected = _corrected_scores(traces, loss, baseline)
    shared = slice(tested.sizes["interval"])
    scores = {name: each.isel(interval=shared) for name, each in zip(CORRECTED, corrected, strict=True)}
    renamed = tested.rename({"recovery_score_other": "recovery_score_control"})
    return named(renamed.assign(scores)).assign_attrs(baseline=baseline)


def _corrected_scores(traces: Sequence[xr.DataTree], loss: Loss, baseline: Baseline) -> list[xr.DataArray]:
    runs = [losses_of(trace) for trace in traces]
    if baseline == "control":
        learned = [general_learning(runs[1], loss=loss)] * 2
    else:
        learned = [general_learning(losses, loss="test_loss") for losses in runs]
    each = zip(runs, learned, strict=True)
    return [corrected_recovery(losses, less, loss=loss)["recovery_score"] for losses, less in each]


def _require_same_budget(run: xr.DataTree, control: xr.DataTree) -> None:
    for name, words in SAME.items():
        if run.attrs.get(name) != control.attrs.get(name):
            raise AnalysisError(
                f"{path_of(control)}: expected {run.attrs.get(name)} {words}, as in {path_of(run)}, found "
                f"{control.attrs.get(name)}; a control has the same tasks and the same budget"
            )


def report(dataset: xr.Dataset) -> Report:
    """Report scores with and without general learning, and how far the run exceeds its control."""
    listed = ("interval", *SCORES, *TESTED, *ADJUSTED, *COUNTS, *POOLED)
    warnings = above_one(dataset["corrected_score"], "corrected, ")
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in listed},
            **{name: dataset.attrs[name] for name in SETTINGS},
            "warnings": warnings,
        },
        columns=(
            *("interval", "score", "of control", "corrected", "of control", "difference"),
            *(*interval_heads(dataset), *P_HEADS),
        ),
        rows=rows_of(dataset[name] for name in ("interval", *SCORES, *TESTED, *ADJUSTED)),
        title="Recovery score less general learning",
        notes=(*_notes(dataset), SEVERAL_TESTS, *dashes(dataset["p_value"]), *warnings),
    )


def _notes(dataset: xr.Dataset) -> tuple[str, ...]:
    source = {
        "control": "the control's mean loss over tasks",
        "held-out": "each run's own mean loss over held-out tasks",
    }[dataset.attrs["baseline"]]
    pooled = worded(float(dataset["pooled_p_value"]))
    return (
        f"Corrected: the score of losses less general learning, which is taken to be {source}. In the first "
        "interval tasks are met for the first time, which moves a control's mean as well: trust it less.",
        "Difference, its interval and p: of scores of losses less all that tasks share at a snapshot, "
        "general learning and noise, as in `order-test`. It is smaller than that of corrected scores. "
        f"Permutation test over tasks, {dataset.attrs['alternative']}. All intervals at once: p = {pooled}.",
    )


CORRECTED_RECOVERY = Analysis(
    name="corrected-recovery",
    summary="Recovery without what general learning does, against a shuffled control: the run, its control.",
    build=build,
    report=report,
    options={
        **RESAMPLING_OPTIONS,
        "baseline": "General learning: the control's mean loss, or that of each run's held-out tasks.",
        "alternative": "Whether the run is to recover more than its control (greater), less, or differently.",
    },
    n_traces=(2, 2),
    details="A score above 1 is general learning: training on any task lowers the losses of all. Here the "
    "mean loss of a control, which has the same tasks and budget and no anticipation, is taken off first. "
    "Null hypothesis of the test: what a task loses and regains does not depend on the order. It is that of "
    "`order-test`, of losses less all that tasks share at a snapshot: noise that they share stays in "
    "corrected losses, and a test of these would be too sure. One run of each says nothing of other seeds.",
    examples=(
        "demo/cyclic.zarr demo/shuffled.zarr",
        "demo/cyclic.zarr demo/shuffled.zarr --alternative two-sided",
    ),
)
