"""Documents as tasks: each one sequence of tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tracekit.errors import ConfigurationError
from tracekit.protocols import Split
from tracekit.training.tasks.language import batches, device_of, evaluating, losses_per_token, token_losses
from tracekit.training.tasks.variation import Variation

NamedTokens = Mapping[str, Sequence[int]]


class DocumentTasks:
    """Sequences of tokens as the tasks of a causal language model.

    Parameters
    ----------
    train, test : mapping
        Tokens of each trained and held-out document, by its name, 2 or more each.
    vocabulary : int
        Number of tokens there are.
    variation : Variation, optional
        How trained documents differ from update to update. Only a model in training mode sees it, as with
        dropout; all else is of the middle of a document.

    Raises
    ------
    ConfigurationError
        If a document is shorter than two tokens, or a token lies outside the vocabulary.

    Examples
    --------
    >>> tasks = DocumentTasks({"a": [1, 2, 3], "b": [4, 5]}, vocabulary=6)
    >>> tasks.names, tasks.loss_units, tasks.longest
    (('a', 'b'), 'nats per token', 3)
    """

    loss_units = "nats per token"

    def __init__(
        self,
        train: NamedTokens,
        test: NamedTokens | None = None,
        *,
        vocabulary: int,
        variation: Variation | None = None,
    ) -> None:
        test = test or {}
        shift = variation.shift if variation else 0
        self._variation = variation
        self._trained = _sequences(train, vocabulary, shortest=2 + 2 * shift)
        self.vocabulary = vocabulary
        self.names = tuple(train)
        self.test_names = tuple(test)
        self._sequences: dict[Split, list[Tensor]] = {
            "train": [variation.evaluated(each) for each in self._trained] if variation else self._trained,
            "test": _sequences(test, vocabulary),
        }
        self._batches = {split: batches(sequences) for split, sequences in self._sequences.items()}

    @property
    def longest(self) -> int:
        """Length in tokens of the longest document, held-out ones included."""
        return max(len(sequence) for sequences in self._sequences.values() for sequence in sequences)

    @property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of the tokens (as little-endian int64) of each trained task, by name."""
        return {
            name: hashlib.sha256(sequence.numpy().astype("<i8").tobytes()).hexdigest()
            for name, sequence in zip(self.names, self._trained, strict=True)
        }

    def tokens(self, task: int, split: Split = "train") -> npt.NDArray[np.int64]:
        """Give a copy of the tokens of one task, dims (token,)."""
        return self._sequences[split][task].numpy().copy()

    def loss(self, model: Any, task: int, split: Split = "train") -> Tensor:
        """Mean loss of one task in nats per token: a differentiable scalar tensor."""
        device = device_of(model)
        if self._variation and split == "train" and model.training:
            given, tokens = (each.to(device)[None] for each in self._variation.drawn(self._trained[task]))
            return token_losses(model, tokens, given)[0]
        return token_losses(model, self._sequences[split][task].to(device)[None])[0]

    def token_losses(self, model: Any) -> Tensor:
        """Loss of each token but the first of every trained task, in nats, dims (task, token), NaN-padded."""
        sequences, device = self._sequences["train"], device_of(model)
        longest = max(len(sequence) for sequence in sequences)
        result = torch.full((len(sequences), longest - 1), torch.nan)
        with evaluating(model):
            for batch in self._batches["train"]:
                tokens = torch.stack([sequences[place] for place in batch]).to(device)
                result[batch, : tokens.shape[1] - 1] = losses_per_token(model, tokens).float().cpu()
        return result

    def logits(self, model: Any, task: int) -> Tensor:
        """Logits of one trained task, dims (token, vocabulary)."""
        tokens = self._sequences["train"][task].to(device_of(model))
        with evaluating(model):
            logits: Tensor = model(input_ids=tokens[None]).logits[0]
        return logits

    def losses(self, model: Any, split: Split = "train") -> npt.NDArray[np.float64]:
        """Mean loss of every task of a split in nats per token, in evaluation mode, dims (task,)."""
        sequences, device = self._sequences[split], device_of(model)
        result = np.empty(len(sequences))
        with evaluating(model):
            for batch in self._batches[split]:
                tokens = torch.stack([sequences[place] for place in batch]).to(device)
                result[batch] = token_losses(model, tokens).double().cpu().numpy()
        return result


def _sequences(named: NamedTokens, vocabulary: int, shortest: int = 2) -> list[Tensor]:
    return [_sequence(name, tokens, vocabulary, shortest) for name, tokens in named.items()]


def _sequence(name: str, tokens: Sequence[int], vocabulary: int, shortest: int) -> Tensor:
    sequence = np.asarray(tokens, dtype=np.int64)
    if len(sequence) < shortest:
        raise ConfigurationError(
            f"tasks: document {name!r}: expected {shortest} tokens or more, found {len(sequence)}; "
            "remove it from the source, or choose other documents"
        )
    if sequence.min() < 0 or sequence.max() >= vocabulary:
        raise ConfigurationError(
            f"tasks: document {name!r}: expected tokens from 0 to {vocabulary - 1}, "
            f"found {sequence.min()} to {sequence.max()}"
        )
    return torch.from_numpy(sequence)
