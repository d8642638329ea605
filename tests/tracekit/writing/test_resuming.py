"""Taking a trace up again, in every kind of store: what must be the same, what is kept, what readers see."""

import dask
import numpy as np
import pytest

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace
from tracekit.errors import TraceError, TraceNotFoundError, TraceRolledBackError, TraceWriteError
from tracekit.format.marker import MARKER_KEY, read_marker
from tracekit.store import open_store
from tracekit.writing.background import Cargo
from tracekit.writing.truncation import rollback

PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=2)
WEIGHTS = np.random.default_rng(0).standard_normal((5, 6)).astype("f4")
FACTS = {
    "configuration": {"training": {"epochs": 2, "optimizer": {"lr": 0.1}}},
    "model_signature": {"w": "float32[6]"},
}


def declare(trace, *, shape=(6,), groups=("weights", "losses"), tasks=("a", "b"), units="nats"):
    if "weights" in groups:
        trace.declare_rows(Rows("weights", (Field("w", shape),), (0, 2, 4)))
    if "losses" in groups:
        series = [
            Series("losses", "eval_loss", dims=("task",), units=units),
            Series("losses", "train_loss", "update"),
        ]
        trace.declare_series(series, labels={"task": list(tasks)})


def put(trace, number, weights=WEIGHTS):
    for update in PLAN.updates(PLAN.visit(number)) if number else ():
        trace.put("losses", "train_loss", update.number / 2)
    trace.put("losses", "eval_loss", [number, np.nan])
    if number in (0, 2, 4):
        trace.put_row("weights", number, weights[number])


def record(trace, visits, weights=WEIGHTS):
    for number in visits:
        put(trace, number, weights)
        trace.commit(PLAN.visit(number))


@pytest.fixture
def cut_off(place):
    """A trace of three snapshots, and half of a fourth."""
    trace = TraceWriter.create(f"{place}/run.zarr", PLAN, attributes=FACTS)
    declare(trace)
    record(trace, range(3))
    put(trace, 3)
    for column in trace._contents.columns.values():
        trace._state.background.put(Cargo("column"), column.changed())
    trace.close("interrupted")
    return trace.url


def objects(url, prefix=""):
    """Give every object of a trace by its key."""
    store = open_store(url)
    found = {}
    for name in store.children(prefix):
        key = f"{prefix}/{name}".lstrip("/")
        data = store.get(key)
        found.update(objects(url, key) if data is None else {key: data})
    return found


def is_whole(path):
    trace = open_trace(path)
    np.testing.assert_array_equal(trace["losses"].eval_loss[:, 0], np.arange(5))
    np.testing.assert_array_equal(trace["losses"].train_loss, np.arange(8) / 2)
    np.testing.assert_array_equal(trace["weights"]["w"], WEIGHTS[[0, 2, 4]])
    seconds = trace["losses"].wall_time_seconds.values
    return trace.attrs["status"] == "complete" and (np.diff(seconds) >= 0).all()


@pytest.mark.parametrize("behind", [None, 3, 2, 0])
def test_a_run_goes_on_from_what_is_committed_or_repeats_it(cut_off, behind):
    clock = open_trace(cut_off)["losses"].wall_time_seconds.values[-1]
    with TraceWriter.resume(cut_off, PLAN, snapshots=behind, attributes=FACTS) as trace:
        assert open_trace(cut_off).attrs["status"] == "running"
        declare(trace)
        record(trace, range(3 if behind is None else behind, 5))
        assert trace.committed == 5
    assert is_whole(cut_off)
    assert open_trace(cut_off)["losses"].wall_time_seconds.values[3] >= clock
    assert read_marker(open_store(cut_off)).generation == 0, "nothing that was visible has gone"


def test_a_run_that_does_not_repeat_itself_is_told_so(cut_off):
    other = WEIGHTS + np.float32(1e-7)
    with TraceWriter.resume(cut_off, PLAN, snapshots=0, attributes=FACTS) as trace:
        declare(trace)
        with pytest.raises(TraceWriteError, match=r"weights, visit 0: this run gives other values"):
            record(trace, [0], other)
        trace.close("failed")
    with TraceWriter.resume(cut_off, PLAN, snapshots=0, attributes=FACTS) as trace:
        declare(trace)
        with pytest.raises(TraceWriteError, match="losses/eval_loss, sample 0: this run gives other values"):
            trace.put("losses", "eval_loss", [0.5, np.nan])
        trace.close("failed")


