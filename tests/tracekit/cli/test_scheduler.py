"""Analyses on a dask.distributed scheduler with two worker processes, as on threads."""

import io
import json
import sys

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from distributed import LocalCluster

from analyses import gram
from tracekit import open_trace
from tracekit.cli.computing import computing
from tracekit.cli.main import cli
from tracekit.errors import PluginError, SchedulerError
from tracekit.testing.written import write_example_trace


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A trace named by a relative path, which the workers do not share."""
    monkeypatch.chdir(tmp_path)
    write_example_trace("run.zarr", n_tasks=4, n_epochs=3)
    return "run.zarr"


def call(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.parametrize(
    "analysis", ["recovery", "similarity", "trajectory", "online-loss"], ids=lambda name: name
)
def test_analyses_give_the_same_on_two_worker_processes(cluster, run, analysis):
    here = call("analyze", analysis, run, "--json")
    there = call("analyze", analysis, run, "--json", "--scheduler", cluster)
    assert json.loads(there) == json.loads(here)


def test_a_table_of_runs_is_the_same_on_two_worker_processes(cluster, tmp_path):
    for order in ("cyclic", "shuffled"):
        write_example_trace(tmp_path / f"{order}.zarr", n_tasks=4, order=order)
    command = ("table", f"{tmp_path}/*.zarr", "--by", "order", "--json", "--no-cache")
    assert json.loads(call(*command, "--scheduler", cluster)) == json.loads(call(*command))


def test_figures_are_drawn_from_what_workers_computed(cluster, run, tmp_path):
    call("figures", run, "--out", tmp_path, "--only", "recovery", "--format", "png", "--scheduler", cluster)
    assert (tmp_path / "recovery.png").stat().st_size > 10_000


def test_work_is_done_by_the_workers_and_its_progress_shown(cluster, run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    matrix = gram(open_trace(run)["weights/flat"].to_dataset()["values"]).to_dataset(name="gram")
    with computing(cluster) as compute:
        pids = xr.apply_ufunc(process_of, matrix, dask="parallelized", output_dtypes=[np.int64])
        assert set(np.unique(compute(pids)["gram"])).isdisjoint({process_of(np.zeros(1))[0]})
    assert "% Completed" in sys.stderr.getvalue()


def process_of(values):
    import os

    return np.full_like(values, os.getpid(), dtype=np.int64)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("tracekit.cli.computing.CONNECT_SECONDS", 0.2)
    nowhere = "tcp://127.0.0.1:1"
    with pytest.raises(SchedulerError, match=f"{nowhere}: no dask scheduler answers"), computing(nowhere):
        pass


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PluginError, match="`distributed` extra"), computing("tcp://127.0.0.1:1"):
        pass


def test_a_trace_in_memory_cannot_be_read_by_workers(cluster):
    write_example_trace("memory://unreachable")
    trace = open_trace("memory://unreachable")
    with pytest.raises(SchedulerError, match="memory of one process"), computing(cluster) as compute:
        compute(trace["losses"].to_dataset())
