"""What the training loop takes from a configuration, and what it changes in torch while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch

from tracekit.training.randomness import own_torch_streams

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop itself; see `TrainingSettings` for what each means."""

    seed: int = 0
    clip_grad_norm: float | None = None
    reset_optimizer: bool = False
    stop_on_nan: bool = True
    threads: int | None = None
    deterministic: bool = False

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> Self:
        """Take the settings from a whole configuration as a dict; an empty one gives the defaults.

        Examples
        --------
        >>> LoopSettings.of({"seed": 3, "training": {"threads": 2, "epochs": 6}}).threads
        2
        """
        given = {"seed": configuration.get("seed", 0), **configuration.get("training", {})}
        return cls(**{name: given[name] for name in cls.__dataclass_fields__ if name in given})


@contextmanager
def running(settings: LoopSettings, device: torch.device) -> Iterator[None]:
    """Set torch up for a run, and give everything back as it was found."""
    with (
        own_torch_streams(device),
        _threads(settings.threads),
        _deterministic(settings.deterministic, device),
    ):
        yield


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _deterministic(wanted: bool, device: torch.device) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    if wanted and device.type == "cuda":
        # cuBLAS repeats itself only with a workspace of fixed size, read when it is first used
        os.environ.setdefault(CUBLAS_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(wanted or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
