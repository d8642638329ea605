"""Traces of format version 1, written once and committed, open for ever: every number is checked."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracekit import flat, open_trace
from tracekit.checking.verify import verify
from tracekit.format.codecs import CHECKSUM_BYTES
from tracekit.format.shards import INDEX_ENTRY_BYTES

FOLDER = Path(__file__).parents[2] / "data" / "trace_v1"
spec = importlib.util.spec_from_file_location("write_trace_v1", FOLDER / "write.py")
v1 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(v1)
VISITS = range(7)


@pytest.fixture(params=["lz4", "none"])
def path(request):
    return FOLDER / f"{request.param}.zarr"


@pytest.fixture
def trace(path):
    return open_trace(path)


def test_facts(trace):
    expected = {
        "format": "tracekit",
        "format_version": 1,
        "status": "complete",
        "n_tasks": 3,
        "n_epochs": 2,
        "updates_per_visit": 2,
        "snapshots_planned": 7,
        "snapshots_committed": 7,
        "order": "shuffled",
    }
    assert {name: trace.attrs[name] for name in expected} == expected
    assert set(trace.children) == {"losses", "weights", "task_gradients", "activations"}


def test_losses(trace):
    losses = trace["losses"].to_dataset()
    expected = [[v1.eval_loss(visit, task) for task in range(3)] for visit in VISITS]
    np.testing.assert_array_equal(losses.eval_loss, expected)
    np.testing.assert_array_equal(losses.test_loss, [[v1.test_loss(visit)] for visit in VISITS])
    np.testing.assert_array_equal(losses.train_loss, [v1.train_loss(update) for update in range(12)])
    assert losses.eval_loss.attrs["units"] == "nats per token"
    assert losses.task.values.tolist() == list(v1.TASKS)
    assert losses.test_task.values.tolist() == list(v1.TEST_TASKS)


def test_time(trace):
    losses = trace["losses"].to_dataset()
    assert losses.visit.values.tolist() == list(VISITS)
    assert losses.epoch.values.tolist() == [-1, 0, 0, 0, 1, 1, 1]
    assert losses.position.values.tolist() == [-1, 0, 1, 2, 0, 1, 2]
    assert losses.trained_task.values.tolist() == [-1, *v1.ORDER.ravel()]
    assert losses["update"].values.tolist() == list(range(12))
    assert losses.update_visit.values.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert (np.diff(losses.wall_time_seconds) > 0).all()


def test_weights(trace):
    rows = np.array([v1.weights(visit) for visit in VISITS])
    np.testing.assert_array_equal(flat(trace, "weights"), rows)
    weights = trace["weights"]
    np.testing.assert_array_equal(weights["block.weight"], rows[:, :30].reshape(7, 6, 5))
    np.testing.assert_array_equal(weights["block.bias"], rows[:, 30:37])
    np.testing.assert_array_equal(weights["scale"], rows[:, 37])
    assert weights["block.weight"].dims == ("visit", "axis0_6", "axis1_5")
    assert weights["scale"].attrs["recorded_dtype"] == "bfloat16"


def test_gradients_of_every_task(trace):
    rows = np.array([v1.gradients(visit) for visit in v1.GRADIENT_VISITS])
    np.testing.assert_array_equal(flat(trace, "task_gradients"), rows)
    bias = trace["task_gradients"]["block.bias"]
    np.testing.assert_array_equal(bias.sel(visit=3, task="gamma"), rows[1, 2, 30:37])
    assert bias.dims == ("visit", "task", "axis0_7")
    assert bias.attrs["units"] == "nats"
    assert bias.trained_task.values.tolist() == [-1, 2, 1]


def test_activations(trace):
    rows = np.array([v1.activations(visit) for visit in VISITS]).astype("f2")
    block = trace["activations"]["block"]
    np.testing.assert_array_equal(block, rows.reshape(7, 2, 2, 3))
    assert block.dtype == np.float16
    assert block.probe.values.tolist() == ["alpha", "beta"]


def test_it_has_what_a_real_trace_has(path):
    """Several shards to a row, several chunks to a shard, several chunks to a series."""
    assert len(list((path / "weights/values/c/0").iterdir())) == 2
    assert len(list((path / "losses/eval_loss/c").iterdir())) > 1
    report = verify(path)
    assert report.faults == ()
    assert report.n_chunks > report.n_objects


def test_it_is_written_without_torch(tmp_path):
    """The script still runs, and writes what the committed traces hold but for names, dates and versions."""
    code = f"""
import pathlib, runpy, sys
sys.modules["torch"] = None
script = runpy.run_path({str(FOLDER / "write.py")!r})
script["write"](pathlib.Path({str(tmp_path)!r}) / "lz4.zarr", "lz4")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    again, kept = open_trace(tmp_path / "lz4.zarr"), open_trace(FOLDER / "lz4.zarr")
    for node in ("losses", "weights/flat", "task_gradients/flat", "activations/flat"):
        clocks = ["wall_time_seconds", "update_wall_time_seconds"]
        first, second = (tree[node].to_dataset().drop_vars(clocks, errors="ignore") for tree in (again, kept))
        for variable in (*first.variables.values(), *second.variables.values()):
            variable.attrs.pop("phase", None)  # of series, it is said since a later release
        assert first.identical(second)


def test_a_chunk_beyond_the_end_of_a_row_is_verified_and_not_needed(path, tmp_path):
    """Rows of 38 elements are four chunks of 13: the last one holds nothing but what fills a shard up."""
    copy = shutil.copytree(path, tmp_path / "run.zarr")
    shard = copy / "weights/values/c/3/1"
    data = bytearray(shard.read_bytes())
    start, length = np.frombuffer(data[-CHECKSUM_BYTES - INDEX_ENTRY_BYTES : -CHECKSUM_BYTES], "<u8")
    data[int(start + length) - 1] ^= 1
    shard.write_bytes(data)

    (fault,) = verify(copy).faults
    assert (fault.key, fault.chunk) == ("weights/values/c/3/1", (0, 1))
    np.testing.assert_array_equal(flat(open_trace(copy), "weights"), flat(open_trace(path), "weights"))
