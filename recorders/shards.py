"""Statistics and sketches of tensors that are sharded over processes: numbers are sent, and no tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.distributed as dist

from recorders.exchange import local_values, pieces_of
from recorders.statistics import Floats
from recorders.teams import answered
from recorders.tensors import Tensors


@dataclass(frozen=True)
class Shards:
    """What this process has of the tensors of a row, by their number; what all have is the first one's.

    Parameters
    ----------
    device
        Where they are.
    values : dict
        The elements, flat.
    starts : dict
        The place of the first of them in the tensor.
    """

    device: torch.device
    values: dict[int, torch.Tensor]
    starts: dict[int, int]


def own_shards(tensors: Tensors, sizes: Sequence[int]) -> Shards:
    """Give what this process has of tensors that are sharded or replicated; None stands for zeros."""
    present = [torch.zeros(n) if tensor is None else tensor for tensor, n in zip(tensors, sizes, strict=True)]
    local = [local_values(tensor) for tensor in present]
    offsets = list(accumulate(sizes, initial=0))
    pieces = list(pieces_of(present, sizes, dist.get_rank(), dist.get_world_size()))
    return Shards(
        next(tensor.device for tensor in tensors if tensor is not None),
        {piece.field: local[piece.field] for piece in pieces},
        {piece.field: piece.columns.start - offsets[piece.field] for piece in pieces},
    )


def added_up(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Add up a tensor over all processes, on the device that they use; the sum is in main memory."""
    total = values.to(device, copy=True)
    with answered():
        dist.all_reduce(total)
    return total.cpu()


def of_all(found: Mapping[str, Floats], device: torch.device) -> dict[str, Floats]:
    """Give what every process has found, dims (process, …), by name."""
    names = sorted(found)
    own = torch.from_numpy(np.concatenate([found[name].ravel() for name in names])).to(device)
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    with answered():
        dist.all_gather(gathered, own)
    ends = np.cumsum([found[name].size for name in names])[:-1]
    columns = np.split(torch.stack(gathered).cpu().numpy(), ends, axis=1)
    return {name: part.reshape(-1, *found[name].shape) for name, part in zip(names, columns, strict=True)}


def combined(name: str, parts: Mapping[str, Floats]) -> Floats:
    """Make a statistic of tensors of those of their parts, dims (part, tensor[, bin]).

    With n_i elements in part i, of mean m_i and standard deviation s_i: m = Σ n_i m_i / n and
    s = √(Σ n_i (s_i² + (m_i − m)²) / n) (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115).
    Norms and distances are √Σ d_i².

    Parameters
    ----------
    name : str
        The statistic, any but `quantiles`.
    parts : mapping
        Statistics by name, this one among them, and `count`; for `std` the `mean` too. Where a count is 0,
        other numbers do not matter.

    Examples
    --------
    >>> parts = {"count": [[3.0], [1.0]], "mean": [[2.0], [6.0]], "std": [[0.0], [0.0]]}
    >>> parts = {name: np.array(values) for name, values in parts.items()}
    >>> combined("mean", parts).tolist(), combined("std", parts).round(3).tolist()
    ([3.0], [1.732])
    """
    counts, values = parts["count"], parts[name]
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values are for the reader to see
        if name == "min":
            return np.asarray(np.where(counts > 0, values, np.inf).min(0))
        if name == "max":
            return np.asarray(np.where(counts > 0, values, -np.inf).max(0))
        if name == "std":
            away = parts["mean"] - combined("mean", parts)
            return np.asarray(np.sqrt(_mean(values**2 + away**2, counts)))
        if name in ("mean", "absolute_mean", "histogram"):
            return _mean(values, counts)
        return np.asarray(np.sqrt((values**2).sum(0)))


def _mean(values: Floats, counts: Floats) -> Floats:
    """Weight parts by their numbers of elements."""
    weights = counts / counts.sum(0)
    return np.asarray((weights.reshape(*counts.shape, *(1,) * (values.ndim - 2)) * values).sum(0))
