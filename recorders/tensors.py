"""Tensors as the fields of a flat row, and the row as a tensor that they are copied into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from tracekit.format.schema import Field

Tensors: TypeAlias = Sequence[torch.Tensor | None]
"""The tensors of a row, in the order of its fields; None stands for zeros."""

STORED = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def fields_of(tensors: Mapping[str, torch.Tensor]) -> tuple[Field, ...]:
    """Describe tensors as the fields of a row, in their order."""
    return tuple(
        Field(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in tensors.items()
    )


def row_dtype(tensors: Iterable[torch.Tensor]) -> str:
    """Give the smallest type of a row that holds them all without loss.

    One of bfloat16, float16, float32 and float64; what is none of these is held by float32.

    Raises
    ------
    TypeError
        If one does not hold floating point numbers.
    """
    types = [tensor.dtype for tensor in tensors]
    for dtype in types:
        if not dtype.is_floating_point:
            raise TypeError(f"tensors of floating point numbers are recorded, found {dtype}")
    held = [dtype if dtype in STORED else torch.float32 for dtype in types]
    widest = reduce(torch.promote_types, held) if held else torch.float32
    return str(widest).removeprefix("torch.")


def torch_view(row: npt.NDArray[Any]) -> torch.Tensor:
    """See a row as a tensor; one of uint16 holds the bits of bfloat16."""
    target = torch.from_numpy(row)
    return target.view(torch.bfloat16) if row.dtype == np.uint16 else target


def copy_into(target: torch.Tensor, tensors: Tensors, sizes: Sequence[int]) -> None:
    """Copy tensors one after another into a flat one, from any device; None leaves zeros."""
    for part, tensor in zip(torch.split(target, list(sizes)), tensors, strict=True):
        if tensor is None:
            part.zero_()
        else:
            part.copy_(tensor.detach().reshape(-1))
