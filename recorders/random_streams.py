"""Torch's random streams, carried from visit to visit: a loop goes on drawing where it was cut off."""

from __future__ import annotations

from typing import Any

import torch

from tracekit.protocols import Run

CARRIED = "random_streams"
cuda: Any = torch.cuda  # some of it has no types


def carry_streams(run: Run) -> None:
    """Note the states of the streams that layers such as dropout draw from, for a checkpoint to keep."""
    run.carried[f"{CARRIED}/cpu"] = torch.get_rng_state()
    for device in gpus_of(run.model):
        run.carried[f"{CARRIED}/{device}"] = cuda.get_rng_state(device)


def bring_back_streams(run: Run) -> None:
    """Go on with the streams that a checkpoint kept, if it did; those of GPUs that are not used stay."""
    states = {
        name.removeprefix(f"{CARRIED}/"): state
        for name, state in run.carried.items()
        if name.startswith(f"{CARRIED}/")
    }
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    for device in gpus_of(run.model):
        if str(device) in states:
            cuda.set_rng_state(states[str(device)], device)


def gpus_of(model: torch.nn.Module) -> list[torch.device]:
    """Give the GPUs that a model lies on, in order."""
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return sorted(devices, key=lambda device: device.index)
