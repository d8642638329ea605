"""Tensors of a trace as flat rows, all of them or those whose names match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from tracekit.errors import TraceError
from tracekit.format.schema import FieldRecord
from tracekit.patterns import choose
from tracekit.reading.indexed import columns_of, read_indexed, rows_of
from tracekit.reading.lazy import read_arrays
from tracekit.reading.stored import Stretch


def kinds(trace: xr.DataTree) -> tuple[str, ...]:
    """Give the names of the kinds that a trace holds."""
    return tuple(sorted(trace.children))


def flat(trace: xr.DataTree, kind: str, select: str | Sequence[str] | None = None) -> xr.DataArray:
    """Give the tensors of a kind as one flat row per visit, dims (visit[, probe or task], element).

    Parameters
    ----------
    trace : DataTree
        An opened trace.
    kind : str
        `"weights"`, `"gradients"`, `"activations"`, …
    select : str or sequence of str, optional
        Patterns over the names of parameters or modules, as in `tracekit.patterns.choose`; all if None.

    Returns
    -------
    DataArray
        Lazy. Neighbours in the row are read together.

    Raises
    ------
    TraceError
        If the trace does not hold the kind, or a pattern means no name.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit import open_trace
    >>> from tracekit.testing.written import write_example_trace
    >>> trace = open_trace(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    >>> flat(trace, "weights", select="*bias").sizes["element"]
    3
    """
    if kind not in trace.children or "flat" not in trace[kind].children:
        tensors = [name for name in kinds(trace) if "flat" in trace[name].children]
        raise TraceError(f"{_path(trace)}: holds no {kind!r}; it holds {', '.join(tensors) or 'no tensors'}")
    values = trace[f"{kind}/flat"].to_dataset()["values"]
    if select is None:
        return values
    records = _matching(values.attrs["fields"], select, trace)
    return _of_columns(values, _stretches(records)).assign_attrs(fields=records)


def load(dataset: xr.Dataset) -> xr.Dataset:
    """Read a Dataset of a trace into memory: what `dataset.compute()` gives, sooner.

    Tensors of the same visits are read together, and not one task after another. It is worth it where there
    are many of them, such as all parameters of one visit.

    Parameters
    ----------
    dataset : Dataset
        A node of a trace, or what was selected of it. Variables that were made of others are computed as
        dask does it.

    Returns
    -------
    Dataset
        The same in memory; `dataset` stays lazy.

    Raises
    ------
    DamagedTraceError
        If something that it needs is missing or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit import open_trace
    >>> from tracekit.testing.written import write_example_trace
    >>> trace = open_trace(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    >>> weights = load(trace["weights"].to_dataset().isel(visit=-1))
    >>> weights["layer.bias"].chunks is None
    True
    """
    found = {name: rows_of(dataset.variables[name]) for name in dataset.data_vars}
    stored = {name: rows for name, rows in found.items() if rows is not None}
    if not stored:
        return dataset.compute()
    rest = dataset.drop_vars(stored).compute()
    in_dask = any(dataset.variables[name].chunks for name in stored)
    read = read_arrays if in_dask else read_indexed
    values = dict(zip(stored, read(list(stored.values())), strict=True))
    return dataset.copy(
        data={name: values[name] if name in stored else rest.variables[name].data for name in found}
    )


def _matching(
    records: Sequence[FieldRecord], patterns: str | Sequence[str], trace: xr.DataTree
) -> list[FieldRecord]:
    names = choose(
        [item["name"] for item in records], patterns, what=f"name in {_path(trace)}", error=TraceError
    )
    chosen = set(names)
    return [item for item in records if item["name"] in chosen]


def _stretches(records: Sequence[FieldRecord]) -> list[Stretch]:
    """Join neighbouring fields to stretches (start, stop) of columns."""
    stretches: list[Stretch] = []
    for item in records:
        start, stop = item["offset"], item["offset"] + int(np.prod(item["shape"], dtype=np.int64))
        if stretches and stretches[-1][1] == start:
            stretches[-1] = (stretches[-1][0], stop)
        else:
            stretches.append((start, stop))
    return stretches


def _of_columns(values: xr.DataArray, stretches: Sequence[Stretch]) -> xr.DataArray:
    data = columns_of(values.variable, stretches)
    if data is not None:
        n_columns = sum(stop - start for start, stop in stretches)
        return values.isel(element=slice(n_columns)).copy(data=data)
    parts = [values.isel(element=slice(start, stop)) for start, stop in stretches]
    return xr.concat(parts, "element") if len(parts) > 1 else parts[0]


def _path(trace: xr.DataTree) -> str:
    return str(trace.root.attrs.get("path", "the trace"))
