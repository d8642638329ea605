"""Check that an analysis keeps the rules that the command line, caches and clusters rely on."""

from __future__ import annotations

import inspect
import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr

from tracekit.protocols import Analysis
from tracekit.testing.laziness import ComputedError, no_compute
from tracekit.testing.traces import synthetic_runs

LARGE_ELEMENTS = 4_000_000
TENSORS = ("weights", "gradients", "activations")


class ConformanceError(AssertionError):
    """An analysis breaks rules; the message names each of them."""


def check_analysis(
    analysis: Analysis, *, options: Mapping[str, Any] | None = None, large_elements: int = LARGE_ELEMENTS
) -> None:
    """Check an analysis plug-in on made-up traces; all that is wrong is named at once.

    - Options: every keyword-only parameter of `build` is annotated, has a default, and is explained.
    - Laziness: `build` computes nothing, and gives something lazy.
    - Dims: all have names; lazy arrays and arrays in memory give the same numbers.
    - Attributes: those of the Dataset and its variables can be written as JSON; every variable says in
      words what it is (`long_name`), and of numbers their `units` (`"1"` where there are none).
    - Memory: on tensors of `large_elements` a visit it takes less than half of what they would take.
    - Report: every row has a value for each column; the numbers can be written as JSON.

    Parameters
    ----------
    analysis : Analysis
        The plug-in.
    options : mapping, optional
        Options of `build`, where its defaults are not what should be checked.
    large_elements : int
        Elements of a visit in the check of memory; 0 leaves it out.

    Raises
    ------
    ConformanceError
        If anything is wrong.

    Examples
    --------
    >>> from tracekit import plugins
    >>> check_analysis(plugins.load("tracekit.analyses", "online-loss"), large_elements=100_000)
    """
    checks: tuple[Callable[[Analysis, Mapping[str, Any]], Iterator[str]], ...] = (
        _wrong_options,
        _not_lazy,
        _wrong_result,
    )
    chosen = dict(options or {})
    problems = [problem for check in checks for problem in check(analysis, chosen)]
    if large_elements:
        problems += _unbounded(analysis, chosen, large_elements)
    if problems:
        raise ConformanceError(f"{analysis.name}: " + "; ".join(problems))


def _traces(analysis: Analysis) -> list[xr.DataTree]:
    return synthetic_runs(analysis.n_traces[0], n_tasks=4, n_epochs=4)


def _wrong_options(analysis: Analysis, options: Mapping[str, Any]) -> Iterator[str]:
    found = [p for p in inspect.signature(analysis.build).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for parameter in found:
        if parameter.default is parameter.empty:
            yield f"option {parameter.name!r} has no default"
        if parameter.annotation is parameter.empty:
            yield f"option {parameter.name!r} has no annotation"
        if parameter.name not in analysis.options:
            yield f"option {parameter.name!r} is not explained in `options`"
    for name in {*analysis.options, *options} - {parameter.name for parameter in found}:
        yield f"`options` explains {name!r}, which is no keyword-only parameter of build"


def _not_lazy(analysis: Analysis, options: Mapping[str, Any]) -> Iterator[str]:
    try:
        with no_compute():
            built = analysis.build(*_traces(analysis), **options)
    except ComputedError as error:
        yield f"build computes: {error}"
        return
    if not any(values.chunks is not None for values in built.variables.values()):
        yield "build gives nothing lazy, so values were read while it was built"


def _wrong_result(analysis: Analysis, options: Mapping[str, Any]) -> Iterator[str]:
    computed = analysis.build(*_traces(analysis), **options).compute()
    in_memory = analysis.build(*(trace.compute() for trace in _traces(analysis)), **options)
    try:
        xr.testing.assert_allclose(computed, in_memory.compute(), atol=1e-9)
    except AssertionError as error:
        yield f"lazy arrays and arrays in memory give different numbers: {error}"
    yield from _wrong_attributes(computed)
    report = analysis.report(computed)
    if any(len(row) != len(report.columns) for row in report.rows):
        yield "report: a row has not as many values as there are columns"
    if not _is_json(report.numbers):
        yield "report: `numbers` holds what JSON has not: use plain numbers, lists and texts"


def _wrong_attributes(dataset: xr.Dataset) -> Iterator[str]:
    for dim in dataset.dims:
        if str(dim).startswith("dim_"):
            yield f"dim {dim!r} has no name of its own"
    if not _is_json(dataset.attrs):
        yield "attributes of the Dataset cannot be written as JSON"
    for name, values in dataset.data_vars.items():
        if not _is_json(values.attrs):
            yield f"attributes of {name!r} cannot be written as JSON"
        if values.dtype.kind in "iuf" and not _is_text(values.attrs.get("units")):
            yield f"{name!r} does not say its units"
        if not _is_text(values.attrs.get("long_name")):
            yield f"{name!r} does not say in words what it is: give it a long_name"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _unbounded(analysis: Analysis, options: Mapping[str, Any], n_elements: int) -> list[str]:
    traces = [_large(trace, n_elements) for trace in _traces(analysis)]
    n_bytes = traces[0]["weights/flat"].to_dataset()["values"].nbytes
    built = analysis.build(*traces, **options)
    tracemalloc.start()
    try:
        with dask.config.set(scheduler="synchronous"):
            built.compute()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if peak <= max(n_bytes // 2, 32 << 20):
        return []
    return [f"takes {peak >> 20} MiB of memory for tensors of {n_bytes >> 20} MiB: work block by block"]


def _large(trace: xr.DataTree, n_elements: int) -> xr.DataTree:
    """Give a trace whose flat rows have many elements, made up as they are read."""
    nodes = {path: node.to_dataset(inherit=False) for path, node in trace.subtree_with_keys}
    for kind in TENSORS:
        flat = nodes[f"{kind}/flat"]
        values = flat["values"]
        lead = values.shape[:-1]
        chunks = (*lead[:1], *(1 for _ in lead[1:]), 1 << 16)
        made_up = da.random.default_rng(0).normal(size=(*lead, n_elements), chunks=chunks).astype(np.float32)
        fields = [{"name": "block.weight", "shape": [n_elements], "offset": 0, "dtype": "float32"}]
        nodes[f"{kind}/flat"] = flat.drop_vars("values").assign(
            values=(values.dims, made_up, {"fields": fields})
        )
        nodes[kind] = nodes[kind].drop_vars(list(nodes[kind].data_vars))
    return xr.DataTree.from_dict(nodes)
