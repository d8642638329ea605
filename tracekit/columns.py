"""Series as they grow: the last chunk stays in memory and is written whole at each commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.errors import TraceWriteError
from tracekit.layout import ArrayLayout

Values = npt.NDArray[Any]


class Column:
    """One growing series.

    Parameters
    ----------
    layout : ArrayLayout
        How it lies on disk; never sharded, all of a sample in one chunk.
    """

    def __init__(self, layout: ArrayLayout) -> None:
        self.layout = layout
        self.n_samples = 0
        self._chunks: dict[int, Values] = {}

    def append(self, values: npt.ArrayLike) -> None:
        """Add samples, dims (sample, …).

        Raises
        ------
        TraceWriteError
            If they have another shape than was declared, or there is no room for them.
        """
        samples = np.asarray(values, self.layout.dtype)
        self._check(samples)
        for sample in samples:
            number, place = divmod(self.n_samples, self.layout.chunk[0])
            chunk = self._chunks.setdefault(
                number, np.full(self.layout.chunk, self.layout.fill, samples.dtype)
            )
            chunk[place] = sample
            self.n_samples += 1

    def changed(self) -> Iterator[tuple[str, bytes]]:
        """Give the chunks that hold new samples, encoded, and forget those that are full."""
        for number, chunk in self._chunks.items():
            yield (
                self.layout.object_key((number, *(0 for _ in chunk.shape[1:]))),
                self.layout.codec.encode(chunk),
            )
        growing = self.n_samples // self.layout.chunk[0]
        self._chunks = {number: chunk for number, chunk in self._chunks.items() if number == growing}

    def _check(self, samples: Values) -> None:
        if samples.shape[1:] != self.layout.shape[1:]:
            raise TraceWriteError(
                f"{self.layout.key}: a sample has shape {self.layout.shape[1:]}, found {samples.shape[1:]}"
            )
        if self.n_samples + len(samples) > self.layout.shape[0]:
            raise TraceWriteError(
                f"{self.layout.key}: {self.layout.shape[0]} samples were planned, all of them are written, "
                "and more came; plan a longer run"
            )
