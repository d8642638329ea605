"""Gradients of the loss by activations of chosen modules on chosen tasks, at snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from recorders.activations import ActivationRecorder, Calls, first_tensor
from tracekit.protocols import Run


class ActivationGradientRecorder(ActivationRecorder):
    """Record the gradient of a probe task's loss by what modules give: `activation_gradients`.

    Dims (visit, probe, element), as the activations themselves, and the same parameters. The model is in
    evaluation mode; nothing of the run is touched, `parameter.grad` included. What the loss does not depend
    on has gradient zero.
    """

    group = "activation_gradients"
    long_name = "gradient of the loss of probe tasks by outputs of modules"

    def _units(self, run: Run) -> str:
        return f"{run.tasks.loss_units} per unit of the output"

    def _hook(self, calls: list[torch.Tensor]) -> Callable[..., Any]:
        return _tracker(calls)

    def _look(self, task: int, seen: Calls) -> None:
        """Put gradients in the places of the outputs."""
        with torch.enable_grad():
            loss = self._run.tasks.loss(self._run.model, task)
        outputs = [output for calls in seen.values() for output in calls]
        gradients = torch.autograd.grad(loss, outputs, allow_unused=True) if outputs else ()
        found = iter(zip(outputs, gradients, strict=True))
        for calls in seen.values():
            pairs = [next(found) for _ in calls]
            calls[:] = [torch.zeros_like(o) if gradient is None else gradient for o, gradient in pairs]


def _tracker(calls: list[torch.Tensor]) -> Callable[..., Any]:
    def track(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        if tensor is None:
            return None
        seen = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
        calls.append(seen)
        # what follows goes on from a copy: an in-place operation would change what the gradient is taken by
        passed = seen.clone()
        return (passed, *output[1:]) if isinstance(output, tuple) else _like(output, passed)

    return track


def _like(output: Any, passed: torch.Tensor) -> Any:
    return [passed, *output[1:]] if isinstance(output, list) else passed
