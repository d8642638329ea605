"""A writer is taken over while a put of its own is under way, which arrives later."""

import os
import uuid
from dataclasses import dataclass, field

import numpy as np
import obstore
import pytest

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace, rollback
from tracekit.checking.verify import verify
from tracekit.errors import StoreError, TraceInUseError, TraceWarning, TraceWriteError
from tracekit.format import layout
from tracekit.format.checkpoints import DOCUMENT, TENSORS, check_checkpoint, checkpoint_document
from tracekit.schedule import OpenPlan, Visit
from tracekit.store import open_store
from tracekit.writing.claims import CLAIMS_KEY

N_VISITS = 6
PLAN = Plan(np.zeros((1, N_VISITS - 1), int), n_tasks=1, updates_per_visit=1)
FIRST, SECOND = 1.0, 2.0
TAKEN_OVER_AT = 2


@pytest.fixture(autouse=True)
def _chunks_of_four_samples(monkeypatch):
    """The chunk that a late put concerns is full long before the end, and is not written again."""
    monkeypatch.setattr(layout, "SERIES_CHUNK_BYTES", 4 * 8)


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def path(request, tmp_path):
    """A place in each kind of store, the object store in the slow tests and in one of the others."""
    places = {"local": str(tmp_path), "memory": f"memory://{uuid.uuid4().hex}"}
    return (places.get(request.param) or request.getfixturevalue("s3")) + "/run.zarr"


@dataclass
class SlowNetwork:
    """A store as a writer reaches it: puts of some keys get no answer, and arrive when they are told to."""

    store: object
    keys: tuple[str, ...]
    refused: str = "nothing"
    late: list[tuple] = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.store, name)

    def put_unless_changed(self, key, pieces, seen):
        if key.startswith(self.refused):
            raise StoreError(f"{key}: is refused")
        if key not in self.keys:
            return self.store.put_unless_changed(key, pieces, seen)
        self.late.append((key, [bytes(piece) for piece in pieces], seen))
        raise StoreError(f"{key}: no answer came")

    def exchange(self, key, old, new):
        assert self.store.get(key) in old
        self.put_unless_changed(key, [new], self.store.version(key))
        return True

    def arrive(self):
        """Let what was under way arrive; give the keys of what is put."""
        assert {key for key, *_ in self.late} == {*self.keys}
        put = self.store.put_unless_changed
        return {key for key, pieces, seen in self.late if put(key, pieces, seen) is not None}


def slow_network(trace, *keys, refused="nothing"):
    fenced = trace._beginning.store
    fenced._store = SlowNetwork(fenced._store, keys, refused)
    return fenced._store


def begin(path, start=TraceWriter.create, plan=PLAN, **settings):
    trace = start(path, plan, **settings)
    if isinstance(plan, Plan) and not isinstance(plan, OpenPlan):
        trace.declare_rows(Rows("weights", (Field("w", (50,)),), tuple(range(N_VISITS))))
    trace.declare_series([Series("losses", "eval_loss")])
    return trace


def record(trace, visit, value):
    """Record a visit; each of two runs gives values of its own, as one that does not repeat itself does."""
    if "weights" in trace.kinds:
        trace.put_row("weights", visit, np.full(50, value * visit, "f4"))
    trace.put("losses", "eval_loss", value * visit)
    tensors = np.full(100, value).tobytes()
    document = checkpoint_document({"visit": visit, "run": value}, tensors)
    trace.put_checkpoint(visit, [(TENSORS, tensors), (DOCUMENT, document)])
    trace.commit(Visit(visit, 0, visit, 0) if visit else Visit(0, -1, -1, -1))


def check(path, status, run=SECOND):
    """Everything of the first is there up to where it was taken over, and then everything of the second."""
    trace = open_trace(path)
    n_visits = trace.attrs["snapshots_committed"]
    values = np.arange(n_visits) * np.where(np.arange(n_visits) < TAKEN_OVER_AT, FIRST, run)
    np.testing.assert_array_equal(trace["losses"].eval_loss, values)
    if "weights" in trace.children:
        np.testing.assert_array_equal(trace["weights"]["w"], np.tile(values[:, None], 50))
        assert "gaps" not in trace.attrs
    assert trace.attrs["status"] == status
    assert verify(path).faults == ()


SERIES, CLOCK, MARKER = "losses/eval_loss/c/0", "visits/wall_time_seconds/c/0", "commit/c/0"
ROW, CHECKPOINT = f"weights/values/c/{TAKEN_OVER_AT}/0", f"commit/checkpoint/{TAKEN_OVER_AT}/{TENSORS}"
LATE = {"data": (SERIES, CLOCK, ROW, CHECKPOINT), "the marker": (MARKER,)}
ARRIVES = {"at once": TAKEN_OVER_AT, "after a commit": TAKEN_OVER_AT + 1, "at the end": N_VISITS}
each_time = pytest.mark.parametrize("arrives", ARRIVES.values(), ids=ARRIVES)
each_kind = pytest.mark.parametrize("keys", LATE.values(), ids=LATE)
early_or_late = pytest.mark.parametrize("early", [True, False], ids=["early", "at the end"])


def cut_off(path, keys):
    """Let the first writer commit two visits, and then get no answer for some puts of the third."""
    first = begin(path)
    for visit in range(TAKEN_OVER_AT):
        record(first, visit, FIRST)
    network = slow_network(first, *keys)
    with pytest.raises(TraceWriteError, match="no answer came"):
        record(first, TAKEN_OVER_AT, FIRST)
    return first, network


