"""How much a run will write, known before it starts: recorders declare to a writer that only counts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracekit.errors import TraceWriteError
from tracekit.format.codecs import CHECKSUM_BYTES, CodecName
from tracekit.format.layout import METADATA, ArrayLayout, rows_layout, series_layout
from tracekit.format.schema import Field, Rows, SampleDim, Series
from tracekit.format.shards import INDEX_ENTRY_BYTES
from tracekit.protocols import Recorder, Run
from tracekit.schedule import Plan
from tracekit.writing.contents import declared_twice

FRAME_BYTES = 16  # header of a blosc frame; what does not compress is stored as it is
ARRAYS_BESIDE_VALUES = {"visit": 1, "update": 2}  # `visit`; `update` and `update_visit`


@dataclass(frozen=True)
class PlannedKind:
    """What one kind will take.

    Parameters
    ----------
    kind : str
        Name of the group.
    tensors, rows : int
        Tensors (or series) of the kind, and visits (or updates) at which they are recorded.
    row_bytes, total_bytes : int
        Bytes of one row, and of all of them, at most: compression leaves less.
    files : int
        Files in the end.
    dtype : str
        Types of the values.
    sample : str
        What there is a row for: `"visit"` or `"update"`.
    samples : sequence of int
        The visits (or updates) at which rows are recorded; empty for series, which have all of them.
    fields : sequence of Field
        The tensors of a row, or those that it is made of; empty for series.
    """

    kind: str
    tensors: int
    rows: int
    row_bytes: int
    total_bytes: int
    files: int
    dtype: str
    sample: SampleDim = "visit"
    samples: tuple[int, ...] = ()
    fields: tuple[Field, ...] = ()


class CountingWriter:
    """Takes declarations as `TraceWriter` does, and writes nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from tracekit import Field
    >>> writer = CountingWriter(Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1))
    >>> writer.declare_rows(Rows("weights", (Field("w", (1000, 1000)),), visits=(0, 1, 2)))
    >>> writer.kinds[0].rows, writer.kinds[0].total_bytes // 10**6, writer.kinds[0].files
    (3, 12, 7)
    """

    def __init__(self, plan: Plan, codec: CodecName = "lz4") -> None:
        self.plan = plan
        self.kinds: list[PlannedKind] = []
        self._codec = codec

    def declare_rows(self, rows: Rows) -> None:
        """Count what the rows of a kind will take."""
        self._refuse_twice(rows.group)
        layout = rows_layout(rows, self._codec)
        row_bytes = _row_bytes(layout)
        n_files = len(rows.visits) * math.prod(layout.objects[1:])
        self.kinds.append(
            PlannedKind(
                kind=rows.group,
                tensors=len(rows.fields),
                rows=len(rows.visits),
                row_bytes=row_bytes,
                total_bytes=len(rows.visits) * row_bytes,
                files=n_files + _metadata_files(1, {rows.sample}),
                dtype=rows.dtype,
                sample=rows.sample,
                samples=rows.samples,
                fields=rows.sources or rows.fields,
            )
        )

    def declare_series(
        self, series: Sequence[Series], *, labels: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Count what the series of a group will take."""
        self._refuse_twice(series[0].group)
        sizes = {dim: len(names) for dim, names in (labels or {}).items()}
        row_bytes = n_files = n_most = 0
        for item in series:
            n_samples = self.plan.n_visits + 1 if item.sample == "visit" else self.plan.n_updates
            layout = series_layout(item, n_samples, tuple(sizes[dim] for dim in item.dims))
            row_bytes += math.prod(layout.shape[1:]) * layout.dtype.itemsize * n_samples
            n_files += math.prod(layout.objects)
            n_most = max(n_most, n_samples)
        row_bytes = math.ceil(row_bytes / max(1, n_most))
        self.kinds.append(
            PlannedKind(
                kind=series[0].group,
                tensors=len(series),
                rows=n_most,
                row_bytes=row_bytes,
                total_bytes=n_most * row_bytes,
                files=n_files + _metadata_files(len(series), {item.sample for item in series}),
                dtype=", ".join(sorted({item.dtype for item in series})),
            )
        )

    def _refuse_twice(self, group: str) -> None:
        if any(kind.kind == group for kind in self.kinds):
            raise declared_twice(group)


def planned_kinds(run: Run, recorders: Iterable[Recorder]) -> list[PlannedKind]:
    """Ask recorders what they will write of a run. They are stopped again, and can be started anew."""
    writer = CountingWriter(run.plan)
    for recorder in recorders:
        try:
            recorder.start(run, writer)
        finally:
            recorder.stop()
    return writer.kinds


def free_bytes(path: str | Path) -> float:
    """Give the room for a trace at a path: what is free, and what a trace takes that is there already.

    Memory and object stores do not say how much room they have, which counts as no limit.
    """
    if "://" in str(path) and not str(path).startswith("file://"):
        return math.inf
    out = Path(str(path).removeprefix("file://"))
    folder = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    files = out.rglob("*") if (out / METADATA).is_file() else ()
    there = sum(file.stat().st_size for file in files if file.is_file())
    return shutil.disk_usage(folder).free + there


def require_space(kinds: Iterable[PlannedKind], out: str | Path) -> None:
    """Refuse a run that may not fit on the disk.

    Raises
    ------
    TraceWriteError
        If there is less room at `out` than the run may need.
    """
    needed, free = sum(kind.total_bytes for kind in kinds), free_bytes(out)
    if needed > free:
        raise TraceWriteError(
            f"{out}: the run writes up to {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free; record "
            "less (`every`, `select`), choose another disk, or say --ignore-space (`tracekit plan` shows "
            "what takes how much)"
        )


def _row_bytes(layout: ArrayLayout) -> int:
    """Give the most bytes that the objects of a row take, with filled-up chunks, checksums and indices."""
    chunk = math.prod(layout.chunk) * layout.dtype.itemsize + FRAME_BYTES + CHECKSUM_BYTES
    per_object = math.prod(layout.chunks_per_shard) * (chunk + INDEX_ENTRY_BYTES) + CHECKSUM_BYTES
    return per_object * math.prod(layout.objects[1:])


def _metadata_files(n_arrays: int, samples: Iterable[SampleDim]) -> int:
    """Count the files of a group that hold no values: metadata, and the coordinates with their own."""
    return 1 + n_arrays + 2 * sum(ARRAYS_BESIDE_VALUES[sample] for sample in samples)
