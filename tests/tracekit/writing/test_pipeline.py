"""What is put is written behind the back of the training: bounded, in order, and nothing fails unheard."""

import copy
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tracekit import Field, Plan, Recording, Rows, Series, TraceWriter, open_trace
from tracekit.errors import TraceInUseError, TraceWarning, TraceWriteError
from tracekit.store import LocalStore
from tracekit.training import parse_configuration

PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=1)
WEIGHTS = np.random.default_rng(0).standard_normal((5, 600)).astype("f4")


def start(path, **settings):
    trace = TraceWriter.create(path, PLAN, **{"durability": "rename", **settings})
    trace.declare_rows(Rows("weights", (Field("w", (600,)),), tuple(range(5))))
    trace.declare_series([Series("losses", "eval_loss")])
    return trace


def put(trace, number):
    row = trace.buffer("weights")
    row[:] = WEIGHTS[number]
    trace.put_row("weights", number, row)
    trace.put("losses", "eval_loss", number)
    return row.__array_interface__["data"][0]


def check(path, n_committed, gaps=()):
    trace = open_trace(path)
    expected = WEIGHTS[:n_committed].copy()
    expected[list(gaps)] = np.nan
    np.testing.assert_array_equal(trace["weights/flat"]["values"], expected)
    np.testing.assert_array_equal(trace["losses"].eval_loss, np.arange(n_committed))


@pytest.fixture
def door(monkeypatch):
    """A door that rows have to pass on their way to the disk, and those that were refused there."""

    class Door:
        open = threading.Event()
        refused = staticmethod(lambda key: False)

    put_pieces = LocalStore.put_pieces

    def through(self, key, pieces):
        if key.startswith("weights/values/c"):
            assert Door.open.wait(20)
            if Door.refused(key):
                raise OSError(28, "No space left on device")
        put_pieces(self, key, pieces)

    monkeypatch.setattr(LocalStore, "put_pieces", through)
    yield Door
    Door.open.set()


def eventually(condition):
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_buffers_are_written_and_lent_again(tmp_path):
    trace, seen = start(tmp_path / "run.zarr"), set()
    for number in range(5):
        seen.add(put(trace, number))
        trace.commit(PLAN.visit(number))
    trace.close()
    assert len(seen) == 1
    check(tmp_path / "run.zarr", 5)


def test_commits_go_on_in_the_background_one_after_another(tmp_path, door):
    trace = start(tmp_path / "run.zarr")
    for number in range(5):
        put(trace, number)
        trace.commit(PLAN.visit(number), wait=False)
        assert trace.committed == 0
    assert open_trace(tmp_path / "run.zarr").attrs["snapshots_committed"] == 0
    door.open.set()
    assert eventually(lambda: trace.committed == 5)
    trace.close()
    check(tmp_path / "run.zarr", 5)


def test_closing_finishes_the_commits_under_way(tmp_path, door):
    trace = start(tmp_path / "run.zarr")
    for number in range(3):
        put(trace, number)
        trace.commit(PLAN.visit(number), wait=False)
    put(trace, 3)
    threading.Timer(0.1, door.open.set).start()
    trace.close("failed")
    check(tmp_path / "run.zarr", 3)


def test_the_training_waits_when_the_queue_is_full(tmp_path, door):
    trace = start(tmp_path / "run.zarr", queue_bytes=2 * 2400)
    put(trace, 0)
    put_row = threading.Thread(target=lambda: trace.put_row("weights", 1, WEIGHTS[1]))
    put_row.start()
    put_row.join(5)
    assert not put_row.is_alive()
    third = threading.Thread(target=lambda: trace.put_row("weights", 2, WEIGHTS[2]))
    third.start()
    third.join(0.1)
    assert third.is_alive()
    door.open.set()
    third.join(5)
    assert not third.is_alive()
    trace.close("failed")


EVENTS = {
    "buffer": lambda trace: trace.buffer("weights"),
    "put_row": lambda trace: trace.put_row("weights", 2, WEIGHTS[2]),
    "put": lambda trace: trace.put("losses", "eval_loss", 1),
    "commit": lambda trace: trace.commit(PLAN.visit(1)),
    "check": lambda trace: trace.check(),
}


@pytest.mark.parametrize("event", EVENTS)
def test_a_refused_row_is_raised_at_the_next_event_and_from_then_on(tmp_path, door, event):
    trace = start(tmp_path / "run.zarr")
    door.open.set()
    put(trace, 0)
    trace.commit(PLAN.visit(0))
    door.refused = lambda key: True
    trace.put_row("weights", 1, WEIGHTS[1])
    assert eventually(lambda: trace._state.background.failed())

    for _ in range(2):
        with pytest.raises(
            TraceWriteError, match=r"No space left on device; the trace is good up to visit 0"
        ):
            EVENTS[event](trace)
    trace.close("failed")
    check(tmp_path / "run.zarr", 1)


