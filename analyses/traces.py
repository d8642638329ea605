"""What analyses take out of an opened trace: its losses, its tensors, and what it says of its order."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import xarray as xr

import tracekit
from analyses.grams import PLACES, anchored_products, gram_of_products
from analyses.groups import By
from analyses.inputs import coordinate, per_visit
from tracekit.errors import AnalysisError
from tracekit.measures import Measure, measured

PAIRWISE = "pairwise_recovery"


def losses_of(trace: xr.DataTree) -> xr.Dataset:
    """Give the losses of a trace; where none were recorded, an `AnalysisError` that says so."""
    if "losses" not in trace.children:
        raise AnalysisError(
            f"{path_of(trace)}: expected losses, found {_listed(trace.children)}; record losses in the run"
        )
    return trace["losses"].to_dataset()


def tensors_of(trace: xr.DataTree, kind: str, select: str | None) -> xr.DataArray:
    """Give one flat row per visit of a kind; a kind that was not recorded is an `AnalysisError`."""
    known = [name for name, node in trace.children.items() if "flat" in node.children]
    if kind not in known:
        raise AnalysisError(
            f"{path_of(trace)}: expected {kind!r}, found {_listed(known)}; "
            "record it, or choose one of those found"
        )
    return per_visit(tracekit.flat(trace, kind, select=select))


def gram_of(
    trace: xr.DataTree, kind: str, select: str | None = None, *, by: By = "model", center: bool = True
) -> xr.DataArray:
    """Give the Gram matrix between visits of a kind, dims ([by,] visit, visit_other); see `analyses.gram`.

    Lazy; within `tracekit.derived.keep_measures` it is computed once, kept with the trace, and extended when
    visits have been added. Raw and centered ones come from the same.

    Examples
    --------
    >>> from tracekit.testing import synthetic_trace
    >>> gram_of(synthetic_trace(), "weights", by="parameter").dims
    ('parameter', 'visit', 'visit_other')
    """
    return gram_of_products(measured(GRAM, trace, kind=kind, select=select, by=by), center=center)


def _values(trace: xr.DataTree, *, kind: str, select: str | None, by: By) -> xr.DataArray:
    return tensors_of(trace, kind, select)


def _products(
    values: xr.DataArray, known: xr.Dataset | None, n_known: int, *, kind: str, select: str | None, by: By
) -> xr.Dataset:
    first = None if known is None else known[["products"]].isel(dict.fromkeys(PLACES, slice(n_known + 1)))
    # parts of rows of visits are kept, and not all visits of a part, which may be more than fits a chunk
    return anchored_products(values, by=by, known=first).transpose(PLACES[0], ...)


GRAM = Measure("gram", _values, _products)


def pairwise_recovery_of(trace: xr.DataTree, first_epoch: int = 0) -> xr.DataArray:
    """Give the pairwise recovery matrix from an epoch on; 0 leaves out the untrained model."""
    if PAIRWISE not in trace.children:
        raise AnalysisError(
            f"{path_of(trace)}: expected {PAIRWISE}, found {_listed(trace.children)}; record it in the run: "
            f"`recorders: [{{kind: {PAIRWISE}, every: …}}]`"
        )
    node = trace[PAIRWISE]
    matrix = node["recovery"].assign_attrs(units=node.attrs.get("units", ""))
    return matrix.isel(visit=(coordinate(matrix, "epoch") >= first_epoch).nonzero()[0])


def path_of(trace: xr.DataTree) -> str:
    """Say where a trace is."""
    return str(trace.attrs.get("path", "the trace"))


def order_of(trace: xr.DataTree) -> str:
    """Name the order of the tasks, such as `cyclic`; empty where the trace does not say."""
    return str(trace.attrs.get("order", ""))


def orders_of(traces: Iterable[xr.DataTree]) -> str:
    """Name the orders that there are among traces, such as `cyclic`, or `cyclic and shuffled`."""
    return " and ".join(dict.fromkeys(filter(None, map(order_of, traces))))


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) if names else "nothing"
