"""A loop that draws at random goes on from a checkpoint as if it had never stopped."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recorders import GradientRecorder, LossRecorder, random_streams, record
from recorders.random_streams import bring_back_streams, carry_streams
from tracekit import open_trace
from tracekit.training import Checkpoints

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def train(path, device, last, **settings):
    """A loop with dropout, whose batches are drawn at random too."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)).to(
        device
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    kinds = [LossRecorder(), GradientRecorder(updates="all"), Checkpoints(every=2)]
    with record(model, optimizer, path, recorders=kinds, **settings) as trace:
        for _ in range(trace.visits, last):
            for _ in range(2):
                optimizer.zero_grad()
                loss = model(torch.randn(3, 4).to(device)).square().mean()
                loss.backward()
                trace.loss(loss)
                optimizer.step()
            trace.visit()
    return model


@pytest.mark.parametrize("device", DEVICES)
def test_a_loop_with_dropout_resumes_to_the_same_bits(tmp_path, device):
    whole = train(tmp_path / "whole.zarr", device, 7)
    train(tmp_path / "run.zarr", device, 3)
    torch.manual_seed(99)
    resumed = train(tmp_path / "run.zarr", device, 7, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    expected, found = open_trace(tmp_path / "whole.zarr"), open_trace(tmp_path / "run.zarr")
    np.testing.assert_array_equal(found["losses"].train_loss, expected["losses"].train_loss)


def test_streams_of_every_gpu_of_the_model_are_carried(monkeypatch):
    streams = {torch.device("cuda", number): torch.tensor([number]) for number in range(3)}
    pretended = SimpleNamespace(
        get_rng_state=lambda device: streams[device].clone(),
        set_rng_state=lambda state, device: streams.update({device: state}),
    )
    monkeypatch.setattr(random_streams, "cuda", pretended)
    monkeypatch.setattr(random_streams, "gpus_of", lambda model: list(streams)[:2])
    run = SimpleNamespace(model=None, carried={})
    carry_streams(run)
    drawn = torch.rand(3)
    for state in streams.values():
        state += 10
    bring_back_streams(run)
    assert [state.item() for state in streams.values()] == [0, 1, 12]
    assert torch.equal(torch.rand(3), drawn)


def test_a_checkpoint_without_streams_leaves_them():
    run = SimpleNamespace(model=torch.nn.Linear(1, 1), carried={"weights/start/0/0": torch.ones(1)})
    before = torch.get_rng_state()
    bring_back_streams(run)
    assert torch.equal(torch.get_rng_state(), before)
