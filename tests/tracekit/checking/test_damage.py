"""Random damage to a real trace: flipped bytes, cut and missing files. None of it is a wrong number."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from hostile.sound import read_everything, write_base

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace
from tracekit.checking.remarking import remake_marker
from tracekit.checking.verify import verify
from tracekit.cli.verify import verify as command
from tracekit.errors import DamagedTraceError, TraceError
from tracekit.format import layout
from tracekit.format.checkpoints import (
    DOCUMENT,
    TENSORS,
    checkpoint_document,
    checkpoint_numbers,
    key_of,
    put_checkpoint,
)
from tracekit.format.copies import COPIES_KEY, read_copies
from tracekit.schedule import OpenPlan, Visit
from tracekit.store import LocalStore
from tracekit.store.memory import MemoryStore
from tracekit.writing.truncation import rollback


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "CHUNK_BYTES", 32)
    monkeypatch.setattr(layout, "SHARD_BYTES", 64)
    write_base(tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def damage(data, generator):
    """Give damaged bytes: one of them flipped (8 of 10 times), fewer of them, or None for none at all."""
    kind = generator.integers(10)
    if kind < 8:
        place = generator.integers(len(data))
        return data[:place] + bytes([data[place] ^ generator.integers(1, 256)]) + data[place + 1 :]
    return data[: generator.integers(len(data))] if kind == 8 else None


def damage_often(path, count, seed):
    """Damage one file at a time, and count what verify and reading say of it."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    original = read_everything(path)
    generator = np.random.default_rng(seed)
    counts = {
        "values": 0,
        "values detected": 0,
        "metadata": 0,
        "metadata detected": 0,
        "metadata harmless": 0,
    }
    for _ in range(count):
        file = files[generator.integers(len(files))]
        kept = file.read_bytes()
        broken = damage(kept, generator)
        file.unlink() if broken is None else file.write_bytes(broken)
        kind = "metadata" if file.name == "zarr.json" else "values"
        counts[kind] += 1
        counts[f"{kind} {outcome(path, file.relative_to(path), original)}"] += 1
        file.write_bytes(kept)
    assert verify(path).faults == ()
    return counts


def outcome(path, key, original):
    faults = faults_found(path)
    found = {fault.key for fault in faults} or {"zarr.json"}
    try:
        read = read_everything(path)
    except TraceError:
        # the marker is gone, or the root: the error names it, and so does verify
        assert str(key) in found or key.parts[0] in " ".join(found)
        return "detected"
    assert read == original, f"{key}: numbers changed in silence"
    if key.name == "zarr.json":
        return "harmless"
    # nobody reads the visits of the timeline (a visit is its own place), nor the second copy of metadata
    unread = str(key).startswith(("visits/visit/c", COPIES_KEY))
    assert found == {str(key)}, f"{key}: damage was not noticed by verify"
    assert unread, f"{key}: damage was not noticed by reading"
    return "detected"


def faults_found(path):
    """Give the faults that verify finds, none where its root is no trace's any more."""
    try:
        return verify(path, threads=1).faults
    except TraceError:
        return ()


def test_damage_is_never_a_wrong_number(path):
    counts = damage_often(path, 100, seed=0)
    assert counts["values detected"] == counts["values"] > 20
    assert counts["metadata detected"] + counts["metadata harmless"] == counts["metadata"] > 20


@pytest.mark.slow
def test_a_thousand_times(path):
    counts = damage_often(path, 1000, seed=1)
    assert counts["values detected"] == counts["values"] > 200
    print(counts)


def flip(file, place=3):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_faults_name_array_chunk_and_visits(path):
    flip(path / "weights/values/c/2/0", 3)
    (path / "gradients/values/c/1/0/1").unlink()
    flip(path / "losses/train_loss/c/0")
    report = verify(path)

    found = {fault.array: fault for fault in report.faults}
    assert set(found) == {"weights/values", "gradients/values", "losses/train_loss"}
    assert (found["weights/values"].chunk, found["weights/values"].visits) == ((0, 0), ((2, 2),))
    assert found["gradients/values"].key == "gradients/values/c/1/0/1"
    assert found["gradients/values"].visits == ((3, 3),)
    assert "missing" in found["gradients/values"].problem
    assert found["losses/train_loss"].visits == ((1, 4),)
    assert report.sound_commit == 1
    assert report.lost == ()


