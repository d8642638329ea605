"""Series as they grow: a chunk is written whole at each commit, and kept until it is full and written."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.errors import TraceWriteError
from tracekit.format.layout import ArrayLayout
from tracekit.reading.stored import StoredSeries
from tracekit.writing.background import Objects

Values = npt.NDArray[Any]


class Column:
    """One growing series.

    Parameters
    ----------
    layout : ArrayLayout
        How it lies on disk; never sharded, all of a sample in one chunk.
    n_samples : int
        Samples that lie behind: the next one to come has this number.
    kept : StoredSeries, optional
        What is committed already. Samples that come once more must be the same to the last bit.
    compared : bool
        Whether they must; if not, the committed ones stay.
    """

    def __init__(
        self,
        layout: ArrayLayout,
        *,
        n_samples: int = 0,
        kept: StoredSeries | None = None,
        compared: bool = True,
    ) -> None:
        self.layout = layout
        self.n_samples = n_samples
        self._kept = kept
        self._compared = compared
        self._n_kept = kept.n_rows if kept else 0
        self._chunks: dict[int, Values] = {}
        number, partial = divmod(self._n_kept, layout.chunk[0])
        if kept and partial:
            self._chunks[number] = kept.chunk(number)

    def append(self, values: npt.ArrayLike) -> None:
        """Add samples, dims (sample, …).

        Raises
        ------
        TraceWriteError
            If they have another shape than was declared, there is no room for them, or they are not what was
            committed before.
        """
        samples = np.asarray(values, self.layout.dtype)
        self._check(samples)
        for sample in samples:
            if self.n_samples < self._n_kept:
                self._compare(sample)
                self.n_samples += 1
                continue
            number, place = divmod(self.n_samples, self.layout.chunk[0])
            chunk = self._chunks.setdefault(
                number, np.full(self.layout.chunk, self.layout.fill, samples.dtype)
            )
            chunk[place] = sample
            self.n_samples += 1

    def last(self, default: int) -> int:
        """Give the last of the samples that lie behind, where these are kept."""
        if self._kept is None or not self.n_samples:
            return default
        return int(self._kept[self.n_samples - 1])

    def changed(self) -> Objects:
        """Give the chunks that hold samples not known to be written, encoded."""
        rest = (0,) * (len(self.layout.shape) - 1)
        return [
            (self.layout.object_key((number, *rest)), self.layout.codec.encode(chunk))
            for number, chunk in self._chunks.items()
        ]

    def written(self, n_samples: int) -> None:
        """Take note that so many samples are in the store, and forget the chunks that are full of them."""
        growing = n_samples // self.layout.chunk[0]
        self._chunks = {number: chunk for number, chunk in self._chunks.items() if number >= growing}

    def _compare(self, sample: Values) -> None:
        if not self._compared or self._kept is None:
            return
        if self._kept[self.n_samples].tobytes() != sample.tobytes():
            raise not_repeated(f"{self.layout.key}, sample {self.n_samples}")

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


def not_repeated(place: str) -> TraceWriteError:
    """Give the error for a resumed run that does not go the way that it went before."""
    return TraceWriteError(
        f"{place}: this run gives other values than those committed before it was cut off, so it does not "
        "repeat itself bit by bit (another machine, other versions, or training.deterministic is off). Go "
        "back to its last checkpoint with `tracekit rollback RUN`, then resume"
    )
