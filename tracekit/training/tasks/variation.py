"""Documents that are not quite the same in every update."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Variation:
    """How what is trained of a document differs from update to update.

    Source: the experiments on the randomness of data of Yang, Jones, Mozer and Ren 2024, arXiv:2403.09613.

    Parameters
    ----------
    masked : float
        Probability that the model is given token 0 in place of a token; what it is to predict stays.
    shift : int
        Most tokens by which the window that is trained lies before or after the one that is evaluated.

    Examples
    --------
    >>> Variation(shift=2).evaluated(torch.arange(7)).tolist()
    [2, 3, 4]
    """

    masked: float = 0.0
    shift: int = 0

    def evaluated(self, tokens: Tensor) -> Tensor:
        """Give the middle of a document, dims (token,): always the same."""
        return tokens[self.shift : len(tokens) - self.shift]

    def drawn(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Draw what the model is given and what it is to predict, as long as what is evaluated."""
        start = int(torch.randint(2 * self.shift + 1, ()))
        window = tokens[start : start + len(tokens) - 2 * self.shift]
        return window * (torch.rand(len(window)) >= self.masked), window
