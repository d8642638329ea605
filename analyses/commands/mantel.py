"""`tracekit analyze mantel`: whether two runs, or two kinds of tensors, are alike at the same visits."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyses.commands.by_part import of_parts
from analyses.commands.parts import ADJUSTED, P_HEADS, PART_OPTIONS, SEVERAL_TESTS, rows_of, with_adjusted
from analyses.grams import OTHER
from analyses.groups import By
from analyses.inputs import coordinate
from analyses.names import named
from analyses.rotation import mantel
from analyses.similarity import residual_cosine
from analyses.traces import gram_of, order_of, path_of
from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis, Report

TESTED = ("correlation", "p_value", "n_visits")
FACTS = ("kind", "other_kind", "select", "order", "order_other")
NULL = (
    "Correlation, over pairs of visits, of the cosines between residuals less their mean at each lag. "
    "Null: what happens at which visit of one does not matter to the other. One-sided."
)
NOT_DEFINED = (
    "Not defined: too few visits, or the similarity of visits follows from how far they lie apart alone."
)


def build(
    *traces: xr.DataTree,
    kind: str = "weights",
    other_kind: str | None = None,
    select: str | None = None,
    by: By = "model",
) -> xr.Dataset:
    """Build Mantel's correlation between the residual cosines of two runs, and its p-value, of each part."""
    kinds = (kind, other_kind or kind)
    matrices = [_between_visits(*each, select, by) for each in zip(traces, kinds, strict=True)]
    pair = _at_shared_visits(traces, matrices)
    orders = {"order": order_of(traces[0]), "order_other": order_of(traces[1])}
    facts = {"kind": kinds[0], "other_kind": kinds[1], "select": select or "", "by": by, **orders}
    if by == "model":
        return named(_tested(*pair)).assign_attrs(facts)
    parts, left_out = _shared_parts(traces, pair, by)
    result = with_adjusted(_tested(*(each.sel({by: parts}) for each in pair)), by)
    return named(result).assign_attrs(facts, left_out=left_out)


def _tested(first: xr.DataArray, second: xr.DataArray) -> xr.Dataset:
    """Test two matrices, and count the visits at which both have a residual: a window is whole."""
    known = [each.notnull().any("visit" + OTHER) for each in (first, second)]
    return mantel(first, second).assign(n_visits=(known[0] & known[1]).sum("visit"))


def _between_visits(trace: xr.DataTree, kind: str, select: str | None, by: By) -> xr.DataArray:
    return residual_cosine(gram_of(trace, kind, select, by=by), window=int(trace.attrs["n_tasks"]))


def _at_shared_visits(
    traces: tuple[xr.DataTree, ...], matrices: list[xr.DataArray]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Give both matrices between the visits that both have, numbered by them and by nothing else."""
    visits, others = (coordinate(matrix, "visit") for matrix in matrices)
    shared = np.intersect1d(visits, others)
    if shared.size == 0 < min(visits.size, others.size):
        raise AnalysisError(
            f"{path_of(traces[1])}: expected visits that {path_of(traces[0])} has too, such as {visits[-1]}, "
            f"found none, but {others[-1]}; choose kinds recorded at the same visits"
        )
    chosen = (matrix.sel({"visit": shared, "visit" + OTHER: shared}) for matrix in matrices)
    first, second = (matrix.reset_coords(drop=True) for matrix in chosen)
    return first, second


def _shared_parts(
    traces: tuple[xr.DataTree, ...], pair: tuple[xr.DataArray, xr.DataArray], by: By
) -> tuple[list[str], list[str]]:
    """Give the names of the parts that both have, and of those that one of them lacks."""
    names, others = (matrix[by].values.tolist() for matrix in pair)
    shared = [name for name in names if name in others]
    if not shared:
        raise AnalysisError(
            f"{path_of(traces[1])}: expected a {by} that {path_of(traces[0])} has too, such as {names[0]}, "
            f"found none, but {others[0]}; compare the two as a whole"
        )
    return shared, [name for name in dict.fromkeys([*names, *others]) if name not in shared]


def report(dataset: xr.Dataset) -> Report:
    """Report the correlation and its p-value, or those of each part."""
    if dataset.attrs["by"] != "model":
        return _of_parts(dataset)
    numbers = {name: dataset[name].item() for name in TESTED}
    undefined = bool(dataset["correlation"].isnull())
    return Report(
        numbers={**numbers, **{name: dataset.attrs[name] for name in FACTS}},
        columns=("correlation", "p", "visits"),
        rows=rows_of(dataset[name].expand_dims("test") for name in TESTED),
        title=_against(dataset),
        notes=(*_notes(dataset), *((NOT_DEFINED,) if undefined else ())),
    )


def _of_parts(dataset: xr.Dataset) -> Report:
    listed = ("correlation", "p_value", *ADJUSTED, "n_visits")
    heads = ("correlation", *P_HEADS, "visits")
    left_out = ", ".join(dataset.attrs["left_out"])
    return of_parts(
        dataset,
        {head: dataset[name] for head, name in zip(heads, listed, strict=True)},
        numbers=listed,
        facts=("other_kind", "order_other", "left_out"),
        title=f"{_against(dataset)}, each {dataset.attrs['by']}",
        notes=(
            *_notes(dataset),
            SEVERAL_TESTS,
            *((f"Left out, since one of the two lacks them: {left_out}.",) if left_out else ()),
        ),
        undefined=NOT_DEFINED,
    )


def _notes(dataset: xr.Dataset) -> tuple[str, ...]:
    most = max(1, int(dataset["n_visits"].max()))
    least = f"no p is below 1/{most}"
    if dataset["p_value"].size > 1:
        least += f", and no p, Holm below {dataset['p_value'].size}/{most}"
    return NULL, f"Visits are turned round by 1, 2, … places: {least}."


def _against(dataset: xr.Dataset) -> str:
    sides = zip(("kind", "other_kind"), ("order", "order_other"), strict=True)
    first, second = (_side(*(str(dataset.attrs[name]) for name in side)) for side in sides)
    return f"{first.capitalize()} against {second}"


def _side(kind: str, order: str) -> str:
    return f"{kind} in {order} order" if order else kind


MANTEL = Analysis(
    name="mantel",
    summary="Whether two runs are alike at the same visits: Mantel's test, by rotation of the visits.",
    build=build,
    report=report,
    options={
        **PART_OPTIONS,
        "other_kind": "Which values of the second run; the same as of the first if not given.",
    },
    n_traces=(2, 2),
    details="Which visits are alike in one run, beyond what follows from how far they lie apart, and are the "
    "same visits alike in the other? For two kinds of one run, name it twice. Null hypothesis: what happens "
    "at which visit of one does not matter to the other. All visits of one are turned round together, and "
    "neighbours stay neighbours: free permutation takes visits for independent, and rejects far too often.",
    examples=(
        "runs/cyclic-0.zarr runs/cyclic-1.zarr",
        "runs/cyclic-0.zarr runs/cyclic-1.zarr --by layer",
        "demo/cyclic.zarr demo/shuffled.zarr --select '*weight'",
        "demo/cyclic.zarr demo/cyclic.zarr --other-kind activations",
    ),
)
