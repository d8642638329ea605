"""Tensors of an earlier visit that later ones are held against; checkpoints keep them."""

from __future__ import annotations

import numpy as np
import torch

from recorders import statistics
from recorders.statistics import Floats, Many
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Rows
from tracekit.protocols import Run


class References:
    """Copies of tensors, for each place of the middle dim of their rows.

    Parameters
    ----------
    run : Run
        The copies are in its `carried`.
    rows : Rows
        The rows that hold the tensors in full.
    name : str
        What the copies are for.

    Raises
    ------
    ConfigurationError
        If the run goes on after visits that were recorded, and does not carry the copies.
    """

    def __init__(self, run: Run, rows: Rows, name: str) -> None:
        self._carried = run.carried
        self._prefix = f"{rows.group}/{name}"
        if run.snapshots == 0:
            for key in [key for key in run.carried if key.startswith(f"{self._prefix}/")]:
                del run.carried[key]  # of a recording before this one
        begun = run.snapshots > 0 and (not rows.visits or rows.visits[0] < run.snapshots)
        if begun and not any(key.startswith(f"{self._prefix}/") for key in run.carried):
            raise ConfigurationError(
                f"{rows.group}: {name} cannot go on after visit {run.snapshots - 1}: its checkpoint does not "
                "hold the tensors of the visits before; leave it out, or begin a new trace"
            )

    def distances(self, tensors: Many, place: int, *, follow: bool) -> Floats:
        """Give the distance of each tensor to its copy, and make the copy anew if it is to follow.

        Where there is no copy yet one is made, and the distance is 0, or NaN for one that follows.
        """
        keys = [f"{self._prefix}/{place}/{number}" for number in range(len(tensors))]
        if keys[0] not in self._carried:
            self._carried.update(zip(keys, (tensor.clone() for tensor in tensors), strict=True))
            return np.full(len(tensors), np.nan if follow else 0.0)
        copies = [self._carried[key].to(tensor.device) for key, tensor in zip(keys, tensors, strict=True)]
        found = statistics.distances(tensors, copies)
        if follow:
            torch._foreach_copy_(copies, list(tensors))
        self._carried.update(zip(keys, copies, strict=True))  # where a checkpoint had them in main memory
        return found
