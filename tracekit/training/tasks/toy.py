"""The toy model: the smallest system that recovers in anticipation."""

from __future__ import annotations

import hashlib
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tracekit.protocols import Split
from tracekit.training.tasks.language import device_of, evaluating

FloatArray = npt.NDArray[np.float32]


class ToyModel(nn.Module):
    """A matrix P (m × n), first the identity, and a vector w (m), first zero; both are trained."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.P = nn.Parameter(torch.eye(outputs, inputs))
        self.w = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Give P x + w, which is to equal y, for each row of `x`: dims (task, output)."""
        prediction: Tensor = x @ self.P.T + self.w
        return prediction


class ToyTasks:
    r"""Fixed pairs of vectors, each to be mapped onto the other by one shared linear map.

    .. math:: \ell_i(P, w) = \tfrac{1}{2} \lVert P x_i - (y_i - w) \rVert^2

    Source: Yang, Jones, Mozer and Ren 2024, arXiv:2403.09613, section 4.4.

    Parameters
    ----------
    x : array, dims (task, input)
    y : array, dims (task, output)

    Examples
    --------
    >>> tasks = ToyTasks(np.zeros((1, 2)), np.ones((1, 3)))
    >>> tasks.losses(ToyModel(2, 3))
    array([1.5])
    """

    loss_units = "half squared distance"
    test_names: tuple[str, ...] = ()

    def __init__(self, x: npt.ArrayLike, y: npt.ArrayLike) -> None:
        self._x = torch.tensor(np.asarray(x), dtype=torch.float32)
        self._y = torch.tensor(np.asarray(y), dtype=torch.float32)
        self.names = tuple(f"task-{index}" for index in range(len(self._x)))

    @classmethod
    def draw(cls, n_tasks: int, inputs: int, outputs: int, rng: np.random.Generator) -> Self:
        """Draw x from N(0, 1/inputs) and y from N(0, 1)."""
        x = rng.normal(scale=inputs**-0.5, size=(n_tasks, inputs))
        return cls(x, rng.normal(size=(n_tasks, outputs)))

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of x and of y."""
        return self._x.shape[1], self._y.shape[1]

    @property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of x and y (as float32) of each task, by name."""
        rows = torch.cat([self._x, self._y], dim=1).numpy().astype("<f4")
        return {
            name: hashlib.sha256(row.tobytes()).hexdigest()
            for name, row in zip(self.names, rows, strict=True)
        }

    def loss(self, model: Any, task: int, split: Split = "train") -> Tensor:
        """Loss of one task: a differentiable scalar tensor."""
        return self._losses(model, slice(task, task + 1) if split == "train" else slice(0))[0]

    def losses(self, model: Any, split: Split = "train") -> npt.NDArray[np.float64]:
        """Loss of every task, without gradients, dims (task,); none for the split `test`."""
        with evaluating(model):
            losses = self._losses(model, slice(None) if split == "train" else slice(0))
        return losses.double().cpu().numpy()

    def _losses(self, model: Any, tasks: slice) -> Tensor:
        device = device_of(model)
        residual: Tensor = model(self._x[tasks].to(device)) - self._y[tasks].to(device)
        return residual.square().sum(dim=1) / 2
