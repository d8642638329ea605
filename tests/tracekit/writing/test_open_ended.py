"""Traces whose end nobody knew: they grow visit by visit, and keep every promise of the others."""

import os
import random
import signal
import time

import numpy as np
import pytest
import xarray as xr
import zarr

from tracekit import Field, Rows, Series, TraceWriter, open_trace
from tracekit.checking.verify import verify
from tracekit.errors import DamagedTraceError, NotATraceError, TraceError, TraceWriteError
from tracekit.format.layout import CAPACITY
from tracekit.format.marker import read_marker
from tracekit.schedule import NOTHING, OpenPlan, Visit
from tracekit.store import LocalStore
from tracekit.writing.background import Cargo
from tracekit.writing.truncation import rollback

PLAN = OpenPlan(n_tasks=2)
N_COLUMNS = 6


def n_updates(number):
    """As many updates as nobody would plan: 1, 2, 0, 1, 2, 0, …"""
    return number % 3


def visit_of(number):
    return Visit(number, (number - 1) // 4, (number - 1) % 4, number % 2) if number else Visit(0)


def declare(trace):
    series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
    trace.declare_series(series, labels={"task": ["a", "b"]})
    trace.declare_rows(Rows("weights", (Field("w", (2, 3)),), ()))
    trace.declare_rows(Rows("gradients", (Field("w", (2, 3)),), (), dtype="float64"))


def put(trace, number):
    """Weights at every second visit, gradients where there was an update; each value says its visit."""
    for index in range(n_updates(number)):
        trace.put("losses", "train_loss", number + index / 10)
    trace.put("losses", "eval_loss", [number, -number])
    if number % 2 == 0:
        trace.put_row("weights", number, np.arange(N_COLUMNS, dtype="f4") + number)
    if n_updates(number):
        trace.put_row("gradients", number, np.arange(N_COLUMNS, dtype="f8") - number)


def record(trace, numbers):
    for number in numbers:
        put(trace, number)
        trace.commit(visit_of(number))


def write(path, n_snapshots, **settings):
    with TraceWriter.create(path, PLAN, **settings) as trace:
        declare(trace)
        record(trace, range(n_snapshots))


def assert_holds(path, n_snapshots):
    """Every value of every snapshot, worked out by hand."""
    trace = open_trace(path)
    numbers = np.arange(n_snapshots)
    losses = trace["losses"].to_dataset().load()
    assert trace.attrs["snapshots_committed"] == n_snapshots
    np.testing.assert_array_equal(losses.eval_loss, np.stack([numbers, -numbers], 1))
    places = [visit_of(number) for number in numbers]
    for name, expected in {
        "visit": numbers,
        "epoch": [place.epoch for place in places],
        "position": [place.position for place in places],
        "trained_task": [place.task for place in places],
    }.items():
        np.testing.assert_array_equal(losses[name], expected)
    updates = [(number, index) for number in numbers for index in range(n_updates(number))]
    np.testing.assert_array_equal(losses["update"], np.arange(len(updates)))
    np.testing.assert_array_equal(losses.update_visit, [number for number, _ in updates])
    np.testing.assert_array_equal(losses.train_loss, [number + index / 10 for number, index in updates])
    even, trained = numbers[::2], [number for number in numbers if n_updates(number)]
    for group, visits, sign in (("weights", even, 1), ("gradients", trained, -1)):
        np.testing.assert_array_equal(trace[group].visit, visits)
        rows = [np.arange(N_COLUMNS).reshape(2, 3) + sign * number for number in visits]
        np.testing.assert_array_equal(trace[group]["w"], np.array(rows).reshape(-1, 2, 3))


@pytest.mark.parametrize("n_snapshots", [0, 7])
def test_what_was_recorded_is_there(place, n_snapshots):
    write(f"{place}/run.zarr", n_snapshots)
    assert_holds(f"{place}/run.zarr", n_snapshots)
    assert open_trace(f"{place}/run.zarr").attrs["status"] == "complete"
    assert verify(f"{place}/run.zarr").faults == ()


def test_it_is_read_while_it_grows(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as trace:
        declare(trace)
        for number in range(9):
            put(trace, number)
            for column in (*trace._contents.columns.values(), *trace._contents.coordinates.values()):
                trace._state.background.put(Cargo("too early"), column.changed())
            assert trace._state.background.wait() == []
            assert_holds(tmp_path / "run.zarr", number)
            trace.commit(visit_of(number))
            assert_holds(tmp_path / "run.zarr", number + 1)
            assert verify(tmp_path / "run.zarr").faults == ()


def test_other_readers_see_the_true_shapes_once_it_is_closed(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as trace:
        declare(trace)
        record(trace, range(7))
        assert zarr.open_group(tmp_path / "run.zarr")["weights/values"].shape == (CAPACITY, N_COLUMNS)
    shapes = {
        name: array.shape for name, array in zarr.open_group(tmp_path / "run.zarr").members(2) if "/" in name
    }
    assert shapes["weights/values"] == (4, N_COLUMNS)
    assert shapes["gradients/values"] == (4, N_COLUMNS)
    assert shapes["losses/train_loss"] == shapes["losses/update_visit"] == (6,)
    updates = zarr.open_array(tmp_path / "run.zarr/visits/updates")[:]
    np.testing.assert_array_equal(updates, np.cumsum([n_updates(number) for number in range(7)]))
    assert shapes["visits/epoch"] == shapes["visits/losses_updates"] == (7,)
    plain = xr.open_zarr(tmp_path / "run.zarr", group="losses", consolidated=False)
    np.testing.assert_array_equal(plain.eval_loss[:, 0], np.arange(7))
    np.testing.assert_array_equal(
        plain.update_visit, open_trace(tmp_path / "run.zarr")["losses"].update_visit
    )


def cut_off(path, n_snapshots=5):
    """Leave a trace behind with half of one more visit."""
    trace = TraceWriter.create(path, PLAN)
    declare(trace)
    record(trace, range(n_snapshots))
    put(trace, n_snapshots)
    trace.close("interrupted")


@pytest.mark.parametrize("behind", [None, 4, 2, 0])
def test_a_run_goes_on_from_what_is_committed_or_repeats_it(tmp_path, behind):
    cut_off(tmp_path / "run.zarr")
    assert_holds(tmp_path / "run.zarr", 5)
    with TraceWriter.resume(tmp_path / "run.zarr", PLAN, snapshots=behind) as trace:
        declare(trace)
        record(trace, range(5 if behind is None else behind, 9))
    assert_holds(tmp_path / "run.zarr", 9)
    assert zarr.open_array(tmp_path / "run.zarr/losses/eval_loss").shape == (9, 2)


def test_a_run_that_ended_may_go_on(tmp_path):
    write(tmp_path / "run.zarr", 4)
    with TraceWriter.resume(tmp_path / "run.zarr", PLAN) as trace:
        declare(trace)
        record(trace, range(4, 6))
    assert_holds(tmp_path / "run.zarr", 6)


def test_a_run_that_does_not_repeat_itself_is_told_so(tmp_path):
    cut_off(tmp_path / "run.zarr")
    trace = TraceWriter.resume(tmp_path / "run.zarr", PLAN, snapshots=0)
    declare(trace)
    put(trace, 0)
    with pytest.raises(TraceWriteError, match="visits/trained_task, sample 0: this run gives other values"):
        trace.commit(Visit(0, task=1))
    trace.close("failed")
    trace = TraceWriter.resume(tmp_path / "run.zarr", PLAN, snapshots=1)
    declare(trace)
    with pytest.raises(TraceWriteError, match="weights/visit, sample 1: this run gives other values"):
        trace.put_row("weights", 1, np.zeros(N_COLUMNS, "f4"))
    trace.close("failed")


def test_a_plan_and_no_plan_are_not_the_same_run(tmp_path):
    cut_off(tmp_path / "run.zarr")
    with pytest.raises(TraceWriteError, match="n_tasks: 2 in the trace, now 3"):
        TraceWriter.resume(tmp_path / "run.zarr", OpenPlan(n_tasks=3))


@pytest.mark.parametrize("snapshots", [0, 3, 4])
def test_rolled_back_traces_hold_what_was_kept_and_go_on(tmp_path, snapshots):
    write(tmp_path / "run.zarr", 5)
    rollback(tmp_path / "run.zarr", snapshots)
    assert_holds(tmp_path / "run.zarr", snapshots)
    assert verify(tmp_path / "run.zarr").faults == ()
    with TraceWriter.resume(tmp_path / "run.zarr", PLAN) as trace:
        declare(trace)
        record(trace, range(snapshots, 7))
    assert_holds(tmp_path / "run.zarr", 7)


def test_what_a_visit_lacks_is_named(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as trace:
        declare(trace)
        with pytest.raises(TraceWriteError, match=r"without losses/eval_loss \(0 of 1 samples\)"):
            trace.commit(Visit(0))
        with pytest.raises(TraceWriteError, match="weights, visit 3 is not"):
            trace.put_row("weights", 3, np.zeros(N_COLUMNS, "f4"))
        trace.put_row("weights", 0, np.zeros(N_COLUMNS, "f4"))
        with pytest.raises(TraceWriteError, match="weights, visit 0 was put already"):
            trace.put_row("weights", 0, np.zeros(N_COLUMNS, "f4"))


@pytest.mark.parametrize("told", [True, False])
def test_updates_are_counted_within_their_visit(tmp_path, told):
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as trace:
        trace.declare_rows(Rows("gradients", (Field("w", (1,)),), (), updates=()))
        trace.commit(Visit(0), 0)
        for number, updates in [(1, (0, 1, 2)), (2, ()), (3, (3, 5)), (4, (6,))]:
            for update in updates:
                trace.put_row("gradients", update, np.array([update], "f4"))
            trace.commit(Visit(number), max(updates, default=2) + 1 if told else None)
    gradients = open_trace(tmp_path / "run.zarr")["gradients"]
    assert gradients.update_visit.values.tolist() == [1, 1, 1, 3, 3, 4]
    assert gradients.update_index.values.tolist() == [0, 1, 2, 0, 2, 0]


def test_an_update_cannot_come_before_its_visit(tmp_path):
    write(tmp_path / "run.zarr", 5)
    updates = zarr.open_array(tmp_path / "run.zarr/visits/updates", mode="r+")
    updates[1] = 2
    with pytest.raises(NotATraceError, match=r"losses/update: .*updates of a visit that come before it"):
        open_trace(tmp_path / "run.zarr")


def test_series_of_updates_go_together(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as trace:
        trace.declare_series([Series("losses", "a", "update")])
        trace.declare_series([Series("rates", "b", "update")])
        trace.put("losses", "a", 1.0)
        with pytest.raises(TraceWriteError, match=r"without rates/b \(0 of 1 samples\)"):
            trace.commit(Visit(0))
        trace.put("rates", "b", 1.0)
        trace.commit(Visit(0))


@pytest.mark.parametrize(
    "key", ["visits/losses_updates/c/0", "weights/visit/c/0", "visits/epoch/c/0", "losses/train_loss/c/0"]
)
@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_damage_is_found(tmp_path, key, harm):
    write(tmp_path / "run.zarr", 5)
    file = tmp_path / "run.zarr" / key
    data = file.read_bytes()
    file.unlink()
    if harm == "changed":
        file.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert key in {fault.key for fault in verify(tmp_path / "run.zarr").faults}
    with pytest.raises(DamagedTraceError, match=key):
        open_trace(tmp_path / "run.zarr")["losses"].train_loss.compute()


def test_a_long_one_takes_few_files_and_opens_as_fast_as_a_short_one(tmp_path):
    """Opening reads one chunk of 8,192 visits of each column, and one count."""
    seconds = {}
    for n_snapshots in (20, 500):
        path = tmp_path / f"{n_snapshots}.zarr"
        with TraceWriter.create(path, PLAN, durability="rename") as trace:
            trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a", "b"]})
            for number in range(n_snapshots):
                trace.put("losses", "eval_loss", [number, 0])
                trace.commit(visit_of(number))
        seconds[n_snapshots] = min(_timed(open_trace, path) for _ in range(5))
    files = [file for file in (tmp_path / "500.zarr").rglob("*") if file.is_file()]
    assert len(files) < 25
    assert sum(file.stat().st_size for file in files) < 500 * 8 * 8 + 20_000
    assert seconds[500] < 3 * seconds[20]


def _timed(work, *arguments):
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def test_nothing_is_allocated_for_a_claim(tmp_path):
    """A count or a marker that claims more than there is, each sealed and with a good checksum."""
    write(tmp_path / "run.zarr", 3)
    for name, value in (
        ("visits/losses_updates", CAPACITY),
        ("visits/weights_visits", -7),
        ("commit", 1 << 29),
    ):
        array = zarr.open_array(tmp_path / "run.zarr" / name)
        before = array[...]
        array[...] = np.full(before.shape, value)
        with pytest.raises(TraceError):
            open_trace(tmp_path / "run.zarr")
        array[...] = before
    assert_holds(tmp_path / "run.zarr", 3)


def _record_until_killed(path):
    """Record for ever, in a process of its own, going on from what is there."""
    try:
        if (path / "commit/c/0").exists():
            trace = TraceWriter.resume(path, PLAN, durability="rename")
        else:
            trace = TraceWriter.create(path, PLAN, durability="rename", overwrite=True)
        declare(trace)
        record(trace, range(trace.committed, 10**9))
    finally:
        os._exit(1)


def _wait_for(path, snapshots):
    """Wait until another process has committed so many."""
    deadline = time.monotonic() + 60
    while snapshots and time.monotonic() < deadline:
        marker = read_marker(LocalStore(path)) if path.exists() else None
        if marker and marker.committed >= snapshots:
            return
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("n_kills", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_holds_all_that_was_committed(tmp_path, n_kills):
    chance = random.Random(n_kills)
    path, committed = tmp_path / "run.zarr", 0
    for _ in range(n_kills):
        process = os.fork()
        if not process:
            _record_until_killed(path)
        _wait_for(path, committed + chance.choice([0, 1, 3]))
        time.sleep(chance.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status), "the process ended by itself"
        if (path / "commit/c/0").exists():
            found = open_trace(path).attrs["snapshots_committed"]
            assert found >= committed, "a committed visit was lost"
            committed = found
            if committed:  # else it may be that not everything was declared yet
                assert_holds(path, committed)
    assert committed >= n_kills // 3
    assert verify(path).faults == ()
    with TraceWriter.resume(path, PLAN) as trace:
        declare(trace)
        record(trace, range(committed, committed + 2))
    assert_holds(path, committed + 2)


def test_visits_without_a_place_in_time(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", OpenPlan()) as trace:
        trace.declare_series([Series("numbers", "x")])
        for number in range(3):
            trace.put("numbers", "x", number)
            trace.commit(Visit(number))
    found = open_trace(tmp_path / "run.zarr")["numbers"]
    assert found.trained_task.values.tolist() == [NOTHING] * 3
    assert found.x.values.tolist() == [0, 1, 2]