@pytest.mark.parametrize("status", ["complete", "failed"])
def test_no_visit_is_committed_after_one_that_is_not_whole(tmp_path, door, status):
    trace = start(tmp_path / "run.zarr")
    door.refused = lambda key: "c/2/" in key
    for number in range(5):
        put(trace, number)
        trace.commit(PLAN.visit(number), wait=False)
    door.open.set()
    if status == "complete":
        with pytest.raises(TraceWriteError, match="good up to visit 1"):
            trace.close()
    else:
        with pytest.warns(TraceWarning, match="good up to visit 1"):
            trace.close("failed")
    check(tmp_path / "run.zarr", 2)
    assert open_trace(tmp_path / "run.zarr").attrs["status"] == "failed"


def test_gaps_are_marked_by_commits_in_the_background(tmp_path, door):
    trace = start(tmp_path / "run.zarr", on_error="warn")
    door.refused = lambda key: "c/2/" in key or "c/3/" in key
    door.open.set()

    def record():
        for number in range(5):
            put(trace, number)
            trace.commit(PLAN.visit(number), wait=False)
        trace.close()

    with pytest.warns(TraceWarning, match="weights, visit 3 could not be recorded: No space left"):
        record()
    check(tmp_path / "run.zarr", 5, gaps=(2, 3))


def test_a_commit_in_the_background_finds_that_another_writer_took_over(tmp_path):
    trace = start(tmp_path / "run.zarr")
    put(trace, 0)
    trace.commit(PLAN.visit(0))
    other = TraceWriter.resume(tmp_path / "run.zarr", PLAN, force_claim=True)
    put(trace, 1)
    trace.commit(PLAN.visit(1), wait=False)
    with pytest.raises(TraceInUseError, match="another writer has taken this trace over"):
        eventually(lambda: trace.check())
    trace.close("failed")
    other.close("failed")
    check(tmp_path / "run.zarr", 1)


def test_rows_of_other_memory_are_written_as_they_are(tmp_path):
    """Strided, of another type, or frozen: what is put need not come from a buffer."""
    trace = start(tmp_path / "run.zarr")
    frozen = WEIGHTS[2].copy()
    frozen.flags.writeable = False
    for number, row in enumerate([np.repeat(WEIGHTS[0], 2)[::2], WEIGHTS[1].astype("f8"), frozen]):
        trace.put_row("weights", number, row)
        trace.put("losses", "eval_loss", number)
        trace.commit(PLAN.visit(number))
    trace.close()
    check(tmp_path / "run.zarr", 3)


def test_a_writer_and_a_recording_are_not_pickled(tmp_path):
    trace = start(tmp_path / "run.zarr")
    for thing in (trace, Recording(tmp_path / "other.zarr", [])):
        for copy_it in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TraceWriteError, match="cannot be pickled or copied"):
                copy_it(thing)
    trace.close("interrupted")


FORKED = """
import os, sys, numpy as np
from tracekit import Plan, Series, TraceWriter, open_trace
from tracekit.errors import TraceWriteError
plan = Plan(np.array([[0]]), n_tasks=1, updates_per_visit=1)
with TraceWriter.create(sys.argv[1], plan, durability="rename") as trace:
    trace.declare_series([Series("losses", "eval_loss")])
    trace.put("losses", "eval_loss", 1.0)
    trace.commit(plan.visit(0))
    process = os.fork()
    if process == 0:
        try:
            trace.put("losses", "eval_loss", 2.0)
        except TraceWriteError as error:
            print(error, flush=True)
        trace.close("failed")
        os._exit(0)
    os.waitpid(process, 0)
    trace.put("losses", "eval_loss", 3.0)
    trace.commit(plan.visit(1))
found = open_trace(sys.argv[1])
print(found.attrs["status"], found["losses"].eval_loss.values)
"""


def test_a_fork_cannot_write_and_does_no_harm(tmp_path):
    command = [sys.executable, "-c", FORKED, str(tmp_path / "run.zarr")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "is written by process" in said
    assert "is a fork; record in the process that began" in said
    assert said.endswith("complete [1. 3.]\n")


PEAK = """
import sys
from pathlib import Path
import numpy as np
from tracekit.format.layout import rows_layout
from tracekit.format.schema import Field, Rows
from tracekit.format.shards import write_row
from tracekit.store import LocalStore
from tracekit.testing import peak_memory
row = np.random.default_rng(0).standard_normal(20_000_000, np.float32)
laid_out = rows_layout(Rows("w", (Field("w", row.shape),), (0,)), sys.argv[2])
before = peak_memory()
write_row(LocalStore(Path(sys.argv[1])), laid_out, 0, row)
print(peak_memory() - before)
"""


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_writing_a_row_takes_the_memory_of_a_few_chunks(tmp_path, codec):
    """80 MB are written with less than 8 beside them, interpreter and libraries included."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), codec], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 8 << 20


def test_the_queue_is_a_setting_of_a_configuration():
    settings = parse_configuration({"recording": {"queue_bytes": 5_000_000}})
    assert settings.recording.queue_bytes == 5_000_000
    assert parse_configuration({}).recording.queue_bytes == 1 << 30
