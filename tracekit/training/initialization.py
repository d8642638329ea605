"""The initialisation of the paper's published code."""

from __future__ import annotations

import math
from typing import Any

import torch

from tracekit.errors import ConfigurationError

# what older releases of transformers call embed_out, newer ones call lm_head
INPUT_WEIGHTS = (("query_key_value",), ("dense_h_to_4h",), ("embed_in",), ("embed_out", "lm_head"))
OUTPUT_WEIGHTS = (("attention.dense",), ("dense_4h_to_h",))


def rescale_like_paper(model: Any) -> None:
    r"""Rescale freshly drawn GPT-NeoX weights as the paper's code does, in place.

    The model's own initialisation draws from :math:`N(0, s^2)`, with s its `initializer_range` (0.02). Then
    `query_key_value`, `dense_h_to_4h`, `embed_in` and `embed_out` are multiplied up to standard deviation
    :math:`\sqrt{2 / (5 d)}`, and `attention.dense` and `dense_4h_to_h` to :math:`2 / (L \sqrt{d})`, for
    width d and L layers. Biases and layer norms stay as they are.

    Source: Yang, Jones, Mozer and Ren 2024, arXiv:2403.09613.

    Raises
    ------
    ConfigurationError
        If the architecture lacks any of these weights.
    """
    found = [(names, _weights(model, names)) for names in (*INPUT_WEIGHTS, *OUTPUT_WEIGHTS)]
    missing = [names[0] for names, weights in found if not weights]
    if missing:
        raise ConfigurationError(
            "model.initialization: 'paper' is defined for GPT-NeoX, and "
            f"{type(model).__name__} has no weights called {', '.join(missing)}; expected 'model'"
        )
    with torch.no_grad():
        for names, weights in found:
            factor = target_deviation(names, model.config) / model.config.initializer_range
            for weight in weights:
                weight.mul_(factor)


def target_deviation(names: tuple[str, ...], config: Any) -> float:
    """Give the standard deviation that weights of any of these names are scaled to."""
    if names in INPUT_WEIGHTS:
        return math.sqrt(2 / (5 * config.hidden_size))
    return 2 / (int(config.num_hidden_layers) * math.sqrt(config.hidden_size))


def _weights(model: Any, names: tuple[str, ...]) -> list[torch.nn.Parameter]:
    endings = tuple(f"{name}.weight" for name in names)
    return [parameter for name, parameter in model.named_parameters() if name.endswith(endings)]
