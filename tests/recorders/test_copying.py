"""Rows copied from where tensors are: what is changed or freed later, and read only when it is there."""

import gc
import mmap

import numpy as np
import pretended_gpu
import pytest
import torch
from pretended_gpu import PretendedGPU

from recorders import GradientRecorder, WeightRecorder, copying
from recorders.copying import copy_row, locked_memory
from tracekit import Recording, open_trace
from tracekit.errors import TraceWriteError
from tracekit.format.precision import array_dtype, from_bfloat16
from tracekit.training import parse_configuration, prepare, train
from tracekit.writing.buffers import RowBuffers

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIZES = [6, 5, 3]
NOT_YET = 77


def pretended(monkeypatch, late=False):
    gpu = PretendedGPU(late)
    monkeypatch.setattr(copying, "cuda", gpu)
    monkeypatch.setattr(copying, "gpu_of", gpu.place_of)
    monkeypatch.setattr(copying, "_SIDE_STREAMS", {})
    return gpu


def one_by_one(tensors, dtype):
    """The slow, obvious way."""
    pairs = zip(tensors, SIZES, strict=True)
    parts = [np.zeros(n) if t is None else t.double().cpu().numpy().ravel() for t, n in pairs]
    return torch.from_numpy(np.concatenate(parts)).to(getattr(torch, dtype)).double().numpy()


def values_of(row, dtype):
    return (from_bfloat16(row) if dtype == "bfloat16" else row).astype("f8")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_a_row_holds_what_tensors_were_when_it_was_asked_for(device, dtype):
    tensors = [torch.randn(3, 2, device=device).T, None, torch.randn(3, device=device).bfloat16()]
    expected = one_by_one(tensors, dtype)
    row = np.full(14, NOT_YET, array_dtype(dtype))
    wait = copy_row(row, tensors, SIZES)
    for tensor in tensors[::2]:
        tensor.fill_(NOT_YET)
    tensors.clear()
    again = torch.full((14,), NOT_YET, device=device)  # where there was something that was let go of
    assert (wait is None) == (device == "cpu")
    if wait is not None:
        wait()
    np.testing.assert_array_equal(values_of(row, dtype), expected)
    assert again.sum() == 14 * NOT_YET


@pytest.mark.parametrize("late", [True, False])
def test_what_changes_after_a_copy_was_asked_for_does_not_change_it(monkeypatch, late):
    gpu = pretended(monkeypatch, late)
    first, last = gpu.tensor(torch.randn(3, 2)), gpu.tensor(torch.randn(3))
    expected = one_by_one([first, None, last], "float32")
    row = np.full(14, NOT_YET, "f4")
    with gpu:
        wait = copy_row(row, [first, None, last], SIZES)
        first.fill_(NOT_YET)
        last.copy_(torch.zeros(3))
    assert (row == NOT_YET).all()
    assert gpu.waited_in == []
    wait()
    np.testing.assert_array_equal(row, expected.astype("f4"))
    assert gpu.waited_in == ["MainThread"]


def test_copies_of_a_row_are_kept_on_the_gpu_until_they_were_waited_for(monkeypatch):
    gpu = pretended(monkeypatch)
    source = gpu.tensor(torch.randn(14))
    before = set(gpu.held)
    with gpu:
        wait = copy_row(np.empty(14, "f4"), [source], [14])
    gc.collect()
    assert len(gpu.held - before) == 1
    wait()
    assert gpu.held == before


def test_a_full_gpu_is_copied_from_at_once(monkeypatch):
    gpu = pretended(monkeypatch, late=True)
    source = gpu.tensor(torch.randn(14))
    row = np.full(14, NOT_YET, "f4")
    gpu.is_full = True
    with gpu:
        assert copy_row(row, [source], [14]) is None
    np.testing.assert_array_equal(row, source.numpy())


def toy_run(device="cpu"):
    settings = {
        "tasks": {"kind": "toy", "n_tasks": 3, "inputs": 8, "outputs": 9},
        "training": {"epochs": 2, "updates_per_visit": 3, "device": device},
    }
    return prepare(parse_configuration(settings))


