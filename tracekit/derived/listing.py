"""What is kept of a trace, and whether it still holds."""

from __future__ import annotations

import contextlib
import math
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from tracekit.derived.datasets import NUMBER
from tracekit.derived.identity import Identity, code_version, parse_identity, source
from tracekit.derived.places import entries, places, remove
from tracekit.errors import TraceError
from tracekit.format.checks import checking, entry, mapping
from tracekit.format.documents import read_document
from tracekit.format.layout import METADATA, read_layout
from tracekit.reading.opening import open_trace
from tracekit.store import Store


@dataclass(frozen=True)
class KeptResult:
    """One kept result.

    Parameters
    ----------
    name, parameters
        What it is.
    written : str
        When, as an ISO date in UTC.
    n_bytes : int
        Bytes of its arrays in memory.
    number : float or None
        The result itself where it is one number, as those of `tracekit table`, NaN where that is not defined;
        None for results that are arrays.
    url : str
        Where it lies.
    stale : tuple of str
        What has changed since; empty if it would be taken as it is.
    """

    name: str
    parameters: Mapping[str, Any]
    written: str
    n_bytes: int
    number: float | None
    url: str
    stale: tuple[str, ...]


def list_derived(path: str | os.PathLike[str]) -> list[KeptResult]:
    """List what is kept of a trace, in it and on this machine.

    Raises
    ------
    TraceError
        If the trace cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.testing.written import write_example_trace
    >>> list_derived(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    []
    """
    trace = open_trace(path, skip_damaged=True)
    return [_described(store, group, trace) for store, group in _all(trace)]


def clear_derived(path: str | os.PathLike[str]) -> int:
    """Remove everything that is kept of a trace, and say how many results that were."""
    found = list(_all(open_trace(path, skip_damaged=True)))
    for store, group in found:
        remove(store, group)
    return len(found)


def _all(trace: xr.DataTree) -> Iterator[tuple[Store, str]]:
    for store in places(trace.attrs["path"], trace.attrs["run_id"]):
        yield from ((store, group) for group in entries(store))


def _described(store: Store, group: str, trace: xr.DataTree) -> KeptResult:
    url = f"{store.url}/{group}"
    try:
        attributes = read_document(store, f"{group}/{METADATA}")["attributes"]
        with checking(f"{url}/{METADATA}"):
            then = parse_identity(attributes)
            index = mapping(entry(attributes, "dataset", "attributes"), "dataset")
            number = _number(mapping(entry(index, "attributes", "dataset"), "attributes"))
        layouts = [read_layout(store, f"{group}/{name}") for name in index.get("arrays", [])]
    except TraceError as error:
        return KeptResult(group.rpartition("/")[2], {}, "", 0, None, url, (f"damaged: {error}",))
    n_bytes = sum(_n_bytes(layout.shape, layout.dtype.itemsize) for layout in layouts)
    written = str(attributes.get("written", ""))
    return KeptResult(then.name, then.parameters, written, n_bytes, number, url, _stale(then, trace))


def _number(attributes: Mapping[str, Any]) -> float | None:
    if NUMBER not in attributes:
        return None
    return math.nan if attributes[NUMBER] is None else float(attributes[NUMBER])


def _n_bytes(shape: tuple[int, ...], itemsize: int) -> int:
    n_values = 1
    for size in shape:
        n_values *= size
    return n_values * itemsize


def _stale(then: Identity, trace: xr.DataTree) -> tuple[str, ...]:
    try:
        code = code_version(then.code.partition(" ")[0])
    except ImportError as error:
        return (f"code: {error}",)
    try:
        sources = tuple(source(_opened(found, trace)) for found in then.sources)
    except TraceError as error:
        return (f"trace: {error}",)
    return tuple(replace(then, code=code, sources=sources).differences(then))


def _opened(found: Mapping[str, Any], trace: xr.DataTree) -> xr.DataTree:
    """Open what a result was made of; it may have been moved since, with the trace that it is kept with."""
    if found["run_id"] == trace.attrs["run_id"]:
        return trace
    with contextlib.suppress(TraceError):
        beside = open_trace(_beside(trace.attrs["path"], found["path"]), skip_damaged=True)
        if beside.attrs["run_id"] == found["run_id"]:
            return beside
    return open_trace(found["path"], skip_damaged=True)


def _beside(path: str, other: str) -> str:
    """Give where the other would be in the folder of a trace."""
    return posixpath.join(posixpath.dirname(path.rstrip("/")), posixpath.basename(other.rstrip("/")))
