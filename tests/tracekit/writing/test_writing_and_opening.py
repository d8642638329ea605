"""What is put comes back, by name and shape, and nothing else does."""

import sys

import numpy as np
import pytest
import xarray as xr
import zarr

from tracekit import Field, Plan, Rows, Series, TraceWriter, flat, kinds, open_trace
from tracekit.errors import TraceError, TraceExistsError, TraceInUseError, TraceWriteError
from tracekit.format.layout import METADATA
from tracekit.store import LocalStore
from tracekit.testing.written import write_example_trace

PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=3)
FIELDS = (Field("embed.weight", (5, 4)), Field("head.bias", (3,)), Field("scale", ()))
WEIGHTS = np.random.default_rng(0).standard_normal((5, 24)).astype("f4")


def record(path, *, n_visits=5, cadence=(0, 1, 2, 3, 4), **settings):
    """Write a trace with every kind of array in it, up to `n_visits` snapshots."""
    trace = TraceWriter.create(path, PLAN, **settings)
    trace.declare_rows(Rows("weights", FIELDS, cadence))
    trace.declare_rows(Rows("activations", (Field("mlp", (2, 2)),), (1, 3), ("probe", ("b", "a"))))
    series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
    trace.declare_series(series, labels={"task": ["a", "b"]})
    for number in range(n_visits):
        put_all(trace, number, cadence)
        trace.commit(PLAN.visit(number))
    return trace


def put_all(trace, number, cadence=(0, 1, 2, 3, 4)):
    for update in PLAN.updates(PLAN.visit(number)) if number else ():
        trace.put("losses", "train_loss", update.number / 10)
    trace.put("losses", "eval_loss", [number, number + 0.5])
    if number in cadence:
        trace.put_row("weights", number, WEIGHTS[number])
    if number in (1, 3):
        trace.put_row("activations", number, number + np.arange(8, dtype="f4").reshape(2, 4))


def test_everything_comes_back_by_name_and_shape(tmp_path):
    record(tmp_path / "run.zarr").close()
    trace = open_trace(tmp_path / "run.zarr")

    weights = trace["weights"]
    assert weights["embed.weight"].dims == ("visit", "axis0_5", "axis1_4")
    np.testing.assert_array_equal(weights["embed.weight"].values, WEIGHTS[:, :20].reshape(5, 5, 4))
    np.testing.assert_array_equal(weights["head.bias"].values, WEIGHTS[:, 20:23])
    np.testing.assert_array_equal(weights["scale"].values, WEIGHTS[:, 23])
    np.testing.assert_array_equal(trace["weights/flat"]["values"].values, WEIGHTS)
    np.testing.assert_array_equal(trace["losses"]["eval_loss"].sel(task="b"), np.arange(5) + 0.5)
    np.testing.assert_allclose(trace["losses"]["train_loss"], np.arange(12) / 10)
    activations = trace["activations"]["mlp"]
    assert activations.dims == ("visit", "probe", "axis0_2", "axis1_2")
    np.testing.assert_array_equal(activations.sel(visit=3, probe="a").values, [[7, 8], [9, 10]])
    assert kinds(trace) == ("activations", "losses", "weights")


def test_coordinates_tell_the_place_in_time(tmp_path):
    record(tmp_path / "run.zarr", cadence=(0, 3)).close()
    trace = open_trace(tmp_path / "run.zarr")

    losses = trace["losses"].to_dataset()
    assert losses.trained_task.values.tolist() == [-1, 0, 1, 1, 0]
    assert losses.epoch.values.tolist() == [-1, 0, 0, 1, 1]
    assert losses.position.values.tolist() == [-1, 0, 1, 0, 1]
    assert losses.update_visit.values.tolist() == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    assert losses["update"].values.tolist() == list(range(12))
    assert (np.diff(losses.wall_time_seconds) >= 0).all()
    weights = trace["weights"].to_dataset()
    assert weights.visit.values.tolist() == [0, 3]
    assert weights.trained_task.values.tolist() == [-1, 1]


def test_only_committed_visits_are_seen(tmp_path):
    path = tmp_path / "run.zarr"
    trace = record(path, n_visits=2)
    put_all(trace, 2)
    trace._state.background.wait()  # everything of visit 2 is on disk, and yet not committed

    seen = open_trace(path)

    assert seen.attrs["snapshots_committed"] == 2
    assert seen["losses"].visit.values.tolist() == [0, 1]
    assert seen["losses"].sizes["update"] == 3
    assert seen["weights"].visit.values.tolist() == [0, 1]
    assert seen["activations"].visit.values.tolist() == [1]
    trace.commit(PLAN.visit(2))
    assert open_trace(path)["losses"].visit.values.tolist() == [0, 1, 2]
    trace.close("failed")
    assert open_trace(path).attrs["status"] == "failed"


def test_an_empty_trace_opens_with_nothing_in_it(tmp_path):
    trace = record(tmp_path / "run.zarr", n_visits=0)
    seen = open_trace(tmp_path / "run.zarr")
    trace.close()

    assert seen.attrs["snapshots_committed"] == 0
    assert seen["losses"].eval_loss.shape == (0, 2)
    assert seen["weights"]["embed.weight"].values.shape == (0, 5, 4)


def test_zarr_and_xarray_read_it_without_tracekit(tmp_path):
    record(tmp_path / "run.zarr").close()

    group = zarr.open_group(tmp_path / "run.zarr", mode="r")
    np.testing.assert_array_equal(group["weights/values"][:], WEIGHTS)
    assert group["commit"][:].tolist() == [5, 0]
    losses = xr.open_zarr(tmp_path / "run.zarr", group="losses", consolidated=False, zarr_format=3)
    np.testing.assert_array_equal(losses.eval_loss.sel(visit=3), [3, 3.5])


