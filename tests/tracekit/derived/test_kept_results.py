"""Results are computed once, kept beside the trace, and computed again when anything they rest on changed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner

from tracekit import Plan, Series, TraceWriter, open_trace, plugins, rollback
from tracekit.checking.verify import verify
from tracekit.cli.main import cli
from tracekit.derived import clear_derived, derive, identity, list_derived
from tracekit.derived.datasets import read_dataset, write_dataset
from tracekit.errors import TraceRolledBackError, TraceWarning
from tracekit.schedule import OpenPlan, Visit
from tracekit.store import open_store
from tracekit.store.local import LocalStore
from tracekit.testing.written import write_example_trace


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep what cannot lie in a trace out of the home of whoever runs the tests."""
    monkeypatch.setenv("TRACEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def run(tmp_path):
    return write_example_trace(tmp_path / "run.zarr", n_tasks=4, n_epochs=3)


class Counted:
    """A mean loss that counts how often it is built."""

    def __init__(self):
        self.n_built = 0

    def build(self, trace, *, task=0):
        self.n_built += 1
        return trace["losses"].to_dataset()[["eval_loss"]].isel(task=task).mean("visit")


@pytest.fixture
def counted():
    return Counted()


def mean(counted, run, **options):
    return derive("mean", counted.build, [open_trace(run)], {"task": 0, **options})


def call(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_a_result_is_computed_once(counted, run):
    first, second = mean(counted, run), mean(counted, run)
    assert counted.n_built == 1
    xr.testing.assert_identical(first, second)
    mean(counted, run, task=1)
    assert counted.n_built == 2


def test_dropped_visits_other_code_and_another_run_compute_anew(counted, run, monkeypatch):
    before = mean(counted, run)
    rollback(run, 5)
    assert mean(counted, run) != before
    assert counted.n_built == 2
    monkeypatch.setattr(identity, "code_version", lambda package: f"{package} 9.9.9 other")
    mean(counted, run)
    assert counted.n_built == 3


def test_what_was_opened_before_visits_were_dropped_is_not_taken_for_what_came_after(counted, run):
    """Values that are in memory already would be kept as those of other visits."""
    opened = open_trace(run)
    opened["losses"] = opened["losses"].to_dataset().load()
    rollback(run, 5)
    with pytest.raises(TraceRolledBackError, match="open it again"):
        derive("mean", counted.build, [opened], {"task": 0})
    assert list_derived(run) == []


def test_what_is_kept_with_a_trace_that_was_moved_is_fresh(counted, tmp_path):
    mean(counted, write_example_trace(tmp_path / "run.zarr"))
    (tmp_path / "run.zarr").rename(tmp_path / "moved.zarr")
    (kept,) = list_derived(tmp_path / "moved.zarr")
    assert (kept.stale, kept.number) == ((), None)
    mean(counted, tmp_path / "moved.zarr")
    assert counted.n_built == 1


def of_two(first, other):
    return derive("both", lambda one, two: one["losses"].to_dataset()[["eval_loss"]], [first, other], {})


def test_a_result_of_several_runs_is_fresh_seen_from_elsewhere(tmp_path, monkeypatch):
    for name in ("one.zarr", "two.zarr"):
        write_example_trace(tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path / "runs")
    of_two(open_trace("one.zarr"), open_trace("two.zarr"))
    monkeypatch.chdir(tmp_path)
    assert [kept.stale for kept in list_derived("runs/one.zarr")] == [()]


def test_a_result_of_several_runs_is_fresh_when_all_were_moved_and_stale_when_one_is_gone(tmp_path):
    paths = [write_example_trace(tmp_path / "runs" / name) for name in ("one.zarr", "two.zarr")]
    of_two(*map(open_trace, paths))
    (tmp_path / "runs").rename(tmp_path / "moved")
    moved = tmp_path / "moved"
    assert [kept.stale for kept in list_derived(moved / "one.zarr")] == [()]
    (moved / "two.zarr").rename(moved / "three.zarr")
    write_example_trace(moved / "two.zarr")
    (kept,) = list_derived(moved / "one.zarr")
    assert kept.stale[0].startswith(f"trace: {tmp_path}/runs/two.zarr")


def test_another_run_at_the_same_place_computes_anew(counted, tmp_path):
    path = write_example_trace(tmp_path / "run.zarr")
    mean(counted, path)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "run.zarr" / "derived", kept)
    shutil.rmtree(path)
    write_example_trace(path)
    shutil.copytree(kept, tmp_path / "run.zarr" / "derived")
    mean(counted, path)
    assert counted.n_built == 2


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_every_analysis_comes_back_as_it_was(name, tmp_path):
    analysis = plugins.load("tracekit.analyses", name)
    paths = [
        write_example_trace(
            tmp_path / f"{n}.zarr",
            n_tasks=4,
            n_epochs=3,
            n_probes=5,
            order=f"order {n}",
            attributes={"model_signature": {"layer.weight": f"float32[{n + 1}, 3]"}},
        )
        for n in range(analysis.n_traces[0])
    ]
    traces = [open_trace(path) for path in paths]
    store = open_store("memory://datasets-of-every-analysis")
    computed = analysis.build(*traces).compute()
    write_dataset(store, name, computed, {})
    again = read_dataset(store, name)
    xr.testing.assert_equal(again, computed)
    assert again.attrs == json.loads(json.dumps(dict(computed.attrs)))
    assert {k: v.dtype.kind for k, v in again.items()} == {k: v.dtype.kind for k, v in computed.items()}


def hide_losses(run):
    """Let nothing be computed from the losses again."""
    chunks = Path(run) / "losses" / "eval_loss" / "c"
    chunks.rename(chunks.with_name("away"))


def test_the_command_line_prints_the_same_from_what_is_kept(run):
    first = call("analyze", "recovery", run, "--json")
    hide_losses(run)
    assert call("analyze", "recovery", run, "--json") == first
    failed = CliRunner().invoke(cli, ["analyze", "recovery", run, "--no-cache"])
    assert failed.exit_code != 0


def test_fresh_computes_and_no_cache_keeps_nothing(run):
    call("analyze", "recovery", run, "--no-cache")
    assert list_derived(run) == []
    call("analyze", "recovery", run)
    (kept,) = list_derived(run)
    time.sleep(1.1)
    call("analyze", "recovery", run, "--fresh")
    (anew,) = list_derived(run)
    assert anew.written > kept.written


def test_figures_are_drawn_from_what_is_kept(run, tmp_path):
    first = tmp_path / "first"
    again = tmp_path / "again"
    call("figures", run, "--out", first, "--only", "recovery", "--format", "svg")
    hide_losses(run)
    call("figures", run, "--out", again, "--only", "recovery", "--format", "svg")
    assert (first / "recovery.svg").read_bytes() == (again / "recovery.svg").read_bytes()


def test_the_list_says_what_is_kept_and_why_it_is_stale(run):
    call("analyze", "recovery", run)
    call("analyze", "online-loss", run)
    results = json.loads(call("derived", run, "--json"))["results"]
    assert [result["name"] for result in results] == ["online-loss", "recovery"]
    assert all(result["n_bytes"] > 0 and not result["stale"] for result in results)
    rollback(run, 5)
    printed = call("derived", run)
    assert "stale" in printed
    assert "committed: 13, now 5" in " ".join(printed.replace("│", " ").split())
    assert call("derived", run, "--clear") == "2 results removed.\n"
    assert list_derived(run) == []


def test_a_replaced_result_does_not_pile_up(counted, run):
    mean(counted, run)
    rollback(run, 5)
    mean(counted, run)
    assert len(list_derived(run)) == 1


def test_what_is_kept_disturbs_neither_reader_nor_writer_nor_verify(counted, run):
    before = open_trace(run)
    mean(counted, run)
    after = open_trace(run)
    assert list(after.children) == list(before.children)
    assert verify(run).faults == ()
    rollback(run, 5)
    assert open_trace(run).attrs["snapshots_committed"] == 5
    group = zarr.open_group(run, mode="r")["derived"]
    (kept,) = group.groups()
    np.testing.assert_array_equal(kept[1]["eval_loss"][:], mean(counted, run)["eval_loss"].values.reshape(1))


def test_damaged_or_half_written_results_are_computed_again(counted, run):
    mean(counted, run)
    (kept,) = list_derived(run)
    chunk = Path(kept.url) / "eval_loss" / "c" / "0"
    data = bytearray(chunk.read_bytes())
    data[0] ^= 1
    chunk.write_bytes(data)
    mean(counted, run)
    (Path(kept.url) / "zarr.json").unlink()
    assert list_derived(run) == []
    mean(counted, run)
    assert counted.n_built == 3


def test_a_trace_that_cannot_be_written_has_its_results_on_this_machine(counted, run, cache, monkeypatch):
    put = LocalStore.put

    def refuse(self, key, data):
        if "run.zarr" in str(self.root):
            raise PermissionError(13, "read-only")
        put(self, key, data)

    monkeypatch.setattr(LocalStore, "put", refuse)
    mean(counted, run)
    mean(counted, run)
    assert counted.n_built == 1
    assert not (Path(run) / "derived").exists()
    assert list_derived(run)[0].url.startswith(str(cache))
    assert clear_derived(run) == 1


def test_where_nothing_can_be_kept_there_is_a_warning_and_the_result(counted, run, monkeypatch):
    def refuse(self, key, data):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(LocalStore, "put", refuse)
    with pytest.warns(TraceWarning, match="mean could not be kept"):
        assert float(mean(counted, run)["eval_loss"]) > 0


KILLED = """
import sys
from tracekit import open_trace
from tracekit.derived import derive
import xarray as xr, numpy as np
def build(trace):
    return xr.Dataset({f"part{n}": ("place", np.arange(20_000.0)) for n in range(50)})
print("go", flush=True)
while True:
    derive("large", build, [open_trace(sys.argv[1])], {}, fresh=True)
"""


def test_killed_at_any_moment_it_leaves_nothing_half(run, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(KILLED)
    for seconds in (0.05, 0.1, 0.15, 0.2):
        process = subprocess.Popen([sys.executable, program, run], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for kept in list_derived(run):
            found = read_dataset(open_store(run), f"derived/{kept.url.rpartition('/')[2]}")
            assert all((found[f"part{n}"] == np.arange(20_000)).all() for n in range(50))
        clear_derived(run)


def test_a_run_that_is_being_written_goes_on_undisturbed(counted, tmp_path):
    path = tmp_path / "live.zarr"
    plan = Plan(np.array([[0, 1], [0, 1]]), n_tasks=2, updates_per_visit=1)
    means = []
    with TraceWriter.create(path, plan) as trace:
        trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a", "b"]})
        for number in range(plan.n_visits + 1):
            trace.put("losses", "eval_loss", [float(number), 0.0])
            trace.commit(plan.visit(number))
            means.append(float(mean(counted, path)["eval_loss"]))
    assert means == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert verify(path).faults == ()
    rollback(path, 3)
    with TraceWriter.resume(path, plan) as trace:
        trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a", "b"]})
        for number in (3, 4):
            trace.put("losses", "eval_loss", [7.0, 0.0])
            trace.commit(plan.visit(number))
    assert float(mean(counted, path)["eval_loss"]) == 3.4


def test_a_run_without_a_known_end_is_closed_and_taken_back_undisturbed(counted, tmp_path):
    path = tmp_path / "open.zarr"
    with TraceWriter.create(path, OpenPlan(n_tasks=2)) as trace:
        trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a", "b"]})
        for number in range(4):
            trace.put("losses", "eval_loss", [float(number), 0.0])
            trace.commit(Visit(number, 0, number - 1, 0) if number else Visit(0))
            assert float(mean(counted, path)["eval_loss"]) == number / 2
    rollback(path, 3)
    assert verify(path).faults == ()
    assert float(mean(counted, path)["eval_loss"]) == 1.0
