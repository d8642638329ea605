"""What is opened without dask gives what is opened with it, reads as little, and fails as loudly."""

import copy
import pickle
import uuid

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

from analyses import gram, recovery
from tracekit import Field, Plan, Rows, Series, TraceWriter, flat, load, open_trace
from tracekit.errors import DamagedTraceError, TraceError, TraceRolledBackError, TraceWarning
from tracekit.format import layout
from tracekit.format.precision import to_bfloat16
from tracekit.reading import together
from tracekit.store import LocalStore
from tracekit.testing import no_compute
from tracekit.testing.written import write_example_trace
from tracekit.writing.truncation import rollback

N_VISITS, N_TASKS, SHAPE = 6, 2, (3, 4)
PLAN = Plan(np.zeros((1, N_VISITS - 1), np.int64), n_tasks=1, updates_per_visit=1)
VALUES = np.random.default_rng(0).standard_normal((N_VISITS, N_TASKS, 3 + 12 + 8)).astype("f4")
FIELDS = (Field("bias", (3,)), Field("w", SHAPE), Field("v", (8,)))
WIDTH = slice(3, 15)


@pytest.fixture(autouse=True, scope="module")
def many_chunks():
    """Cut rows into chunks and shards that agree with no tensor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_BYTES", 28)
        patch.setattr(layout, "SHARD_BYTES", 56)
        patch.setattr(together, "JOB_BYTES", 56)
        yield


def start(path, codec="lz4", dtype="float32", **settings):
    trace = TraceWriter.create(path, PLAN, codec=codec, durability="rename", **settings)
    lead = ("task", ("a", "b"))
    trace.declare_rows(Rows("gradients", FIELDS, tuple(range(N_VISITS)), lead, dtype=dtype))
    trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a", "b"]})
    return trace


def put(trace, visit, dtype="float32"):
    row = VALUES[visit]
    trace.put_row("gradients", visit, to_bfloat16(row) if dtype == "bfloat16" else row)
    trace.put("losses", "eval_loss", [visit, -visit])
    trace.commit(PLAN.visit(visit))


def write(path, codec="lz4", dtype="float32", **settings):
    with start(path, codec, dtype, **settings) as trace:
        for visit in range(N_VISITS):
            put(trace, visit, dtype)
    return path


@pytest.fixture(scope="module")
def path(many_chunks, tmp_path_factory):
    return write(tmp_path_factory.mktemp("indexed") / "run.zarr")


@pytest.fixture(scope="module")
def gradients(path):
    return open_trace(path, chunks=None)["gradients"].to_dataset()


SELECTIONS = [{}, {"visit": -1}, {"visit": slice(4, 1, -2)}, {"visit": [5, 0], "task": 1}, {"task": [1, 0]}]


@pytest.mark.parametrize("place", ["memory://", "{}/"])
@pytest.mark.parametrize(("codec", "dtype"), [("lz4", "float32"), ("none", "float32"), ("lz4", "bfloat16")])
def test_it_is_what_dask_gives(tmp_path, place, codec, dtype):
    url = write(f"{place.format(tmp_path)}{uuid.uuid4().hex}.zarr", codec=codec, dtype=dtype)
    with_dask, without = open_trace(url), open_trace(url, chunks=None)

    assert with_dask.groups == without.groups
    for node in ("gradients", "gradients/flat", "losses"):
        expected, found = with_dask[node].to_dataset(), without[node].to_dataset()
        assert not found.chunks
        for selection in SELECTIONS:
            computed = expected.isel(selection).compute()
            for read in (load, xr.Dataset.load):
                xr.testing.assert_identical(read(found.isel(selection)), computed)


@settings(max_examples=60, deadline=None)
@given(basic_indices((N_VISITS, N_TASKS, *SHAPE), allow_newaxis=False))
def test_any_basic_index(gradients, index):
    values = VALUES[..., WIDTH].reshape(N_VISITS, N_TASKS, *SHAPE)
    np.testing.assert_array_equal(gradients["w"][index], values[index])


@settings(max_examples=30, deadline=None)
@given(*(st.lists(st.integers(-size, size - 1), max_size=4) for size in (N_VISITS, N_TASKS, SHAPE[0])))
def test_any_lists(gradients, visits, tasks, places):
    values = VALUES[..., WIDTH].reshape(N_VISITS, N_TASKS, *SHAPE)
    chosen = gradients.isel(visit=visits, task=tasks, axis0_3=places)
    expected = values[np.ix_(visits, tasks, places)]
    np.testing.assert_array_equal(chosen["w"], expected)
    np.testing.assert_array_equal(load(chosen)["w"], expected)


def test_points_and_other_orders_of_dims(gradients):
    values = VALUES[..., WIDTH].reshape(N_VISITS, N_TASKS, *SHAPE)
    points = gradients.isel(visit=xr.DataArray([1, 3], dims="p"), task=xr.DataArray([0, 1], dims="p"))
    np.testing.assert_array_equal(load(points)["w"], values[[1, 3], [0, 1]])
    mixed = gradients.isel(visit=1, axis0_3=[2, 0])
    np.testing.assert_array_equal(mixed["w"], values[1][:, [2, 0]])
    turned = gradients.transpose("task", "visit", ...).isel(visit=2)
    np.testing.assert_array_equal(load(turned)["w"], values[2])
    np.testing.assert_array_equal(load(gradients.mean("visit"))["w"], values.mean(0))


def test_nothing_is_read_before_values_are_asked_for(path, opened):
    trace = open_trace(path, chunks=None)
    chosen = trace["gradients"].to_dataset().isel(visit=2)
    columns = flat(trace, "gradients", ["bias", "v"]).isel(visit=slice(1, 3))
    assert opened() == []

    chosen["v"].load()
    assert {key.split("/")[3] for key in opened()} == {"2"}, "one visit was asked for, others were read"
    expected = VALUES[1:3][..., [0, 1, 2, *range(15, 23)]]
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(load(columns.to_dataset(name="columns"))["columns"], expected)


def test_variables_of_a_visit_are_read_together(gradients, opened, monkeypatch):
    monkeypatch.setattr(together, "JOB_BYTES", 1 << 20)
    found = load(gradients.isel(visit=3))

    assert len(opened()) == len(set(opened())) > 1
    for name, places in {"bias": slice(0, 3), "w": WIDTH, "v": slice(15, 23)}.items():
        np.testing.assert_array_equal(found[name].values.reshape(N_TASKS, -1), VALUES[3][:, places])
        owner = found[name].values if found[name].values.base is None else found[name].values.base
        assert owner.nbytes == found[name].nbytes, "a variable that is kept would keep the others' memory"


def test_no_dask_takes_part(gradients):
    with no_compute():
        np.testing.assert_array_equal(gradients["v"], VALUES[..., 15:])
        load(gradients.isel(visit=1))
        gradients.isel(visit=slice(2)).load()


def test_variables_with_dask_and_without_can_be_mixed(path, gradients):
    with_dask = open_trace(path)["gradients"].to_dataset()
    mixed = gradients[["w"]].assign(v=with_dask["v"], sum=with_dask["w"].sum("task")).isel(visit=2)
    found = load(mixed)

    assert mixed["v"].chunks
    assert not found.chunks
    xr.testing.assert_identical(found, mixed.compute())
    np.testing.assert_array_equal(found["v"], VALUES[2][..., 15:])


def test_analyses_give_the_same_numbers(tmp_path):
    path = write_example_trace(tmp_path / "run.zarr", n_epochs=4)
    with_dask, without = open_trace(path), open_trace(path, chunks=None)
    losses = [recovery(trace["losses"].to_dataset()).compute() for trace in (with_dask, without)]
    weights = [gram(flat(trace, "weights")).compute() for trace in (with_dask, without)]

    xr.testing.assert_allclose(*losses)
    xr.testing.assert_allclose(*weights)


def test_what_was_not_committed_is_not_there(tmp_path):
    with start(tmp_path / "run.zarr") as trace:
        for visit in range(3):
            put(trace, visit)
        trace.put_row("gradients", 3, VALUES[3])
        before = open_trace(tmp_path / "run.zarr", chunks=None)
        trace.put("losses", "eval_loss", [3, -3])
        trace.commit(PLAN.visit(3))
    after = open_trace(tmp_path / "run.zarr", chunks=None)

    np.testing.assert_array_equal(before["gradients/flat"]["values"], VALUES[:3])
    np.testing.assert_array_equal(after["gradients/flat"]["values"], VALUES[:4])
    assert [len(opened["losses"]["eval_loss"].values) for opened in (before, after)] == [3, 4]


def test_blocks_of_a_growing_trace_are_not_mixed_up(tmp_path):
    """Dask tells work by its name: what was opened later is longer."""
    with start(tmp_path / "run.zarr") as trace:
        found = []
        for visit in range(4):
            put(trace, visit)
            opened = open_trace(tmp_path / "run.zarr", chunks=None)
            found.append(opened["gradients/flat"].to_dataset().chunk()["values"])
        assert all(isinstance(values.data, da.Array) for values in found)
        assert len({values.data.name for values in found}) == 4
        for visit, values in enumerate(dask.compute(*(values.data for values in found))):
            np.testing.assert_array_equal(values, VALUES[: visit + 1])


def test_what_could_not_be_written_is_missing(tmp_path, monkeypatch):
    real = LocalStore.put_pieces

    def refuse(store, key, pieces):
        if key.startswith("gradients/values/c/2/"):
            raise OSError(28, "No space left on device")
        real(store, key, pieces)

    monkeypatch.setattr(LocalStore, "put_pieces", refuse)
    with pytest.warns(TraceWarning, match="visit 2"):
        write(tmp_path / "run.zarr", on_error="warn")
    found = load(open_trace(tmp_path / "run.zarr", chunks=None)["gradients"].to_dataset())

    expected = VALUES[..., 15:].copy()
    expected[2] = np.nan
    np.testing.assert_array_equal(found["v"], expected)


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_damage_is_named(tmp_path, codec):
    path = write(tmp_path / "run.zarr", codec=codec)
    target = path / "gradients/values/c/4/0/0"
    data = bytearray(target.read_bytes())
    data[3] ^= 1
    target.write_bytes(data)
    gradients = open_trace(path, chunks=None)["gradients"].to_dataset()

    load(gradients.isel(visit=3))
    for read in (load, xr.Dataset.load):
        with pytest.raises(DamagedTraceError, match=r"gradients/values/c/4/.*chunk"):
            read(gradients.isel(visit=4))
    target.unlink()
    with pytest.raises(DamagedTraceError, match="missing"):
        gradients.compute()


def test_a_trace_that_went_back_says_so(tmp_path):
    path = write(tmp_path / "run.zarr")
    trace = open_trace(path, chunks=None)
    rollback(path, 3)
    for kind in ("gradients", "losses"):
        for read in (load, xr.Dataset.load):
            with pytest.raises(TraceRolledBackError):
                read(trace[kind].to_dataset().isel(visit=1))


def test_what_is_assigned_changes_a_copy(path):
    gradients = open_trace(path, chunks=None)["gradients"].to_dataset()
    expected = VALUES[..., 15:].copy()
    expected[1, 0, :2] = 7
    gradients["v"][1, 0, :2] = 7

    for found in (gradients, load(gradients), gradients.compute()):
        np.testing.assert_array_equal(found["v"], expected)
    np.testing.assert_array_equal(load(gradients.isel(visit=1))["v"], expected[1])
    np.testing.assert_array_equal(open_trace(path, chunks=None)["gradients"]["v"], VALUES[..., 15:])


def test_it_can_be_copied_and_sent_to_another_process(gradients):
    for found in (copy.deepcopy(gradients), pickle.loads(pickle.dumps(gradients.isel(visit=slice(None))))):
        xr.testing.assert_identical(load(found), gradients.compute())


def test_other_chunks_are_refused(tmp_path):
    path = write_example_trace(tmp_path / "run.zarr")
    for chunks in ({}, {"visit": 2}, 5, "small"):
        with pytest.raises(TraceError, match="give 'auto' or None"):
            open_trace(path, chunks=chunks)
