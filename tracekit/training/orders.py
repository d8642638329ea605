"""Orders in which tasks are visited: plain functions of the number of tasks, of epochs, and a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Order = Callable[[int, int, np.random.Generator], npt.NDArray[np.int64]]
"""`order(n_tasks, epochs, rng)` gives the task at each place, dims (epoch, position)."""


def cyclic(n_tasks: int, epochs: int, _rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Visit the tasks in the same order in every epoch.

    Examples
    --------
    >>> cyclic(3, 2, np.random.default_rng(0))
    array([[0, 1, 2],
           [0, 1, 2]])
    """
    return np.tile(np.arange(n_tasks, dtype=np.int64), (epochs, 1))


def shuffled(n_tasks: int, epochs: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Visit the tasks in a new random order in every epoch.

    Examples
    --------
    >>> order = shuffled(3, 2, np.random.default_rng(0))
    >>> np.sort(order, axis=1)
    array([[0, 1, 2],
           [0, 1, 2]])
    """
    return np.stack([rng.permutation(n_tasks) for _ in range(epochs)]).astype(np.int64)


ORDERS: dict[str, Order] = {"cyclic": cyclic, "shuffled": shuffled}
"""Every order by the name that `training.order` gives it; add your own here."""
