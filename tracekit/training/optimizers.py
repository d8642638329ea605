"""The optimizer of a run, made from the section `training.optimizer` of its configuration."""

from __future__ import annotations

import torch
from torch import nn

from tracekit.training.training_settings import SGD, Adam, AdamW


def build_optimizer(settings: SGD | Adam | AdamW, model: nn.Module) -> torch.optim.Optimizer:
    """Build an optimizer of the parameters that are trained."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if isinstance(settings, SGD):
        return torch.optim.SGD(
            parameters,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
    kind = torch.optim.Adam if isinstance(settings, Adam) else torch.optim.AdamW
    return kind(
        parameters,
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )
