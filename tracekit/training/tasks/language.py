"""Losses of a causal language model on sequences of tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

TOKENS_AT_ONCE = 4096
"""Most tokens of one evaluated batch; bounds the memory of the logits."""


def losses_per_token(model: Any, tokens: Tensor, given: Tensor | None = None) -> Tensor:
    """Loss of the prediction of each token but the first, in nats, dims (sequence, token).

    `given` is what the model sees in place of the tokens, of the same dims.
    """
    logits = model(input_ids=tokens if given is None else given).logits[:, :-1]
    # half precision is too coarse for a sum over the vocabulary
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    return losses.view(len(tokens), -1)


def token_losses(model: Any, tokens: Tensor, given: Tensor | None = None) -> Tensor:
    r"""Mean loss of next-token prediction of each sequence, in nats per token.

    .. math:: \ell_s = -\frac{1}{n - 1} \sum_{k=2}^{n} \log p(t_k \mid t_1 \dots t_{k-1})

    Parameters
    ----------
    model
        A Hugging Face causal language model, or anything whose output has `logits` of dims (sequence, token,
        vocabulary).
    tokens : tensor of int, dims (sequence, token)
        Sequences of one length n, 2 or more.
    given : tensor of int, dims (sequence, token), optional
        What the model sees in their place.

    Returns
    -------
    tensor, dims (sequence,)
    """
    return losses_per_token(model, tokens, given).mean(dim=1)


def batches(sequences: Sequence[Tensor]) -> list[list[int]]:
    """Group the places of sequences of one length into batches of bounded size.

    Examples
    --------
    >>> batches([torch.zeros(3), torch.zeros(2), torch.zeros(3)])
    [[0, 2], [1]]
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, sequence in enumerate(sequences):
        by_length[len(sequence)].append(place)
    return [batch for length, places in by_length.items() for batch in _cut(places, length)]


def _cut(places: list[int], length: int) -> Iterator[list[int]]:
    size = max(1, TOKENS_AT_ONCE // length)
    return (places[start : start + size] for start in range(0, len(places), size))


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients, and every module of it back as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(model: torch.nn.Module) -> torch.device:
    """Give the device that a model's parameters live on."""
    return next(model.parameters()).device
