"""The scripts among the examples that record run, and leave whole traces."""

import subprocess
import sys
from pathlib import Path

import pytest

from tracekit import open_trace

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("name", ["own_recorder", "own_loop", "transformers_trainer", "lightning_trainer"])
def test_an_example_runs_and_leaves_a_whole_trace(tmp_path, name):
    program = [sys.executable, EXAMPLES / f"{name}.py", tmp_path / "run.zarr"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 2
    assert "Warning" not in done.stderr
    paths = [] if name == "own_recorder" else [tmp_path / "run.zarr"]  # its trace goes with its folder
    assert [open_trace(path).attrs["status"] for path in paths] == ["complete"] * len(paths)
