"""Compute a result, or take it from where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from tracekit.derived.extending import Compute, keep_measures
from tracekit.derived.identity import identity
from tracekit.derived.places import places
from tracekit.derived.storing import find, keep


def derive(
    name: str,
    build: Callable[..., xr.Dataset],
    traces: Sequence[xr.DataTree],
    parameters: Mapping[str, Any],
    *,
    compute: Compute = xr.Dataset.compute,
    fresh: bool = False,
    code_of: Callable[..., Any] | None = None,
) -> xr.Dataset:
    """Give `build(*traces, **parameters)`, computed; kept, and taken from there as long as nothing changed.

    Functions that have no source file, typed into an interpreter, are always computed, and not kept.
    A result is computed again when its parameters, any source file of the package of `build`, or the data has
    changed: other visits committed, visits dropped, another run. See `tracekit.derived.identity`. If `build`
    asks for measures (`tracekit.measures`), they are kept in place of the result.

    Parameters
    ----------
    name : str
        What the result is called, such as the name of an analysis.
    build : callable
        Gives a lazy Dataset.
    traces : sequence of DataTree
        Opened traces. The result is kept in the first; in a folder of this machine (`TRACEKIT_CACHE`, else
        `~/.cache/tracekit`) if that cannot be written.
    parameters : mapping
        Options of `build`, plain values as JSON has them.
    compute : callable
        Turns the lazy Dataset into one in memory.
    fresh : bool
        Compute even if it is kept, and keep it anew.
    code_of : callable, optional
        A function of the package whose code makes the numbers, where that is not the package of `build`.

    Returns
    -------
    Dataset
        In memory.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit import open_trace
    >>> from tracekit.testing.written import write_example_trace
    >>> trace = open_trace(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    >>> def mean_loss(trace, *, task):
    ...     print("computing")
    ...     return trace["losses"].to_dataset()[["eval_loss"]].isel(task=task).mean()
    >>> first = derive("mean-loss", mean_loss, [trace], {"task": 0})
    computing
    >>> derive("mean-loss", mean_loss, [trace], {"task": 0}).identical(first)
    True
    """
    wanted = identity(name, parameters, code_of or build, traces)
    stores = places(traces[0].attrs["path"], traces[0].attrs["run_id"])
    found = None if fresh or not wanted.code else find(stores, wanted)
    if found is not None:
        return found
    with keep_measures(compute, fresh=fresh) as session:
        result = compute(build(*traces, **parameters))
    if wanted.code and not session.kept:
        keep(stores, wanted, result)
    return result
