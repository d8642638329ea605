"""Open a trace: a lazy DataTree of its committed visits."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Collection
from typing import Any, Literal

import xarray as xr

from tracekit.errors import NotATraceError, TraceError, TraceNotFoundError
from tracekit.format.arrays import check_node
from tracekit.format.checks import checking
from tracekit.format.documents import parse_document, unsealed
from tracekit.format.layout import FORMAT, FORMAT_VERSION, GAPS, METADATA, OPEN_FORMAT_VERSION
from tracekit.format.marker import read_marker
from tracekit.format.validation import NOT_KINDS, check_facts
from tracekit.reading.extent import Extent, read_extent
from tracekit.reading.nodes import open_group
from tracekit.store import Store, open_store
from tracekit.store.parallel import each


def open_trace(
    path: str | os.PathLike[str], *, skip_damaged: bool = False, chunks: Literal["auto"] | None = "auto"
) -> xr.DataTree:
    """Open a trace. Only metadata and coordinates are read; everything else is lazy.

    Parameters
    ----------
    path : str or path
        The trace, a path or URL such as `"run.zarr"` or `"s3://bucket/run.zarr"`.
    skip_damaged : bool
        Leave out kinds whose metadata or coordinates are damaged, and columns of the timeline that are,
        instead of refusing the whole trace. The attribute `damaged` of the root says what was left out, and
        why. Damaged values never prevent opening; reading them does raise.
    chunks : {"auto"} or None
        As in `xarray.open_zarr`. By default arrays are those of dask, in blocks that suit the trace; with
        them analyses are lazy, and take little memory. With None there is no dask: xarray gathers what is
        selected, and reads it when values are asked for. That is faster for looking at a few visits of many
        parameters; `.chunk(…)` makes dask arrays of it.

    Returns
    -------
    xarray.DataTree
        One node per kind of thing recorded, holding committed visits only. `losses` has `eval_loss`, dims
        (visit, task), `test_loss` (visit, test_task) and `train_loss` (update). `weights`, `gradients` and
        `activations` have one variable per parameter or module, by name, dims (visit, …, axis0_n, axis1_m);
        the same values as one flat row per visit are in their child `flat`, as `values`. Every node carries
        the coordinates `visit` (visits completed), `epoch`, `position` and `trained_task` (-1 at visit 0)
        and `wall_time_seconds`. Kinds recorded per update have the dim `update` in place of `visit`, and
        besides the same places in time the coordinates `update_visit` and `update_index`, the number of the
        update within its visit; beside coordinates along `visit`, as in `losses`, all those along `update`
        begin with `update_`. What the run was is in the attributes of the root. Visits (or updates) at which
        a kind could not be written are missing values (NaN), and named in the attribute `gaps` of its node
        and of the root.

    Raises
    ------
    TraceNotFoundError
        If there is nothing at the path.
    NotATraceError
        If what is there is not a trace, or one of a later format version.
    DamagedTraceError
        If metadata or a coordinate is damaged.
    TraceError
        If `chunks` is anything else.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.testing.written import write_example_trace
    >>> trace = open_trace(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    >>> trace["losses"].eval_loss.dims
    ('visit', 'task')
    """
    if chunks not in ("auto", None):
        raise TraceError(
            f"chunks={chunks!r}: give 'auto' or None, and then .chunk({chunks!r}) to what was opened"
        )
    facts, nodes = open_nodes(path, skip_damaged=skip_damaged, in_dask=chunks is not None)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=facts), **nodes})


def open_nodes(
    path: str | os.PathLike[str],
    *,
    kinds: Collection[str] | None = None,
    skip_damaged: bool = False,
    in_dask: bool = True,
) -> tuple[dict[str, Any], dict[str, xr.Dataset]]:
    """Give what `open_trace` makes its tree of: the attributes of the root, and the nodes by path.

    `kinds` says which are opened, all of them if None; those that the trace does not hold are left out. With
    `in_dask` arrays are those of dask, otherwise such as xarray indexes itself.
    """
    store = open_store(path)
    facts = read_facts(store)
    extent = read_extent(store, facts, skip_damaged=skip_damaged)
    try:
        nodes, damaged = _open_groups(store, extent, kinds, skip_damaged=skip_damaged, in_dask=in_dask)
    except TraceError:
        if not _has_gone_back(store, extent):
            raise
    if _has_gone_back(store, extent):
        return open_nodes(path, kinds=kinds, skip_damaged=skip_damaged, in_dask=in_dask)
    gaps = {
        name: node.attrs[GAPS] for name, node in nodes.items() if "/" not in name and node.attrs.get(GAPS)
    }
    lost = {name: found for name, found in ((GAPS, gaps), ("damaged", damaged)) if found}
    marker = {"snapshots_committed": extent.committed, "generation": extent.generation}
    return {**facts, **lost, **marker, "path": store.url}, nodes


def _open_groups(
    store: Store, extent: Extent, kinds: Collection[str] | None, *, skip_damaged: bool, in_dask: bool
) -> tuple[dict[str, xr.Dataset], dict[str, str]]:
    """Open every kind; gives their nodes, and what is wrong with those left out."""
    nodes: dict[str, xr.Dataset] = {}
    damaged = dict(extent.damaged)

    def open_one(group: str) -> None:
        try:
            nodes.update(open_group(store, group, extent, in_dask=in_dask))
        except TraceError as error:
            if not skip_damaged:
                raise _with_advice(error, group) from error
            damaged[group] = str(error)

    found = {*store.children(), *(key.split("/")[0] for key in extent.declared)} - {*NOT_KINDS}
    groups = sorted(found if kinds is None else found & {*kinds})
    each(store, open_one, [name for name in groups if not _being_declared(store, name, extent)])
    return dict(sorted(nodes.items())), damaged


def _has_gone_back(store: Store, extent: Extent) -> bool:
    """Say whether a trace went back, or was replaced, while it was being opened."""
    now = read_marker(store)
    return now is None or now.generation != extent.generation


def _being_declared(store: Store, group: str, extent: Extent) -> bool:
    """Say whether a writer that has committed nothing yet is still at making a group."""
    return extent.committed == 0 and store.get(f"{group}/{METADATA}") is None


def read_facts(store: Store) -> dict[str, Any]:
    """Read what the run was, from the attributes of the root.

    Raises
    ------
    TraceNotFoundError
        If there is nothing at the URL.
    NotATraceError
        If there is no trace, or one of a later format version.
    DamagedTraceError
        If the attributes are not what was written.
    """
    if not store.exists():
        raise TraceNotFoundError(f"{store.url}: there is nothing here; check the path")
    document = parse_document(store, METADATA)
    attributes = document["attributes"]
    if attributes.get("format") != FORMAT:
        raise NotATraceError(
            f"{store.url}: a Zarr store, but not a trace (no format {FORMAT!r} in its attributes)"
        )
    version = attributes.get("format_version")
    if type(version) is not int or version not in (FORMAT_VERSION, OPEN_FORMAT_VERSION):
        raise NotATraceError(
            f"{store.url}: format version {reprlib.repr(version)}; this tracekit reads versions "
            f"{FORMAT_VERSION} and {OPEN_FORMAT_VERSION}: update it"
        )
    facts: dict[str, Any] = unsealed(document, f"{store.url}/{METADATA}")["attributes"]
    with checking(f"{store.url}/{METADATA}"):
        check_node(document, "group")
        check_facts(facts)
    return facts


def _with_advice(error: TraceError, group: str) -> TraceError:
    return type(error)(
        f"{error} (only {group!r} is affected: open_trace(…, skip_damaged=True) opens the rest)"
    )
