"""Line up opened traces along the dim `run`, one kind of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from tracekit.collection.aligning import aligned
from tracekit.collection.configuration import run_coordinates
from tracekit.collection.finding import run_names
from tracekit.errors import AnalysisError
from tracekit.plugins import suggestion


def join_traces(traces: Sequence[xr.DataTree], kind: str) -> xr.Dataset:
    """Give one kind of several opened traces, with their configurations as coordinates along `run`.

    Parameters
    ----------
    traces : sequence of DataTree
        What `tracekit.open_trace` gives of each.
    kind : str
        The kind of thing recorded, such as `losses`.

    Returns
    -------
    Dataset
        As the node that `tracekit.open_traces` gives, lazy, but for coordinates that are lazy; nothing is
        read.

    Raises
    ------
    AnalysisError
        If no run holds the kind.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> traces = [synthetic_trace(order_name=order) for order in ("cyclic", "shuffled")]
    >>> losses = join_traces(traces, "losses")
    >>> losses["eval_loss"].dims, losses["order"].values.tolist()
    (('run', 'visit', 'task'), ['cyclic', 'shuffled'])
    """
    nodes = [_fitting(trace[kind].to_dataset()) if kind in trace.children else None for trace in traces]
    if not any(node is not None for node in nodes):
        known = sorted({str(name) for trace in traces for name in trace.children})
        raise AnalysisError(f"no run holds {kind!r}{suggestion(kind, known)}")
    together = aligned(nodes)
    names = np.array(run_names([str(trace.attrs["path"]) for trace in traces]), dtype=object)
    taken = {str(name) for name in (*together.variables, *together.dims)}
    settings = run_coordinates([_facts(trace) for trace in traces], taken)
    return together.assign_coords({"run": xr.Variable("run", names), **settings})


def _facts(trace: xr.DataTree) -> dict[str, Any]:
    return {str(name): value for name, value in trace.attrs.items()}


def _fitting(node: xr.Dataset) -> xr.Dataset:
    """Make variables lazy, and leave out coordinates that are: lining them up would read them."""
    lazy = {name: values.variable.chunk() for name, values in node.data_vars.items()}
    return node.assign(lazy).drop_vars(
        [name for name, each in node.coords.items() if each.chunks is not None]
    )
