"""Numbers of many runs: those that a run keeps are taken, the others measured together and kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from tracekit.collection.damage import damage_in
from tracekit.collection.opening import THREADS, OpenedRun, Shown, open_runs, refusal, tree_of
from tracekit.collection.tables import DOUBTFUL, run_numbers
from tracekit.derived.datasets import NUMBER
from tracekit.derived.identity import Identity, code_of, source_of
from tracekit.derived.places import places
from tracekit.derived.storing import find, keep
from tracekit.errors import DamagedTraceError, TraceError
from tracekit.format.validation import NOT_KINDS
from tracekit.plugins import suggestion
from tracekit.protocols import Metric
from tracekit.store import Store, open_store

"""The attribute that a kept number is, None where it is not defined: one small file for each."""


@dataclass
class _Run:
    """A run, what tells its data from any other, and its numbers by metric.

    Of these, `measured` names those that were measured now, and `doubtful` those that may mislead.
    """

    path: str
    run_id: str
    source: Mapping[str, Any]
    numbers: dict[str, float] = field(default_factory=dict)
    measured: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    damaged: Any = None

    def place_of(self, metric: Metric) -> tuple[Sequence[Store], Identity]:
        """Say where a number is kept, and of what it is the number."""
        wanted = Identity(f"metric-{metric.name}", {}, code_of(metric.measure), (self.source,))
        return places(self.path, self.run_id), wanted


def numbers_of_runs(
    paths: str | Sequence[str],
    metrics: Sequence[Metric],
    *,
    skip_damaged: bool = False,
    kept: bool = True,
    fresh: bool = False,
    shown: Shown | None = None,
) -> xr.Dataset:
    """Give one number for each run and metric, with the runs' configurations as coordinates.

    A number is kept with its run, and taken from there until code or data change, as `tracekit.derived` says:
    of runs that were measured before, only attributes are read.

    Parameters
    ----------
    paths : path or sequence of path
        Paths, URLs or globs.
    metrics : sequence of Metric
        What to measure.
    skip_damaged : bool
        Leave out runs that cannot be opened, instead of refusing all; the numbers of runs in which what is
        measured is damaged are NaN, and these runs are named in the attribute `damaged`.
    kept : bool
        Take numbers that are kept, and keep those that are measured.
    fresh : bool
        Measure all runs, and keep their numbers anew.
    shown : callable, optional
        Is given the runs as they are opened and how many there will be, and gives them on: a progress bar.

    Returns
    -------
    Dataset
        A variable (run,) for each metric, computed; NaN where it is not defined for a run. Coordinates and
        attributes are those of `open_traces`, and the attribute `doubtful` is that of `run_numbers`.

    Raises
    ------
    TraceError
        If runs cannot be opened or read (each is named), or none holds the kind that a metric needs.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit import plugins
    >>> from tracekit.testing.written import write_example_trace
    >>> folder = tempfile.mkdtemp()
    >>> for order in ("cyclic", "shuffled"):
    ...     _ = write_example_trace(f"{folder}/{order}.zarr", order=order, n_tasks=4)
    >>> numbers = numbers_of_runs(f"{folder}/*.zarr", [plugins.load("tracekit.metrics", "recovery")])
    >>> numbers["recovery"].values, numbers["order"].values.tolist()
    (array([0.5, 0.5]), ['cyclic', 'shuffled'])
    """
    opened, left_out = open_runs(paths, kinds=(), skip_damaged=skip_damaged, shown=shown)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="tracekit-numbers") as pool:
        runs = list(pool.map(_described, opened))
        if kept and not fresh:
            list(pool.map(lambda run: _recall(run, metrics), runs))
        for kind in dict.fromkeys(metric.kind for metric in metrics):
            _measure_missing(kind, runs, metrics, skip_damaged=skip_damaged)
        if kept:
            list(pool.map(lambda run: _keep(run, metrics), runs))
    found = {metric.name: ("run", [run.numbers[metric.name] for run in runs]) for metric in metrics}
    tree = tree_of(opened, left_out)
    names = tree.coords["run"].values.tolist()
    damaged = {name: run.damaged for name, run in zip(names, runs, strict=True) if run.damaged}
    facts = {DOUBTFUL: _doubtful(names, runs, metrics), **({"damaged": damaged} if damaged else {})}
    return xr.Dataset(found, tree.coords, {**tree.attrs, **facts})


def _doubtful(names: Sequence[str], runs: Sequence[_Run], metrics: Sequence[Metric]) -> dict[str, list[str]]:
    """Name the runs whose numbers may mislead, by metric."""
    found = {
        metric.name: [name for name, run in zip(names, runs, strict=True) if metric.name in run.doubtful]
        for metric in metrics
    }
    return {name: named for name, named in found.items() if named}


def _described(run: OpenedRun) -> _Run:
    kinds = set(open_store(run.path).children()) - {*NOT_KINDS} if run.facts["snapshots_committed"] else ()
    return _Run(run.path, run.facts["run_id"], source_of(run.facts, kinds))


def _recall(run: _Run, metrics: Sequence[Metric]) -> None:
    for metric in metrics:
        stores, wanted = run.place_of(metric)
        found = find(stores, wanted) if wanted.code else None
        if found is not None and NUMBER in found.attrs:
            number = found.attrs[NUMBER]
            run.numbers[metric.name] = math.nan if number is None else float(number)
            run.doubtful |= {metric.name} if found.attrs.get(DOUBTFUL) else set()


def _keep(run: _Run, metrics: Sequence[Metric]) -> None:
    for metric in metrics:
        stores, wanted = run.place_of(metric)
        if wanted.code and metric.name in run.measured:
            number = run.numbers[metric.name]
            facts = {
                NUMBER: None if math.isnan(number) else number,
                DOUBTFUL: metric.name in run.doubtful,
            }
            keep(stores, wanted, xr.Dataset(attrs=facts))


def _measure_missing(
    kind: str, runs: Sequence[_Run], metrics: Sequence[Metric], *, skip_damaged: bool
) -> None:
    """Measure what no run keeps of the metrics of a kind; the numbers of a run that lacks it are NaN."""
    metrics = [metric for metric in metrics if metric.kind == kind]
    missing = [run for run in runs if any(metric.name not in run.numbers for metric in metrics)]
    for run in missing:
        run.numbers |= {metric.name: math.nan for metric in metrics}
    begun = {run.path: run for run in missing if run.source["committed"]}
    if begun:
        opened, _ = open_runs(list(begun), kinds=[kind], skip_damaged=skip_damaged)
        for each in opened:
            begun[each.path].damaged = each.facts.get("damaged")
        _measure([each for each in opened if kind in each.nodes], begun, metrics, skip_damaged=skip_damaged)
    _require_kind(kind, runs)


def _measure(
    opened: Sequence[OpenedRun], runs: Mapping[str, _Run], metrics: Sequence[Metric], *, skip_damaged: bool
) -> None:
    """Measure runs together; where their values are damaged, name these runs, and skip or refuse them."""
    try:
        _measure_together(opened, runs, metrics)
    except DamagedTraceError:
        failed = damage_in(opened, metrics[0].kind)
        if not failed:
            raise
        if not skip_damaged:
            raise refusal(failed, len(opened), "read") from None
        for path, error in failed.items():
            runs[path].damaged = {metrics[0].kind: str(error)}
        _measure_together([each for each in opened if each.path not in failed], runs, metrics)


def _measure_together(
    opened: Sequence[OpenedRun], runs: Mapping[str, _Run], metrics: Sequence[Metric]
) -> None:
    if opened:
        _take_over(run_numbers(tree_of(opened, {}), metrics), runs)


def _take_over(numbers: xr.Dataset, runs: Mapping[str, _Run]) -> None:
    """Take over what was measured; the number of a run that is damaged is not one to keep."""
    for place, (label, path) in enumerate(zip(numbers["run"].values, numbers["path"].values, strict=True)):
        run = runs[path]
        run.doubtful |= {name for name, labels in numbers.attrs[DOUBTFUL].items() if label in labels}
        run.numbers |= {str(name): float(values[place]) for name, values in numbers.data_vars.items()}
        run.measured |= set() if run.damaged else {str(name) for name in numbers.data_vars}


def _require_kind(kind: str, runs: Sequence[_Run]) -> None:
    if not any(kind in run.source["kinds"] for run in runs):
        known = sorted({name for run in runs for name in run.source["kinds"]})
        raise TraceError(f"no run holds {kind!r}{suggestion(kind, known)}")
