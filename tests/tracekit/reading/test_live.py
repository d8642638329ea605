"""A run can be read while it is being written: no torn visit, and nothing stale."""

import json
import subprocess
import sys
import time
from pathlib import Path

import dask
import numpy as np
import pytest
from click.testing import CliRunner

from tracekit import Plan, Series, TraceWriter, flat, open_trace
from tracekit.cli.follow import changes, read_progress, wait_for
from tracekit.cli.show import show
from tracekit.errors import NotATraceError, TraceNotFoundError, TrainingError

WRITER = Path(__file__).with_name("live_writer.py")
N_COLUMNS = 5000
RAMP = np.arange(N_COLUMNS)


def expected_row(visit):
    return visit * N_COLUMNS + RAMP


def start_writer(path, n_visits, pause_seconds=0.0):
    """Start a writer, and wait until it has declared everything; until then, the trace may not open."""
    process = subprocess.Popen([sys.executable, str(WRITER), str(path), str(n_visits), str(pause_seconds)])
    while not is_declared(path):
        assert process.poll() in (None, 0), "the writer died"
    return process


def is_declared(path):
    try:
        return {"losses", "weights", "gradients"} <= set(open_trace(path).children)
    except (NotATraceError, TraceNotFoundError):
        return False


def check_opened(trace):
    """Hold every committed thing that must be there against what its visit number says; give how many."""
    committed = trace.attrs["snapshots_committed"]
    losses, weights, gradients = (trace[kind].to_dataset() for kind in ("losses", "weights", "gradients"))
    visits = np.arange(committed)
    assert losses.visit.values.tolist() == weights.visit.values.tolist() == visits.tolist()
    assert gradients.visit.values.tolist() == visits[1::2].tolist()
    np.testing.assert_array_equal(losses.eval_loss.values[:, 0], visits)
    np.testing.assert_array_equal(losses.train_loss.values, np.arange(2 * max(0, committed - 1)))
    assert not np.isnan(losses.wall_time_seconds).any()
    for dataset, sign in ((weights, 1), (gradients, -1)):
        last = dataset["w"].isel(visit=slice(-3, None))
        for visit, row in zip(last.visit.values, last.values, strict=True):
            np.testing.assert_array_equal(row, sign * expected_row(visit))
    return committed


def stress(path, n_opens, n_visits):
    """Open a growing trace again and again; give how many different lengths were seen."""
    writer = start_writer(path, n_visits)
    seen = []
    try:
        for _ in range(n_opens):
            seen.append(check_opened(open_trace(path)))
            if seen[-1] == n_visits + 1:
                break
    finally:
        writer.terminate()
        writer.wait()
    assert seen == sorted(seen), "a trace became shorter"
    return len(seen), len(set(seen))


def test_300_opens_of_a_growing_trace_see_no_torn_visit(tmp_path):
    n_opens, n_lengths = stress(tmp_path / "run.zarr", 300, 20_000)
    assert n_opens == 300
    assert n_lengths > 100


@pytest.mark.slow
def test_10000_opens_of_a_growing_trace_see_no_torn_visit(tmp_path):
    """The run is started anew where it grew so long that looking at it takes most of the time."""
    n_opens = n_lengths = round_number = 0
    while n_opens < 10_000:
        opens, lengths = stress(tmp_path / f"{round_number}.zarr", min(1000, 10_000 - n_opens), 20_000)
        n_opens, n_lengths, round_number = n_opens + opens, n_lengths + lengths, round_number + 1
    assert n_opens == 10_000
    assert n_lengths > 5_000


def grow(trace, plan, start, stop):
    for number in range(start, stop):
        trace.put("losses", "eval_loss", [number])
        trace.commit(plan.visit(number))


@pytest.fixture
def growing(tmp_path):
    """A trace of three visits, and a function that lets it grow to a length."""
    plan = Plan(np.zeros((1, 50), np.int64), n_tasks=1, updates_per_visit=1)
    writer = TraceWriter.create(tmp_path / "run.zarr", plan, durability="rename")
    writer.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a"]})
    grow(writer, plan, 0, 3)
    yield tmp_path / "run.zarr", lambda stop: grow(writer, plan, writer.committed, stop)
    writer.close()


def test_names_of_lazy_arrays_hold_the_extent(growing):
    """Dask and xarray know data by its name: equal where nothing came, other where the trace has grown."""
    path, grow_to = growing
    before, again = (open_trace(path)["losses"].eval_loss for _ in range(2))
    grow_to(4)
    after = open_trace(path)["losses"].eval_loss

    assert before.data.name == again.data.name
    assert before.data.name != after.data.name
    assert dask.base.tokenize(before) == dask.base.tokenize(again)
    assert dask.base.tokenize(before) != dask.base.tokenize(after)
    assert before.mean().data.name != after.mean().data.name


