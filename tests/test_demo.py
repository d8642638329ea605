"""The main job, as the README has it: both runs, numbers, figures; and how sure the difference is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tracekit import open_trace
from tracekit.cli.main import cli

ROOT = Path(__file__).parent.parent


def call(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of a whole demo, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, call("demo", "--out", folder)


def test_it_says_where_everything_is_and_what_to_try_next(demo):
    folder, text = demo
    last = text.strip().splitlines()[-1]
    assert str(folder / "cyclic.zarr") in last
    assert str(folder / "figures") in last
    assert "Try next: tracekit show" in last


def test_recovery_comes_with_the_cycle_and_not_without(demo):
    """A permutation test over the sixteen documents; both runs share them and their initial weights."""
    folder, _ = demo
    runs = folder / "cyclic.zarr", folder / "shuffled.zarr"
    cyclic, shuffled = (json.loads(call("analyze", "recovery", run, "--json")) for run in runs)
    test = json.loads(call("analyze", "order-test", *runs, "--json"))

    assert cyclic["n_tasks"] == 16
    assert len(cyclic["recovery_score"]) == 5
    assert cyclic["recovery_score"][-1] > 0.35
    assert max(shuffled["recovery_score"]) < 0.2
    assert np.all(np.array(cyclic["interval_low"][1:]) > shuffled["interval_high"][1:])
    assert test["pooled_p_value"] < 0.001


def test_everything_was_recorded(demo):
    trace = open_trace(demo[0] / "cyclic.zarr")
    kinds = {"losses", "weights", "gradients", "task_gradients", "activations"}
    assert set(trace.children) == {*kinds, "recording"}
    assert trace.attrs["snapshots_committed"] == 97
    assert trace["weights/flat"].sizes["element"] > 1_300_000
    assert np.isfinite(trace["weights/flat"]["values"].isel(visit=[0, 96])).all()


def test_figures_open_in_any_viewer(demo):
    names = {path.name for path in (demo[0] / "figures").iterdir()}
    stems = ("task-loss", "shift-averaged-loss", "recovery", "trajectory")
    kinds = ("weights", "activations", "gradients")
    for name in (*stems, *(f"similarity-{kind}" for kind in kinds)):
        assert {f"{name}.png", f"{name}.pdf"} <= names
        assert (demo[0] / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")
        assert (demo[0] / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF-")


def test_a_second_time_it_trains_nothing(demo):
    before = written_at(demo[0])
    text = call("demo", "--out", demo[0])
    assert text.count("recorded already") == 2
    assert written_at(demo[0]) == before


def written_at(folder):
    """Give when each file of the traces was written; results are kept below `derived`."""
    files = (file for file in folder.glob("*.zarr/**/*") if file.is_file() and "derived" not in file.parts)
    return {file: file.stat().st_mtime_ns for file in files}


def test_the_example_reads_it(demo):
    program = [sys.executable, ROOT / "examples" / "read_a_trace.py", demo[0] / "cyclic.zarr"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "interval 5: recovery score" in done.stdout
