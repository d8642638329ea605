"""The same trace in every kind of store: recorded, followed, analysed, damaged, replaced."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from tracekit import Plan, TraceWriter, open_trace, plugins
from tracekit.checking.verify import verify
from tracekit.cli.main import cli
from tracekit.errors import (
    DamagedTraceError,
    NotATraceError,
    TraceError,
    TraceExistsError,
    TraceNotFoundError,
)
from tracekit.format.schema import Field, Rows, Series
from tracekit.store import open_store
from tracekit.testing.written import write_example_trace

PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=1)
WEIGHTS = np.random.default_rng(0).standard_normal((5, 24)).astype("f4")

CLOCKS = ["wall_time_seconds", "update_wall_time_seconds"]


def start(url, **settings):
    """Make a trace of losses and weights, with nothing in it."""
    trace = TraceWriter.create(url, PLAN, **settings)
    trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a", "b"]})
    trace.declare_rows(Rows("weights", (Field("w", (4, 6)),), tuple(range(5))))
    return trace


def put(trace, number):
    trace.put("losses", "eval_loss", [number, 2 * number])
    trace.put_row("weights", number, WEIGHTS[number])


def test_it_is_the_same_trace_everywhere(place, tmp_path):
    there = open_trace(write_example_trace(f"{place}/run.zarr", n_epochs=4))
    here = open_trace(write_example_trace(tmp_path / "here.zarr", n_epochs=4))

    assert there.attrs["path"] == f"{place}/run.zarr"
    assert there["weights/layer.weight"].shape == (13, 2, 3)
    for node in ("losses", "weights", "weights/flat"):
        left, right = (trace[node].to_dataset().drop_vars(CLOCKS, errors="ignore") for trace in (there, here))
        xr.testing.assert_identical(left.compute(), right.compute())


def test_every_analysis(place, tmp_path):
    orders = ("cyclic", "shuffled")

    def write(root, order):
        size = {"model_signature": {"layer.weight": f"float32[{1 + orders.index(order)}, 3]"}}
        path = f"{root}/{order}.zarr"
        return write_example_trace(path, n_epochs=4, order=order, n_probes=5, attributes=size)

    there, here = ([open_trace(write(root, order)) for order in orders] for root in (place, tmp_path))
    for name in plugins.names("tracekit.analyses"):
        analysis = plugins.load("tracekit.analyses", name)
        n_traces = analysis.n_traces[1]
        left, right = (
            analysis.build(*traces[:n_traces]).drop_vars(CLOCKS, errors="ignore") for traces in (there, here)
        )
        xr.testing.assert_equal(left.compute(), right.compute())


def test_who_follows_a_run_sees_committed_visits_only(place):
    trace = start(f"{place}/run.zarr")
    for number in range(5):
        put(trace, number)
        trace._state.background.wait()  # all of the visit is there, and yet not committed
        seen = open_trace(f"{place}/run.zarr")
        assert seen.attrs["snapshots_committed"] == number
        np.testing.assert_array_equal(seen["weights/flat"]["values"], WEIGHTS[:number])
        trace.commit(PLAN.visit(number))
        seen = open_trace(f"{place}/run.zarr")
        np.testing.assert_array_equal(seen["weights/flat"]["values"], WEIGHTS[: number + 1])
        assert seen["losses"].eval_loss.values[-1].tolist() == [number, 2 * number]
    trace.close()
    assert open_trace(f"{place}/run.zarr").attrs["status"] == "complete"


KILLED = """
import sys, time
sys.path.insert(0, {folder!r})
from test_traces_by_url import *
from tracekit.writing.background import Cargo
trace = start({url!r})
for number in range(3):
    put(trace, number)
    trace.commit(PLAN.visit(number))
trace.put_row("weights", 3, WEIGHTS[3])
trace.put("losses", "eval_loss", [3, 6])
background, column = trace._state.background, trace._contents.columns["losses/eval_loss"]
background.put(Cargo("losses"), column.changed())
background.wait()
print("in the middle of a visit", flush=True)
time.sleep(60)
"""


def test_a_writer_killed_in_a_visit_leaves_the_visits_before(lasting_place):
    url = f"{lasting_place}/run.zarr"
    program = KILLED.format(folder=str(Path(__file__).parent), url=url)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "in the middle of a visit\n"
        writer.kill()

    seen = open_trace(url)

    assert seen.attrs["snapshots_committed"] == 3
    assert seen.attrs["status"] == "running"
    np.testing.assert_array_equal(seen["weights/flat"]["values"], WEIGHTS[:3])
    np.testing.assert_array_equal(seen["losses"].eval_loss, [[0, 0], [1, 2], [2, 4]])


WRITING = """
import sys
sys.path.insert(0, {folder!r})
from test_traces_by_url import *
plan = Plan(np.zeros((1, 3_000), np.int64), n_tasks=1, updates_per_visit=1)
trace = TraceWriter.create({url!r}, plan)
trace.declare_rows(Rows("weights", (Field("w", (50_000,)),), tuple(range(3_001))))
trace.declare_series([Series("losses", "eval_loss")])
for number in range(3_001):
    trace.put_row("weights", number, np.full(50_000, number, "f4"))
    trace.put("losses", "eval_loss", number)
    trace.commit(plan.visit(number))
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_writer_killed_at_any_moment(lasting_place, seed):
    url = f"{lasting_place}/run.zarr"
    program = WRITING.format(folder=str(Path(__file__).parent), url=url)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
        writer.stdout.readline()
        time.sleep(np.random.default_rng(seed).uniform(0, 0.5))
        writer.kill()
        said = [0, *map(int, writer.stdout.read().split())]

    seen = open_trace(url)
    n_visits = seen.attrs["snapshots_committed"]

    assert n_visits in (said[-1] + 1, said[-1] + 2), "a visit that was said to be committed is lost"
    assert (seen["weights"]["w"].values == np.arange(n_visits)[:, None]).all()
    np.testing.assert_array_equal(seen["losses"]["eval_loss"], np.arange(n_visits))


