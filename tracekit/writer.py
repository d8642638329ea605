"""Write a trace: declare what will come, put it, commit visit by visit."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from tracekit.background import Background, Cargo, Failure
from tracekit.checkpoints import put_in_turn
from tracekit.claims import Claim, take_claim
from tracekit.codecs import CodecName
from tracekit.columns import Column, not_repeated
from tracekit.declaring import Declaring, NewDeclaring, ResumedDeclaring
from tracekit.errors import TraceExistsError, TraceNotFoundError, TraceWarning, TraceWriteError
from tracekit.extent import read_known
from tracekit.facts import new_facts, recorded_facts
from tracekit.layout import (
    COMMIT_KEY,
    FORMAT,
    GAPS,
    METADATA,
    TIMELINE,
    ArrayLayout,
    group_metadata,
    rows_layout,
    series_layout,
)
from tracekit.marker import MARKER_LAYOUT, Marker, read_marker, write_marker
from tracekit.schedule import Plan, Visit
from tracekit.schema import Rows, Series, field_records
from tracekit.shards import encode_row
from tracekit.store import Durability, Store, open_store
from tracekit.stored import StoredRows
from tracekit.truncation import go_back

Status = Literal["running", "complete", "interrupted", "failed"]
OnError = Literal["stop", "warn"]
CLOCK = "wall_time_seconds"


@dataclass(frozen=True)
class _DeclaredRows:
    """A kind of tensors being written: where the row of each planned visit lies, and which were put or lost."""

    rows: Rows
    layout: ArrayLayout
    row_of: dict[int, int]
    attributes: dict[str, Any]
    gaps: set[int]
    put: set[int] = field(default_factory=set)


class TraceWriter:
    """The one writer of a trace. Make it with `TraceWriter.create` or `TraceWriter.resume`.

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

    def __init__(
        self,
        store: Store,
        plan: Plan,
        attributes: dict[str, Any],
        *,
        claim: Claim,
        declaring: Declaring,
        marker: Marker,
        codec: CodecName = "lz4",
        on_error: OnError = "stop",
    ) -> None:
        self.plan = plan
        self.committed = marker.committed
        self._next = marker.committed
        self._generation = marker.generation
        self._store = store
        self._attributes = attributes
        self._claim = claim
        self._declaring = declaring
        self._codec = codec
        self._on_error = on_error
        self._rows: dict[str, _DeclaredRows] = {}
        self._columns: dict[str, Column] = {}
        self._background = Background(store)
        self._started = time.monotonic()
        self._closed = False

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
        on_error: OnError = "stop",
        force_claim: bool = False,
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
        on_error : {"stop", "warn"}
            What happens when the store refuses a write. `"stop"` raises at the commit; `"warn"` says so in a
            `TraceWarning` and goes on: the rows that were lost are marked as gaps, and read as missing. Series
            are kept in memory until they can be written, so they have no gaps.
        force_claim : bool
            Take the place over from a writer that may still live.

        Raises
        ------
        TraceExistsError
            If there is something at the path already.
        TraceInUseError
            If another process writes it.
        """
        store = open_store(path, durability)
        generation = _clear(store, overwrite, force_claim)
        claim = take_claim(store, force=force_claim)
        with _released_on_error(claim):
            if store.get(METADATA) is not None:
                raise TraceExistsError(f"{store.url}: another writer has just made a trace here")
            return cls._make(store, plan, attributes or {}, generation, claim=claim, codec=codec, on_error=on_error)

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        plan: Plan,
        *,
        snapshots: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        codec: CodecName = "lz4",
        durability: Durability = "fsync",
        on_error: OnError = "stop",
        force_claim: bool = False,
    ) -> Self:
        """Go on writing a trace whose run was cut off. Everything must be declared once more, as before.

        What was committed stays; what was written after it is deleted. A run that goes on from fewer snapshots
        than were committed repeats the others: what it puts for them is compared, bit by bit, and not written.
        Where nothing was committed yet, the trace is made again from the start.

        Parameters
        ----------
        path : str or path
            The trace.
        plan, attributes
            As they were given to `create`; they must be the same.
        snapshots : int, optional
            Snapshots that the run has behind it; as many as were committed if None.
        codec, durability, on_error, force_claim
            As for `create`; arrays that are there keep their codec.

        Raises
        ------
        TraceNotFoundError
            If there is nothing at the path.
        TraceWriteError
            If the trace is complete, is not one of this run (every difference is named), or another process
            writes it (`TraceInUseError`).
        """
        store = open_store(path, durability)
        if not store.exists():
            raise TraceNotFoundError(f"{store.url}: there is nothing here to resume; check the path")
        claim = take_claim(store, force=force_claim)
        with _released_on_error(claim):
            settings: dict[str, Any] = {"claim": claim, "codec": codec, "on_error": on_error}
            marker = read_marker(store)
            if marker is None or marker.committed == 0:
                return cls._make_again(store, plan, attributes or {}, marker, **settings)
            facts = recorded_facts(store, plan, attributes or {})
            marker = go_back(store, marker.committed)
            behind = marker.committed if snapshots is None else min(snapshots, marker.committed)
            declaring = ResumedDeclaring(store, committed=marker.committed, snapshots=behind)
            facts["status"] = "running"
            store.put(METADATA, group_metadata(facts))
            writer = cls(store, plan, facts, declaring=declaring, marker=marker, **settings)
            writer._next = behind
            writer._declare_timeline()
            writer._started -= float(read_known(store, f"{TIMELINE}/{CLOCK}", marker.committed)[-1])
            return writer

    @classmethod
    def _make(
        cls, store: Store, plan: Plan, attributes: Mapping[str, Any], generation: int, **settings: Any
    ) -> Self:
        facts = new_facts(plan, attributes)
        writer = cls(
            store, plan, facts, declaring=NewDeclaring(store), marker=Marker(0, generation), **settings
        )
        store.put(METADATA, group_metadata(facts))
        writer._declare_timeline()
        store.put(f"{COMMIT_KEY}/{METADATA}", MARKER_LAYOUT.metadata({}))
        write_marker(store, Marker(0, generation))
        return writer

    @classmethod
    def _make_again(
        cls, store: Store, plan: Plan, attributes: Mapping[str, Any], marker: Marker | None, **settings: Any
    ) -> Self:
        """Make a trace anew in which nothing was committed, under the claim that is held on it."""
        generation = marker.generation + 1 if marker else 0
        if marker:
            write_marker(store, Marker(0, generation))
        for name in list(store.children()):
            if name != COMMIT_KEY:
                store.remove(name)
        store.sweep()
        return cls._make(store, plan, attributes, generation, **settings)

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
            If the group was declared before.
        """
        self._refuse_twice(rows.group)
        attributes = {
            **rows.attributes,
            "phase": rows.phase,
            "labels": {rows.middle[0]: list(rows.middle[1])} if rows.middle else {},
            "fields": field_records(rows.fields),
        }
        found = self._declaring.group(rows.group, attributes)
        layout = self._declaring.array(rows_layout(rows, self._codec), {})
        self._declare_known(Series(rows.group, "visit", dtype="int64"), rows.visits)
        self._declaring.check()
        row_of = {visit: row for row, visit in enumerate(rows.visits)}
        self._rows[rows.group] = _DeclaredRows(rows, layout, row_of, found, set(found.get(GAPS, [])))

    def declare_series(
        self, series: Sequence[Series], *, labels: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Announce the series of one group, and the labels of the dims that they have.

        Raises
        ------
        TraceWriteError
            If they name several groups, or the group was declared before.
        """
        group = series[0].group
        if any(item.group != group for item in series):
            raise TraceWriteError(f"series of one group at a time; found {sorted({s.group for s in series})}")
        self._refuse_twice(group)
        names = {dim: list(values) for dim, values in (labels or {}).items()}
        self._declaring.group(group, {"labels": names})
        samples = {item.sample for item in series}
        if "visit" in samples:
            self._declare_known(Series(group, "visit", dtype="int64"), range(self.plan.n_visits + 1))
        if "update" in samples:
            numbers = np.arange(self.plan.n_updates)
            self._declare_known(Series(group, "update", "update", dtype="int64"), numbers)
            visits = numbers // self.plan.updates_per_visit + 1
            self._declare_known(Series(group, "update_visit", "update", dtype="int64"), visits)
        for item in series:
            self._declare_column(item, tuple(len(names[dim]) for dim in item.dims))
        self._declaring.check()

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
        cargo = Cargo(f"{group}, visit {visit}", (group, visit))
        if visit >= self.committed:
            self._background.put(cargo, encode_row(declared.layout, declared.row_of[visit], values))
        elif visit not in declared.gaps:
            self._background.do(cargo, partial(self._compare_row, declared, visit, values))

    def put_checkpoint(self, number: int, objects: Iterable[tuple[str, bytes]]) -> None:
        """Put what a run needs to go on after a visit; it is durable before the visit is committed.

        Of those before it, the last one is kept: see `tracekit.checkpoints`.
        """
        cargo = Cargo(f"checkpoint of visit {number}", needed=False)
        self._background.put(cargo, put_in_turn(self._store, number, objects))

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
            If something declared for the visit was not put, visits come out of order, another writer has taken
            over (`TraceInUseError`), or the store refuses; what is said then is how far the trace is good.
        """
        self._check_complete(visit.number)
        self._claim.check()
        if visit.number < self.committed:
            self._background.wait()
            self._next += 1
            return
        self.put(TIMELINE, CLOCK, time.monotonic() - self._started)
        self._next += 1
        try:
            self._flush()
        except OSError as error:
            self._refused(error)

    def close(self, status: Status = "complete") -> None:
        """End the trace, with a status, and let others write it. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._on_error == "warn" and self.committed < self._next:
                self._flush()
            self._background.close()
            self._set_status(status)
        except OSError as error:
            self._refused(error, stop=status == "complete" and self._on_error == "stop")
        finally:
            self._background.close()
            with contextlib.suppress(OSError):
                self._claim.release()

    def _flush(self) -> None:
        """Write all that has come since the last commit, and commit it."""
        for key, column in self._columns.items():
            self._background.put(Cargo(key), column.changed())
        failures = self._background.wait()
        fatal = [failure for failure in failures if self._on_error == "stop" or self._cannot_go_without(failure)]
        for failure in failures:
            if failure not in fatal:
                self._warn(f"{failure.cargo.name}: {_words(failure.error)}; it is not recorded")
        if fatal:
            raise fatal[0].error
        self._mark_gaps()
        write_marker(self._store, Marker(self._next, self._generation))
        self.committed = self._next

    def _cannot_go_without(self, failure: Failure) -> bool:
        """Note the gap that a lost row leaves; anything else but a checkpoint is needed, and is tried again."""
        if failure.cargo.row is None:
            return failure.cargo.needed
        group, visit = failure.cargo.row
        self._rows[group].gaps.add(visit)
        return False

    def _mark_gaps(self) -> None:
        """Write which rows are missing, before the marker makes their visits visible."""
        for group, kind in self._rows.items():
            gaps = sorted(kind.gaps)
            if gaps != kind.attributes.get(GAPS, []):
                attributes = {**kind.attributes, GAPS: gaps}
                self._store.put(f"{group}/{METADATA}", group_metadata(attributes))
                kind.attributes.update(attributes)

    def _refused(self, error: OSError, *, stop: bool | None = None) -> None:
        """Say that the store refuses to be written, and how far the trace is good."""
        message = (
            f"{self.url}: {_words(error)}; the trace is good up to visit {self.committed - 1} "
            f"({self.committed} of {self.plan.n_visits + 1} snapshots)"
        )
        if self._on_error == "stop" if stop is None else stop:
            raise TraceWriteError(message) from error
        self._warn(f"{message}; what comes after is tried again")

    def _warn(self, message: str) -> None:
        warnings.warn(message, TraceWarning, stacklevel=4)

    def _set_status(self, status: Status) -> None:
        if self._attributes["status"] == "running" and self._store.get(self._claim.key) is not None:
            self._attributes["status"] = status
            self._store.put(METADATA, group_metadata(self._attributes))
            self._store.sync()

    def _compare_row(self, declared: _DeclaredRows, visit: int, values: npt.NDArray[Any]) -> None:
        """Hold a row that a resumed run gives once more against the one that was committed."""
        stored = StoredRows(self._store, declared.layout, len(declared.row_of), 0, values.shape[-1:])
        found = stored[declared.row_of[visit]]
        if found.tobytes() != np.ascontiguousarray(values, found.dtype).tobytes():
            raise not_repeated(f"{self.url}/{declared.rows.group}, visit {visit}")

    def _declare_timeline(self) -> None:
        self._declaring.group(TIMELINE, {})
        visits = [self.plan.visit(number) for number in range(self.plan.n_visits + 1)]
        columns = {
            "visit": [visit.number for visit in visits],
            "epoch": [visit.epoch for visit in visits],
            "position": [visit.position for visit in visits],
            "trained_task": [visit.task for visit in visits],
        }
        for name, values in columns.items():
            self._declare_known(Series(TIMELINE, name, dtype="int64"), values)
        self._declaring.check()
        self._declare_column(Series(TIMELINE, CLOCK, units="s"), ())

    def _declare_column(self, series: Series, sizes: tuple[int, ...]) -> None:
        n_samples = self.plan.n_visits + 1 if series.sample == "visit" else self.plan.n_updates
        attributes = {"units": series.units, "long_name": series.long_name or series.name.replace("_", " ")}
        layout = series_layout(series, n_samples, sizes)
        self._columns[layout.key] = self._declaring.column(layout, attributes)

    def _declare_known(self, series: Series, values: npt.ArrayLike | Iterable[int]) -> None:
        """Declare a coordinate that the plan fixes, all of it at once."""
        known = np.asarray(values, np.int64)
        self._declaring.known(series_layout(series, len(known), ()), known)

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

    def _check_complete(self, number: int) -> None:
        if number != self._next:
            raise TraceWriteError(f"{self.url}: visit {self._next} is the next to commit, found {number}")
        missing = [
            group for group, kind in self._rows.items() if number in kind.row_of and number not in kind.put
        ]
        expected = {"visit": number + 1, "update": number * self.plan.updates_per_visit}
        missing += [
            f"{key} ({column.n_samples} of {expected[column.layout.dims[0]]} samples)"
            for key, column in self._columns.items()
            if not key.startswith(f"{TIMELINE}/") and column.n_samples != expected[column.layout.dims[0]]
        ]
        missing += self._declaring.undeclared()
        if missing:
            raise TraceWriteError(
                f"{self.url}: visit {number} cannot be committed without {', '.join(missing)}"
            )


@contextlib.contextmanager
def _released_on_error(claim: Claim) -> Iterator[None]:
    try:
        yield
    except BaseException:
        claim.release()
        raise


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _clear(store: Store, overwrite: bool, force_claim: bool) -> int:
    """Make room for a new trace; gives its generation, which no reader of an older one there has seen."""
    if not store.exists() or (list(store.children()) == [COMMIT_KEY] and read_marker(store) is None):
        return 0  # nothing, or the claim of a writer that was killed before it made anything
    document = store.get(METADATA) or b""
    if overwrite and f'"format": "{FORMAT}"'.encode() in document:
        take_claim(store, force=force_claim)
        marker = read_marker(store)
        store.delete()
        return marker.generation + 1 if marker else 0
    what = (
        "there is a trace here already" if FORMAT.encode() in document else "there is something here already"
    )
    raise TraceExistsError(
        f"{store.url}: {what}; choose another path, or delete it (overwrite deletes traces only)"
    )
