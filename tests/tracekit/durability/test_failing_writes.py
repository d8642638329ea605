"""The disk refuses: the run stops and says how far the trace is good, or goes on and marks the gap."""

import os
import subprocess
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace
from tracekit.checking.verify import verify
from tracekit.cli.analyze import analyze
from tracekit.cli.show import show
from tracekit.errors import TraceWarning, TraceWriteError
from tracekit.format import layout
from tracekit.store import LocalStore

pytestmark = pytest.mark.filterwarnings(
    "ignore::tracekit.errors.TraceWarning"
)  # where they are not asked for

PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=2)
WEIGHTS = np.random.default_rng(0).standard_normal((5, 600)).astype("f4")
N_PUTS = 59
FULL = OSError(28, "No space left on device")


def record(path, *, start=TraceWriter.create, **settings):
    """Record five snapshots of losses and of weights, which take two objects each."""
    with start(path, PLAN, **{"durability": "rename", **settings}) as trace:
        trace.declare_rows(Rows("weights", (Field("w", (600,)),), tuple(range(5))))
        series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
        trace.declare_series(series, labels={"task": ["a", "b"]})
        for number in range(trace._next, 5):
            for update in PLAN.updates(PLAN.visit(number)) if number else ():
                trace.put("losses", "train_loss", update.number + 0.5)
            trace.put("losses", "eval_loss", [number, number + 0.5])
            trace.put_row("weights", number, WEIGHTS[number])
            trace.commit(PLAN.visit(number))


def error_of(action, *arguments, **settings):
    """Give the message of the error that stopped a recording; empty if none did."""
    try:
        action(*arguments, **settings)
    except TraceWriteError as error:
        return str(error)
    return ""


def check(path, n_committed, gaps=()):
    """Every committed value is what was put, and the gaps are missing, marked, and nothing else is."""
    trace = open_trace(path)
    assert trace.attrs["snapshots_committed"] == n_committed
    weights = trace["weights/flat"].to_dataset().compute()
    losses = trace["losses"].to_dataset().compute()
    expected = WEIGHTS[:n_committed].copy()
    expected[list(gaps)] = np.nan
    np.testing.assert_array_equal(weights["values"], expected)
    assert weights.attrs.get("gaps", []) == list(gaps)
    assert trace.attrs.get("gaps", {}) == ({"weights": list(gaps)} if gaps else {})
    np.testing.assert_array_equal(losses.eval_loss[:, 0], np.arange(n_committed))
    np.testing.assert_array_equal(losses.train_loss, np.arange(max(0, n_committed - 1) * 2) + 0.5)


@pytest.fixture(autouse=True)
def _two_objects_for_each_row(monkeypatch):
    monkeypatch.setattr(layout, "CHUNK_BYTES", 400)
    monkeypatch.setattr(layout, "SHARD_BYTES", 1200)


@pytest.fixture
def refuse(monkeypatch):
    """Make the store refuse puts, by their number and key; gives the keys of all that were asked for."""

    def install(refused):
        put, keys = LocalStore.put_pieces, []

        def put_or_refuse(self, key, pieces):
            keys.append(key)
            if refused(len(keys), key):
                raise FULL
            put(self, key, pieces)

        monkeypatch.setattr(LocalStore, "put_pieces", put_or_refuse)
        return keys

    return install


def test_there_are_so_many_puts(tmp_path, refuse):
    keys = refuse(lambda number, key: False)
    record(tmp_path / "run.zarr")
    assert len(keys) == N_PUTS
    check(tmp_path / "run.zarr", 5)


