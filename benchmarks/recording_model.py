"""A GPT-NeoX, small or as large as Pythia 160M or 1B, that is trained step by step, for benchmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

TOKENS = 512
Tensors = dict[str, torch.Tensor]
SIZES: Mapping[str, tuple[int, ...]] = {
    "5m": (1024, 256, 6, 4),
    "160m": (50304, 768, 12, 12),
    "1b": (50304, 2048, 16, 8),
}
"""Words, width, layers and heads."""


class Training:
    """A model, its optimizer, and what one step of it has to show.

    Parameters
    ----------
    size : {"5m", "160m", "1b"}
        Number of parameters.
    device : str
        Where it is trained.
    """

    def __init__(self, size: str, device: str = "cpu") -> None:
        torch.manual_seed(0)
        vocabulary, width, layers, heads = SIZES[size]
        settings = GPTNeoXConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            max_position_embeddings=TOKENS,
            use_cache=False,
        )
        self.model = GPTNeoXForCausalLM(settings).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.tokens = torch.randint(0, vocabulary, (1, TOKENS)).to(device)

    def backward(self) -> None:
        """Compute loss and gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        output = self.model(self.tokens, labels=self.tokens, output_hidden_states=True)
        self.loss, self.hidden = output.loss.detach(), output.hidden_states[-1].detach()
        output.loss.backward()

    @property
    def queue_bytes(self) -> int:
        """Bytes that may be under way: three steps."""
        n_elements = sum(parameter.numel() for parameter in self.model.parameters())
        return 3 * 2 * 4 * n_elements

    def tensors(self) -> Tensors:
        """Give everything that is to be kept of a step."""
        named = dict(self.model.named_parameters())
        gradients = {f"gradient.{name}": p.grad for name, p in named.items() if p.grad is not None}
        weights = {name: p.detach() for name, p in named.items()}
        return {"loss": self.loss.reshape(1), "hidden": self.hidden, **weights, **gradients}

    def digest(self) -> str:
        """Give the checksum of all weights."""
        digest = hashlib.sha256()
        for parameter in self.model.parameters():
            digest.update(parameter.detach().cpu().numpy().tobytes())
        return digest.hexdigest()
