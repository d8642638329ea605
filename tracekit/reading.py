"""Open a trace: a lazy DataTree of its committed visits."""

from __future__ import annotations

import os
from typing import Any

import xarray as xr

from tracekit.errors import NotATraceError, TraceNotFoundError
from tracekit.extent import Extent, read_extent
from tracekit.layout import COMMIT_KEY, FORMAT, FORMAT_VERSION, GAPS, METADATA, TIMELINE, read_document
from tracekit.marker import require_marker
from tracekit.nodes import open_group
from tracekit.store import Store, open_store


def open_trace(path: str | os.PathLike[str]) -> xr.DataTree:
    """Open a trace. Only metadata and coordinates are read; everything else is lazy.

    Parameters
    ----------
    path : str or path
        The trace, such as `"run.zarr"`.

    Returns
    -------
    xarray.DataTree
        One node per kind of thing recorded, holding committed visits only. `losses` has `eval_loss`, dims
        (visit, task), `test_loss` (visit, test_task) and `train_loss` (update). `weights`, `gradients` and
        `activations` have one variable per parameter or module, by name, dims (visit, …, axis0_n, axis1_m);
        the same values as one flat row per visit are in their child `flat`, as `values`. Every node carries
        the coordinates `visit` (visits completed), `epoch`, `position` and `trained_task` (-1 at visit 0)
        and `wall_time_seconds`. What the run was is in the attributes of the root. Visits at which a kind
        could not be written are missing values (NaN), and named in the attribute `gaps` of its node and of
        the root.

    Raises
    ------
    TraceNotFoundError
        If there is nothing at the path.
    NotATraceError
        If what is there is not a trace, or one of a later format version.
    DamagedTraceError
        If a coordinate cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.testing.written import write_example_trace
    >>> trace = open_trace(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    >>> trace["losses"].eval_loss.dims
    ('visit', 'task')
    """
    store = open_store(path)
    attributes = _root_attributes(store)
    extent = read_extent(store)
    nodes: dict[str, xr.Dataset] = {}
    for group in store.children():
        if group not in (METADATA, TIMELINE, COMMIT_KEY) and _is_ready(store, group, extent):
            nodes.update(open_group(store, group, extent))
    if require_marker(store).generation != extent.generation:
        return open_trace(path)  # it went back while it was being opened
    gaps = {
        name: node.attrs[GAPS] for name, node in nodes.items() if node.attrs.get(GAPS) and "/" not in name
    }
    if gaps:
        attributes[GAPS] = gaps
    facts = {**attributes, "snapshots_committed": extent.committed, "path": store.url}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=facts), **nodes})


def _is_ready(store: Store, group: str, extent: Extent) -> bool:
    """Say whether a group is to be opened: before anything is committed, some may still be being made."""
    return extent.committed > 0 or store.get(f"{group}/{METADATA}") is not None


def _root_attributes(store: Store) -> dict[str, Any]:
    if not store.exists():
        raise TraceNotFoundError(f"{store.url}: there is nothing here; check the path")
    attributes = read_document(store, METADATA).get("attributes", {})
    if attributes.get("format") != FORMAT:
        raise NotATraceError(
            f"{store.url}: a Zarr store, but not a trace (no format {FORMAT!r} in its attributes)"
        )
    version = attributes.get("format_version")
    if version != FORMAT_VERSION:
        raise NotATraceError(
            f"{store.url}: format version {version}; this tracekit reads version {FORMAT_VERSION}: update it"
        )
    return dict(attributes)