@pytest.mark.parametrize(
    ("number", "forever"),
    [*((n, False) for n in range(1, N_PUTS + 1)), *((n, True) for n in range(3, N_PUTS, 4))],
)
def test_a_refused_put_stops_the_run(tmp_path, refuse, monkeypatch, number, forever):
    path = tmp_path / "run.zarr"
    with monkeypatch.context():
        refuse(lambda n, key: n >= number if forever else n == number)
        with pytest.raises(TraceWriteError, match="No space left on device") as stopped:
            record(path)
    monkeypatch.undo()

    n_committed = 0
    if (path / "commit/c/0").exists():
        n_committed = (
            open_trace(path).attrs["snapshots_committed"] if "good up to" in str(stopped.value) else 0
        )
        assert f"({n_committed} of 5 snapshots)" in str(stopped.value) or n_committed == 0
        if n_committed:
            check(path, n_committed)
            assert open_trace(path).attrs["status"] in ("failed", "running")
    record(path, start=TraceWriter.resume if path.exists() and any(path.iterdir()) else TraceWriter.create)
    check(path, 5)
    assert not list(path.rglob("*.partial"))


@pytest.mark.parametrize("number", range(1, N_PUTS + 1))
def test_a_refused_put_is_marked_and_the_run_goes_on(tmp_path, refuse, number):
    keys = refuse(lambda n, key: n == number)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TraceWarning)
        error = error_of(record, tmp_path / "run.zarr", on_error="warn")
    if error:
        assert "could not be set up" in error
        assert not any(key.startswith("weights/values/c") for key in keys)
        return

    refused = keys[number - 1]
    lost = (int(refused.split("/")[3]),) if refused.startswith("weights/values/c") else ()
    check(tmp_path / "run.zarr", 5, lost)
    assert [w for w in caught if w.category is TraceWarning], f"{refused} was refused, and nobody was told"


def test_a_disk_that_is_full_for_a_while(tmp_path, refuse):
    """All puts of visits 2 and 3 are refused: their rows are gaps, their losses are not."""
    path, full = tmp_path / "run.zarr", {"now": False}
    refuse(lambda n, key: full["now"])
    with TraceWriter.create(path, PLAN, on_error="warn") as trace:
        trace.declare_rows(Rows("weights", (Field("w", (600,)),), tuple(range(5))))
        series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
        trace.declare_series(series, labels={"task": ["a", "b"]})
        for number in range(5):
            full["now"] = number in (2, 3)
            for update in PLAN.updates(PLAN.visit(number)) if number else ():
                trace.put("losses", "train_loss", update.number + 0.5)
            trace.put("losses", "eval_loss", [number, number + 0.5])
            trace.put_row("weights", number, WEIGHTS[number])
            if full["now"]:
                with pytest.warns(TraceWarning, match=r"good up to visit 1 \(2 of 5 snapshots\)"):
                    trace.commit(PLAN.visit(number))
                check(path, 2)
            else:
                trace.commit(PLAN.visit(number))

    check(path, 5, gaps=(2, 3))
    assert open_trace(path).attrs["status"] == "complete"


def test_a_disk_that_stays_full(tmp_path, refuse):
    path = tmp_path / "run.zarr"
    full = {"from": 10**9}
    keys = refuse(lambda n, key: n >= full["from"])
    full["from"] = 40
    with pytest.warns(TraceWarning, match="good up to visit"):
        record(path, on_error="warn")
    assert len(keys) > 40
    n_committed = open_trace(path).attrs["snapshots_committed"]
    assert 0 < n_committed < 5
    check(path, n_committed)
    full["from"] = 10**9
    record(path, start=TraceWriter.resume)
    check(path, 5)


@pytest.mark.parametrize("on_error", ["stop", "warn"])
def test_flushing_that_fails(tmp_path, monkeypatch, on_error):
    """Whatever flush to disk fails, of a file or of a folder, what is committed is whole."""
    fsync, calls = os.fsync, []

    def fail(descriptor):
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    stopped = 0
    for failing in range(1, 150, 4):
        calls.clear()
        path = tmp_path / f"{failing}.zarr"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TraceWarning)
            error = error_of(record, path, on_error=on_error, durability="fsync")
        assert not error or "Input/output error" in error
        stopped += bool(error)
        if (path / "commit/c/0").exists() and open_trace(path).attrs["snapshots_committed"]:
            trace = open_trace(path)
            check(
                path,
                trace.attrs["snapshots_committed"],
                tuple(trace.attrs.get("gaps", {}).get("weights", ())),
            )
    assert stopped > (20 if on_error == "stop" else 0)