@pytest.mark.parametrize(
    ("select", "columns"),
    [
        ("*bias", slice(20, 23)),
        (["scale", "head*"], slice(20, 24)),
        (["embed*", "scale"], [*range(20), 23]),
        (None, slice(None)),
    ],
)
def test_flat_rows_of_chosen_parameters(tmp_path, select, columns):
    record(tmp_path / "run.zarr").close()

    chosen = flat(open_trace(tmp_path / "run.zarr"), "weights", select)

    np.testing.assert_array_equal(chosen.values, WEIGHTS[:, columns])


def test_flat_says_what_there_is(tmp_path):
    trace = open_trace(write_example_trace(tmp_path / "run.zarr"))
    with pytest.raises(TraceError, match=r"holds no 'gradients'; it holds weights"):
        flat(trace, "gradients")
    with pytest.raises(TraceError, match=r"no name in .* matches .layer.wieght..*layer.weight"):
        flat(trace, "weights", "layer.wieght")


def test_a_second_trace_does_not_overwrite_the_first(tmp_path):
    path = write_example_trace(tmp_path / "run.zarr")
    with pytest.raises(TraceExistsError, match="there is a trace here already"):
        record(path)
    record(path, overwrite=True).close()
    assert open_trace(path)["losses"].sizes["task"] == 2


def test_a_trace_in_which_nothing_was_committed_makes_room_once_its_writer_is_gone(tmp_path):
    first = TraceWriter.create(tmp_path / "run.zarr", PLAN)
    with pytest.raises(TraceInUseError, match=r"run\.zarr"):
        TraceWriter.create(tmp_path / "run.zarr", PLAN)
    first.close("failed")
    record(tmp_path / "run.zarr").close()
    assert open_trace(tmp_path / "run.zarr").attrs["snapshots_committed"] > 0


def test_overwrite_deletes_traces_only(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(TraceExistsError, match="there is something here already"):
        record(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_does_not_fit_is_refused_and_costs_nothing_written(tmp_path):
    trace = record(tmp_path / "run.zarr", n_visits=1)
    with pytest.raises(TraceWriteError, match=r"expected shape \(24,\) .* found \(23,\)"):
        trace.put_row("weights", 1, WEIGHTS[1, 1:])
    with pytest.raises(TraceWriteError, match="is not among the visits"):
        trace.put_row("weights", 9, WEIGHTS[1])
    with pytest.raises(TraceWriteError, match="no rows 'wights' were declared"):
        trace.put_row("wights", 1, WEIGHTS[1])
    with pytest.raises(TraceWriteError, match="was put already"):
        trace.put_row("weights", 0, WEIGHTS[0])
    with pytest.raises(TraceWriteError, match=r"a sample has shape \(2,\), found \(3,\)"):
        trace.put("losses", "eval_loss", [1, 2, 3])
    with pytest.raises(TraceWriteError, match="no series 'losses/evil_loss'"):
        trace.put("losses", "evil_loss", 1)
    with pytest.raises(TraceWriteError, match="declared already"):
        trace.declare_rows(Rows("weights", FIELDS, (0,)))
    with pytest.raises(TraceWriteError, match="visit 1 is the next to commit, found 2"):
        trace.commit(PLAN.visit(2))
    with pytest.raises(
        TraceWriteError, match=r"cannot be committed without weights, activations, losses/eval_loss"
    ):
        trace.commit(PLAN.visit(1))
    put_all(trace, 1)
    trace.commit(PLAN.visit(1))
    trace.close()
    np.testing.assert_array_equal(open_trace(tmp_path / "run.zarr")["weights/flat"]["values"], WEIGHTS[:2])


class FullDisk(LocalStore):
    """Refuses every object of one key from the n-th on."""

    full = False

    def put_pieces(self, key, pieces):
        if self.full and key.startswith("weights/values"):
            raise OSError(28, "No space left on device")
        super().put_pieces(key, pieces)


def test_a_full_disk_stops_the_run_and_keeps_what_was_committed(tmp_path):
    trace = record(tmp_path / "run.zarr", n_visits=2)
    disk = trace._beginning.store._store
    disk.__class__ = FullDisk
    disk.full = True
    put_all(trace, 2)

    with pytest.raises(
        TraceWriteError, match=r"No space left on device; the trace is good up to visit 1 \(2 of 5"
    ):
        trace.commit(PLAN.visit(2))

    trace.close("failed")
    seen = open_trace(tmp_path / "run.zarr")
    np.testing.assert_array_equal(seen["weights/flat"]["values"], WEIGHTS[:2])


def test_no_partial_files_are_left(tmp_path):
    record(tmp_path / "run.zarr").close()
    assert not list(tmp_path.rglob("*.partial"))


def test_metadata_is_what_zarr_python_makes(tmp_path):
    record(tmp_path / "run.zarr").close()
    array = zarr.open_array(tmp_path / "run.zarr/weights/values", mode="r")
    store = LocalStore(tmp_path / "run.zarr")

    assert array.shape == (5, 24)
    assert np.isnan(array.fill_value)
    assert store.get(f"weights/{METADATA}") is not None


@pytest.mark.skipif(sys.byteorder != "little", reason="numbers are little-endian on the disk")
def test_types_are_called_native_where_they_are(tmp_path):
    """Others, such as netCDF4, go by the name, and warn of a type that is called little-endian."""
    trace = open_trace(write_example_trace(tmp_path / "run.zarr"))
    numbers = [
        values
        for node in trace.subtree
        for values in node.to_dataset().variables.values()
        if values.dtype.kind in "iuf"
    ]
    assert {values.dtype.byteorder for values in numbers} == {"="}
    assert {values.values.dtype.byteorder for values in numbers} == {"="}
