"""`tracekit analyze seeds`: what runs of different seeds say together."""

from __future__ import annotations

import xarray as xr

from analyses.commands.parts import (
    RESAMPLING_OPTIONS,
    Loss,
    dashes,
    interval_heads,
    numbers_of,
    percent_of,
    rows_of,
    titled,
    worded,
)
from analyses.names import named
from analyses.recovery import recovery
from analyses.reports import above_one
from analyses.seeds import noise_ceiling, seeds_interval
from analyses.traces import losses_of, orders_of, path_of
from tracekit.collection.configuration import differences, settings
from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis, Report

SETTINGS = ("confidence", "n_resamples", "seed", "order", "loss", "n_runs", "differing")


def build(
    *traces: xr.DataTree,
    loss: Loss = "eval_loss",
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> xr.Dataset:
    """Build the mean recovery score over runs with its interval, and the noise ceiling of their losses."""
    runs = [recovery(losses_of(trace), loss=loss) for trace in traces]
    _require_alike(traces, runs)
    together = xr.concat(runs, "run", coords="minimal", compat="override")
    interval = seeds_interval(together, confidence=confidence, n_resamples=n_resamples, seed=seed)
    ceiling = noise_ceiling(together[["after", "before", "peak"]].to_dataarray("part"))
    bounds = ceiling.rename({name: f"ceiling_{name}" for name in ceiling.data_vars})
    result = interval.drop_vars("n_runs").assign(recovery_score=together["recovery_score"])
    facts = {"order": orders_of(traces), "loss": loss, "n_runs": len(traces), "differing": _differing(traces)}
    return named(result.assign(bounds.data_vars)).assign_attrs(facts)


def _differing(traces: tuple[xr.DataTree, ...]) -> list[str]:
    """Name the settings that are not the same in all runs, but for seeds and versions of software."""
    found = differences([settings({str(name): each for name, each in t.attrs.items()}) for t in traces])
    return [name for name in found if not name.endswith("seed") and not name.startswith("software.")]


def _require_alike(traces: tuple[xr.DataTree, ...], runs: list[xr.Dataset]) -> None:
    first = dict(runs[0].sizes)
    for trace, run in zip(traces, runs, strict=True):
        if dict(run.sizes) != first:
            raise AnalysisError(
                f"{path_of(trace)}: expected {first}, as in {path_of(traces[0])}, found {dict(run.sizes)}; "
                "runs over seeds have the same tasks and intervals"
            )


def report(dataset: xr.Dataset) -> Report:
    """Report mean scores over runs, and how alike runs are."""
    listed = ("interval", "mean_score", "interval_low", "interval_high")
    warnings = [
        *above_one(dataset["recovery_score"].max("run"), "of a run, "),
        *_more_than_seeds(dataset.attrs["differing"]),
    ]
    lower, upper = (float(dataset[f"ceiling_{name}"]) for name in ("lower", "upper"))
    return Report(
        numbers={
            **{name: numbers_of(dataset[name]) for name in (*listed, "recovery_score")},
            **{name: dataset.attrs[name] for name in SETTINGS},
            "warnings": warnings,
            "ceiling_lower": lower,
            "ceiling_upper": upper,
        },
        columns=("interval", "mean score", *interval_heads(dataset)),
        rows=rows_of(dataset[name] for name in listed),
        title=titled(f"Recovery score over {dataset.attrs['n_runs']} runs", dataset),
        notes=(
            f"{percent_of(dataset)} intervals: hierarchical bootstrap, of runs, and of tasks, the same ones "
            "in all runs.",
            f"Noise ceiling: the correlation of a run with the mean of the others {worded(lower)}, with that "
            f"of all {worded(upper)} (losses after, before and at the peak, by task).",
            *dashes(dataset["interval_low"]),
            *warnings,
        ),
    )


def _more_than_seeds(differing: list[str]) -> list[str]:
    if not differing:
        return []
    return [
        f"Warning: the runs differ in more than their seed: in {', '.join(differing)}. What that does to "
        "scores is in the interval as if it were chance; `tracekit analyze group-test` compares settings."
    ]


SEEDS = Analysis(
    name="seeds",
    summary="Mean recovery score over runs of different seeds, how sure it is, and the noise ceiling.",
    build=build,
    report=report,
    options={**RESAMPLING_OPTIONS, "n_resamples": "How many times runs and tasks are drawn."},
    n_traces=(2, None),
    one_order=True,
    details="The interval speaks of other seeds and other tasks of the same kind: runs are drawn, and "
    "tasks, the same ones in all runs. Give runs that differ in nothing but their seed, five or more: of "
    "fewer the interval is wide. Other settings that differ are named. The noise ceiling is how well the "
    "best account of the losses could agree with a single run.",
    examples=("runs/cyclic-*.zarr", "runs/cyclic-*.zarr --confidence 0.9 --json"),
)