def test_the_undamaged_rest_is_read(path):
    flip(path / "weights/values/c/2/0")
    trace = open_trace(path)
    np.testing.assert_array_equal(
        trace["weights"]["b"].isel(visit=slice(3, 5)), [[320, 321, 322], [420, 421, 422]]
    )
    with pytest.raises(DamagedTraceError, match=r"weights/values/c/2/0, chunk \(0, 0\): the checksum"):
        trace["weights"]["w"].load()


@pytest.mark.parametrize("key", ["weights/zarr.json", "weights/values/zarr.json", "weights/visit/c/0"])
def test_a_damaged_group_can_be_left_out(path, key):
    flip(path / key, 30 if key.endswith("json") else 3)
    with pytest.raises(TraceError, match="only 'weights' is affected"):
        open_trace(path)

    trace = open_trace(path, skip_damaged=True)
    assert set(trace.children) == {"gradients", "losses", "moments"}
    assert list(trace.attrs["damaged"]) == ["weights"]
    assert trace["losses"].eval_loss.values[:, 1].tolist() == [0, 0.5, 1, 1.5, 2]
    report = verify(path)
    assert (report.lost, report.readable, report.sound_commit) == (
        ("weights",),
        ("gradients", "losses", "moments"),
        None,
    )


def test_a_damaged_column_of_the_timeline_can_be_left_out(path):
    flip(path / "visits/epoch/c/0")
    with pytest.raises(DamagedTraceError, match="visits/epoch/c/0"):
        open_trace(path)
    trace = open_trace(path, skip_damaged=True)
    assert "epoch" not in trace["weights"].coords
    assert trace["weights"].position.values.tolist() == [-1, 0, 1, 0, 1]
    assert list(trace.attrs["damaged"]) == ["visits/epoch"]


def test_roll_back_drops_later_visits_for_good(path):
    before = read_everything(path)
    rollback(path, 3)
    trace = open_trace(path)
    assert trace.attrs["status"] == "interrupted"
    assert trace["weights"].visit.values.tolist() == [0, 1, 2]
    assert trace["gradients"].visit.values.tolist() == [1]
    assert trace["losses"].sizes["update"] == 4
    assert not list((path / "weights/values/c").glob("[34]/*"))
    assert trace["losses"].eval_loss.values.tobytes().hex() == before["/losses/eval_loss"][2][: 3 * 2 * 16]
    assert LocalStore(path).get("commit/c/0")[:16] == np.array([3, 1], "<i8").tobytes()
    assert verify(path).faults == ()
    with pytest.raises(TraceError, match="has 3 snapshots; cannot go back to 4"):
        rollback(path, 4)


def test_the_command_says_what_is_damaged_and_repairs_only_when_asked(path):
    run = CliRunner().invoke
    done = run(command, [str(path)])
    assert (done.exit_code, "No fault found" in done.output) == (0, True)

    flip(path / "weights/values/c/3/1")
    done = run(command, [str(path), "--json"])
    assert done.exit_code == 1
    document = json.loads(next(line for line in done.output.splitlines() if line.startswith("{")))
    assert document["faults"][0]["key"] == "weights/values/c/3/1"
    assert document["sound_commit"] == 3
    done = run(command, [str(path)])
    assert "weights/values, object weights/values/c/3/1, chunk (0, 0), visits 3" in done.output
    assert open_trace(path).attrs["snapshots_committed"] == 5

    assert run(command, [str(path), "--repair"]).exit_code == 0
    assert open_trace(path).attrs["snapshots_committed"] == 3
    assert run(command, [str(path)]).exit_code == 0


@pytest.mark.parametrize(
    "gone",
    [
        ("weights",),
        ("weights/visit", "visits/trained_task", "gradients/zarr.json"),
        ("zarr.json", "losses/zarr.json", "losses/update_visit", "commit/zarr.json"),
    ],
)
def test_what_has_gone_altogether_is_missed_and_what_there_is_a_copy_of_is_put_back(path, gone):
    before = read_everything(path)
    values = {file: file.read_bytes() for file in path.glob("weights/values/c/*/*")}
    for key in gone:
        shutil.rmtree(path / key) if (path / key).is_dir() else (path / key).unlink()
    with pytest.raises(TraceError):
        open_trace(path)
    assert {fault.group for fault in verify(path).faults} >= {
        key.rpartition("/")[0].split("/")[0] for key in gone if "/" in key
    }

    done = CliRunner().invoke(command, [str(path), "--repair"])
    if "weights" in gone:
        assert "nothing was changed: it would drop every visit" in str(done.exception)
        assert {fault.kind for fault in verify(path).faults} == {"values"}
        for file, data in values.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    else:
        assert done.exit_code == 0, done.output
    assert verify(path).faults == ()
    after = read_everything(path)
    if "zarr.json" in gone:
        before[""]["status"] = "interrupted"
    assert after == before


