"""A small GPT-NeoX that is trained step by step, for `recording.py`."""

from __future__ import annotations

import hashlib

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

TOKENS = 512
Tensors = dict[str, torch.Tensor]


class Training:
    """A model, its optimizer, and what one step of it has to show."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        settings = GPTNeoXConfig(
            vocab_size=1024,
            hidden_size=256,
            num_hidden_layers=6,
            num_attention_heads=4,
            intermediate_size=1024,
            max_position_embeddings=TOKENS,
            use_cache=False,
        )
        self.model = GPTNeoXForCausalLM(settings)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.tokens = torch.randint(0, 1024, (1, TOKENS))

    def backward(self) -> None:
        """Compute loss and gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        output = self.model(self.tokens, labels=self.tokens, output_hidden_states=True)
        self.loss, self.hidden = output.loss.detach(), output.hidden_states[-1].detach()
        output.loss.backward()

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
            digest.update(parameter.detach().numpy().tobytes())
        return digest.hexdigest()
