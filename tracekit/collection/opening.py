"""Open many traces as one lazy DataTree."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tracekit.collection.aligning import aligned
from tracekit.collection.configuration import run_coordinates, settings
from tracekit.collection.finding import find_traces, run_names
from tracekit.errors import TraceError, TraceNotFoundError
from tracekit.format.validation import NOT_KINDS
from tracekit.plugins import suggestion
from tracekit.reading.opening import open_nodes
from tracekit.store import open_store

THREADS = 8
MOST_NAMED = 20
Shown = Callable[[Iterable["OpenedRun"], int], Iterable["OpenedRun"]]
"""Gives what it is given, and shows how far it is; the number says how many there will be."""


@dataclass(frozen=True)
class OpenedRun:
    """One run: the attributes of its root and its nodes, or why it could not be opened."""

    path: str
    facts: Mapping[str, Any]
    nodes: Mapping[str, xr.Dataset]
    problem: TraceError | None = None


def open_traces(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    kinds: Collection[str] | None = None,
    skip_damaged: bool = False,
) -> xr.DataTree:
    """Open many traces as one, along the dim `run`. Only metadata and coordinates are read.

    Parameters
    ----------
    paths : path or sequence of path
        Paths, URLs or globs, such as `"runs/*.zarr"` or `"s3://bucket/runs/*.zarr"`.
    kinds : collection of str, optional
        Which kinds are opened, such as `["losses"]`, which is much faster than all of them.
    skip_damaged : bool
        Leave out runs that cannot be opened, and damaged kinds of others, instead of refusing all. Values
        are not read by opening: damage in these is an error where they are computed, which names the file.

    Returns
    -------
    xarray.DataTree
        The nodes that `open_trace` gives, each variable with `run` as its first dim, lazy. Coordinates along
        `run`, on every node: `run` (file names, with as many folders as tell runs apart); `model_size`,
        `optimizer`, `seed`, `order`, `status`, `snapshots_committed` and `path`; and every setting that is
        not the same in all runs, such as `training.epochs`. So `traces["losses"].to_dataset()` can be
        selected from and grouped by configuration.

        Samples are matched by visit and update. A run that is shorter, or was recorded less often, has NaN
        where it has no value, and −1 in coordinates of whole numbers. Coordinates such as `trained_task` are
        (visit,) where all runs agree, else (run, visit). Tasks and probes are matched by name where all runs
        have the same names in the same order; else by place, with the names in `task_name` (run, task).
        Variables whose shapes differ between runs cannot be stacked: they are left out and named in the
        attribute `not_aligned` of their node; open such runs by groups, or one by one.

        Attributes of the root: those that all runs share; `incomplete`, by run, how far the runs are that
        did not reach their planned end; `left_out`, by path, why runs were left out; `damaged`, by run.

    Raises
    ------
    TraceNotFoundError
        If nothing is at a path, or matches a glob.
    TraceError
        If runs cannot be opened (each is named, with the reason), or none holds one of `kinds`.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.testing.written import write_example_trace
    >>> folder = tempfile.mkdtemp()
    >>> for order in ("cyclic", "shuffled"):
    ...     _ = write_example_trace(f"{folder}/{order}.zarr", order=order)
    >>> losses = open_traces(f"{folder}/*.zarr")["losses"].to_dataset()
    >>> dict(losses["eval_loss"].sizes)
    {'run': 2, 'visit': 7, 'task': 3}
    >>> losses["eval_loss"].mean("visit").groupby("order").mean().coords["order"].values.tolist()
    ['cyclic', 'shuffled']
    """
    runs, left_out = open_runs(paths, kinds=kinds, skip_damaged=skip_damaged)
    _check_kinds(kinds, runs)
    return tree_of(runs, left_out)


def open_runs(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    kinds: Collection[str] | None,
    skip_damaged: bool,
    shown: Shown | None = None,
) -> tuple[list[OpenedRun], dict[str, str]]:
    """Open each of many traces; gives those that could be opened, and why others were left out."""
    found = find_traces(paths)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="tracekit-opener") as pool:
        opening = pool.map(lambda path: _open(path, kinds, skip_damaged=skip_damaged), found)
        opened = list(opening if shown is None else shown(opening, len(found)))
    failed = {run.path: run.problem for run in opened if run.problem is not None}
    good = [run for run in opened if run.problem is None]
    if failed and (not skip_damaged or not good):
        raise refusal(failed, len(opened), "opened")
    return good, {path: str(problem) for path, problem in failed.items()}


def _open(path: str, kinds: Collection[str] | None, *, skip_damaged: bool) -> OpenedRun:
    try:
        facts, nodes = open_nodes(path, kinds=kinds, skip_damaged=skip_damaged)
    except TraceError as error:
        return OpenedRun(path, {}, {}, error)
    return OpenedRun(path, facts, nodes)


def tree_of(runs: Sequence[OpenedRun], left_out: Mapping[str, str]) -> xr.DataTree:
    """Line up opened runs along the dim `run`."""
    names = run_names([run.path for run in runs])
    paths = dict.fromkeys(node for run in runs for node in run.nodes)
    nodes = {path: aligned([_node(run, path) for run in runs]) for path in paths}
    taken = {str(name) for node in nodes.values() for name in (*node.variables, *node.dims)}
    coords = {
        "run": xr.Variable("run", np.array(names, dtype=object)),
        **run_coordinates([run.facts for run in runs], taken),
    }
    root = xr.Dataset(coords=coords, attrs=_attributes(dict(zip(names, runs, strict=True)), left_out))
    return xr.DataTree.from_dict(
        {"/": root, **{path: node.assign_coords(coords) for path, node in nodes.items()}}
    )


def _node(run: OpenedRun, path: str) -> xr.Dataset | None:
    """Give a node of a run, None where it has none; a child has the coordinates of its parent too."""
    if path not in run.nodes:
        return None
    parent = path.rpartition("/")[0]
    return run.nodes[path].assign_coords(run.nodes[parent].coords) if parent else run.nodes[path]


def _attributes(runs: Mapping[str, OpenedRun], left_out: Mapping[str, str]) -> dict[str, Any]:
    """Give what all runs share, and what is to be known of some of them."""
    first, *others = (settings(run.facts) for run in runs.values())
    shared = {name: value for name, value in first.items() if all(o.get(name) == value for o in others)}
    notes = {
        "incomplete": {name: _progress(run.facts) for name, run in runs.items() if _is_incomplete(run.facts)},
        "damaged": {name: run.facts["damaged"] for name, run in runs.items() if "damaged" in run.facts},
        "gaps": {name: run.facts["gaps"] for name, run in runs.items() if "gaps" in run.facts},
        "left_out": dict(left_out),
    }
    return {**shared, **{name: found for name, found in notes.items() if found}, "n_runs": len(runs)}


def _is_incomplete(facts: Mapping[str, Any]) -> bool:
    return bool(facts["status"] != "complete")


def _progress(facts: Mapping[str, Any]) -> str:
    planned = facts.get("snapshots_planned")
    of = "" if planned is None else f" of {planned}"
    return f"{facts['status']}: {facts['snapshots_committed']}{of} snapshots"


def refusal(failed: Mapping[str, TraceError], n_runs: int, verb: str) -> TraceError:
    """Give one error that names every run that cannot be opened, or read."""
    lines = [f"  {_named(path, error)}" for path, error in list(failed.items())[:MOST_NAMED]]
    if len(failed) > MOST_NAMED:
        lines.append(f"  … and {len(failed) - MOST_NAMED} more")
    kind = (
        TraceNotFoundError if all(isinstance(e, TraceNotFoundError) for e in failed.values()) else TraceError
    )
    advice = "" if len(failed) == n_runs else " (skip_damaged=True, or --skip-damaged, leaves them out)"
    return kind("\n".join([f"{len(failed)} of {n_runs} runs cannot be {verb}{advice}:", *lines]))


def _named(path: str, error: TraceError) -> str:
    """Begin an error with the path, unless it does so by itself."""
    return str(error) if str(error).startswith(path) else f"{path}: {error}"


def _check_kinds(kinds: Collection[str] | None, runs: Sequence[OpenedRun]) -> None:
    for kind in kinds or ():
        if not any(kind in run.nodes for run in runs):
            there = sorted({name for run in runs[:MOST_NAMED] for name in open_store(run.path).children()})
            known = [name for name in there if name not in NOT_KINDS]
            raise TraceError(f"no run holds {kind!r}{suggestion(kind, known)}")