def test_a_whole_kind_that_is_gone_can_be_left_out(path):
    shutil.rmtree(path / "gradients")
    with pytest.raises(TraceError, match="only 'gradients' is affected"):
        open_trace(path)
    assert list(open_trace(path, skip_damaged=True).attrs["damaged"]) == ["gradients"]
    assert verify(path).lost == ("gradients",)


def test_a_damaged_copy_harms_nobody_and_is_made_anew(path):
    before = (path / COPIES_KEY).read_bytes()
    flip(path / COPIES_KEY)
    open_trace(path)
    report = verify(path)
    assert [fault.kind for fault in report.faults] == ["copy"]
    assert (report.lost, report.sound_commit) == ((), 5)
    done = CliRunner().invoke(command, [str(path), "--repair"], catch_exceptions=False)
    assert done.exit_code == 0
    assert read_copies(LocalStore(path)).keys() == read_copies_of(before).keys()
    assert verify(path).faults == ()


def read_copies_of(data):
    store = MemoryStore("copies")
    store.put(COPIES_KEY, data)
    return read_copies(store)


def test_a_trace_that_is_being_declared_misses_nothing(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", Plan(np.array([[0]]), 1, 1)) as trace:
        trace.declare_series([Series("losses", "eval_loss")])
        assert verify(trace.url).faults == ()
        trace.put("losses", "eval_loss", 1.0)
        trace.commit(trace.plan.visit(0))
        assert verify(trace.url).faults == ()
        trace.declare_rows(Rows("weights", (Field("w", (3,)),), (1,)))
        trace.put("losses", "eval_loss", 1.0)
        trace.put_row("weights", 1, np.ones(3, "f4"))
        trace.commit(trace.plan.visit(1))
    shutil.rmtree(tmp_path / "run.zarr/weights")
    assert {fault.array for fault in verify(trace.url).faults} == {
        "weights",
        "weights/values",
        "weights/visit",
    }


def test_repair_changes_nothing_where_it_would_not_help(path):
    (path / COPIES_KEY).unlink()
    flip(path / "visits/epoch/c/0")
    done = CliRunner().invoke(command, [str(path), "--repair"])
    assert isinstance(done.exception, TraceError)
    assert "nothing was changed" in str(done.exception)
    assert LocalStore(path).get("commit/c/0")[:16] == np.array([5, 0], "<i8").tobytes()


def test_threads_do_not_change_what_is_found(path):
    flip(path / "weights/values/c/2/0")
    told = []
    reports = [verify(path, threads=n, progress=lambda *numbers: told.append(numbers)) for n in (1, 8)]
    assert reports[0] == reports[1]
    assert told[-1][0] == told[-1][1] == reports[0].n_objects


def test_what_the_disk_does_not_give_is_named(path, monkeypatch):
    trace = open_trace(path)

    def fail(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(DamagedTraceError, match=r"weights/values/c/.*cannot be read \(Input/output error\)"):
        trace["weights/flat"].to_dataset()["values"].load()


def put_checkpoints(path):
    """Put two checkpoints of made-up tensors into a trace."""
    for number in (2, 4):
        tensors = bytes(range(100)) * number
        facts = checkpoint_document({"visit": number, "optimizer": {"lr": 0.5}}, tensors)
        put_checkpoint(LocalStore(path), number, [(TENSORS, tensors), (DOCUMENT, facts)])


@pytest.mark.parametrize("name", [TENSORS, DOCUMENT])
def test_a_damaged_checkpoint_is_named_and_removed_on_request(path, name):
    put_checkpoints(path)
    assert verify(path).faults == ()
    file = path / key_of(4, name)
    sound = file.read_bytes()
    for place in range(0, len(sound), 61):
        flip(file, place)
        report = verify(path)
        assert [(fault.kind, fault.key) for fault in report.faults] == [("checkpoint", "commit/checkpoint/4")]
        assert name in report.faults[0].problem
        assert (report.sound_commit, report.lost) == (5, ())
        file.write_bytes(sound)
    flip(file, len(sound) // 2)
    before = read_everything(path)
    done = CliRunner().invoke(command, [str(path), "--repair"], catch_exceptions=False)
    assert (done.exit_code, "Removed: commit/checkpoint/4" in done.output) == (0, True)
    assert checkpoint_numbers(LocalStore(path)) == [2]
    assert read_everything(path) == before


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_lost_marker_is_made_anew_of_what_is_whole(path, how):
    before = read_everything(path)
    generation = before[""].pop("generation")
    flip(path / "commit/c/0") if how == "flipped" else (path / "commit/c/0").unlink()
    with pytest.raises(TraceError):
        open_trace(path)
    done = CliRunner().invoke(command, [str(path), "--repair"], catch_exceptions=False)
    assert (done.exit_code, "of 5 snapshots found whole" in done.output) == (0, True)
    after = read_everything(path)
    assert after[""].pop("generation") > generation
    assert after == before
    assert verify(path).faults == ()


def test_a_marker_made_anew_leaves_out_what_is_not_whole(path):
    (path / "commit/c/0").unlink()
    (path / "weights/values/c/3/1").unlink()
    assert remake_marker(path).committed == 3
    assert open_trace(path)["weights"].visit.values.tolist() == [0, 1, 2]


def record_nan(path, plan, *, ends):
    """Record three snapshots, the last of which has a loss of NaN; give what a reader sees of them."""
    trace = TraceWriter.create(path, plan)
    trace.declare_series([Series("losses", "eval_loss"), Series("losses", "gap")])
    for number, loss in enumerate([2.0, 1.0, np.nan]):
        trace.put("losses", "eval_loss", loss)
        trace.put("losses", "gap", -loss)
        trace.commit(Visit(number, 0, number - 1, 0) if number else Visit(0, -1, -1, -1))
    if ends is not None:
        trace.close(ends)
    (path / "commit/c/0").unlink()


@pytest.mark.parametrize(
    ("plan", "ends", "kept"),
    [
        (Plan(np.zeros((1, 2), int), 1, 1), "complete", 3),
        (Plan(np.zeros((1, 2), int), 1, 1), "interrupted", 2),
        (Plan(np.zeros((1, 2), int), 1, 1), None, 2),
        (OpenPlan(), "interrupted", 3),
        (OpenPlan(), None, 2),
    ],
)
def test_nan_is_told_from_what_was_never_written_or_else_the_repair_says_that_it_cannot(
    tmp_path, plan, ends, kept
):
    path = tmp_path / "run.zarr"
    record_nan(path, plan, ends=ends)
    for claim in (path / "commit/claims").glob("*"):
        claim.unlink()
    done = CliRunner().invoke(command, [str(path), "--repair"], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"of {kept} snapshots found whole" in done.output
    told = "Dropped: visit 2, at which losses/eval_loss, losses/gap has no value: it was never written, or it"
    assert (told in done.output) == (kept == 2)
    np.testing.assert_array_equal(open_trace(path)["losses"].eval_loss, [2.0, 1.0, np.nan][:kept])


def test_no_marker_is_made_of_nothing(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", Plan(np.array([[0]]), 1, 1)) as trace:
        trace.declare_series([Series("losses", "eval_loss")])
    (tmp_path / "run.zarr/commit/c/0").unlink()
    with pytest.raises(DamagedTraceError, match="nothing was ever committed"):
        remake_marker(tmp_path / "run.zarr")


def test_rows_that_are_gone_are_marked_where_metadata_is_put_back(path):
    """Which rows could not be written is in no copy: those that are not there are marked so again."""
    (path / "weights/zarr.json").unlink()
    shutil.rmtree(path / "weights/values/c/2")
    done = CliRunner().invoke(command, [str(path), "--repair"], catch_exceptions=False)
    assert done.exit_code == 0
    assert open_trace(path).attrs["gaps"] == {"weights": [2]}
    assert open_trace(path).attrs["snapshots_committed"] == 5
