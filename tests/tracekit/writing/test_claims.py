"""One writer at a time; a dead one is recognised, and nothing that is merely left over decides."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from tracekit import Plan, TraceWriter, open_trace
from tracekit.errors import TraceInUseError, TraceWarning
from tracekit.format.marker import MARKER_KEY
from tracekit.store import LocalStore, open_store
from tracekit.testing.written import write_example_trace
from tracekit.writing import processes
from tracekit.writing.claims import CLAIMS_KEY, Holder, last_writer, take_claim

PLAN = Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1)

WRITE = """
import socket, sys, time
import numpy as np
if sys.argv[2:]:
    socket.gethostname = lambda: sys.argv[2]
from tracekit import Plan, TraceWriter
trace = TraceWriter.create(sys.argv[1], Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1))
trace.commit(trace.plan.visit(0))
print("writing", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(lasting_place):
    return f"{lasting_place}/run.zarr"


@contextlib.contextmanager
def writing(path, *host):
    """Let another process write a trace, on a host of another name if one is given."""
    process = subprocess.Popen([sys.executable, "-c", WRITE, path, *host], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def other(path):
    """Another process of this host that is writing a trace."""
    with writing(path) as process:
        yield process


def leave_claim(path, *, name="left", **changes):
    """Leave the claim of a writer behind."""
    holder = replace(Holder.this_process(), **changes)
    open_store(path).put(f"{CLAIMS_KEY}/{name}.json", json.dumps(asdict(holder)).encode())


def claims(path):
    return list(open_store(path).children(CLAIMS_KEY))


def test_a_second_writer_is_refused_and_told_of_the_first(path, other):
    started = processes.process_start(other.pid).split(" ")[1]

    for start in (TraceWriter.resume, lambda *a: TraceWriter.create(*a, overwrite=True)):
        with pytest.raises(TraceInUseError) as refusal:
            start(path, PLAN)
        for part in (f"process {other.pid}", os.uname().nodename, f"started {started}", "Wait until it ends"):
            assert part in str(refusal.value)

    assert open_trace(path).attrs["snapshots_committed"] == 1
    assert len(claims(path)) == 1


def test_a_killed_writer_is_recognised_as_dead_even_before_its_parent_noticed(path, other):
    other.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes.is_alive(other.pid, "") and time.monotonic() < deadline:
        time.sleep(0.01)

    with TraceWriter.resume(path, PLAN) as trace:
        assert len(claims(path)) == 1
        for number in (1, 2):
            trace.commit(PLAN.visit(number))

    assert claims(path) == []
    assert open_trace(path).attrs["snapshots_committed"] == 3


@pytest.mark.parametrize("killed", [False, True])
def test_a_writer_on_another_host_is_never_taken_to_be_dead(s3, killed):
    """Whether a process of another machine lives cannot be seen: it takes somebody who knows."""
    path = f"{s3}/run.zarr"
    with writing(path, "node-7") as process:
        if killed:
            process.kill()
            process.wait()
        for start in (TraceWriter.resume, lambda *a: TraceWriter.create(*a, overwrite=True)):
            with pytest.raises(TraceInUseError) as refusal:
                start(path, PLAN)
            for part in (f"process {process.pid} on node-7", "cannot be seen from here", "--force-claim"):
                assert part in str(refusal.value)
        assert len(claims(path)) == 1

        with TraceWriter.resume(path, PLAN, force_claim=True) as trace:
            for number in (1, 2):
                trace.commit(PLAN.visit(number))
    assert claims(path) == []
    assert open_trace(path).attrs["snapshots_committed"] == 3


def test_a_writer_that_was_taken_over_stops_at_its_next_commit(place):
    path = f"{place}/run.zarr"
    first = TraceWriter.create(path, PLAN)
    first.commit(PLAN.visit(0))
    second = TraceWriter.resume(path, PLAN, force_claim=True)

    with pytest.raises(TraceInUseError, match="another writer has taken this trace over"):
        first.commit(PLAN.visit(1))
    first.close("failed")

    second.commit(PLAN.visit(1))
    assert open_trace(path).attrs["status"] == "running"
    second.close("interrupted")


def test_a_writer_that_was_taken_over_within_its_commit_makes_nothing_visible(place, monkeypatch):
    """It has found its claim in order, and only then is suspended; another one goes on; then it awakes."""
    path = f"{place}/run.zarr"
    first = TraceWriter.create(path, PLAN)
    first.commit(PLAN.visit(0))
    monkeypatch.setattr(type(first._beginning.claim), "check", lambda claim: None)
    before = open_store(path).get(MARKER_KEY)
    second = TraceWriter.resume(path, PLAN, force_claim=True)
    assert open_store(path).get(MARKER_KEY) != before

    with pytest.raises(TraceInUseError, match="another writer has taken this trace over"):
        first.commit(PLAN.visit(1))
    assert open_trace(path).attrs["snapshots_committed"] == 1
    second.commit(PLAN.visit(1))
    with pytest.raises(TraceInUseError):
        first.commit(PLAN.visit(2))
    second.commit(PLAN.visit(2))
    second.close()
    assert open_trace(path).attrs["snapshots_committed"] == 3


def test_taking_over_from_nobody_does_not_disturb_readers(place):
    path = f"{place}/run.zarr"
    first = TraceWriter.create(path, PLAN)
    first.commit(PLAN.visit(0))
    first.close("interrupted")
    before = open_store(path).get(MARKER_KEY)
    TraceWriter.resume(path, PLAN, force_claim=True).close("interrupted")
    assert open_store(path).get(MARKER_KEY) == before


def test_a_marker_that_was_put_though_the_store_said_no_is_ones_own(tmp_path, monkeypatch):
    """The folder could not be flushed after the rename, say."""
    trace = TraceWriter.create(tmp_path / "run.zarr", PLAN, on_error="warn")
    trace.commit(PLAN.visit(0))
    exchange = LocalStore.exchange

    def exchange_and_fail(*arguments):
        exchange(*arguments)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "exchange", exchange_and_fail)
        with pytest.warns(TraceWarning, match="good up to visit 0"):
            trace.commit(PLAN.visit(1))
    trace.commit(PLAN.visit(2))
    trace.close()
    assert open_trace(tmp_path / "run.zarr").attrs["snapshots_committed"] == 3


def test_this_very_process(place):
    path = f"{place}/run.zarr"
    trace = TraceWriter.create(path, PLAN)
    with pytest.raises(TraceInUseError, match="this very process"):
        TraceWriter.resume(path, PLAN)
    trace.close("interrupted")
    TraceWriter.resume(path, PLAN).close("interrupted")


@pytest.mark.parametrize(
    "changes",
    [{"process": 2**22 + 1}, {"process_start": "12 long ago"}, {"boot": "the one before"}],
    ids=["gone", "its number given to another", "machine restarted"],
)
def test_dead_claims(path, changes):
    write_example_trace(path)
    leave_claim(path, **changes)
    take_claim(open_store(path)).release()
    assert claims(path) == []


@pytest.mark.parametrize(
    "changes", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}], ids=["host", "container"]
)
def test_what_cannot_be_seen_from_here_is_refused_until_told_otherwise(path, changes):
    write_example_trace(path)
    leave_claim(path, **changes)
    with pytest.raises(TraceInUseError, match=r"cannot be seen from here.*--force-claim"):
        take_claim(open_store(path))
    take_claim(open_store(path), force=True).release()
    assert claims(path) == []


