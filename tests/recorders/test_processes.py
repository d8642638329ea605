"""Several processes record one trace: each writes its part, and it is the trace of a single process."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import xarray as xr
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor

from recorders.keeping import Kept
from recorders.reductions import Reductions
from recorders.shards import own_shards
from recorders.sketches import Sketch
from tracekit import open_trace
from tracekit.checking.verify import verify
from tracekit.errors import ConfigurationError
from tracekit.format.layout import CLOCK
from tracekit.format.schema import Field, Rows
from tracekit.protocols import Run
from tracekit.training import Checkpoints

ROOT = Path(__file__).parent.parent.parent
PROGRAM = Path(__file__).parent / "job.py"
KEPT = ("weights_reductions", "weights_sketch", "gradients_sketch")


def run_job(kind, folder, size):
    """Run the processes of a job; gives their exit codes and what they said."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(PROGRAM), kind, str(folder)]
    processes = [
        subprocess.Popen([*command, str(rank), str(size)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    said = [process.communicate(timeout=240)[1] for process in processes]
    return [process.returncode for process in processes], said


def writes(folder, rank):
    return set((folder / f"writes-{rank}.txt").read_text().split())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "job"
    codes, said = run_job("alone", folder, 1)
    assert codes == [0], said
    return open_trace(folder / "run.zarr")


def assert_like(found, expected, n_snapshots):
    """Up to the rounding of other orders of summing."""
    assert found.attrs["snapshots_committed"] == n_snapshots
    for group in ("weights", "gradients"):
        kept = expected[group].to_dataset()
        kept = (
            kept.isel(visit=slice(n_snapshots))
            if group == "weights"
            else kept.isel(update=kept.update_visit < n_snapshots)
        )
        assert list(found[group].data_vars) == list(kept.data_vars)
        for name, values in kept.data_vars.items():
            assert found[group][name].shape == values.shape
            np.testing.assert_allclose(found[group][name], values, rtol=1e-3, atol=2e-5)
    losses = expected["losses"].train_loss[expected["losses"].update_visit.values < n_snapshots]
    np.testing.assert_allclose(found["losses"].train_loss, losses, rtol=1e-4)
    assert found.attrs["model_signature"] == expected.attrs["model_signature"]


def job(tmp_path_factory, kind):
    """Two processes that nobody disturbs."""
    folder = tmp_path_factory.mktemp(kind) / "job"
    codes, said = run_job(kind, folder, 2)
    assert codes == [0, 0], said
    return folder


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    return job(tmp_path_factory, "replicated")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return job(tmp_path_factory, "sharded")


@pytest.mark.parametrize("kind", ["replicated", "sharded"])
def test_the_trace_is_that_of_one_process(request, alone, kind):
    folder = request.getfixturevalue(kind)
    trace = open_trace(folder / "run.zarr")
    assert trace.attrs["status"] == "complete"
    assert_like(trace, alone, 4)
    assert verify(folder / "run.zarr").faults == ()

    leader, other = writes(folder, 0), writes(folder, 1)
    assert not leader & other
    assert all("/values/c/" in key for key in other), "only the leader writes what belongs to nobody"
    for group in ("weights", "gradients"):
        shares = [sum(key.startswith(f"{group}/values/c/") for key in each) for each in (leader, other)]
        assert min(shares) > 0, "each process writes a part of every row"


def form_of(kind):
    """Reductions or a sketch as the job makes them, for one process."""
    return {
        "weights_reductions": Reductions(["norm", "mean", "std", "min", "max", "absolute_mean", "histogram"]),
        "weights_sketch": Sketch(5000, seed=1),
        "gradients_sketch": Sketch(5000, seed=2, per="tensor"),
    }[kind]


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_kept_of_shards_is_that_of_whole_tensors(sharded, alone, kind):
    trace = open_trace(sharded / "run.zarr")
    assert list(trace[kind].data_vars) == list(alone[kind].data_vars)
    whole = trace[trace[kind].attrs["of"]].to_dataset()
    fields = tuple(Field(name, values.shape[1:]) for name, values in whole.data_vars.items())
    form = form_of(kind)
    declared = form.declare(Rows("whole", fields, (0,)), None)
    found = [values.values.reshape(len(values), -1) for values in trace[kind].data_vars.values()]
    for number, row in enumerate(np.concatenate(found, axis=1)):
        tensors = [torch.from_numpy(values[number].values) for values in whole.data_vars.values()]
        expected = np.empty(declared.row_shape, declared.dtype)
        form.fill(expected, tensors, 0)
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["replicated", pytest.param("sharded", marks=pytest.mark.slow)])
def test_a_killed_job_keeps_what_was_committed_and_goes_on(request, tmp_path, alone, kind):
    folder = tmp_path / "job"
    codes, said = run_job(f"{kind}-killed", folder, 2)
    assert codes == [1, -9]
    assert "TraceWriteError: process 0 of 2: another process that records this trace is gone" in said[0]
    trace = open_trace(folder / "run.zarr")
    assert trace.attrs["status"] == "failed"
    assert 2 <= trace.attrs["snapshots_committed"] <= 3, "the third visit was not over in both"
    assert_like(trace, alone, trace.attrs["snapshots_committed"])
    assert verify(folder / "run.zarr").faults == ()

    codes, said = run_job(f"{kind}-resumed", folder, 2)
    assert codes == [0, 0], said
    whole = open_trace(request.getfixturevalue(kind) / "run.zarr")
    assert_same(open_trace(folder / "run.zarr"), whole)
    assert verify(folder / "run.zarr").faults == ()


def test_checkpoints_of_sharded_parameters_are_refused():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = fully_shard(torch.nn.Linear(3, 2))
        with pytest.raises(ConfigurationError, match="Checkpoints: the parameters are sharded"):
            Checkpoints().start(Run(model, None, None, None, {}, 0), None)
    finally:
        dist.destroy_process_group()


@pytest.fixture
def one_process():
    """A job of one process, in which sharded tensors can be had."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_distances_of_shards_and_what_is_not_there(one_process):
    fields = tuple(Field(name, (3, 2)) for name in "ab")
    rows = Rows("weights", fields, (0, 1))
    names = ["update_size", "distance_from_start", "min", "histogram"]
    forms = [Reductions(names), Reductions(names)]
    sizes = [form.declare(rows, Run(None, None, None, None, {}, 0)).n_elements for form in forms]
    made = np.zeros((2, sizes[0]))
    for scale in (1.0, 3.0):
        whole = scale * torch.arange(6.0).reshape(3, 2)
        shard = distribute_tensor(whole, init_device_mesh("cpu", (1,)), [Shard(0)])
        forms[0].fill(made[0], [whole, None], 0)
        forms[1].fill_shards(made[1], own_shards([shard, None], [6, 6]), 0)
        np.testing.assert_allclose(made[1], made[0])
    assert made[1][0] == pytest.approx(2 * np.sqrt(55))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Reductions(["norm", "quantiles"]), "quantiles need all values of a tensor in one process"),
        ("bfloat16", "kept in full, as reductions or as a sketch; this form needs all of a tensor"),
    ],
)
def test_forms_that_need_whole_tensors_are_refused(one_process, form, message):
    rows = Rows("weights", (Field("a", (3, 2)),), (0,))
    shard = distribute_tensor(torch.ones(3, 2), init_device_mesh("cpu", (1,)), [Shard(0)])
    trace = SimpleNamespace(declare_rows=lambda rows: None, buffer=lambda *_: np.empty(rows.row_shape))
    kept = Kept(form, Run(None, None, None, None, {}, 0), trace, rows)
    with pytest.raises(ConfigurationError, match=message):
        kept.put(0, [shard])


def assert_same(found, expected):
    """To the last bit, but for the clock."""
    assert found.attrs["status"] == "complete"
    assert found.attrs["snapshots_committed"] == expected.attrs["snapshots_committed"]
    for group in (*KEPT, "losses", "weights", "gradients"):
        clocks = [CLOCK, f"update_{CLOCK}"]
        values, others = (
            trace[group].to_dataset().drop_vars(clocks, errors="ignore") for trace in (found, expected)
        )
        xr.testing.assert_identical(values, others)