def test_every_difference_is_named(cut_off):
    other = {
        "configuration": {"training": {"epochs": 3, "optimizer": {"lr": 0.1, "momentum": 0.9}}},
        "model_signature": {"w": "float64[6]"},
    }
    plan = Plan(np.array([[0, 1], [0, 1]]), n_tasks=2, updates_per_visit=3)
    with pytest.raises(TraceWriteError) as refusal:
        TraceWriter.resume(cut_off, plan, attributes=other)
    for difference in (
        "configuration.training.epochs: 2 in the trace, now 3",
        "configuration.training.optimizer.momentum: nothing in the trace, now 0.9",
        "model_signature.w: 'float32[6]' in the trace, now 'float64[6]'",
        "updates_per_visit: 2 in the trace, now 3",
        "task order, visit.2: 1 in the trace, now 0",
        "task order, visit.3: 0 in the trace, now 1",
    ):
        assert difference in str(refusal.value)
    assert "lr" not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (2, 3)}, r"weights.fields.w.shape: \[6\] in the trace, now \[2, 3\]"),
        ({"tasks": ("a", "c")}, "losses.labels.task.1: 'b' in the trace, now 'c'"),
        ({"groups": ("weights",)}, "cannot be committed without losses"),
    ],
)
def test_what_is_recorded_must_be_the_same(cut_off, changes, message):
    trace = TraceWriter.resume(cut_off, PLAN, attributes=FACTS)

    def declare_and_commit():
        declare(trace, **changes)
        trace.commit(PLAN.visit(3))

    with pytest.raises(TraceWriteError, match=message):
        declare_and_commit()
    with pytest.raises(TraceWriteError, match="the trace has no 'gradients'"):
        trace.declare_rows(Rows("gradients", (Field("w", (6,)),), (1,)))
    trace.close("interrupted")


def test_a_complete_trace_is_left_alone(cut_off):
    with TraceWriter.resume(cut_off, PLAN, attributes=FACTS) as trace:
        declare(trace)
        record(trace, (3, 4))
    before = objects(cut_off)
    with pytest.raises(TraceWriteError, match="is complete, all 5 snapshots"):
        TraceWriter.resume(cut_off, PLAN, attributes=FACTS)
    assert before == objects(cut_off)
    with pytest.raises(TraceNotFoundError, match="nothing here to resume"):
        TraceWriter.resume(f"{cut_off}-elsewhere", PLAN)


@pytest.mark.parametrize("snapshots", range(4))
def test_rolled_back_traces_hold_what_was_kept_and_go_on(cut_off, snapshots):
    before = open_trace(cut_off)
    rollback(cut_off, snapshots)

    trace = open_trace(cut_off)
    assert trace.attrs["snapshots_committed"] == snapshots
    np.testing.assert_array_equal(trace["losses"].eval_loss[:, 0], np.arange(snapshots))
    np.testing.assert_array_equal(trace["weights"]["w"], WEIGHTS[[v for v in (0, 2, 4) if v < snapshots]])
    rows = [v for v in (0, 2, 4) if v < snapshots]
    store = open_store(cut_off)
    assert list(store.children("weights/values/c")) == [str(i) for i in range(len(rows))]
    chunk = (store.get("losses/eval_loss/c/0/0") or b"") if snapshots else b""
    kept = np.frombuffer(chunk[:-4], "f8").reshape(-1, 2)[:, 0] if chunk else np.zeros(0)
    np.testing.assert_array_equal(kept[snapshots:], np.nan)
    if snapshots == 3:
        np.testing.assert_array_equal(before["losses"].eval_loss[:, 0], np.arange(3))
    else:
        for lazy in (before["losses"].eval_loss, before["weights"]["w"]):
            with pytest.raises(TraceRolledBackError, match="open it again"):
                lazy.compute()
    with TraceWriter.resume(cut_off, PLAN, attributes=FACTS) as again:
        declare(again)
        record(again, range(snapshots, 5))
    assert is_whole(cut_off)


def test_rolling_back_a_complete_trace_makes_it_one_that_can_be_resumed(cut_off):
    for _ in range(2):
        with TraceWriter.resume(cut_off, PLAN, attributes=FACTS) as trace:
            declare(trace)
            record(trace, range(trace.committed, 5))
        assert is_whole(cut_off)
        rollback(cut_off, 2)
        assert open_trace(cut_off).attrs["status"] == "interrupted"
    with pytest.raises(TraceWriteError, match="has 2 snapshots; cannot go back to 4"):
        rollback(cut_off, 4)
    with pytest.raises(TraceError):
        rollback(f"{cut_off}-elsewhere", 4)


def test_whoever_has_a_trace_open_that_is_replaced_is_told(cut_off):
    before = open_trace(cut_off)["losses"].eval_loss
    trace = TraceWriter.create(cut_off, PLAN, attributes=FACTS, overwrite=True)
    declare(trace)
    record(trace, range(5))
    trace.close()
    with pytest.raises(TraceRolledBackError), dask.config.set(scheduler="synchronous"):
        before.compute()


def test_a_marker_that_is_gone(cut_off):
    before = open_trace(cut_off)["losses"].eval_loss
    open_store(cut_off).remove(MARKER_KEY)
    with pytest.raises(TraceRolledBackError):
        before.compute()
