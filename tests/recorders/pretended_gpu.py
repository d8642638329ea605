"""A GPU that is played on the CPU: what is copied from it arrives when somebody waits for it, not before.

As in CUDA, operations go into the queues of streams, and a queue knows of another only where it waits for an
event of it. A copy on a stream of its own is made as late as may be; what computes is done at once, or as
late as may be too. Who forgets to wait, or lets go of memory too early, is found out in one of the two.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from functools import partial
from types import SimpleNamespace

import torch
from torch.overrides import TorchFunctionMode

CHANGES = (torch.Tensor.copy_, torch.Tensor.zero_, torch.Tensor.fill_)


class Stream:
    """Operations in the order in which they are done."""

    def __init__(self, gpu, at_once=False):
        self._gpu, self._at_once, self._queue = gpu, at_once, deque()

    def put(self, operation):
        with self._gpu.lock:
            self._queue.append(operation)
            if self._at_once:
                self.work_until(lambda: False)

    def wait_stream(self, other):
        event = other.record_event(Event(self._gpu))
        self.put(event.reach)

    def record_event(self, event):
        event.stream, event.reached = self, False
        self.put(event.note)
        return event

    def synchronize(self):
        self.record_event(Event(self._gpu)).synchronize()

    def work_until(self, over):
        while self._queue and not over():
            self._queue.popleft()()


class Event:
    """A place in a stream."""

    def __init__(self, gpu):
        self._gpu = gpu

    def note(self):
        self.reached = True

    def reach(self):
        self.stream.work_until(lambda: self.reached)

    def synchronize(self):
        with self._gpu.lock:
            self.reach()
            self._gpu.waited_in.append(threading.current_thread().name)


class PretendedGPU(TorchFunctionMode):
    """Takes the place of `torch.cuda`; while it is entered, tensors on it are changed through its streams.

    Parameters
    ----------
    late : bool
        Whether what computes is done as late as may be.
    """

    OutOfMemoryError = torch.cuda.OutOfMemoryError

    def __init__(self, late=False):
        super().__init__()
        self.lock = threading.RLock()
        self.waited_in, self.locked = [], {}
        self.is_full, self.refusal = False, 0
        self.held = set()
        self._computing = self._current = Stream(self, at_once=not late)

    def tensor(self, values):
        """Bring a tensor here."""
        own = torch.as_tensor(values).clone()
        address = own.untyped_storage().data_ptr()
        self.held.add(address)
        weakref.finalize(own, self.held.discard, address)
        return own

    def place_of(self, tensors):
        """Say where tensors are, as `recorders.copying.gpu_of` does."""
        return torch.device("cpu") if any(t is not None and self._has(t) for t in tensors) else None

    def Stream(self, device):
        return Stream(self)

    def Event(self, blocking):
        return Event(self)

    def current_stream(self, device):
        return self._current

    @contextlib.contextmanager
    def stream(self, stream):
        before, self._current = self._current, stream
        yield
        self._current = before

    def is_initialized(self):
        return True

    def cudart(self):
        return SimpleNamespace(cudaHostRegister=self._lock_pages, cudaHostUnregister=self.locked.pop)

    def _lock_pages(self, address, n_bytes, flags):
        if not self.refusal:
            self.locked[address] = n_bytes
        return self.refusal

    def _has(self, tensor):
        return tensor.untyped_storage().data_ptr() in self.held

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = options or {}
        if function is torch.empty and "device" in options:
            if self.is_full:
                raise self.OutOfMemoryError
            return self.tensor(torch.full(*arguments, torch.nan, dtype=options["dtype"]))
        if function in CHANGES:
            return self._change(function, arguments, waits=not options.get("non_blocking", False))
        return function(*arguments, **options)

    def _change(self, function, arguments, waits):
        if not any(self._has(each) for each in arguments if isinstance(each, torch.Tensor)):
            return function(*arguments)
        seen = [each.detach() if isinstance(each, torch.Tensor) else each for each in arguments]
        if self._current is self._computing:
            self._current.put(partial(function, *seen))
        else:
            self._current.put(partial(self._copy, *seen))
        if waits and not self._has(arguments[0]):
            self._current.synchronize()
        return arguments[0]

    def _copy(self, target, source):
        """Copy on a stream of its own, which does not keep what it reads from being let go of."""
        target.copy_(source if self._has(source) else torch.full_like(source, torch.nan))
