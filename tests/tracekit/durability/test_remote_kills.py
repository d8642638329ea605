"""Runs recorded to an object store: killed, resumed, and in the end as if they had never been stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracekit import open_trace
from tracekit.checking.verify import verify
from tracekit.cli.main import cli

TOY = str(Path(__file__).parents[3] / "examples" / "toy.yaml")
SMALL = (
    "tasks.n_tasks=3",
    "tasks.inputs=8",
    "tasks.outputs=8",
    "training.epochs=6",
    "training.updates_per_visit=2",
    "training.device=cpu",
    "training.threads=1",
    "training.checkpoint_every=4",
    "training.optimizer.kind=adam",
)
N_SNAPSHOTS = 19
LIMIT_SECONDS = 120


def tracekit(*arguments):
    """Run a command that must succeed."""
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def start(*arguments):
    """Begin a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from tracekit.cli.main import main; main()", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )


def kill_at_request(process, server, part, moment, times=1):
    """Kill a process a moment after the server was asked so many times to put what has a part in its path."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while sum(request.startswith("PUT") and part in request for request in server.requests) < times:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f"no {part} was put"
        time.sleep(0.002)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


@pytest.fixture(scope="module")
def never_stopped(object_server):
    """The URL of a run that was never stopped."""
    url = "memory://never-stopped.zarr"
    tracekit("train", TOY, *SMALL, "--out", url)
    return url


def check(url, never_stopped, checks, least):
    """Hold what a kill has left, and then the resumed run, against the run that was never stopped."""
    reference = checks.values(open_trace(never_stopped))
    committed = checks.assert_begins_like(open_trace(url), reference)
    assert committed >= least
    assert verify(url).faults == ()

    tracekit("train", "--resume", url)

    trace = open_trace(url)
    assert trace.attrs["status"] == "complete"
    assert checks.assert_begins_like(trace, reference) == N_SNAPSHOTS
    assert checks.last_checkpoint(url) == checks.last_checkpoint(never_stopped)
    assert verify(url).faults == ()
    return committed


def test_a_run_killed_while_it_puts_a_visit_resumes(s3, server, never_stopped, checks):
    url = f"{s3}/run.zarr"
    killed = start("train", TOY, *SMALL, "--out", url)
    # the marker is put once for the empty trace, then once for each visit, after the one before was answered
    kill_at_request(killed, server, "/commit/c/", 0, times=12)
    assert check(url, never_stopped, checks, 10) < N_SNAPSHOTS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_runs_killed_twice_at_any_moment_resume(s3, server, never_stopped, checks, seed):
    chance, url = random.Random(seed), f"{s3}/run.zarr"
    first, second = sorted(chance.sample(range(1, 19), 2))
    kill_at_request(start("train", TOY, *SMALL, "--out", url), server, "/losses/eval_loss/c/", first * 0.03)
    server.counted()
    least = open_trace(url).attrs["snapshots_committed"]
    resumed = start("train", "--resume", url)
    kill_at_request(resumed, server, "/losses/eval_loss/c/", (second - first) * 0.03)
    check(url, never_stopped, checks, least)
