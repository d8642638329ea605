"""Parameters that are not trained."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tracekit.errors import ConfigurationError
from tracekit.patterns import choose


def freeze(model: nn.Module, patterns: str | Sequence[str]) -> None:
    """Exclude parameters from training, by patterns of their names.

    Raises
    ------
    ConfigurationError
        If a pattern means nothing, or nothing would be left to train.

    Examples
    --------
    >>> model = nn.Linear(2, 3)
    >>> freeze(model, "bias")
    >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    ['weight']
    """
    parameters = dict(model.named_parameters())
    chosen = choose(tuple(parameters), patterns, what="parameter", error=ConfigurationError)
    if len(chosen) == len(parameters):
        raise ConfigurationError("training.frozen: all parameters would be frozen; leave some to train")
    for name in chosen:
        parameters[name].requires_grad_(False)
