"""Rows per update: several to a visit, and every promise that holds for rows per visit."""

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner

from tracekit import Field, Plan, Rows, Series, TraceWriter, flat, open_trace
from tracekit.checking.faults import written
from tracekit.checking.verify import verify
from tracekit.cli.show import show
from tracekit.errors import NotATraceError, TraceRolledBackError, TraceWarning, TraceWriteError
from tracekit.schedule import OpenPlan
from tracekit.store import LocalStore
from tracekit.writing.estimate import CountingWriter
from tracekit.writing.truncation import rollback

PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=3)
UPDATES = (0, 2, 3, 5, 9, 11)
VISITS = (1, 1, 2, 2, 4, 4)
VALUES = np.random.default_rng(0).standard_normal((12, 2, 10)).astype("f4")
FIELDS = (Field("w", (3, 3)), Field("b", ()))


def declare(trace):
    trace.declare_rows(Rows("moments", FIELDS, VISITS, ("part", ("x", "y")), updates=UPDATES))
    trace.declare_series([Series("losses", "train_loss", "update"), Series("losses", "eval_loss")])


def record(trace, first, last, values=VALUES):
    for number in range(first, last):
        for update in PLAN.updates(PLAN.visit(number)) if number else ():
            trace.put("losses", "train_loss", update.number)
            if update.number in UPDATES:
                trace.put_row("moments", update.number, values[update.number])
        trace.put("losses", "eval_loss", number)
        trace.commit(PLAN.visit(number))


@pytest.fixture
def path(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as trace:
        declare(trace)
        record(trace, 0, 5)
    return tmp_path / "run.zarr"


@pytest.fixture
def cut_off(tmp_path):
    """A trace of three snapshots, and all updates of a fourth and fifth but no commit of the last."""
    trace = TraceWriter.create(tmp_path / "cut.zarr", PLAN)
    declare(trace)
    record(trace, 0, 4)
    for update in (9, 11):
        trace.put_row("moments", update, VALUES[update])
    trace._state.background.wait()
    trace.close("interrupted")
    return tmp_path / "cut.zarr"


def check(path, n_rows):
    moments = open_trace(path)["moments"]
    np.testing.assert_array_equal(moments["flat"]["values"], VALUES[list(UPDATES[:n_rows])])
    assert moments["update"].values.tolist() == list(UPDATES[:n_rows])
    return moments


def test_rows_come_back_by_update_with_their_place_in_time(path):
    trace = open_trace(path)
    moments = check(path, 6)
    assert moments["w"].dims == ("update", "part", "axis0_3", "axis1_3")
    np.testing.assert_array_equal(moments["w"].sel(update=5, part="y").values, VALUES[5, 1, :9].reshape(3, 3))
    assert moments["update_visit"].values.tolist() == list(VISITS)
    assert moments["update_index"].values.tolist() == [0, 2, 0, 2, 0, 2]
    assert moments["epoch"].values.tolist() == [0, 0, 0, 0, 1, 1]
    assert moments["position"].values.tolist() == [0, 0, 1, 1, 1, 1]
    assert moments["trained_task"].values.tolist() == [0, 0, 1, 1, 0, 0]
    seconds = trace["losses"]["wall_time_seconds"].values
    np.testing.assert_array_equal(moments["wall_time_seconds"], seconds[list(VISITS)])
    assert moments["w"].attrs["phase"] == moments.attrs["phase"] == "snapshot"
    assert flat(trace, "moments", "b").shape == (6, 2, 1)


def test_series_per_update_say_their_place_in_time_too(path):
    losses = open_trace(path)["losses"].to_dataset()
    assert losses["update_epoch"].values.tolist() == [0] * 6 + [1] * 6
    assert losses["update_position"].values.tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert losses["update_trained_task"].values.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert losses["update_index"].values.tolist() == [0, 1, 2] * 4
    assert losses["update_wall_time_seconds"].dims == ("update",)
    assert losses["epoch"].dims == ("visit",)


def test_zarr_and_xarray_read_them_without_tracekit(path):
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["moments/values"][:], VALUES[list(UPDATES)])
    plain = xr.open_zarr(path, group="moments", consolidated=False, zarr_format=3)
    assert plain["values"].dims == ("update", "part", "element")
    assert plain["update_visit"].values.tolist() == list(VISITS)


