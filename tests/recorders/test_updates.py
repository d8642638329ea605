"""Gradients of chosen updates are those that the optimizer used."""

import numpy as np
import pytest

from analyses import cosine, gram, per_visit
from recorders import BaseRecorder, GradientRecorder
from tracekit import Recording, flat, open_trace
from tracekit.errors import AnalysisError, ConfigurationError
from tracekit.testing import synthetic_trace
from tracekit.training import parse_configuration, prepare, train

SETTINGS = {
    "tasks": {"kind": "toy", "n_tasks": 3, "inputs": 4, "outputs": 3},
    "training": {"epochs": 2, "updates_per_visit": 4, "threads": 1},
}


class Spy(BaseRecorder):
    """Keeps every gradient."""

    def start(self, run, trace):
        self.model, self.rows = run.model, []

    def before_update(self, update):
        parts = [p.grad.detach().clone().numpy().ravel() for p in self.model.parameters()]
        self.rows.append(np.concatenate(parts))


def recorded(path, **options):
    spy = Spy()
    train(prepare(parse_configuration(SETTINGS)), [Recording(path, [GradientRecorder(**options), spy])])
    return open_trace(path), np.array(spy.rows)


@pytest.mark.parametrize(
    ("options", "updates"),
    [
        ({"updates": "all"}, range(24)),
        ({"updates": "all", "every": 3}, [*range(8, 12), *range(20, 24)]),
        ({"updates": [0, 3]}, [0, 3, 4, 7, 8, 11, 12, 15, 16, 19, 20, 23]),
        ({"updates": [2], "every": 2}, [6, 14, 22]),
    ],
)
def test_each_chosen_update_has_a_row(tmp_path, options, updates):
    trace, rows = recorded(tmp_path / "run.zarr", **options)
    found = flat(trace, "gradients")
    assert found.dims == ("update", "element")
    assert found["update"].values.tolist() == list(updates)
    assert trace["gradients"].attrs["phase"] == "before update"
    np.testing.assert_array_equal(found, rows[list(updates)])
    np.testing.assert_array_equal(trace["gradients"]["w"], rows[list(updates), 12:])


def test_the_first_update_stands_for_its_visit(tmp_path):
    trace, rows = recorded(tmp_path / "run.zarr")
    found = flat(trace, "gradients")
    assert found.dims == ("visit", "element")
    np.testing.assert_array_equal(found, rows[::4])
    assert trace["gradients"].attrs["update_index"] == 0


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ("last", "'first', 'all' or a list"),
        ([], "'first', 'all' or a list"),
        ([1.0], "'first', 'all' or a list"),
        ([-1], "'first', 'all' or a list"),
        ([0, 4], "indices from 0 to 3, since a visit has 4 updates; found 4"),
    ],
)
def test_what_is_no_update_is_named(tmp_path, updates, message):
    with pytest.raises(ConfigurationError, match=message):
        recorded(tmp_path / "run.zarr", updates=updates)


def test_one_update_of_each_visit_for_analyses(tmp_path):
    trace, rows = recorded(tmp_path / "run.zarr", updates=[1, 3])
    values = flat(trace, "gradients")
    with pytest.raises(
        AnalysisError, match=r"expected dim 'visit'.*one update of each visit with .*per_visit"
    ):
        gram(values)
    with pytest.raises(AnalysisError, match="recorded at updates of index 1, 3, not 0"):
        per_visit(values)
    last = per_visit(values, 3)
    assert last.dims == ("visit", "element")
    assert last.visit.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert last.trained_task.dims == ("visit",)
    np.testing.assert_array_equal(last, rows[3::4])
    assert cosine(gram(values, dim="update")).sizes == {"update": 12, "update_other": 12}


def test_rows_per_visit_stay_as_they_are():
    values = flat(synthetic_trace(), "weights")
    assert per_visit(values) is values


def test_a_similarity_of_rows_per_update_is_that_of_first_updates(tmp_path):
    from analyses.registry import build_similarity

    every, _ = recorded(tmp_path / "all.zarr", updates="all")
    first, _ = recorded(tmp_path / "first.zarr")
    found, expected = (build_similarity(trace, kind="gradients", metric="cosine") for trace in (every, first))
    np.testing.assert_array_equal(found.similarity, expected.similarity)
