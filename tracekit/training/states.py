"""The state of a model and of an optimizer as named tensors and plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

MODEL = "model"
OPTIMIZER = "optimizer"
Tensors = dict[str, torch.Tensor]


def signature(model: torch.nn.Module) -> dict[str, str]:
    """Give type and shape of every parameter and buffer, by name; tied ones once.

    Examples
    --------
    >>> signature(torch.nn.Linear(2, 3, bias=False))
    {'weight': 'float32[3, 2]'}
    """
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
        for name, tensor in _named(model).items()
    }


def model_tensors(model: torch.nn.Module) -> Tensors:
    """Give all parameters and buffers of a model."""
    return {f"{MODEL}.{name}": tensor for name, tensor in _named(model).items()}


def restore_model(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy parameters and buffers into a model."""
    with torch.no_grad():
        for name, tensor in _named(model).items():
            tensor.copy_(tensors[f"{MODEL}.{name}"])


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], Tensors]:
    """Give the state of an optimizer: plain values, ready for JSON, and tensors."""
    tensors: Tensors = {}
    values: dict[str, Any] = {}
    devices: dict[str, str] = {}
    for place, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            key = f"{OPTIMIZER}.{place}.{name}"
            if isinstance(value, torch.Tensor):
                tensors[key], devices[key] = value, value.device.type
            else:
                values[key] = value
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    kind = type(optimizer).__name__
    return {"kind": kind, "groups": groups, "values": values, "devices": devices}, tensors


def restore_optimizer(
    optimizer: torch.optim.Optimizer, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Give an optimizer the state that another one of its kind had.

    Not by its own `load_state_dict`, which casts moments to the type of the parameter.
    """
    for group, recorded in zip(optimizer.param_groups, settings["groups"], strict=True):
        group.update({name: _as(group.get(name), value) for name, value in recorded.items()})
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    for key, kind in settings["devices"].items():
        parameter = parameters[int(key.split(".")[1])]
        device = torch.device("cpu") if kind == "cpu" else parameter.device
        optimizer.state[parameter][_name(key)] = tensors[key].to(device)
    for key, value in settings["values"].items():
        optimizer.state[parameters[int(key.split(".")[1])]][_name(key)] = value


def _named(model: torch.nn.Module) -> Tensors:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _name(key: str) -> str:
    return key.split(".", 2)[2]


def _as(current: Any, value: Any) -> Any:
    """Give a list as the tuple that it was before it went through JSON."""
    return tuple(value) if isinstance(current, tuple) else value
