"""A small run, a trace of it that was never stopped, and processes to be killed while they record it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import dask
import numpy as np
import pytest
import torch
import xarray as xr

from tracekit import open_trace
from tracekit.cli.train import train
from tracekit.errors import TracekitError
from tracekit.format.checkpoints import DOCUMENT, TENSORS, checkpoint_numbers, key_of
from tracekit.format.marker import MARKER_KEY
from tracekit.store import open_store
from tracekit.training import load_configuration, prepare
from tracekit.writing.measuring import MEASURES

RUN = """
tasks: {max_tokens: 12, n_documents: 3, tokenizer: {vocabulary: 260}}
model: {layers: 1, width: 8, heads: 2}
training:
  epochs: 6
  updates_per_visit: 2
  device: cpu
  threads: 1
  checkpoint_every: 3
  optimizer: {kind: adam, learning_rate: 0.01}
recorders:
  - {kind: losses}
  - {kind: weights}
  - {kind: gradients, every: 2}
"""

CLOCKS = ["wall_time_seconds", "update_wall_time_seconds"]


class Runs:
    """Real `tracekit train` commands, each in a forked process of its own."""

    options: Sequence[str] = ()

    def __init__(self, folder: Path, text: str = RUN) -> None:
        self.folder = folder
        self.configuration = folder / "run.yaml"
        self.configuration.write_text(text)
        self.log = folder / "log.txt"
        prepare(load_configuration(self.configuration))  # imports all that a process would else import itself

    def command(self, path: Path) -> list[str]:
        """Start a run, or resume it where there is something to resume."""
        if (path / "zarr.json").exists():
            return ["--resume", str(path), *self.options]
        return [str(self.configuration), "--out", str(path), *self.options]

    def fork(self, path: Path, before: Callable[[], None] | None = None) -> int:
        """Begin a command, and give its process number."""
        process = os.fork()
        if process:
            return process
        try:
            with self.log.open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                if before:
                    before()
                train.main(self.command(path), standalone_mode=False)
                sys.stdout.flush()
        except click.ClickException as error:
            error.show()
        except (TracekitError, OSError, click.Abort):
            traceback.print_exc()
        else:
            os._exit(0)
        finally:
            os._exit(1)  # whatever else happened, a child must never go on as the test that forked it

    def finish(self, path: Path) -> None:
        """Run a command to its end."""
        self.ended(path)

    def ended(self, path: Path, before: Callable[[], None] | None = None) -> None:
        """Run a command to its end, after something else was done in its process."""
        _, status = os.waitpid(self.fork(path, before), 0)
        assert os.waitstatus_to_exitcode(status) == 0, self.log.read_text()[-3000:]


def await_marker(path: Path, process: int, before: int) -> None:
    """Wait until a process has put its first commit marker, or has ended."""
    while marker_moment(path) == before:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.001)


def marker_moment(path: Path) -> int:
    """Give when the marker of a trace was put last; 0 if never."""
    marker = path / MARKER_KEY
    return marker.stat().st_mtime_ns if marker.exists() else 0


def killed_after(process: int, seconds: float) -> bool:
    """Send SIGKILL to a process after a time; say whether it was still running."""
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


def values(trace: xr.DataTree) -> dict[str, xr.Dataset]:
    """Read everything but the clocks, and what recording took."""
    with dask.config.set(scheduler="synchronous"):
        flat = {
            name: node["flat"] if "flat" in node.children else node for name, node in trace.children.items()
        }
        return {
            name: node.to_dataset().drop_vars(CLOCKS, errors="ignore").compute()
            for name, node in flat.items()
            if name != MEASURES
        }


def assert_begins_like(found: xr.DataTree, reference: dict[str, xr.Dataset]) -> int:
    """Hold every committed value against the run that was never stopped, bit for bit; give the snapshots."""
    committed = found.attrs["snapshots_committed"]
    for name, dataset in values(found).items():
        expected = reference[name].isel(visit=reference[name].visit < committed)
        if "update" in expected.dims:
            expected = expected.isel(update=expected.update_visit < committed)
        assert dict(dataset.sizes) == dict(expected.sizes), (name, committed)
        for variable in expected.variables:
            assert dataset[variable].values.tobytes() == expected[variable].values.tobytes() or (
                dataset[variable].dtype == object
                and (dataset[variable].values == expected[variable].values).all()
            ), (name, variable, committed)
        assert not any(np.isnan(each).any() for each in without_gaps(found, name, dataset).values())
    return int(committed)


def without_gaps(trace: xr.DataTree, name: str, dataset: xr.Dataset) -> xr.Dataset:
    """Leave out the visits of which the trace says that they could not be written."""
    gaps = trace.attrs.get("gaps", {}).get(name)
    return dataset.sel(visit=~dataset.visit.isin(gaps)) if gaps else dataset


def last_checkpoint(path: Path | str) -> tuple[bytes | None, ...]:
    """Give the bytes of the state after the last visit."""
    store = open_store(path)
    number = checkpoint_numbers(store)[-1]
    return number, store.get(key_of(number, TENSORS)), store.get(key_of(number, DOCUMENT))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """The commands; torch is single-threaded, so that processes can be forked."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process that has threads
        yield Runs(tmp_path_factory.mktemp("runs"))
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def reference(runs):
    """The path of a run that was never stopped."""
    path = runs.folder / "reference.zarr"
    shutil.rmtree(path, ignore_errors=True)
    runs.finish(path)
    return path


@pytest.fixture(scope="session")
def reference_values(reference):
    return values(open_trace(reference))


@pytest.fixture(scope="session")
def checks():
    """The checks of this file, for tests in others."""

    class Checks:
        assert_begins_like = staticmethod(assert_begins_like)
        await_marker = staticmethod(await_marker)
        killed_after = staticmethod(killed_after)
        last_checkpoint = staticmethod(last_checkpoint)
        marker_moment = staticmethod(marker_moment)
        values = staticmethod(values)

    return Checks
