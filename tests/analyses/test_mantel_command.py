"""`tracekit analyze mantel`: what it says of two runs, and of two kinds of one."""

import numpy as np
import pytest
import xarray as xr

from analyses import mantel, residual_cosine
from analyses.commands.mantel import MANTEL
from tracekit import flat
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_trace


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
