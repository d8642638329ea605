"""A number of each of several runs, and what a setting of their configurations is in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analyses.units import units_of
from tracekit import plugins
from tracekit.collection import tables
from tracekit.collection.joining import join_traces
from tracekit.errors import AnalysisError
from tracekit.protocols import Metric

NOT_SET = ("", "nan")
NOT_SETTINGS = ("run", "path", "status", "snapshots_committed")
OPTIONS = {
    "by": "The setting: model_size, optimizer, seed, order, or any that differs between the runs, such as "
    "training.optimizer.learning_rate.",
    "metric": "The number of each run; `tracekit list` names all metrics.",
}


def number_of_each(traces: Sequence[xr.DataTree], *, by: str, metric: str) -> xr.DataArray:
    """Give a metric of each run, dims (run,), lazy.

    Its coordinates are `setting`, and `doubtful`, which says whether the number may mislead.

    Raises
    ------
    AnalysisError
        If there is no such setting, a run lacks it, or it is the same in all runs.
    PluginError
        If there is no such metric.
    """
    chosen: Metric = plugins.load("tracekit.metrics", metric)
    runs = join_traces(traces, chosen.kind)
    setting = _setting(runs, by)
    measured = chosen.measure(runs)
    number = chosen.number(measured)
    doubtful = xr.zeros_like(number, bool) if chosen.doubtful is None else chosen.doubtful(measured)
    attributes = {"units": units_of(number), "long_name": chosen.summary}
    coords = {"run": runs["run"].variable, "setting": setting, "doubtful": doubtful.variable}
    values = xr.DataArray(number.variable, coords)
    return values.drop_attrs().assign_attrs(attributes)


def warnings_of(dataset: xr.Dataset, dim: str = "run") -> list[str]:
    """Warn of the runs whose numbers, of the metric that its attributes name, may mislead."""
    name, doubtful = dataset.attrs["metric"], dataset["doubtful"].values.astype(bool)
    runs = [str(run) for run in dataset[dim].values[doubtful]]
    return tables.warnings_of([plugins.load("tracekit.metrics", name)], {name: runs})


def _setting(runs: xr.Dataset, by: str) -> xr.Variable:
    known = {str(name): each.values for name, each in runs.coords.items() if each.dims == ("run",)}
    if by not in known:
        raise AnalysisError(f"no setting {by!r} to compare runs by{plugins.suggestion(by, known)}")
    texts = [str(value) for value in known[by].tolist()]
    for name, text in zip(runs["run"].values, texts, strict=True):
        if text in NOT_SET:
            raise AnalysisError(f"run {name}: expected a setting {by!r}, found none; leave the run out")
    if len(set(texts)) < 2:
        raise AnalysisError(
            f"{by}: expected two values or more, found {texts[0]} in all {len(texts)} runs; "
            f"{_differing(known)}"
        )
    return xr.Variable("run", known[by])


def _differing(known: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.object_]]]) -> str:
    """Name the settings that runs could be compared by."""
    names = [
        name
        for name, values in known.items()
        if name not in NOT_SETTINGS and len(set(map(str, values.tolist()))) > 1
    ]
    return f"these runs differ in {', '.join(names)}" if names else "these runs differ in no setting"