def recorded(path, device="cpu"):
    run = toy_run(device)
    recorders = [WeightRecorder(), GradientRecorder(updates="all", keep="bfloat16")]
    train(run, [Recording(path, recorders, queue_bytes=1_000)])
    return open_trace(path), run


@pytest.mark.parametrize("device", DEVICES)
def test_recording_leaves_the_training_as_it_is_and_ends_with_its_weights(tmp_path, device):
    trace, run = recorded(tmp_path / "run.zarr", device)
    bare = toy_run(device)
    train(bare)
    for (name, parameter), other in zip(run.model.named_parameters(), bare.model.parameters(), strict=True):
        assert torch.equal(parameter, other)
        last = trace["weights"][name].isel(visit=-1).values
        np.testing.assert_array_equal(last, parameter.detach().cpu().numpy())


def test_a_trace_of_tensors_on_a_gpu_has_the_same_bits(monkeypatch, tmp_path):
    expected, run = recorded(tmp_path / "plain.zarr")
    gpu = pretended(monkeypatch)
    monkeypatch.setattr(copying, "gpu_of", lambda tensors: torch.device("cpu"))
    with gpu:
        found, same = recorded(tmp_path / "copied.zarr")
    assert found.attrs["status"] == "complete"
    for group in ("weights", "gradients"):
        for name, values in expected[group].data_vars.items():
            assert values.values.tobytes() == found[group][name].values.tobytes(), (group, name)
    for parameter, other in zip(run.model.parameters(), same.model.parameters(), strict=True):
        assert torch.equal(parameter, other)

    rows = found["weights"].sizes["visit"] + found["gradients"].sizes["update"]
    assert sum(name.startswith("tracekit-writer") for name in gpu.waited_in) == rows
    del found, same
    gc.collect()
    assert gpu.locked == {}
    assert gpu.held == set()


def test_a_copy_that_fails_ends_the_recording(monkeypatch, tmp_path):
    gpu = pretended(monkeypatch)
    monkeypatch.setattr(copying, "gpu_of", lambda tensors: torch.device("cpu"))

    def failing(event):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(pretended_gpu.Event, "synchronize", failing)
    with gpu, pytest.raises(RuntimeError, match="illegal memory access"):
        recorded(tmp_path / "run.zarr")
    assert open_trace(tmp_path / "run.zarr").attrs["snapshots_committed"] == 0


def test_locked_memory_has_pages_of_its_own_and_is_unlocked_before_it_is_gone(monkeypatch):
    gpu = pretended(monkeypatch)
    memory = [locked_memory(n_bytes) for n_bytes in (1, 5_000, 5_000)]
    assert [each.nbytes for each in memory] == [1, 5_000, 5_000]
    assert gpu.locked == {each.ctypes.data: each.nbytes for each in memory}
    assert all(address % mmap.PAGESIZE == 0 for address in gpu.locked)
    memory[1][:] = 9
    del memory[0]
    assert len(gpu.locked) == 2
    memory.clear()
    assert gpu.locked == {}


def test_a_fork_does_not_unlock_what_is_its_parents(monkeypatch):
    gpu = pretended(monkeypatch)
    memory = locked_memory(10)
    monkeypatch.setattr(copying.os, "getpid", lambda: -1)
    del memory
    assert len(gpu.locked) == 1


def test_locked_memory_is_used_again(monkeypatch):
    gpu = pretended(monkeypatch)
    buffers = RowBuffers(most_bytes=1_000)
    for _ in range(5):
        row = buffers.lend((100,), np.dtype("f4"), copying.row_memory())
        buffers.take_over(row)
        buffers.done(row)
    assert list(gpu.locked) == [row.ctypes.data]


def test_memory_that_cannot_be_locked(monkeypatch):
    pretended(monkeypatch).refusal = 2
    with pytest.raises(TraceWriteError, match=r"to lock 10 bytes .* found CUDA error 2; .*queue_bytes"):
        locked_memory(10)
