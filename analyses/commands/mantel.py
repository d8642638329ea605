"""`tracekit analyze mantel`: whether two runs, or two kinds of tensors, are alike at the same visits."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.commands.parts import VALUE_OPTIONS, rows_of
from analyses.grams import OTHER
from analyses.inputs import coordinate
from analyses.names import named
from analyses.rotation import mantel
from analyses.similarity import residual_cosine
from analyses.traces import gram_of, order_of, path_of
from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis, Report

TESTED = ("correlation", "p_value", "n_visits")
FACTS = ("kind", "other_kind", "select", "order", "order_other")


def build(
    *traces: xr.DataTree, kind: str = "weights", other_kind: str | None = None, select: str | None = None
) -> xr.Dataset:
    """Build Mantel's correlation between the residual cosines of two runs, and its p-value."""
    first, second = traces
    kinds = (kind, other_kind or kind)
    matrices = [_between_visits(*each, select) for each in zip(traces, kinds, strict=True)]
    pair = _at_shared_visits(traces, matrices)
    facts = {"kind": kinds[0], "other_kind": kinds[1], "select": select or ""}
    orders = {"order": order_of(first), "order_other": order_of(second)}
    return named(mantel(*pair).assign(n_visits=_n_defined(pair))).assign_attrs({**facts, **orders})


def _between_visits(trace: xr.DataTree, kind: str, select: str | None) -> xr.DataArray:
    return residual_cosine(gram_of(trace, kind, select), window=int(trace.attrs["n_tasks"]))


def _at_shared_visits(
    traces: tuple[xr.DataTree, ...], matrices: list[xr.DataArray]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Give both matrices between the visits that both have, without coordinates."""
    visits, others = (coordinate(matrix, "visit") for matrix in matrices)
    shared = np.intersect1d(visits, others)
    if shared.size == 0 < min(visits.size, others.size):
        raise AnalysisError(
            f"{path_of(traces[1])}: expected visits that {path_of(traces[0])} has too, such as {visits[-1]}, "
            f"found none, but {others[-1]}; choose kinds recorded at the same visits"
        )
    first, second = (matrix.sel({"visit": shared, "visit" + OTHER: shared}) for matrix in matrices)
    return first.drop_vars(first.coords), second.drop_vars(second.coords)


def _n_defined(pair: tuple[xr.DataArray, xr.DataArray]) -> xr.DataArray:
    """Count the visits at which both have a residual: the window of a cycle is whole."""
    first, second = (matrix.notnull().any("visit" + OTHER) for matrix in pair)
    return (first & second).sum()


def report(dataset: xr.Dataset) -> Report:
    """Report the correlation and its p-value."""
    numbers = {name: dataset[name].item() for name in TESTED}
    sides = zip(("kind", "other_kind"), ("order", "order_other"), strict=True)
    first, second = (_side(*(str(dataset.attrs[name]) for name in side)) for side in sides)
    undefined = bool(dataset["correlation"].isnull())
    missing = (
        "Not defined: too few visits, or the similarity of visits follows from how far they lie apart alone.",
    )
    return Report(
        numbers={**numbers, **{name: dataset.attrs[name] for name in FACTS}},
        columns=("correlation", "p", "visits"),
        rows=rows_of(dataset[name].expand_dims("test") for name in TESTED),
        title=f"{first.capitalize()} against {second}",
        notes=(
            "Correlation, over pairs of visits, of the cosines between residuals less their mean at "
            "each lag. Null: what happens at which visit of one does not matter to the other. One-sided.",
            f"Visits are turned round by 1, 2, … places: no p is below 1/{max(1, numbers['n_visits'])}.",
            *(missing if undefined else ()),
        ),
    )


def _side(kind: str, order: str) -> str:
    return f"{kind} in {order} order" if order else kind


MANTEL = Analysis(
    name="mantel",
    summary="Whether two runs are alike at the same visits: Mantel's test, by rotation of the visits.",
    build=build,
    report=report,
    options={
        "kind": VALUE_OPTIONS["kind"],
        "other_kind": "Which values of the second run; the same as of the first if not given.",
        "select": VALUE_OPTIONS["select"],
    },
    n_traces=(2, 2),
    details="Which visits are alike in one run, beyond what follows from how far they lie apart, and are the "
    "same visits alike in the other? For two kinds of one run, name it twice. Null hypothesis: what happens "
    "at which visit of one does not matter to the other. All visits of one are turned round together, and "
    "neighbours stay neighbours: free permutation takes visits for independent, and rejects far too often.",
    examples=(
        "runs/cyclic-0.zarr runs/cyclic-1.zarr",
        "demo/cyclic.zarr demo/shuffled.zarr --select '*weight'",
        "demo/cyclic.zarr demo/cyclic.zarr --other-kind activations",
    ),
)
