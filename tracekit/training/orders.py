"""Orders in which tasks are visited: plain functions of the number of tasks, of epochs, and a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tracekit.errors import ConfigurationError

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


def partly_shuffled(
    n_tasks: int, epochs: int, rng: np.random.Generator, *, n_shuffled: int | None = None
) -> npt.NDArray[np.int64]:
    """Keep the first task in its place, and shuffle those after it anew in every epoch; the rest stay.

    `n_shuffled` says how many change places, half of all if None; 0 is `cyclic`.

    Raises
    ------
    ConfigurationError
        If there are not as many.

    Examples
    --------
    >>> partly_shuffled(6, 2, np.random.default_rng(0), n_shuffled=3)
    array([[0, 3, 1, 2, 4, 5],
           [0, 3, 2, 1, 4, 5]])
    """
    n_shuffled = n_tasks // 2 if n_shuffled is None else n_shuffled
    if n_shuffled >= n_tasks > 1:
        raise ConfigurationError(
            f"training.n_shuffled: expected at most {n_tasks - 1}, all of {n_tasks} tasks but the first, "
            f"found {n_shuffled}"
        )
    order = cyclic(n_tasks, epochs, rng)
    for epoch in order:
        rng.shuffle(epoch[1 : 1 + n_shuffled])
    return order


ORDERS: dict[str, Order] = {"cyclic": cyclic, "shuffled": shuffled, "partly-shuffled": partly_shuffled}
"""Every order by the name that `training.order` gives it; add your own here."""