def test_only_rows_of_committed_visits_are_seen(cut_off):
    assert (cut_off / "moments/values/c/5").exists()
    check(cut_off, 4)


def test_a_visit_without_one_of_its_rows_is_not_committed(tmp_path):
    trace = TraceWriter.create(tmp_path / "run.zarr", PLAN)
    declare(trace)
    record(trace, 0, 1)
    for number in range(3):
        trace.put("losses", "train_loss", number)
    trace.put("losses", "eval_loss", 1)
    trace.put_row("moments", 2, VALUES[2])
    with pytest.raises(TraceWriteError, match="visit 1 cannot be committed without moments"):
        trace.commit(PLAN.visit(1))
    with pytest.raises(TraceWriteError, match="moments, update 1 is not among the updates"):
        trace.put_row("moments", 1, VALUES[1])
    with pytest.raises(TraceWriteError, match="moments, update 2 was put already"):
        trace.put_row("moments", 2, VALUES[2])
    trace.put_row("moments", 0, VALUES[0])
    trace.commit(PLAN.visit(1))
    trace.close("interrupted")
    check(tmp_path / "run.zarr", 2)


def test_updates_and_visits_go_together():
    with pytest.raises(ValueError, match="a visit for each of 2 updates, found 1"):
        Rows("moments", FIELDS, (1,), updates=(0, 1))


@pytest.mark.parametrize("behind", [None, 2, 0])
def test_a_run_goes_on_or_repeats_its_rows(cut_off, behind):
    with TraceWriter.resume(cut_off, PLAN, snapshots=behind) as trace:
        declare(trace)
        record(trace, trace._next, 5)
    check(cut_off, 6)
    assert verify(cut_off).faults == ()


def test_rows_that_do_not_repeat_themselves_are_refused(cut_off):
    trace = TraceWriter.resume(cut_off, PLAN, snapshots=1)
    declare(trace)
    with pytest.raises(TraceWriteError, match=r"moments, update 0: this run gives other values"):
        record(trace, 1, 5, values=VALUES + 1)
    trace.close("failed")
    check(cut_off, 4)


def test_other_updates_than_those_of_the_trace_are_refused(cut_off):
    trace = TraceWriter.resume(cut_off, PLAN)
    with pytest.raises(TraceWriteError, match="moments/update"):
        trace.declare_rows(Rows("moments", FIELDS, VISITS, ("part", ("x", "y")), updates=(0, 1, 3, 5, 9, 11)))
    trace.close("failed")


@pytest.mark.parametrize(("snapshots", "n_rows"), [(4, 4), (2, 2), (1, 0)])
def test_rolling_back_drops_the_rows_of_visits_that_go(path, snapshots, n_rows):
    before = open_trace(path)["moments"]["w"]
    rollback(path, snapshots)
    check(path, n_rows)
    assert len(list((path / "moments/values/c").glob("*"))) == n_rows
    with pytest.raises(TraceRolledBackError):
        before.compute()
    with TraceWriter.resume(path, PLAN) as trace:
        declare(trace)
        record(trace, snapshots, 5)
    check(path, 6)


def test_verify_names_the_visit_of_a_damaged_row(path):
    file = path / "moments/values/c/3/0/0"
    data = bytearray(file.read_bytes())
    data[4] ^= 1
    file.write_bytes(data)
    report = verify(path)
    assert [(fault.array, written(fault.visits)) for fault in report.faults] == [("moments/values", "2")]
    assert report.sound_commit == 2
    rollback(path, report.sound_commit)
    assert verify(path).faults == ()
    check(path, 2)


