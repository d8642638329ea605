"""One process of a job that trains a model, alone or with another: python job.py KIND FOLDER RANK SIZE.

KIND is `alone`, `replicated` or `sharded`, with `-killed` (the last process kills itself in visit 3) or
`-resumed` (the trace in FOLDER is taken up). What this process writes is listed in FOLDER/writes-RANK.txt.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from recorders import GradientRecorder, LossRecorder, WeightRecorder, record
from recorders.reductions import Reductions
from recorders.sketches import Sketch
from tracekit.format.marker import read_marker
from tracekit.store import LocalStore
from tracekit.training import Checkpoints

VISITS, UPDATES, BATCH = 3, 2, 8
REDUCTIONS = Reductions(["norm", "mean", "std", "min", "max", "absolute_mean", "histogram"])
SKETCHES = Sketch(5000, seed=1), Sketch(5000, seed=2, per="tensor")  # blocks and shards end elsewhere


def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(300, 512), torch.nn.Tanh(), torch.nn.Linear(512, 301))


def spread(kind, model):
    if kind == "alone":
        return model
    if kind.startswith("sharded"):
        from torch.distributed.fsdp import fully_shard

        for layer in (model[0], model[2]):
            fully_shard(layer)
        return fully_shard(model)
    return torch.nn.parallel.DistributedDataParallel(model)


def note_writes(file):
    """Let the store note what it puts."""

    def noting(original):
        def put(self, key, data, *rest):
            with file.open("a") as log:
                log.write(f"{key}\n")
            return original(self, key, data, *rest)

        return put

    LocalStore.put = noting(LocalStore.put)
    LocalStore.put_pieces = noting(LocalStore.put_pieces)


def wait_for_commits(path, n_snapshots):
    """Commits run in the background: wait until so many are done."""
    deadline = time.monotonic() + 120
    while read_marker(LocalStore(path)).committed < n_snapshots and time.monotonic() < deadline:
        time.sleep(0.02)


def save_state(folder, number, model, optimizer):
    """Keep the state after a visit, as a loop of sharded parameters does: each process its own part."""
    weights, moments = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": moments}, checkpoint_id=folder / f"state-{number}")


def load_state(folder, number, model, optimizer):
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments}
    dcp.load(state, checkpoint_id=folder / f"state-{number}")
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=moments)


def resuming(kind, folder, model, optimizer):
    """Say how the trace is taken up: from the checkpoint in it, or from the state that the loop kept."""
    if not kind.endswith("resumed"):
        return {}
    if kind.startswith("replicated"):
        return {"resume": True}
    load_state(folder, 1, model, optimizer)
    return {"resume": True, "snapshots": 2}


def main(kind, folder, rank, size):
    note_writes(folder / f"writes-{rank}.txt")
    torch.set_num_threads(1)
    if size > 1:
        meeting = f"file://{folder}/meeting-{kind}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    model = spread(kind, make_model())
    # eps: where a gradient is nearly zero, its sign must not decide the whole step
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-4)
    recorders = [
        LossRecorder(),
        WeightRecorder(keep=["full", REDUCTIONS, SKETCHES[0]]),
        GradientRecorder(updates="all", keep=["full", SKETCHES[1]]),
    ]
    if kind.startswith("replicated"):
        recorders.append(Checkpoints())
    settings = {"tasks": ["a"], **resuming(kind, folder, model, optimizer)}
    with record(model, optimizer, folder / "run.zarr", recorders=recorders, **settings) as trace:
        for number in range(trace.visits, VISITS):
            train_visit(number, model, optimizer, trace, rank=rank, size=size)
            if kind.startswith("sharded"):
                save_state(folder, number + 1, model, optimizer)
            if kind.endswith("killed") and number == 2 and rank == size - 1:
                wait_for_commits(folder / "run.zarr", 2)
                os.kill(os.getpid(), signal.SIGKILL)
            trace.visit(task="a", epoch=number)
    if size > 1:
        dist.destroy_process_group()


def train_visit(number, model, optimizer, trace, *, rank, size):
    draw = torch.Generator().manual_seed(number)
    for _ in range(UPDATES):
        own = torch.randn(BATCH, 300, generator=draw).chunk(size)[rank]
        optimizer.zero_grad()
        loss = (model(own) - own.sum(1, keepdim=True)).square().mean()
        loss.backward()
        trace.loss(loss)
        optimizer.step()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
