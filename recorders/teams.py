"""The processes of `torch.distributed` as a team that writes one trace."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from tracekit.errors import ConfigurationError, TraceWriteError

PATIENCE_SECONDS = 600.0


class TorchTeam:
    """All processes of the default group.

    Parameters
    ----------
    patience_seconds : float
        How long one process waits for the others, before it says that they are gone.
    """

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        # a group of its own: small objects go over CPU, whatever the training uses
        patience = datetime.timedelta(seconds=patience_seconds)
        # and one more, since losses are added up while a commit is under way
        self._group, self._losses = (dist.new_group(backend="gloo", timeout=patience) for _ in range(2))
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def agree(self, problem: str | None) -> None:
        """Wait for all processes; if one has a problem, or is gone, raise `TraceWriteError` in all."""
        problems = self._gathered(problem, self._group)
        found = [f"process {rank}: {text}" for rank, text in enumerate(problems) if text is not None]
        if found and problem is None:
            raise TraceWriteError(
                f"another of the {self.size} processes that record could not go on ({found[0]}); the trace "
                "is good up to its last commit"
            )

    def mean(self, value: float) -> float:
        """Give the mean of a number over all processes."""
        values: list[float] = self._gathered(value, self._losses)
        return sum(values) / self.size

    def _gathered(self, value: Any, group: Any) -> list[Any]:
        values: list[Any] = [None] * self.size
        with answered():
            dist.all_gather_object(values, value, group=group)
        return values


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Let processes wait for each other; raises `TraceWriteError` if one does not answer."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise TraceWriteError(
            f"process {dist.get_rank()} of {dist.get_world_size()}: another process that records this trace "
            f"is gone, or does not answer ({str(error).splitlines()[0]}); the trace is good up to its last "
            "commit"
        ) from error


def team_of(model: torch.nn.Module) -> TorchTeam | None:
    """Give the team that trains a model together; None if this process trains it alone.

    Raises
    ------
    ConfigurationError
        If the model is wrapped so that its parameters cannot be told apart.
    """
    if (
        any("FlatParameter" in type(parameter).__name__ for parameter in model.parameters())
        or type(model).__name__ == "FullyShardedDataParallel"
    ):
        raise ConfigurationError(
            "model: FullyShardedDataParallel hides parameters in flat ones; shard it with "
            "torch.distributed.fsdp.fully_shard, whose parameters keep their names and shapes"
        )
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return None
    replicated = isinstance(model, torch.nn.parallel.DistributedDataParallel)
    sharded = any(isinstance(parameter, DTensor) for parameter in model.parameters())
    return TorchTeam() if replicated or sharded else None


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """Give the model itself, whose parameters have the names that they have in one process."""
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        inner: torch.nn.Module = model.module
        return inner
    return model
