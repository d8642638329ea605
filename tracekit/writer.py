"""Write a trace: declare what will come, put it, commit visit by visit."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from tracekit.checks import declaring
from tracekit.codecs import Codec, CodecName
from tracekit.columns import Column
from tracekit.errors import TraceExistsError, TraceWriteError
from tracekit.layout import (
    COMMIT_KEY,
    FORMAT,
    FORMAT_VERSION,
    METADATA,
    TIMELINE,
    ArrayLayout,
    group_metadata,
    rows_layout,
    series_layout,
)
from tracekit.schedule import Plan, Visit
from tracekit.schema import Rows, Series, field_records
from tracekit.shards import encode_row
from tracekit.software import software_versions
from tracekit.store import Durability, Store, open_store
from tracekit.validation import check_declared, check_facts

Status = Literal["running", "complete", "interrupted", "failed"]
WRITING_THREADS = 2

COMMIT_LAYOUT = ArrayLayout(
    COMMIT_KEY, (2,), np.dtype("<i8"), ("committed_generation",), (2,), None, Codec("none", 8)
)


@dataclass(frozen=True)
class _DeclaredRows:
    """A kind of tensors being written: where the row of each planned visit lies, and which were put."""

    rows: Rows
    layout: ArrayLayout
    row_of: dict[int, int]
    put: set[int] = field(default_factory=set)


class TraceWriter:
    """The one writer of a trace. Make it with `TraceWriter.create`.

    Everything put for a visit becomes visible at once, when `commit` has made it durable; until then, a
    reader sees the trace as of the last commit. Arrays that are put belong to the writer: do not change them.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from tracekit import Plan, Series, TraceWriter, open_trace
    >>> path = tempfile.mkdtemp() + "/run.zarr"
    >>> plan = Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1)
    >>> with TraceWriter.create(path, plan) as trace:
    ...     loss = Series("losses", "eval_loss", dims=("task",), units="nats")
    ...     trace.declare_series([loss], labels={"task": ["a", "b"]})
    ...     for number in range(3):
    ...         trace.put("losses", "eval_loss", [2.0, 3.0 - number])
    ...         trace.commit(plan.visit(number))
    >>> open_trace(path)["losses"].eval_loss.sel(task="b").values
    array([3., 2., 1.])
    """

    def __init__(self, store: Store, plan: Plan, attributes: dict[str, Any], codec: CodecName) -> None:
        self.plan = plan
        self.committed = 0
        self._store = store
        self._attributes = attributes
        self._codec = codec
        self._rows: dict[str, _DeclaredRows] = {}
        self._columns: dict[str, Column] = {}
        self._pool = ThreadPoolExecutor(WRITING_THREADS, thread_name_prefix="tracekit-writer")
        self._pending: list[Future[None]] = []
        self._started = time.monotonic()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        plan: Plan,
        *,
        attributes: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        codec: CodecName = "lz4",
        durability: Durability = "fsync",
    ) -> Self:
        """Start a new trace.

        Parameters
        ----------
        path : str or path
            Where it will lie.
        plan : Plan
            The schedule of the run; arrays are laid out for all of it.
        attributes : mapping, optional
            What the run is (configuration, order, …), plain values as JSON has them.
        overwrite : bool
            Delete what is there, if that is a trace.
        codec : {"lz4", "none"}
            Compression of tensors; `"none"` is faster to write and about an eighth larger.
        durability : {"fsync", "rename"}
            Whether a committed visit survives a power cut, or only a killed process.

        Raises
        ------
        TraceExistsError
            If there is something at the path already.
        """
        store = open_store(path, durability)
        facts = _facts(plan, attributes or {})
        with declaring(store.url):
            check_facts(facts)
        _clear(store, overwrite)
        writer = cls(store, plan, facts, codec)
        store.put(METADATA, group_metadata(writer._attributes))
        writer._declare_timeline()
        store.put(f"{COMMIT_KEY}/{METADATA}", COMMIT_LAYOUT.metadata({}))
        writer._mark()
        return writer

    @property
    def url(self) -> str:
        """Where the trace lies."""
        return self._store.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close("failed" if error is not None else "complete")

    def declare_rows(self, rows: Rows) -> None:
        """Announce a kind of tensors; one row will be put at each of its visits.

        Raises
        ------
        TraceWriteError
            If the group was declared before, or a name in it cannot be one.
        """
        self._refuse_twice(rows.group)
        attributes = {
            **rows.attributes,
            "phase": rows.phase,
            "labels": {rows.middle[0]: list(rows.middle[1])} if rows.middle else {},
            "fields": field_records(rows.fields),
        }
        with declaring(f"{self.url}/{rows.group}"):
            check_declared(rows.group, attributes)
        layout = rows_layout(rows, self._codec)
        self._store.put(f"{rows.group}/{METADATA}", group_metadata(attributes))
        self._store.put(f"{layout.key}/{METADATA}", layout.metadata({}))
        self._write_known(Series(rows.group, "visit", dtype="int64"), rows.visits)
        self._rows[rows.group] = _DeclaredRows(
            rows, layout, {visit: i for i, visit in enumerate(rows.visits)}
        )

    def declare_series(
        self, series: Sequence[Series], *, labels: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Announce the series of one group, and the labels of the dims that they have.

        Raises
        ------
        TraceWriteError
            If they name several groups, the group was declared before, or a name cannot be one.
        """
        group = series[0].group
        if any(item.group != group for item in series):
            raise TraceWriteError(f"series of one group at a time; found {sorted({s.group for s in series})}")
        self._refuse_twice(group)
        names = {dim: list(values) for dim, values in (labels or {}).items()}
        with declaring(f"{self.url}/{group}"):
            check_declared(group, {"labels": names}, [item.name for item in series])
        self._store.put(f"{group}/{METADATA}", group_metadata({"labels": names}))
        samples = {item.sample for item in series}
        if "visit" in samples:
            self._write_known(Series(group, "visit", dtype="int64"), range(self.plan.n_visits + 1))
        if "update" in samples:
            numbers = np.arange(self.plan.n_updates)
            self._write_known(Series(group, "update", "update", dtype="int64"), numbers)
            visits = numbers // self.plan.updates_per_visit + 1
            self._write_known(Series(group, "update_visit", "update", dtype="int64"), visits)
        for item in series:
            self._declare_column(item, tuple(len(names[dim]) for dim in item.dims))

    def put_row(self, group: str, visit: int, values: npt.NDArray[Any]) -> None:
        """Put the row of a kind at a visit, dims ([middle,] element); it is written in the background.

        Raises
        ------
        TraceWriteError
            If the kind, the visit or the shape is not what was declared.
        """
        declared = self._declared(group)
        if visit not in declared.row_of or visit in declared.put:
            reason = (
                "was put already" if visit in declared.put else "is not among the visits it was declared for"
            )
            raise TraceWriteError(f"{self.url}/{group}: visit {visit} {reason}")
        rows = declared.rows
        if values.shape != rows.row_shape:
            raise TraceWriteError(
                f"{self.url}/{group}, visit {visit}: expected shape {rows.row_shape} for dims "
                f"{rows.dims[1:]}, found {values.shape}"
            )
        declared.put.add(visit)
        self._submit(encode_row(declared.layout, declared.row_of[visit], values))

    def put(self, group: str, name: str, values: npt.ArrayLike) -> None:
        """Add one sample to a series.

        Raises
        ------
        TraceWriteError
            If the series was not declared, or the sample has another shape.
        """
        key = f"{group}/{name}"
        if key not in self._columns:
            raise TraceWriteError(
                f"{self.url}: no series {key!r} was declared; there are {sorted(self._columns)}"
            )
        self._columns[key].append(np.asarray(values)[None])

    def commit(self, visit: Visit) -> None:
        """Make everything put for a visit durable, then visible.

        Raises
        ------
        TraceWriteError
            If something declared for the visit was not put, visits come out of order, or the disk refuses.
        """
        self._check_complete(visit.number)
        self.put(TIMELINE, "wall_time_seconds", time.monotonic() - self._started)
        for column in self._columns.values():
            self._submit(column.changed())
        self._drain()
        self.committed = visit.number + 1
        self._mark()

    def close(self, status: Status = "complete") -> None:
        """End the trace, with a status. May be called twice."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()
        if self._attributes["status"] == "running":
            self._attributes["status"] = status
            self._store.put(METADATA, group_metadata(self._attributes))
            self._store.sync()

    def _declare_timeline(self) -> None:
        self._store.put(f"{TIMELINE}/{METADATA}", group_metadata({}))
        visits = [self.plan.visit(number) for number in range(self.plan.n_visits + 1)]
        columns = {
            "visit": [visit.number for visit in visits],
            "epoch": [visit.epoch for visit in visits],
            "position": [visit.position for visit in visits],
            "trained_task": [visit.task for visit in visits],
        }
        for name, values in columns.items():
            self._write_known(Series(TIMELINE, name, dtype="int64"), values)
        self._declare_column(Series(TIMELINE, "wall_time_seconds", units="s"), ())

    def _declare_column(self, series: Series, sizes: tuple[int, ...]) -> Column:
        n_samples = self.plan.n_visits + 1 if series.sample == "visit" else self.plan.n_updates
        column = self._create_column(series, n_samples, sizes)
        self._columns[column.layout.key] = column
        return column

    def _create_column(self, series: Series, n_samples: int, sizes: tuple[int, ...]) -> Column:
        layout = series_layout(series, n_samples, sizes)
        attributes = {"units": series.units, "long_name": series.long_name or series.name.replace("_", " ")}
        self._store.put(f"{layout.key}/{METADATA}", layout.metadata(attributes))
        return Column(layout)

    def _write_known(self, series: Series, values: npt.ArrayLike | Iterable[int]) -> None:
        """Write a coordinate that the plan fixes, all of it at once."""
        known = np.asarray(values, np.int64)
        column = self._create_column(series, len(known), ())
        column.append(known)
        for key, data in column.changed():
            self._store.put(key, data)

    def _declared(self, group: str) -> _DeclaredRows:
        if group not in self._rows:
            raise TraceWriteError(
                f"{self.url}: no rows {group!r} were declared; there are {sorted(self._rows)}"
            )
        return self._rows[group]

    def _refuse_twice(self, group: str) -> None:
        taken = {key.split("/")[0] for key in self._columns} | set(self._rows)
        if group in taken:
            raise TraceWriteError(f"{self.url}: {group!r} is declared already; record each kind once")

    def _submit(self, objects: Iterable[tuple[str, bytes]]) -> None:
        def write() -> None:
            for key, data in objects:
                self._store.put(key, data)

        self._pending.append(self._pool.submit(write))

    def _drain(self) -> None:
        """Wait until all that was put is on disk."""
        pending, self._pending = self._pending, []
        try:
            for future in pending:
                future.result()
            self._store.sync()
        except OSError as error:
            raise TraceWriteError(
                f"{self.url}: {error.strerror or error}; the trace is good up to visit {self.committed - 1} "
                f"({self.committed} of {self.plan.n_visits + 1} snapshots)"
            ) from error

    def _mark(self) -> None:
        marker = np.array([self.committed, 0], COMMIT_LAYOUT.dtype)
        self._store.put(COMMIT_LAYOUT.object_key((0,)), COMMIT_LAYOUT.codec.encode(marker))
        self._store.sync()

    def _check_complete(self, number: int) -> None:
        if number != self.committed:
            raise TraceWriteError(f"{self.url}: visit {self.committed} is the next to commit, found {number}")
        missing = [
            group for group, kind in self._rows.items() if number in kind.row_of and number not in kind.put
        ]
        expected = {"visit": number + 1, "update": number * self.plan.updates_per_visit}
        missing += [
            f"{key} ({column.n_samples} of {expected[column.layout.dims[0]]} samples)"
            for key, column in self._columns.items()
            if not key.startswith(f"{TIMELINE}/") and column.n_samples != expected[column.layout.dims[0]]
        ]
        if missing:
            raise TraceWriteError(
                f"{self.url}: visit {number} cannot be committed without {', '.join(missing)}"
            )


def _clear(store: Store, overwrite: bool) -> None:
    if not store.exists():
        return
    document = store.get(METADATA) or b""
    if overwrite and f'"format": "{FORMAT}"'.encode() in document:
        store.delete()
        return
    what = (
        "there is a trace here already" if FORMAT.encode() in document else "there is something here already"
    )
    raise TraceExistsError(
        f"{store.url}: {what}; choose another path, or delete it (overwrite deletes traces only)"
    )


def _facts(plan: Plan, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "run_id": uuid.uuid4().hex,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "status": "running",
        "n_tasks": plan.n_tasks,
        "n_epochs": int(plan.order.shape[0]),
        "updates_per_visit": plan.updates_per_visit,
        "snapshots_planned": plan.n_visits + 1,
        "software": software_versions(),
        **attributes,
    }
