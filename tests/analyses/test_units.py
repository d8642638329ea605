"""Every number says its units; those of shares, correlations and p-values are none."""

import numpy as np
import pytest
import xarray as xr

from analyses import (
    adjusted,
    cosine,
    distance,
    gram,
    order_test,
    pca,
    rdm,
    recovery,
    recovery_test,
    residual_gram,
    statistics,
    step_length,
)
from analyses.names import LONG_NAMES, POOLED, named
from analyses.units import root, squared
from tracekit import flat, plugins
from tracekit.testing import synthetic_losses, synthetic_runs, synthetic_trace

LOSS = "nats per token"
OF_THE_METRIC = ("value",)
WITHOUT = ("p_value", "score", "cosine", "ratio", "similarity", "n_tasks", "n_pairs", "n_entries")


@pytest.fixture(scope="module")
def trace():
    return synthetic_trace(n_tasks=5, n_epochs=3)


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_every_number_of_an_analysis_says_its_units(name):
    analysis = plugins.load("tracekit.analyses", name)
    result = analysis.build(*synthetic_runs(analysis.n_traces[0], n_tasks=5))
    for variable, values in result.data_vars.items():
        if np.issubdtype(values.dtype, np.floating):
            assert values.attrs.get("units"), variable
        if variable.endswith(WITHOUT):
            assert values.attrs.get("units", "1") == "1", variable


def test_losses_keep_their_units_and_what_is_a_share_of_them_has_none(trace):
    losses = trace["losses"].to_dataset()
    units = {name: values.attrs.get("units", "1") for name, values in recovery(losses).items()}
    assert {name for name, each in units.items() if each == LOSS} == {"after", "before", "peak", "forgetting"}
    tested = recovery_test(losses, n_resamples=9)
    assert (tested["drop"].attrs["units"], tested["p_value"].attrs["units"]) == (LOSS, "1")
    assert adjusted(tested["p_value"]).attrs["units"] == "1"


def test_lengths_have_the_units_of_the_values_and_products_their_square(trace):
    values = flat(trace, "gradients").assign_attrs(units="nats per token")
    matrix = gram(values)
    assert matrix.attrs["units"] == f"({LOSS})²"
    assert [each.attrs["units"] for each in (distance(matrix), step_length(matrix))] == [LOSS] * 2
    assert cosine(matrix).attrs["units"] == "1"
    assert residual_gram(values, window=3).attrs["units"] == f"({LOSS})²"
    assert [root("V"), root("1"), squared("1"), squared("V"), root("(V)²")] == ["1", "1", "1", "(V)²", "V"]
    components = pca(matrix)
    assert components["scores"].attrs["units"] == LOSS
    assert components["explained_variance_ratio"].attrs["units"] == "1"


def test_dissimilarities_have_units_where_they_are_distances(trace):
    values = flat(trace, "activations").assign_attrs(units="V")
    assert [rdm(values, metric=metric).attrs["units"] for metric in ("euclidean", "cosine")] == ["V", "1"]
    assert statistics(trace, "weights")["norm"].attrs["units"] == "1"


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_every_variable_says_in_words_what_it_is(name):
    analysis = plugins.load("tracekit.analyses", name)
    result = analysis.build(*synthetic_runs(analysis.n_traces[0], n_tasks=5))
    for variable, values in result.data_vars.items():
        known = str(variable).removeprefix(POOLED) in LONG_NAMES or variable in OF_THE_METRIC
        assert known, f"{variable} is missing in analyses.names"
        assert values.attrs["long_name"].strip()
        assert "units" in values.attrs


def test_names_say_what_a_number_is_and_not_what_it_was():
    losses = synthetic_losses().assign_attrs(long_name="losses")
    losses["eval_loss"].attrs["long_name"] = "loss of every task"
    found = recovery(losses)
    assert found["recovery_score"].attrs["long_name"].startswith("share of the forgetting")
    assert found["n_tasks"].attrs == {"units": "1", "long_name": "number of tasks"}
    tested = order_test(found, found, n_resamples=9)
    assert tested["pooled_p_value"].attrs["long_name"] == "p-value, of all intervals together"


def test_names_that_nobody_listed_are_kept():
    values = xr.Dataset({"own_number": 1.0, "other": 2.0})
    values["other"].attrs["long_name"] = "what I call it"
    found = named(values)
    assert [each.attrs["long_name"] for each in found.values()] == ["own number", "what I call it"]
    assert "long_name" not in values["own_number"].attrs
