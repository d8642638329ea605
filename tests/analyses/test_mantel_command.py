"""`tracekit analyze mantel`: what it says of two runs, and of two kinds of one."""

import numpy as np
import pytest
import xarray as xr
from statsmodels.stats.multitest import multipletests

from analyses import mantel, residual_cosine
from analyses.commands.mantel import MANTEL
from analyses.traces import gram_of
from tracekit import flat
from tracekit.errors import AnalysisError
from tracekit.testing import check_analysis, synthetic_trace


@pytest.fixture(scope="module")
def trace():
    return synthetic_trace(n_tasks=4, n_epochs=6, noise=0.3)


def report(*traces, **options):
    return MANTEL.report(MANTEL.build(*traces, **options).compute())


def with_visits(trace, visits):
    """A run whose weights were recorded at some visits alone."""
    nodes = {path: node.to_dataset(inherit=False) for path, node in trace.subtree_with_keys}
    for path in ("weights", "weights/flat"):
        nodes[path] = nodes[path].sel(visit=visits)
    return xr.DataTree.from_dict(nodes)


def renamed(trace, **names):
    """A run whose weights are of a model that calls its parameters otherwise."""
    nodes = {path: node.to_dataset(inherit=False) for path, node in trace.subtree_with_keys}
    values = nodes["weights/flat"]["values"]
    fields = [
        {**field, "name": names.get(field["name"].removeprefix("block."), field["name"])}
        for field in values.attrs["fields"]
    ]
    nodes["weights/flat"] = nodes["weights/flat"].assign(values=values.assign_attrs(fields=fields))
    return xr.DataTree.from_dict(nodes)


def test_the_same_visits_of_a_run_are_as_alike_as_they_can_be(trace):
    numbers = report(trace, trace).numbers
    assert numbers["correlation"] == pytest.approx(1.0)
    assert numbers["n_visits"] == 25 - 3  # a window of four visits is whole at all but three
    assert numbers["p_value"] == pytest.approx(1 / 22)


def test_it_is_the_test_of_residual_cosines(trace):
    after_visit_0 = {"visit": slice(1, None), "visit_other": slice(1, None)}
    weights = residual_cosine(flat(trace, "weights"), window=4).isel(after_visit_0)
    expected = mantel(weights, residual_cosine(flat(trace, "gradients"), window=4)).compute()
    numbers = report(trace, trace, other_kind="gradients").numbers
    assert numbers["correlation"] == pytest.approx(expected["correlation"].item())
    assert numbers["p_value"] == pytest.approx(expected["p_value"].item())
    assert numbers["other_kind"] == "gradients"


def test_visits_are_matched_by_number(trace):
    later = with_visits(trace, np.arange(5, 25))
    found = report(trace, later).numbers
    assert found["correlation"] == pytest.approx(1.0)
    assert found["n_visits"] == 25 - 5 - 3


def test_no_visit_in_common_is_an_error(trace):
    even, odd = (with_visits(trace, np.arange(first, 25, 2)) for first in (0, 1))
    with pytest.raises(AnalysisError, match="expected visits that memory has too, such as 24, found none"):
        MANTEL.build(even, odd)


def test_a_strict_cycle_is_no_evidence_and_that_is_said():
    found = report(synthetic_trace(), synthetic_trace())
    assert np.isnan(found.numbers["correlation"])
    assert any(note.startswith("Not defined") for note in found.notes)


def test_each_part_has_a_row_its_own_numbers_and_adjusted_p_values(trace):
    found = report(trace, trace, other_kind="gradients", by="parameter")
    assert found.columns == ("parameter", "correlation", "p", "p, Holm", "p, BH", "visits")
    assert found.numbers["parameter"] == [row[0] for row in found.rows] == ["block.weight", "block.bias"]
    for place, name in enumerate(found.numbers["parameter"]):
        alone = report(trace, trace, other_kind="gradients", select=name).numbers
        for key in ("correlation", "p_value", "n_visits"):
            assert found.numbers[key][place] == pytest.approx(alone[key])
    p_values = found.numbers["p_value"]
    np.testing.assert_allclose(found.numbers["p_holm"], multipletests(p_values, method="holm")[1])
    np.testing.assert_allclose(
        found.numbers["p_benjamini_hochberg"], multipletests(p_values, method="fdr_bh")[1]
    )
    assert found.numbers["left_out"] == []
    assert any(note.endswith("no p is below 1/21, and no p, Holm below 2/21.") for note in found.notes)


def test_parts_that_one_of_the_two_lacks_are_left_out_and_named(trace):
    found = report(trace, renamed(trace, weight="head.weight"), by="parameter")
    assert found.numbers["parameter"] == ["block.bias"]
    assert found.numbers["p_holm"] == found.numbers["p_value"]
    assert found.numbers["left_out"] == ["block.weight", "head.weight"]
    assert any(note.endswith("lacks them: block.weight, head.weight.") for note in found.notes)


def test_parts_none_of_which_both_have_are_an_error(trace):
    other = renamed(trace, weight="head.weight", bias="head.bias")
    with pytest.raises(
        AnalysisError, match=r"that memory has too, such as block\.weight, found none, but head"
    ):
        MANTEL.build(trace, other, by="parameter")


def test_matrices_of_other_parts_are_an_error_that_says_so(trace):
    similarity = residual_cosine(gram_of(trace, "weights", by="parameter"), window=4)
    with pytest.raises(AnalysisError, match="expected two matrices of the same parts"):
        mantel(similarity, similarity.assign_coords(parameter=["one", "other"]))


def test_parts_keep_the_rules():
    check_analysis(MANTEL, options={"by": "layer"}, large_elements=200_000)