@pytest.mark.filterwarnings("ignore::tracekit.errors.TraceWarning")
def test_rows_that_cannot_be_written_are_gaps_named_by_update(tmp_path, monkeypatch):
    put = LocalStore.put_pieces

    def refuse(self, key, pieces):
        if key.startswith(("moments/values/c/1/", "moments/values/c/4/")):
            raise OSError(28, "No space left on device")
        put(self, key, pieces)

    monkeypatch.setattr(LocalStore, "put_pieces", refuse)
    path = tmp_path / "run.zarr"
    trace = TraceWriter.create(path, PLAN, on_error="warn")
    declare(trace)
    with pytest.warns(TraceWarning, match="moments, update 2 could not be recorded"):
        record(trace, 0, 3)
    assert open_trace(path).attrs["gaps"] == {"moments": [2]}
    record(trace, 3, 5)
    trace.close()

    trace = open_trace(path)
    assert trace.attrs["gaps"] == {"moments": [2, 9]}
    lost = np.isnan(trace["moments/flat"]["values"].values).all(axis=(1, 2))
    assert lost.tolist() == [False, True, False, False, True, False]
    np.testing.assert_array_equal(trace["moments"]["b"].sel(update=11), VALUES[11, :, 9])
    assert verify(path).faults == ()
    assert "moments: missing at update 2, 9" in CliRunner().invoke(show, [str(path)]).output.replace("\n", "")
    rollback(path, 3)
    assert open_trace(path).attrs["gaps"] == {"moments": [2]}
    monkeypatch.undo()
    with TraceWriter.resume(path, PLAN, snapshots=0) as trace:
        declare(trace)
        record(trace, 0, 5)
    assert open_trace(path).attrs["gaps"] == {"moments": [2]}


def test_a_growing_trace_shows_more_rows(tmp_path):
    trace = TraceWriter.create(tmp_path / "run.zarr", PLAN)
    declare(trace)
    seen = []
    for number in range(5):
        record(trace, number, number + 1)
        seen.append(check(tmp_path / "run.zarr", sum(visit <= number for visit in VISITS)).sizes["update"])
    trace.close()
    assert seen == [0, 2, 4, 4, 6]


def test_what_will_be_written_is_known_before(path):
    counting = CountingWriter(PLAN)
    declare(counting)
    for kind in counting.kinds:
        assert kind.files == sum(file.is_file() for file in (path / kind.kind).rglob("*"))


@pytest.mark.parametrize("gaps", [[1], [-1], [12], ["2"]])
def test_gaps_that_were_never_planned_are_refused(path, gaps):
    import json

    from tracekit.format.documents import seal

    file = path / "moments/zarr.json"
    document = json.loads(file.read_text())
    document["attributes"]["gaps"] = gaps
    file.write_bytes(seal(document))
    with pytest.raises(NotATraceError, match="gaps"):
        open_trace(path)


def record_open(trace, first, last, values=VALUES):
    trace.declare_rows(Rows("moments", FIELDS, (), ("part", ("x", "y")), updates=()))
    trace.declare_series([Series("losses", "train_loss", "update"), Series("losses", "eval_loss")])
    record(trace, first, last, values)


@pytest.fixture
def open_ended(tmp_path):
    """A trace of four snapshots whose end was not known, and rows of a fifth."""
    path = tmp_path / "open.zarr"
    trace = TraceWriter.create(path, OpenPlan(n_tasks=2))
    record_open(trace, 0, 4)
    trace.put_row("moments", 9, VALUES[9])
    trace._state.background.wait()
    check(path, 4)
    trace.close("interrupted")
    return path


@pytest.mark.parametrize("behind", [None, 2, 0])
def test_where_the_end_is_not_known(open_ended, behind):
    moments = check(open_ended, 4)
    assert moments["update_visit"].values.tolist() == [1, 1, 2, 2]
    assert zarr.open_group(open_ended, mode="r")["moments/values"].shape == (4, 2, 10)
    with TraceWriter.resume(open_ended, OpenPlan(n_tasks=2), snapshots=behind) as trace:
        record_open(trace, 4 if behind is None else behind, 5)
    check(open_ended, 6)
    assert verify(open_ended).faults == ()
    rollback(open_ended, 2)
    check(open_ended, 2)
    assert len(list((open_ended / "moments/values/c").glob("*"))) == 2


def test_where_the_end_is_not_known_updates_come_in_order(open_ended):
    with TraceWriter.resume(open_ended, OpenPlan(n_tasks=2)) as trace:
        record_open(trace, 4, 4)
        trace.put_row("moments", 11, VALUES[11])
        with pytest.raises(TraceWriteError, match="update 9 is not among the updates"):
            trace.put_row("moments", 9, VALUES[9])
