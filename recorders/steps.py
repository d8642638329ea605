"""The steps of an optimizer as they happen: the true gradients before each, the changed weights after it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

Loss = torch.Tensor | float | None


class Steps:
    """Watches an optimizer through its own hooks.

    A step that gradient scaling skips, since a gradient overflowed, is none. Where the optimizer itself
    unscales gradients (fused ones do), they are shown unscaled; a closure has been called before they are
    shown.

    Parameters
    ----------
    optimizer
        What is watched; a wrapper is looked through.
    before : callable
        Called when gradients are what the optimizer uses, and weights are not yet changed.
    after : callable
        Called when weights are changed, with the loss that a closure gave; None without one.
    """

    def __init__(self, optimizer: Any, before: Callable[[], None], after: Callable[[Loss], None]) -> None:
        self._before, self._after = before, after
        self._skipped = False
        self._loss: Loss = None
        inner = innermost(optimizer)
        self._handles = [
            inner.register_step_pre_hook(self._enter),
            inner.register_step_post_hook(self._leave),
        ]

    def remove(self) -> None:
        """Stop watching. May be called twice."""
        for handle in self._handles:
            handle.remove()

    def _enter(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._loss = None
        _, *given = args  # the first is the optimizer itself
        closure = kwargs.get("closure", given[0] if given else None)
        if closure is None:
            self._show(optimizer)
            return None
        wrapped = self._watched(optimizer, closure)
        return (args, {**kwargs, "closure": wrapped}) if not given else ((optimizer, wrapped), kwargs)

    def _watched(self, optimizer: torch.optim.Optimizer, closure: Callable[[], Loss]) -> Callable[[], Loss]:
        """Wrap a closure, which makes the gradients: they are shown after its first call."""
        calls = 0

        def watched() -> Loss:
            nonlocal calls
            loss = closure()
            calls += 1
            if calls == 1:
                self._loss = loss.detach() if isinstance(loss, torch.Tensor) else loss
                self._show(optimizer)
            return loss

        return watched

    def _show(self, optimizer: torch.optim.Optimizer) -> None:
        found_inf = getattr(optimizer, "found_inf", None)
        self._skipped = found_inf is not None and float(found_inf) > 0
        if not self._skipped:
            with _unscaled(optimizer):
                self._before()

    def _leave(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._skipped:
            self._after(self._loss)


def innermost(optimizer: Any) -> torch.optim.Optimizer:
    """Give the optimizer that a wrapper, such as accelerate's or Lightning's, holds.

    Raises
    ------
    TypeError
        If there is none.
    """
    held = optimizer
    while isinstance(getattr(held, "optimizer", None), torch.optim.Optimizer):
        held = held.optimizer
    if not isinstance(held, torch.optim.Optimizer):
        raise TypeError(f"expected a torch optimizer, found {type(optimizer).__name__}")
    return held


@contextlib.contextmanager
def _unscaled(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Let parameters have their true gradients for a moment, where the optimizer is to unscale them itself.

    The scaled ones are put back, not computed back, so that not a bit of the step is changed.
    """
    scale = getattr(optimizer, "grad_scale", None)
    if scale is None:
        yield
        return
    held = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    scaled = [parameter.grad for parameter in held]
    try:
        for parameter in held:
            parameter.grad = parameter.grad / scale.to(parameter.grad.device)
        yield
    finally:
        for parameter, gradient in zip(held, scaled, strict=True):
            parameter.grad = gradient