def go_on(second, network, arrives):
    """Record all other visits; what is late arrives before one of them, or after the end. Gives its keys."""
    put = set()
    with second:
        for visit in range(TAKEN_OVER_AT, N_VISITS):
            if visit == arrives:
                put = network.arrive()
            record(second, visit, SECOND)
    return network.arrive() if arrives == N_VISITS else put


@each_time
@each_kind
def test_a_late_put_of_a_writer_that_was_taken_over_is_lost(path, keys, arrives):
    """It comes before the second writer has put anything, or after one of its commits, or after its end."""
    first, network = cut_off(path, keys)
    put = go_on(begin(path, TraceWriter.resume, force_claim=True), network, arrives)
    assert put <= ({*LATE["data"]} if arrives == TAKEN_OVER_AT else {CHECKPOINT})
    check(path, "complete")
    check_checkpoint(open_store(path), N_VISITS - 1)
    first.close("failed")
    check(path, "complete")


@pytest.mark.parametrize("provider", ["s3", "gs"])
@each_kind
def test_so_it_is_on_an_object_store(request, provider, keys):
    path = request.getfixturevalue(provider) + "/run.zarr"
    test_a_late_put_of_a_writer_that_was_taken_over_is_lost(path, keys, TAKEN_OVER_AT + 1)


@each_kind
def test_nor_does_it_come_back_after_a_rollback(path, keys):
    first, network = cut_off(path, keys)
    rollback(path, 1, force_claim=True)
    network.arrive()
    first.close("failed")
    trace = open_trace(path)
    assert (trace.attrs["snapshots_committed"], trace.attrs["status"]) == (1, "interrupted")
    second = begin(path, TraceWriter.resume)
    record(second, 1, FIRST)
    go_on(second, network, arrives=None)
    check(path, "complete")


@early_or_late
@each_kind
def test_a_trace_that_takes_the_place_of_another_keeps_what_is_its_own(path, keys, early):
    _, network = cut_off(path, keys)
    second = begin(path, overwrite=True, force_claim=True)
    if early:
        network.arrive()
    for visit in range(TAKEN_OVER_AT):
        record(second, visit, FIRST)
    put = go_on(second, network, arrives=None if early else N_VISITS)
    assert put <= {CHECKPOINT}  # where the second has kept none; without its JSON object it is none
    check(path, "complete")


@early_or_late
def test_gaps_of_the_first_are_not_those_of_the_second(path, early):
    first = begin(path, on_error="warn")
    for visit in range(TAKEN_OVER_AT):
        record(first, visit, FIRST)
    network = slow_network(first, "weights/zarr.json", refused=ROW)
    with pytest.warns(UserWarning, match="is refused|no answer came"):
        record(first, TAKEN_OVER_AT, FIRST)
    network.refused = "nothing"
    second = begin(path, TraceWriter.resume, force_claim=True)
    if early:
        assert network.arrive() == set()
    assert go_on(second, network, None if early else N_VISITS) == set()
    check(path, "complete")


@early_or_late
@pytest.mark.parametrize("key", ["zarr.json", "losses/eval_loss/zarr.json"], ids=["status", "length"])
def test_what_the_first_puts_on_its_end_is_not_that_of_the_second(path, key, early):
    """Its status, and of an open-ended trace the lengths of the arrays."""
    first = begin(path, plan=OpenPlan())
    for visit in range(TAKEN_OVER_AT):
        record(first, visit, FIRST)
    network = slow_network(first, key)
    claims = {
        name: open_store(path).get(f"{CLAIMS_KEY}/{name}") for name in open_store(path).children(CLAIMS_KEY)
    }
    with pytest.warns(UserWarning, match="no answer came"):
        first.close("interrupted")
    for name, claim in claims.items():  # it is still at it
        open_store(path).put(f"{CLAIMS_KEY}/{name}", claim)
    second = begin(path, TraceWriter.resume, plan=OpenPlan(), force_claim=True)
    if early:
        assert network.arrive() == set()
        assert open_trace(path).attrs["status"] == "running"
    assert go_on(second, network, None if early else N_VISITS) == set()
    check(path, "complete")


def test_where_a_store_knows_no_conditions_the_one_that_takes_over_is_told(s3, monkeypatch):
    path = f"{s3}/run.zarr"
    record(begin(path), 0, FIRST)
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *args, mode=None, **settings: put(*args, **settings))
    with pytest.warns(
        TraceWarning, match=r"run\.zarr: this store pays no attention to the conditions of puts"
    ):
        begin(path, TraceWriter.resume, force_claim=True).close("interrupted")


def test_the_first_is_told_who_took_over_and_removes_nothing(path):
    first = begin(path)
    record(first, 0, FIRST)
    second = begin(path, TraceWriter.resume, force_claim=True)
    record(second, 1, SECOND)
    named = (
        rf"taken this trace over \(process {os.getpid()} on {os.uname().nodename}, started .*, writing since"
    )
    store = first._beginning.store
    for change in (
        lambda: store.put("losses/eval_loss/c/0", b"1"),
        lambda: store.put_pieces("weights/values/c/1/0", [b"1"]),
        lambda: store.exchange("commit/c/0", [b"1"], b"2"),
        lambda: store.remove("weights/values/c/1/0"),
        lambda: store.remove_tree("weights"),
        store.sweep,
        store.delete,
        first.close,
    ):
        with pytest.raises(TraceInUseError, match=named):
            change()
    assert open_trace(path).attrs["snapshots_committed"] == 2
    second.close("interrupted")
