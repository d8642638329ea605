"""Slices of stored rows are cut before tasks are made, and whole ones are read in one task."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit import Field, Plan, Rows, TraceWriter, flat, load, open_trace
from tracekit.format import layout
from tracekit.reading import lazy, sharing, stored, together
from tracekit.reading.lazy import StoredArray
from tracekit.testing import ComputedError, no_compute

N_VISITS, N_COLUMNS = 9, 60
READ_AND_HANDED_OVER = 2
VALUES = np.arange(N_VISITS * N_COLUMNS, dtype="f4").reshape(N_VISITS, N_COLUMNS)


@pytest.fixture(scope="module", autouse=True)
def many_blocks():
    """Cut everything small, so that each array has many blocks, parts, shards and chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_BYTES", 28)
        patch.setattr(layout, "SHARD_BYTES", 112)
        patch.setattr(stored, "BLOCK_BYTES", 200)
        patch.setattr(stored, "BLOCK_SAMPLES", 4)
        patch.setattr(together, "JOB_BYTES", 60)
        yield


@pytest.fixture(scope="module")
def trace(many_blocks, tmp_path_factory):
    path = tmp_path_factory.mktemp("lazy") / "run.zarr"
    plan = Plan(np.zeros((1, N_VISITS - 1), np.int64), n_tasks=1, updates_per_visit=1)
    with TraceWriter.create(path, plan, durability="rename") as writer:
        fields = [Field(f"w{number}", (2, 5)) for number in range(N_COLUMNS // 10)]
        writer.declare_rows(Rows("weights", tuple(fields), tuple(range(N_VISITS))))
        for visit in range(N_VISITS):
            writer.put_row("weights", visit, VALUES[visit])
            writer.commit(plan.visit(visit))
    return open_trace(path)


def keys(size):
    """Slices, integers and lists over a dim."""
    # dask itself slices [-size - 1::-1] wrongly, which is not ours to test
    bounds = st.none() | st.integers(-size, size + 1)
    steps = st.sampled_from([None, 1, 2, -1, -3])
    places = st.integers(-size, size - 1)
    return st.builds(slice, bounds, bounds, steps) | places | st.lists(places, min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(keys(N_VISITS), keys(N_COLUMNS), keys(4))
def test_slices_of_slices_are_what_numpy_gives(trace, visits, columns, again):
    if isinstance(visits, list) and isinstance(columns, list):
        columns = columns[0]
    rows = flat(trace, "weights").data

    expected, found = VALUES[visits, columns], rows[visits, columns]
    if expected.ndim and expected.shape[0] >= 4:
        expected, found = expected[again], found[again]

    np.testing.assert_array_equal(found.compute(), expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True), keys(N_VISITS), keys(10))
def test_chosen_parameters_are_columns_one_after_another(trace, numbers, visits, columns):
    if isinstance(visits, list) and isinstance(columns, list):
        columns = columns[0]
    chosen = flat(trace, "weights", [f"w{number}" for number in numbers])
    places = np.concatenate([np.arange(n * 10, n * 10 + 10) for n in sorted(numbers)])

    np.testing.assert_array_equal(chosen.data[visits, columns].compute(), VALUES[:, places][visits, columns])


def n_tasks(array):
    """Count the tasks that a computation of an array takes."""
    counted = []
    with dask.callbacks.Callback(pretask=lambda key, *_: counted.append(key)):
        np.asarray(array)
    return len(counted)


def test_what_is_wanted_whole_is_one_task(trace):
    values = flat(trace, "weights")

    assert values.data.npartitions > 10 > READ_AND_HANDED_OVER
    assert n_tasks(values.data) <= READ_AND_HANDED_OVER
    assert n_tasks(values.isel(visit=3).data) <= READ_AND_HANDED_OVER
    assert n_tasks(flat(trace, "weights", ["w1", "w4"]).isel(visit=[1, 5]).data) <= READ_AND_HANDED_OVER
    assert n_tasks(trace["weights"]["w2"].sel(visit=slice(2, 6)).data) <= READ_AND_HANDED_OVER


def test_what_is_made_of_it_is_an_ordinary_array_of_blocks(trace):
    values = flat(trace, "weights")

    for made in (values.data + 1, values.data.T, values.data.rechunk((2, 5)), values.persist().data):
        assert type(made) is da.Array
    together = dask.compute(values.data, values.data.sum(), values.isel(visit=2).data)
    np.testing.assert_array_equal(together[0], VALUES)
    assert together[1] == VALUES.sum(dtype="f8")
    np.testing.assert_array_equal(together[2], VALUES[2])
    np.testing.assert_array_equal(values.persist(), VALUES)


def test_stored_arrays_go_with_what_is_made_of_them(trace):
    """To xarray, which refuses to mix types of chunked arrays, all are of one type."""
    one, other = trace["weights"]["w1"], trace["weights"]["w2"]
    norm = (other**2).sum("axis1_5")
    added = xr.apply_ufunc(np.add, one, other + 1, dask="parallelized")
    loaded = xr.Dataset({"one": one, "norm": norm, "added": added}).load()
    first, second = VALUES.reshape(N_VISITS, -1, 2, 5)[:, [1, 2]].swapaxes(0, 1)

    np.testing.assert_array_equal(loaded["one"], first)
    np.testing.assert_array_equal(loaded["norm"], (second**2).sum(2))
    np.testing.assert_array_equal(loaded["added"], first + second + 1)
    for pair in ((one, other + 1), (other + 1, one)):
        found = xr.concat(pair, "place", coords="minimal", compat="override")
        np.testing.assert_array_equal(found, np.stack([np.asarray(item) for item in pair]))


@pytest.mark.parametrize("visit", [3, slice(2, 4), [1, 7]])
def test_variables_of_the_same_visits_are_read_together(trace, opened, monkeypatch, visit):
    monkeypatch.setattr(together, "JOB_BYTES", 1 << 20)
    chosen = trace["weights"].to_dataset().isel(visit=visit)
    found = load(chosen)

    n_shards = VALUES[0].nbytes // 112 + 1
    assert opened() == sorted(set(opened()))
    assert len(opened()) == n_shards * VALUES[visit].size // N_COLUMNS
    for number in range(6):
        expected = VALUES[visit][..., number * 10 : number * 10 + 10]
        np.testing.assert_array_equal(found[f"w{number}"], expected.reshape(*expected.shape[:-1], 2, 5))
        assert found[f"w{number}"].dtype == "f4"


def test_what_was_loaded_has_memory_of_its_own(trace):
    """One of many variables that is kept must not keep the others' memory."""
    found = load(trace["weights"].to_dataset().isel(visit=3))
    for array in found.data_vars.values():
        owner = array.values if array.values.base is None else array.values.base
        assert owner.nbytes == array.nbytes


def test_loading_keeps_what_was_made_and_where_it_was(trace):
    weights = trace["weights"].to_dataset()[["w1", "w4"]]
    mixed = weights.assign(norm=(weights["w1"] ** 2).sum("axis1_5"), plain=("place", np.arange(3)))
    xr.testing.assert_identical(load(mixed), mixed.compute())
    xr.testing.assert_identical(load(mixed[["norm"]]), mixed[["norm"]].compute())
    assert mixed["w1"].chunks is not None
    with no_compute(), pytest.raises(ComputedError):
        load(mixed)
    several = dask.compute(mixed["norm"].data, mixed["w4"].isel(visit=0).data, mixed["w1"].isel(visit=0).data)
    np.testing.assert_array_equal(several[1], VALUES[0, 40:50].reshape(2, 5))
    np.testing.assert_array_equal(several[2], VALUES[0, 10:20].reshape(2, 5))


def test_a_slice_is_named_by_what_it_holds(trace):
    values = flat(trace, "weights").data

    assert values[2:5].name == values[2:5].name
    assert (
        len({values[2:5].name, values[2:6].name, values[2].name, values[[2]].name, values[2:5, :9].name}) == 5
    )
    assert values[1:][1:4].shape == (4 - 1, N_COLUMNS)


def test_it_goes_through_pickle_and_other_processes(trace):
    values = flat(trace, "weights").data[1:]
    again = pickle.loads(pickle.dumps(values))

    assert isinstance(again, StoredArray)
    np.testing.assert_array_equal(again.compute(scheduler="processes"), VALUES[1:])


def test_what_was_assigned_to_is_what_is_read(trace):
    """Dask changes an array in place, by another graph; what is stored must not be read in its stead."""
    before = trace["weights/flat"]["values"].values
    expected = before.copy()
    expected[1, 2:5] = 7
    rows = trace["weights/flat"].to_dataset()["values"].copy()
    rows.variable.data = trace["weights/flat"]["values"].isel(visit=slice(None)).data
    rows[1, 2:5] = 7
    for found in (rows, pickle.loads(pickle.dumps(rows))):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found[1, :6], expected[1, :6])
        np.testing.assert_array_equal(load(found.to_dataset(name="rows"))["rows"], expected)
    np.testing.assert_array_equal(trace["weights/flat"]["values"], before)


def test_tasks_are_made_when_they_are_asked_for(trace, monkeypatch):
    """To make them takes most of the time of selecting many variables, which `load` then reads without."""
    weights = trace["weights"].to_dataset()
    weights.isel(visit=0)  # xarray asks those that it selects from, once
    made = []
    real = lazy._graph
    monkeypatch.setattr(lazy, "_graph", lambda *args: made.append(args[-1]) or real(*args))
    chosen = weights.isel(visit=3)
    np.testing.assert_array_equal(load(chosen)["w2"], VALUES[3, 20:30].reshape(2, 5))

    assert not made
    assert chosen["w1"].data.dask is chosen["w1"].data.dask
    assert made == [chosen["w1"].data.name]


def test_nothing_is_read_by_slicing(trace):
    with no_compute():
        flat(trace, "weights", "w*").isel(visit=slice(1, 5)).isel(element=slice(3, 8)).sum("visit")


@pytest.mark.parametrize("n_threads", [1, 2, 3, 64])
def test_threads_share_out_every_job_once(n_threads):
    done = []
    sharing.in_threads(done.append, list(range(37)), n_threads)
    assert sorted(done) == list(range(37))


def test_an_error_in_a_thread_is_raised():
    def fail(job):
        raise OSError(job)

    with pytest.raises(OSError, match=r"[012]"):
        sharing.in_threads(fail, [0, 1, 2], 2)


def test_reading_goes_through_the_scheduler_that_is_set(trace):
    with no_compute(), pytest.raises(ComputedError):
        np.asarray(flat(trace, "weights").data)
    values = flat(trace, "weights").isel(visit=[1, 2])
    np.testing.assert_array_equal(values.data.compute(scheduler="synchronous"), VALUES[1:3])
