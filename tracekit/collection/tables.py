"""Tables over many runs: a number of each run, and means over the runs of each configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from tracekit.errors import AnalysisError, PluginError
from tracekit.outputs import require_ending, writing
from tracekit.plugins import suggestion
from tracekit.protocols import Metric

if TYPE_CHECKING:
    import pandas as pd

SPREAD = " sd"
"""Ends the name of the column with the standard deviation over runs."""

DOUBTFUL = "doubtful"
"""The attribute that names the runs whose numbers may mislead, by metric."""

MOST_NAMED = 5
ENDINGS = (".csv", ".parquet", ".tex")


def run_numbers(traces: xr.DataTree, metrics: Sequence[Metric]) -> xr.Dataset:
    """Give one number for each run and metric, with the runs' configurations as coordinates.

    Parameters
    ----------
    traces : DataTree
        From `open_traces`.
    metrics : sequence of Metric
        Those with the same `measure` share its computation. What they need is loaded, all runs at once.

    Returns
    -------
    Dataset
        A variable (run,) for each metric, computed; NaN where it is not defined for a run. The attribute
        `doubtful` names the runs whose numbers may mislead, by metric: see `tracekit.protocols.Metric`.

    Raises
    ------
    AnalysisError
        If no run holds the kind that a metric needs, or it cannot be measured.
    """
    loaded = {kind: _kind(traces, kind) for kind in dict.fromkeys(metric.kind for metric in metrics)}
    measured: dict[Callable[[xr.Dataset], xr.Dataset], xr.Dataset] = {}
    for metric in metrics:
        if metric.measure not in measured:
            measured[metric.measure] = metric.measure(loaded[metric.kind]).compute()
    numbers = {metric.name: metric.number(measured[metric.measure]) for metric in metrics}
    of_runs = {name: values for name, values in traces.coords.items() if values.dims == ("run",)}
    doubtful = {
        metric.name: _where(metric.doubtful(measured[metric.measure]))
        for metric in metrics
        if metric.doubtful is not None
    }
    facts = {DOUBTFUL: {name: runs for name, runs in doubtful.items() if runs}}
    return xr.Dataset({name: values.variable for name, values in numbers.items()}, of_runs, facts)


def _where(doubtful: xr.DataArray) -> list[str]:
    return [str(run) for run in doubtful["run"].values[doubtful.values]]


def warnings_of(metrics: Sequence[Metric], doubtful: Mapping[str, Sequence[str]]) -> list[str]:
    """Say which numbers may mislead and why, once for all metrics of which the same is to be said.

    Examples
    --------
    >>> metric = Metric("mean", "mean loss", lambda node: node, lambda node: node["x"], warning="too few.")
    >>> warnings_of([metric], {"mean": ["a", "b"]})
    ['Warning: mean of a, b: too few.']
    """
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for metric in metrics:
        alike.setdefault((metric.warning, tuple(doubtful.get(metric.name, ()))), []).append(metric.name)
    return [
        f"Warning: {', '.join(names)} of {_first_of(runs)}: {warning}"
        for (warning, runs), names in alike.items()
        if runs
    ]


def _first_of(runs: Sequence[str]) -> str:
    more = f" and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else ""
    return ", ".join(runs[:MOST_NAMED]) + more


def _kind(traces: xr.DataTree, kind: str) -> xr.Dataset:
    if kind not in traces.children:
        raise AnalysisError(f"no run holds {kind!r}{suggestion(kind, list(traces.children))}")
    return traces[kind].to_dataset().load()


def summary(numbers: xr.Dataset, by: Sequence[str]) -> pd.DataFrame:
    """Give a row for each combination of settings: how many runs, and mean and standard deviation over them.

    Without settings there is a row for each run. Runs for which a number is not defined (NaN) are left out
    of its mean, and the standard deviation is that of a sample, over runs (n − 1), NaN for a single run.

    Raises
    ------
    AnalysisError
        If a name is not that of a setting.

    Examples
    --------
    >>> coords = {"order": ("run", ["cyclic", "cyclic", "shuffled"])}
    >>> numbers = xr.Dataset({"recovery": ("run", [0.25, 0.75, 0.1])}, coords)
    >>> summary(numbers, ["order"]).round(3).values.tolist()
    [['cyclic', 2, 0.5, 0.354], ['shuffled', 1, 0.1, nan]]
    """
    names = [str(name) for name in numbers.data_vars]
    if not by:
        return numbers[names].reset_coords(drop=True).to_dataframe().reset_index()
    known = [str(name) for name in numbers.coords]
    for setting in by:
        if setting not in known:
            raise AnalysisError(f"no setting {setting!r} to group by{suggestion(setting, known)}")
    frame = numbers.to_dataframe().reset_index()
    groups = frame.groupby(list(dict.fromkeys(by)), dropna=False)
    table = groups.size().rename("runs").to_frame()
    for name in names:
        table[name], table[f"{name}{SPREAD}"] = groups[name].mean(), groups[name].std()
    return table.reset_index()


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, Parquet or LaTeX, as the ending of its name says.

    Raises
    ------
    OutputError
        If the name ends otherwise, or the file system refuses.
    PluginError
        If a package is missing that the format needs.
    """
    writers = {
        ".csv": lambda: table.to_csv(path, index=False),
        ".parquet": lambda: table.to_parquet(path, index=False),
        ".tex": lambda: table.to_latex(path, index=False, float_format="%.4g", na_rep="--", escape=True),
    }
    require_ending(path, ENDINGS)
    try:
        with writing(path):
            writers[path.suffix]()
    except ImportError as error:
        raise PluginError(
            f"{path}: {path.suffix} needs a package that is not here: install the `tables` extra of "
            f"tracekit-ml ({error})"
        ) from error
