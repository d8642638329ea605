"""What is being written: the kinds of rows, and all that one commit makes visible."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tracekit.format.layout import GAPS, ArrayLayout
from tracekit.format.schema import Rows
from tracekit.writing.background import Job, Objects
from tracekit.writing.columns import Column


@dataclass
class DeclaredRows:
    """A kind of tensors being written.

    Parameters
    ----------
    rows, layout
        What they are, and how they lie.
    attributes : dict
        Those of the group, as they are in the store.
    row_of, visit_of : dict
        Where the row of each sample lies, and the visit it belongs to. A sample is a visit or an update.
    gaps, put : set of int
        Samples whose rows were lost, and samples whose rows were handed over.
    """

    rows: Rows
    layout: ArrayLayout
    attributes: dict[str, Any]
    row_of: dict[int, int] = field(init=False)
    visit_of: dict[int, int] = field(init=False)
    gaps: set[int] = field(init=False)
    put: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        samples = self.rows.samples
        self.row_of = {sample: row for row, sample in enumerate(samples)}
        self.visit_of = dict(zip(samples, self.rows.visits, strict=True))
        self.gaps = set(self.attributes.get(GAPS, []))

    def missing(self, visit: int) -> list[int]:
        """Give the samples of a visit that were to be put, and were not."""
        first, last = (find(self.rows.visits, visit) for find in (bisect_left, bisect_right))
        return [sample for sample in self.rows.samples[first:last] if sample not in self.put]


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from after a visit: objects by name."""

    visit: int
    objects: Objects


@dataclass(frozen=True)
class EncodedSeries:
    """The chunks of a series that are not known to be written, and how many samples it has with them."""

    column: Column
    objects: Objects
    n_samples: int


@dataclass(frozen=True)
class Batch:
    """All that one commit makes visible: so many snapshots, and what belongs to them."""

    snapshots: int
    rows: Sequence[Job]
    series: Sequence[EncodedSeries]
    checkpoints: Sequence[Checkpoint]

    @property
    def n_bytes(self) -> int:
        """Bytes of all but the rows."""
        objects = [part.objects for part in self.series] + [part.objects for part in self.checkpoints]
        return sum(len(data) for each in objects for _, data in each)