def test_analyses_and_show_name_the_gaps(tmp_path, refuse):
    refuse(lambda n, key: key.startswith("weights/values/c/2/"))
    with pytest.warns(TraceWarning, match="weights, visit 2 could not be recorded"):
        record(tmp_path / "run.zarr", on_error="warn")
    path = str(tmp_path / "run.zarr")

    said = CliRunner().invoke(analyze, ["trajectory", path]).output
    assert "weights: missing at visit 2, where it could not be written" in said
    assert '"gaps": {"' in CliRunner().invoke(analyze, ["trajectory", path, "--json"]).output
    assert "missing at visit 2" in " ".join(CliRunner().invoke(show, [path]).output.replace("│", " ").split())


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A file system of 800 KiB, and a way to make it larger; a store with a quota where mounting fails."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        larger = ["mount", "-o", "remount,size=10m", str(folder)]
        yield folder, lambda: subprocess.run(larger, check=True)
        subprocess.run(["umount", str(folder)], check=True)
        return
    put, room = LocalStore.put_pieces, {"bytes": 800 << 10}

    def put_within_quota(self, key, pieces):
        blocks = sum(-(-file.stat().st_size // 4096) * 4096 for file in folder.rglob("*") if file.is_file())
        data = b"".join(pieces)
        if blocks + len(data) > room["bytes"]:
            raise FULL
        put(self, key, [data])

    monkeypatch.setattr(LocalStore, "put_pieces", put_within_quota)
    yield folder, lambda: room.update(bytes=10 << 20)


BIG = Plan(np.tile(np.arange(4), (10, 1)), n_tasks=4, updates_per_visit=1)
BIG_ROW = np.random.default_rng(1).standard_normal(8000).astype("f4")


in_the_background = pytest.mark.parametrize("wait", [True, False], ids=["waiting", "in the background"])


def record_big(path, start, *, wait, **settings):
    """Record rows of 32 KB; in the background, commits of four visits are under way at most."""
    with start(path, BIG, **settings) as trace:
        trace.declare_rows(Rows("weights", (Field("w", (8000,)),), tuple(range(41))))
        trace.declare_series([Series("losses", "eval_loss")])
        for number in range(trace._next, 41):
            trace.put("losses", "eval_loss", number)
            trace.put_row("weights", number, BIG_ROW + number)
            trace.commit(BIG.visit(number), wait=wait or number % 4 == 0)


@in_the_background
def test_a_disk_that_is_too_small(small_disk, wait):
    folder, make_larger = small_disk
    path = folder / "run.zarr"
    with pytest.raises(TraceWriteError, match=r"No space left on device; the trace is good up") as stopped:
        record_big(path, TraceWriter.create, wait=wait)

    n_committed = open_trace(path).attrs["snapshots_committed"]
    assert 2 < n_committed < 40
    assert f"good up to visit {n_committed - 1} ({n_committed} of 41 snapshots)" in str(stopped.value)
    assert verify(path).faults == ()
    np.testing.assert_array_equal(
        open_trace(path)["weights/flat"]["values"], BIG_ROW + np.arange(n_committed, dtype="f4")[:, None]
    )
    make_larger()
    record_big(path, TraceWriter.resume, wait=wait)
    assert verify(path).faults == ()
    np.testing.assert_array_equal(
        open_trace(path)["weights/flat"]["values"], BIG_ROW + np.arange(41, dtype="f4")[:, None]
    )


@in_the_background
def test_a_run_outlives_a_disk_that_is_too_small(small_disk, wait):
    folder, _ = small_disk
    path = folder / "run.zarr"
    with pytest.warns(TraceWarning, match="No space left on device"):
        record_big(path, TraceWriter.create, wait=wait, on_error="warn")

    trace = open_trace(path)
    rows = trace["weights/flat"]["values"].values
    gaps = trace.attrs.get("gaps", {}).get("weights", [])
    assert trace.attrs["snapshots_committed"] > 2
    for visit, row in enumerate(rows):
        if visit in gaps:
            assert np.isnan(row).all()
        else:
            np.testing.assert_array_equal(row, BIG_ROW + np.float32(visit))