def test_a_second_trace_replaces_the_first_only_if_told_to(place):
    url = write_example_trace(f"{place}/run.zarr")
    write_example_trace(f"{place}/run.zarr.other")
    with pytest.raises(TraceExistsError, match="there is a trace here already"):
        start(url)

    start(url, overwrite=True).close()

    assert open_trace(url)["losses"].eval_loss.shape == (0, 2)
    assert open_trace(f"{place}/run.zarr.other")["losses"].eval_loss.shape == (7, 3)


def test_a_deletion_that_was_cut_off_can_be_repeated(place):
    url = write_example_trace(f"{place}/run.zarr")
    open_store(url).remove_tree("commit")
    open_store(url).remove_tree("losses")
    with pytest.raises(NotATraceError, match="delete it and start again"):
        open_trace(url)

    start(url, overwrite=True).close()

    assert open_trace(url).attrs["snapshots_committed"] == 0


def test_there_is_nothing(place):
    with pytest.raises(TraceNotFoundError, match=r"absent\.zarr: there is nothing here"):
        open_trace(f"{place}/absent.zarr")


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "gone"])
def test_damage_is_found_and_the_rest_is_read(place, damage):
    store = open_store(write_example_trace(f"{place}/run.zarr"))
    key = "weights/values/c/2/0"
    good = store.get(key)
    bad = {"flipped": good[:3] + bytes([good[3] ^ 1]) + good[4:], "cut": good[:-7], "emptied": b""}
    if damage == "gone":
        store.remove(key)
    else:
        store.put(key, bad[damage])

    weights = open_trace(store.url)["weights/flat"]["values"]

    with pytest.raises(DamagedTraceError, match=f"{store.url}/{key}"):
        weights.compute()
    for undamaged in (slice(None, 2), slice(3, None)):
        assert np.isfinite(weights.isel(visit=undamaged)).all()


def test_verify_names_what_is_damaged_and_repair_goes_back_to_what_is_sound(place):
    store = open_store(write_example_trace(f"{place}/run.zarr"))
    store.remove("weights/values/c/5/0")
    good = store.get("weights/values/c/4/0")
    store.put("weights/values/c/4/0", good[:3] + bytes([good[3] ^ 1]) + good[4:])

    found = CliRunner().invoke(cli, ["verify", store.url])
    assert found.exit_code == 1
    for line in ("object weights/values/c/4/0, chunk (0, 0), visits 4", "weights/values/c/5/0, visits 5"):
        assert line in found.output
    assert open_trace(store.url).attrs["snapshots_committed"] == 7

    assert CliRunner().invoke(cli, ["verify", store.url, "--repair"]).exit_code == 0
    assert verify(store.url).faults == ()
    assert open_trace(store.url)["weights/flat"]["values"].load().sizes["visit"] == 4

    done = CliRunner().invoke(cli, ["rollback", store.url, "--to", "2"], catch_exceptions=False)
    assert f"{store.url}: 2 of 4 snapshots are kept" in done.output
    assert open_trace(store.url)["losses"].sizes["visit"] == 2


def test_show_follows_a_run_to_its_end(place):
    trace = start(f"{place}/run.zarr")

    def record():
        for number in range(5):
            put(trace, number)
            trace.commit(PLAN.visit(number))
            time.sleep(0.1)
        trace.close()

    writer = threading.Thread(target=record)
    writer.start()
    shown = CliRunner().invoke(cli, ["show", trace.url, "--follow", "--interval", "0.02"]).output.splitlines()
    writer.join()

    assert len(shown) > 2
    assert shown[-1].startswith("complete: 5 of 5 snapshots, eval loss 6")
    n_seen = [int(line.split()[1]) for line in shown]
    assert n_seen == sorted(n_seen)


def test_a_trace_that_may_not_be_written_is_opened_followed_and_verified(tmp_path):
    url = write_example_trace(tmp_path / "run.zarr")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    folders = [path for path in (tmp_path / "run.zarr", *tmp_path.rglob("*")) if path.is_dir()]
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert open_trace(url)["weights/flat"]["values"].load().sizes["visit"] == 7
        for command in (["verify", url], ["show", url], ["show", url, "--follow"]):
            assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_dask_reads_in_other_processes(lasting_place):
    trace = open_trace(write_example_trace(f"{lasting_place}/run.zarr"))
    weights = trace["weights/flat"]["values"]
    with dask.config.set(scheduler="processes", num_workers=1):
        np.testing.assert_array_equal(weights.values, weights.compute(scheduler="threads").values)


def test_memory_of_one_process_is_not_read_in_another():
    trace = open_trace(write_example_trace("memory://not-shared/run.zarr"))
    with (
        dask.config.set(scheduler="processes", num_workers=1),
        pytest.raises(TraceError, match="lives in the memory of one process"),
    ):
        trace["weights/flat"]["values"].compute()
