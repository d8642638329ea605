"""Tensors that are sharded over processes, brought into a row of which each process writes a stretch.

Every process sends the others what falls into their stretches, and gets what falls into its own: none ever
holds more of a row than its stretch and its own shards. The row is the same as that of one process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, Shard

from recorders.teams import answered
from recorders.tensors import Tensors
from tracekit.errors import ConfigurationError


@dataclass(frozen=True)
class Piece:
    """Some elements of a row: where they lie in the row, and in the shard of the process that holds them."""

    field: int
    columns: range
    start: int

    def cut(self, stretch: range) -> Piece | None:
        """Leave out what does not fall into a stretch."""
        low, high = max(self.columns.start, stretch.start), min(self.columns.stop, stretch.stop)
        if low >= high:
            return None
        return Piece(self.field, range(low, high), self.start + low - self.columns.start)


def is_sharded(tensors: Tensors) -> bool:
    """Say whether some of the tensors are sharded over processes."""
    return any(isinstance(tensor, DTensor) for tensor in tensors)


def exchange_into(
    row: torch.Tensor, tensors: Tensors, sizes: Sequence[int], stretches: Sequence[range]
) -> None:
    """Fill the stretch of this process in a row; every process calls this at the same time.

    Parameters
    ----------
    row : tensor, dims (element,)
        The row; only its stretch is touched.
    tensors
        The tensors of the row, sharded along their first dim or replicated; None stands for zeros.
    sizes : sequence of int
        Elements of each.
    stretches : sequence of range
        The columns that each process writes.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    shards = [None if tensor is None else local_values(tensor, row.dtype) for tensor in tensors]
    held = [list(pieces_of(tensors, sizes, holder, size)) for holder in range(size)]
    own = row[stretches[rank].start : stretches[rank].stop]
    own.zero_()
    outgoing = [_packed(held[rank], shards, stretches[other], row.dtype) for other in range(size)]
    wanted = [[p for piece in held[holder] if (p := piece.cut(stretches[rank]))] for holder in range(size)]
    incoming = [
        torch.empty(sum(len(p.columns) for p in pieces), dtype=row.dtype, device=outgoing[0].device)
        for pieces in wanted
    ]
    _swap(outgoing, incoming, rank)
    for pieces, values in zip(wanted, incoming, strict=True):
        place = 0
        for piece in pieces:
            row[piece.columns.start : piece.columns.stop] = values[place : place + len(piece.columns)]
            place += len(piece.columns)


def _swap(outgoing: list[torch.Tensor], incoming: list[torch.Tensor], rank: int) -> None:
    """Send to every process what is for it, and receive what it has for this one."""
    work: list[Any] = []
    for other, (sent, received) in enumerate(zip(outgoing, incoming, strict=True)):
        if other == rank:
            received.copy_(sent)
            continue
        work += [dist.P2POp(dist.isend, sent, other)] if sent.numel() else []
        work += [dist.P2POp(dist.irecv, received, other)] if received.numel() else []
    with answered():
        for request in dist.batch_isend_irecv(work) if work else []:
            request.wait()


def pieces_of(tensors: Tensors, sizes: Sequence[int], rank: int, n_ranks: int) -> Iterator[Piece]:
    """Give what a process holds of a row; what all of them hold is the first one's."""
    offsets = [0, *accumulate(sizes)]
    for field, (tensor, offset) in enumerate(zip(tensors, offsets, strict=False)):
        if isinstance(tensor, DTensor) and isinstance(tensor.placements[0], Shard):
            width = max(1, sizes[field] // max(1, tensor.shape[0]))
            step = -(-tensor.shape[0] // n_ranks)
            first, last = (min(step * place, tensor.shape[0]) * width for place in (rank, rank + 1))
            if first < last:
                yield Piece(field, range(offset + first, offset + last), 0)
        elif tensor is not None and rank == 0:
            yield Piece(field, range(offset, offset + sizes[field]), 0)


def _packed(
    held: Sequence[Piece], shards: Sequence[torch.Tensor | None], stretch: range, dtype: torch.dtype
) -> torch.Tensor:
    """Give what falls into a stretch of what this process holds, one piece after another."""
    parts = [
        shard[piece.start : piece.start + len(piece.columns)]
        for whole in held
        if (piece := whole.cut(stretch)) and (shard := shards[piece.field]) is not None
    ]
    device = next((shard.device for shard in shards if shard is not None), torch.device("cpu"))
    return torch.cat(parts) if parts else torch.empty(0, dtype=dtype, device=device)


def local_values(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Give what this process holds of a tensor, flat, in the type of the row, if there is one.

    Raises
    ------
    ConfigurationError
        If it is sharded otherwise than along its first dim, over one dim of processes.
    """
    dtype = dtype or tensor.dtype
    if not isinstance(tensor, DTensor):
        return tensor.detach().reshape(-1).to(dtype)
    places = tensor.placements
    if len(places) != 1 or not (places[0].is_replicate() or places[0].is_shard(0)):
        raise ConfigurationError(
            f"a tensor of shape {tuple(tensor.shape)} has the placements {places}; those are "
            "recorded that are sharded along their first dim, over one dim of processes (fully_shard)"
        )
    return tensor.to_local().detach().reshape(-1).to(dtype)