@pytest.mark.parametrize(
    ("all_changes", "state"),
    [
        ([], "dead"),
        ([{"process": 2**22 + 1}], "dead"),
        ([{"host": "elsewhere"}, {"process": 2**22 + 1}], "unknown"),
        ([{"host": "elsewhere"}, {}, {"process": 2**22 + 1}], "alive"),
    ],
)
def test_who_wrote_last_is_the_one_most_alive(path, all_changes, state):
    write_example_trace(path)
    for number, changes in enumerate(all_changes):
        leave_claim(path, name=str(number), **changes)
    found, name = last_writer(open_store(path))
    assert found == state
    who = {
        "alive": f"process {os.getpid()} on {os.uname().nodename}",
        "unknown": "on elsewhere",
        "dead": f"process {2**22 + 1} on " if all_changes else "the one that wrote it",
    }
    assert who[state] in name


def test_leftovers_do_not_decide(tmp_path):
    path = tmp_path / "run.zarr"
    write_example_trace(path)
    (path / CLAIMS_KEY).mkdir(parents=True, exist_ok=True)
    (path / CLAIMS_KEY / ".x.json.123.partial").write_text("half a cla")
    (path / ".lock").write_text("")
    take_claim(LocalStore(path)).release()


def test_a_claim_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "run.zarr"
    write_example_trace(path)
    LocalStore(path).put(f"{CLAIMS_KEY}/odd.json", b"[1, 2]")
    with pytest.raises(TraceInUseError, match=r"claims/odd\.json.*--force-claim"):
        take_claim(LocalStore(path))


def test_of_many_that_come_at_once_never_two_hold_it(place):
    """Eight threads take and release; each is a writer of its own to the others."""
    store, held, most, taken = open_store(f"{place}/run.zarr", "rename"), [], [], []
    stop = time.monotonic() + 3

    def write():
        while time.monotonic() < stop:
            try:
                claim = take_claim(store)
            except TraceInUseError:
                continue
            held.append(claim)
            most.append(len(held))
            time.sleep(0.002)
            held.remove(claim)
            taken.append(claim)
            claim.release()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(taken) >= (1 if place.startswith(("s3", "gs")) else 20)


def test_processes_without_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PROC", tmp_path / "nowhere")
    own = os.getpid()
    start = processes.process_start(own)
    assert processes.is_alive(own, start)
    assert not processes.is_alive(2**22 + 1, start)
    assert processes.is_alive(own, "Mon-Jan-1-00:00:00-1990 then") == (start == "")
    assert processes.boot_id() == processes.namespace() == ""