def test_no_cache_of_dask_serves_an_older_extent(growing):
    path, grow_to = growing
    before = open_trace(path)["losses"].eval_loss
    kept = before.persist()
    total = before.sum()
    assert total.values == 0 + 1 + 2
    grow_to(8)

    after = open_trace(path)["losses"].eval_loss

    assert dask.compute(kept.data, after.data, before.data.sum(), after.data.sum())[2:] == (3.0, 28.0)
    np.testing.assert_array_equal(after.values[:, 0], np.arange(8))
    np.testing.assert_array_equal(kept.values[:, 0], np.arange(3))
    np.testing.assert_array_equal(before.values[:, 0], np.arange(3))


class Results(dask.callbacks.Callback):
    """Keep results by key and hand them out again, as dask's opportunistic cache does."""

    def __init__(self):
        self.kept = {}
        super().__init__(start=self.replace, posttask=self.keep)

    def replace(self, graph):
        for key in self.kept.keys() & graph.keys():
            graph[key] = self.kept[key]

    def keep(self, key, value, *_):
        self.kept[key] = value


def test_results_kept_by_key_are_not_mistaken(growing):
    path, grow_to = growing
    with Results() as cache:
        assert dask.compute(open_trace(path)["losses"].eval_loss.data.sum())[0] == 3
        grow_to(5)
        assert dask.compute(open_trace(path)["losses"].eval_loss.data.sum())[0] == 10
    assert len(cache.kept) > 2


def test_flat_rows_of_a_longer_run_are_named_anew(tmp_path):
    writer = start_writer(tmp_path / "run.zarr", 300)
    try:
        names = {}
        while len(names) < 5:
            trace = open_trace(tmp_path / "run.zarr")
            names.setdefault(trace.attrs["snapshots_committed"], set()).add(flat(trace, "weights").data.name)
    finally:
        writer.terminate()
        writer.wait()
    assert all(len(same) == 1 for same in names.values())
    assert len(set.union(*names.values())) == len(names)


def test_following_shows_more_until_the_run_is_complete(tmp_path):
    writer = start_writer(tmp_path / "run.zarr", 40, pause_seconds=0.01)

    seen = list(changes(tmp_path / "run.zarr", 0.01))

    assert writer.wait() == 0
    assert len(seen) > 3
    assert [p.committed for p in seen] == sorted(p.committed for p in seen)
    assert (seen[-1].status, seen[-1].committed, seen[-1].planned) == ("complete", 41, 41)
    for progress in seen:
        if progress.committed:
            assert progress.eval_loss == progress.committed - 1
        if progress.committed > 1:
            assert progress.train_loss == 2 * (progress.committed - 1) - 1
            assert progress.trained_task == "a"


def test_show_follow_prints_a_line_per_change_and_ends_with_the_run(growing):
    path, grow_to = growing
    grow_to(51)
    writer = TraceWriter.create(path.with_name("other.zarr"), Plan(np.zeros((1, 1), np.int64), 1, 1))
    writer.close("failed")

    lines = CliRunner().invoke(show, [str(path.with_name("other.zarr")), "--follow"]).output.splitlines()
    documents = CliRunner().invoke(show, [str(path.with_name("other.zarr")), "--follow", "--json"]).output

    assert len(lines) == 1
    assert lines[0].startswith("failed: 0 of 2 snapshots")
    assert json.loads(documents)["eval_loss"] is None
    assert read_progress(path).committed == 51


def test_following_ends_where_the_writer_was_killed(tmp_path):
    path = tmp_path / "run.zarr"
    writer = start_writer(path, 40, pause_seconds=60)
    assert f"running: process {writer.pid}" in CliRunner().invoke(show, [str(path)]).output
    seen = changes(path, 0.01)
    assert next(seen).status == "running"
    writer.kill()
    writer.wait()

    with pytest.raises(TrainingError, match=rf"process {writer.pid} on .* has ended .* --resume .*run\.zarr"):
        list(seen)
    assert f"not closed: process {writer.pid}" in CliRunner().invoke(show, [str(path)]).output


def test_a_run_that_is_not_there_yet_is_waited_for(tmp_path, monkeypatch, capsys):
    def begin(seconds):
        TraceWriter.create(tmp_path / "run.zarr", Plan(np.zeros((1, 1), np.int64), 1, 1)).close()

    monkeypatch.setattr(time, "sleep", begin)
    for _ in range(2):
        wait_for(str(tmp_path / "run.zarr"), 0.01)
    assert capsys.readouterr().err.count("nothing here yet; waiting") == 1
