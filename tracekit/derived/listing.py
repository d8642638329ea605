"""What is kept of a trace, and whether it still holds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

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
        Bytes of its values in memory.
    url : str
        Where it lies.
    stale : tuple of str
        What has changed since; empty if it would be taken as it is.
    """

    name: str
    parameters: Mapping[str, Any]
    written: str
    n_bytes: int
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
    return [_described(store, group) for store, group in _all(path)]


def clear_derived(path: str | os.PathLike[str]) -> int:
    """Remove everything that is kept of a trace, and say how many results that were."""
    found = list(_all(path))
    for store, group in found:
        remove(store, group)
    return len(found)


def _all(path: str | os.PathLike[str]) -> Iterator[tuple[Store, str]]:
    trace = open_trace(path, skip_damaged=True)
    for store in places(os.fspath(path), trace.attrs["run_id"]):
        yield from ((store, group) for group in entries(store))


def _described(store: Store, group: str) -> KeptResult:
    url = f"{store.url}/{group}"
    try:
        attributes = read_document(store, f"{group}/{METADATA}")["attributes"]
        with checking(f"{url}/{METADATA}"):
            then = parse_identity(attributes)
            index = mapping(entry(attributes, "dataset", "attributes"), "dataset")
        layouts = [read_layout(store, f"{group}/{name}") for name in index.get("arrays", [])]
    except TraceError as error:
        return KeptResult(group.rpartition("/")[2], {}, "", 0, url, (f"damaged: {error}",))
    n_bytes = sum(_n_bytes(layout.shape, layout.dtype.itemsize) for layout in layouts)
    return KeptResult(
        then.name, then.parameters, str(attributes.get("written", "")), n_bytes, url, _stale(then)
    )


def _n_bytes(shape: tuple[int, ...], itemsize: int) -> int:
    n_values = 1
    for size in shape:
        n_values *= size
    return n_values * itemsize


def _stale(then: Identity) -> tuple[str, ...]:
    try:
        code = code_version(then.code.partition(" ")[0])
    except ImportError as error:
        return (f"code: {error}",)
    try:
        sources = tuple(source(open_trace(found["path"], skip_damaged=True)) for found in then.sources)
    except TraceError as error:
        return (f"trace: {error}",)
    return tuple(replace(then, code=code, sources=sources).differences(then))
