"""Several runs in one lazy Dataset, along the dim `run`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import xarray as xr
from dask.array import PerformanceWarning

from analyses.inputs import as_recorded
from tracekit.errors import AnalysisError


def combine(
    traces: Mapping[str, xr.DataTree],
    kind: str,
    make: Callable[[xr.DataTree], xr.Dataset],
    *,
    form: str = "",
) -> xr.Dataset:
    """Apply `make` to every run that recorded `kind` and stack what it gives; computes nothing.

    Parameters
    ----------
    traces : mapping of str to DataTree
        Opened traces by label.
    kind : str
        The group of the trace that `make` needs, such as ``"weights"``.
    make : callable
        Turns one trace into a lazy Dataset.
    form : str
        Another form of the kind that will do, such as ``"_sketch"``; see `analyses.inputs.as_recorded`.

    Returns
    -------
    Dataset
        What `make` gave, with `run` (the labels) as first dim: runs of different length are padded, with NaN
        or False. Added are ``n_tasks(run)``; ``recorded(run, visit)`` if there are visits, False where a run
        lacks one that others have; and ``attrs["left_out"]``, the runs without `kind`.

    Raises
    ------
    AnalysisError
        If no run has a committed visit of `kind`, or `make` raises it; the run is named.
    """
    having = [label for label, tree in traces.items() if _has(tree, as_recorded(tree, kind, form))]
    if not having:
        raise AnalysisError(_nothing_to_draw(traces, kind))
    combined = _stack([_made(label, traces[label], make) for label in having], having)
    n_tasks = [int(traces[label].attrs["n_tasks"]) for label in having]
    left_out = [label for label in traces if label not in having]
    return combined.assign(n_tasks=("run", n_tasks)).assign_attrs(kind=kind, left_out=left_out)


def _has(tree: xr.DataTree, kind: str) -> bool:
    sizes = tree[kind].sizes if kind in tree.children else {}
    return sizes.get("visit", sizes.get("update", 0)) > 0


def _made(label: str, tree: xr.DataTree, make: Callable[[xr.DataTree], xr.Dataset]) -> xr.Dataset:
    try:
        made = make(tree).reset_coords(drop=True)
    except AnalysisError as error:
        raise AnalysisError(f"run {label!r}: {error}") from error
    return made.assign(recorded=xr.ones_like(made["visit"], dtype=bool)) if "visit" in made.dims else made


def _stack(parts: Sequence[xr.Dataset], labels: Sequence[str]) -> xr.Dataset:
    missing = {name: False for name, variable in parts[0].data_vars.items() if variable.dtype == bool}
    run = xr.DataArray(list(labels), dims="run", name="run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerformanceWarning)  # what is padded is as small as a picture
        return xr.concat(
            parts,
            dim=run,
            data_vars="all",
            coords="minimal",
            compat="override",
            join="outer",
            fill_value=missing,
            combine_attrs="override",
        )


def _nothing_to_draw(traces: Mapping[str, xr.DataTree], kind: str) -> str:
    if not traces:
        return "a figure needs at least one trace, and got none; give it opened traces by label"
    found = "; ".join(
        f"{label!r} has {', '.join(sorted(map(str, tree.children))) or 'nothing'}"
        for label, tree in traces.items()
    )
    return (
        f"this figure needs recorded {kind} of at least one committed visit, and no run has them ({found}); "
        f"train with the {kind} recorder switched on, or give another run"
    )


def runs(dataset: xr.Dataset) -> list[str]:
    """Give the labels of the runs in a combined Dataset."""
    return [str(label) for label in dataset["run"].values]


def left_out_note(dataset: xr.Dataset) -> str:
    """Name the runs that could not be drawn; an empty text if there are none."""
    names = ", ".join(map(repr, dataset.attrs["left_out"]))
    return f"Not shown, as {dataset.attrs['kind']} were not recorded: {names}." if names else ""
