"""`tracekit analyze representation`: how alike the same examples are represented, by visit, layer or run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from analyses.commands import representation_of_layers as layers
from analyses.commands.parts import (
    SEVERAL_TESTS,
    VALUE_OPTIONS,
    numbers_of,
    rows_of,
    subject_of,
    titled,
    with_adjusted,
)
from analyses.dissimilarity import Dissimilarity, rdm, rsa
from analyses.grams import OTHER
from analyses.kernels.recovery import Floats
from analyses.layers import at_visit, examples_of, of_each_layer
from analyses.representation import cka, example_gram, procrustes
from analyses.traces import orders_of
from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis, Report

Measure = Literal["cka", "biased-cka", "procrustes", "rsa"]
Between = Literal["visits", "layers"]
NULL = ("null_mean", "null_high", "p_value")
HEADS = {
    "null_mean": "shuffled",
    "null_high": "95 % of shuffled",
    "p_value": "p",
    "p_holm": "p, Holm",
    "p_benjamini_hochberg": "p, BH",
}
WORDS: dict[str, str] = {
    "cka": "CKA",
    "biased-cka": "biased CKA",
    "procrustes": "Procrustes distance",
    "rsa": "RSA",
}
SETTINGS = (
    *("measure", "dissimilarity", "between", "visit", "kind", "select"),
    *("n_permutations", "seed", "order", "n_tasks"),
)


def build(
    *traces: xr.DataTree,
    kind: str = "activations",
    select: str | None = None,
    measure: Measure = "cka",
    dissimilarity: Dissimilarity = "correlation",
    between: Between = "visits",
    visit: int | None = None,
    n_permutations: int = 99,
    seed: int = 0,
) -> xr.Dataset:
    """Build the similarity of representations between all visits or layers, of one run or of two."""
    values = [examples_of(trace, kind, select) for trace in traces]
    prepare, compare = _measure(measure, dissimilarity, n_permutations, seed)
    if between == "layers":
        values = at_visit(values, traces, visit)
        visit = int(values[0]["visit"])
        matrices = [of_each_layer(each, prepare) for each in values]
    elif visit is not None:
        raise AnalysisError(f"visit {visit} is for between='layers' (--between layers); leave it out")
    else:
        matrices = [prepare(each) for each in values]
    result = compare(*matrices, dim=between.removesuffix("s")).rename({_name(measure): "similarity"})
    settings = {"measure": measure, "dissimilarity": dissimilarity if measure == "rsa" else ""}
    places = {"between": between, "visit": visit}
    null = {"n_permutations": n_permutations, "seed": seed}
    first = {"order": orders_of(traces), "n_tasks": int(traces[0].attrs["n_tasks"])}
    chosen = {"kind": kind, "select": select or "", "n_runs": len(traces)}
    return result.assign_attrs({**settings, **places, **null, **first, **chosen})


def _measure(
    measure: Measure, dissimilarity: Dissimilarity, n_permutations: int, seed: int
) -> tuple[Callable[..., xr.DataArray], Callable[..., xr.Dataset]]:
    """Give what makes a matrix between examples, and what compares two of them."""
    null: dict[str, Any] = {"n_permutations": n_permutations, "seed": seed}
    if measure == "rsa":
        return partial(rdm, dim="example", metric=dissimilarity), partial(rsa, **null)
    prepare = partial(example_gram, dim="example")
    if measure == "procrustes":
        return prepare, _procrustes
    return prepare, partial(cka, unbiased=measure == "cka", **null)


def _procrustes(*grams: xr.DataArray, dim: str) -> xr.Dataset:
    return procrustes(*grams, dim=dim).to_dataset()


def _name(measure: Measure) -> str:
    return {"biased-cka": "cka", "procrustes": "procrustes_distance"}.get(measure, measure)


def report(dataset: xr.Dataset) -> Report:
    """Report how alike visits of one run are by lag, or the same visits of two runs, or pairs of layers."""
    by_lag = dataset.attrs["n_runs"] == 1
    what = WORDS[dataset.attrs["measure"]]
    if dataset.attrs["between"] == "layers":
        return _of_layers(dataset, what)
    table = _by_lag(dataset) if by_lag else _same_visits(dataset)
    place, named = "lag" if by_lag else "visit", [str(name) for name in table.data_vars]
    heads = {"similarity": what, **HEADS}
    return Report(
        numbers={
            **{name: numbers_of(table[name]) for name in (place, *named)},
            **{name: dataset.attrs[name] for name in SETTINGS},
        },
        columns=(place, *(heads[name] for name in named)),
        rows=rows_of(table[name] for name in (place, *named)),
        title=titled(f"{subject_of(dataset)}: {what} {_between(by_lag)}", dataset),
        notes=_notes(dataset, by_lag),
    )


def _of_layers(dataset: xr.Dataset, what: str) -> Report:
    whose = "layers" if dataset.attrs["n_runs"] == 1 else "layers of two runs"
    title = titled(f"{subject_of(dataset)}: {what} between {whose}, visit {dataset.attrs['visit']}", dataset)
    n_pairs = layers.pairs(dataset).sizes["pair"]
    notes = (*_about(dataset), *(_too_few_shuffles(dataset, n_pairs) if "p_value" in dataset else ()))
    found = layers.report(dataset, what=what, heads=HEADS, title=title, notes=notes)
    return replace(found, numbers={**found.numbers, **{name: dataset.attrs[name] for name in SETTINGS}})


def _between(by_lag: bool) -> str:
    return "between visits by lag" if by_lag else "between the same visits of two runs"


def _by_lag(dataset: xr.Dataset) -> xr.Dataset:
    """Give means over the pairs of visits that are each lag apart, up to two cycles; of p-values none."""
    named = [name for name in ("similarity", "null_mean", "null_high") if name in dataset]
    lag = (dataset["visit" + OTHER] - dataset["visit"]).values
    lags = np.unique(lag[(lag >= 0) & (lag <= 2 * dataset.attrs["n_tasks"])])
    means = {name: ("lag", [_mean(dataset[name].values[lag == each]) for each in lags]) for name in named}
    return xr.Dataset(means, coords={"lag": lags})


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _same_visits(dataset: xr.Dataset) -> xr.Dataset:
    """Give what is found at the visits that both runs have, with p-values adjusted for their number."""
    named = [name for name in ("similarity", *NULL) if name in dataset]
    shared = np.intersect1d(dataset["visit"], dataset["visit" + OTHER])
    both = xr.DataArray(shared, dims="visit")
    found = dataset[named].sel({"visit": both, "visit" + OTHER: both}).assign_coords(visit=shared)
    return with_adjusted(found, "visit") if "p_value" in found else found


def _notes(dataset: xr.Dataset, by_lag: bool) -> tuple[str, ...]:
    if by_lag:
        return ("Mean over the pairs of visits that far apart, up to two cycles.", *_about(dataset))
    if "p_value" not in dataset:
        return _about(dataset)
    return (*_about(dataset), SEVERAL_TESTS, *_too_few_shuffles(dataset, dataset["p_value"].sizes["visit"]))


def _about(dataset: xr.Dataset) -> tuple[str, ...]:
    """Say what the numbers are held against, and why they may not be defined."""
    notes = ["A distance: 0 where a rotation makes both the same, at most √2."]
    if "p_value" in dataset:
        notes = [
            "Shuffled: the same with the examples of one side in another order, "
            f"{dataset.attrs['n_permutations']} times. Unit: the example."
        ]
    if bool(dataset["similarity"].isnull().all()):
        notes.append("Not defined: too few examples (unbiased CKA needs four), all alike, or with NaN.")
    return tuple(notes)


def _too_few_shuffles(dataset: xr.Dataset, n_tests: int) -> list[str]:
    """Say so where no p-value could be small once it is adjusted, however alike the runs are."""
    n_shuffles = dataset.attrs["n_permutations"]
    if n_tests <= 0.05 * (n_shuffles + 1):
        return []
    return [
        f"With {n_shuffles} shuffles no p falls below {1 / (n_shuffles + 1):.2g}, nor one of {n_tests} by "
        f"Holm's method below 0.05: choose --n-permutations {20 * n_tests - 1} or more."
    ]


REPRESENTATION = Analysis(
    name="representation",
    summary="How alike examples are represented at two visits or in two layers: CKA, Procrustes, RSA.",
    build=build,
    report=report,
    options={
        **VALUE_OPTIONS,
        "measure": "CKA without bias or with, distance after the best rotation, or RSA.",
        "dissimilarity": "What RSA takes between two examples.",
        "between": "Visits with visits, or layers with layers at one visit; names tell the layers.",
        "visit": "The visit at which layers are compared; the last one if not given.",
        "n_permutations": "How many shuffles of the examples make the null.",
        "seed": "Seed of the shuffling.",
    },
    n_traces=(1, 2),
    details="Of one run, visits are compared by how far they lie apart; of two, the same visits. Layers are "
    "compared pair by pair, those of one run or those of one with those of the other. Null "
    "hypothesis of the p-values: which example is which does not matter; the examples of one side are "
    "shuffled. The unit is the example. Without its null a similarity says little: biased CKA of independent "
    "data nears 1.",
    examples=(
        "demo/cyclic.zarr",
        "demo/cyclic.zarr --between layers --visit 96",
        "demo/cyclic.zarr demo/shuffled.zarr --measure rsa --n-permutations 999",
        "demo/cyclic.zarr demo/shuffled.zarr --measure procrustes",
    ),
)
