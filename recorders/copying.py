"""Rows of tensors copied into main memory; those on a GPU while the training goes on.

Tensors on a GPU are first put together there, in the order of the stream that computes: from then on the
training may change them or let go of them, as after any other operation. A stream of its own then takes what
was put together to main memory, at the full speed of the bus, since the pages of that memory are locked. Who
reads the row waits for it. Until then, the GPU keeps a copy of the row: of all rows together at most as many
bytes as are on their way to the store.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recorders.tensors import Tensors, copy_into, torch_view
from tracekit.errors import TraceWriteError
from tracekit.writing.buffers import Memory, plain_memory
from tracekit.writing.putting import Wait

cuda: Any = torch.cuda  # most of it has no types
FOR_ALL_DEVICES = 1  # cudaHostRegisterPortable

_SIDE_STREAMS: dict[torch.device, torch.cuda.Stream] = {}


def copy_row(row: npt.NDArray[Any], tensors: Tensors, sizes: Sequence[int]) -> Wait | None:
    """Copy tensors one after another into a row; None among them leaves zeros.

    Returns
    -------
    callable or None
        From a GPU, what must be called before the row is read, in any thread; the tensors may be changed at
        once. Else None: everything is there.
    """
    target = torch_view(row)
    staged = _staged(target, tensors, sizes)
    if staged is None:
        copy_into(target, tensors, sizes)
        return None
    return _start(target, staged)


def _staged(target: torch.Tensor, tensors: Tensors, sizes: Sequence[int]) -> torch.Tensor | None:
    """Put tensors together on their GPU; None if they are on none, or it has no room."""
    device = gpu_of(tensors)
    if device is None:
        return None
    try:
        staged = torch.empty(target.shape, dtype=target.dtype, device=device)
    except cuda.OutOfMemoryError:
        return None
    copy_into(staged, tensors, sizes)
    return staged


def _start(target: torch.Tensor, staged: torch.Tensor) -> Wait:
    """Begin to copy to main memory; a stream of its own may, once what computes has put all together."""
    side = _side_stream(staged.device)
    side.wait_stream(cuda.current_stream(staged.device))
    with cuda.stream(side):
        target.copy_(staged, non_blocking=True)
    # whoever waits sleeps, and leaves its core to the training
    copied = side.record_event(cuda.Event(blocking=True))
    return partial(_wait, [(copied, staged)])


def _wait(under_way: list[tuple[torch.cuda.Event, torch.Tensor]]) -> None:
    """Wait for copies, and only then let go of what is copied: its memory is used again at once."""
    while under_way:
        under_way[0][0].synchronize()
        del under_way[0]


def gpu_of(tensors: Tensors) -> torch.device | None:
    """Give the GPU of the first tensor that is on one."""
    return next((tensor.device for tensor in tensors if tensor is not None and tensor.is_cuda), None)


def _side_stream(device: torch.device) -> torch.cuda.Stream:
    if device not in _SIDE_STREAMS:
        _SIDE_STREAMS[device] = cuda.Stream(device)
    return _SIDE_STREAMS[device]


def row_memory() -> Memory:
    """Give what makes memory for rows: locked memory in a process that uses a GPU."""
    return locked_memory if cuda.is_initialized() else plain_memory


def locked_memory(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Make memory whose pages stay in their place, so that a GPU can write into it by itself.

    It has pages of its own, which forks of the process share: pages that are copied at the first write, or
    belong to other things as well, cannot be locked for good.

    Raises
    ------
    TraceWriteError
        If the system does not allow it.
    """
    pages = mmap.mmap(-1, max(1, n_bytes))
    memory = np.frombuffer(pages, np.uint8, n_bytes)
    address, runtime = memory.ctypes.data, cuda.cudart()
    code = int(runtime.cudaHostRegister(address, len(pages), FOR_ALL_DEVICES))
    if code != 0:
        raise TraceWriteError(
            f"expected to lock {n_bytes} bytes of main memory for copies from the GPU, found CUDA error "
            f"{code}; give the process more memory, or make queue_bytes smaller"
        )
    weakref.finalize(memory, _unlock, runtime, address, os.getpid())
    return memory


def _unlock(runtime: Any, address: int, process: int) -> None:
    """Let pages go; not in a fork, which has no GPU, and whose parent still has them."""
    if os.getpid() != process:
        return
    for stream in _SIDE_STREAMS.values():  # what nobody waited for, since its row is not written, goes on
        stream.synchronize()
    runtime.cudaHostUnregister(address)
