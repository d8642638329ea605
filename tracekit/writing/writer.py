"""Write a trace: declare what will come, put it, commit visit by visit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from tracekit.errors import TraceError, TraceWriteError
from tracekit.format.codecs import CodecName
from tracekit.format.layout import CLOCK
from tracekit.format.schema import Rows, Series
from tracekit.schedule import Plan, Visit
from tracekit.store import Durability, open_store
from tracekit.writing.background import Cargo
from tracekit.writing.batches import Checkpoint
from tracekit.writing.buffers import QUEUE_BYTES, Memory, plain_memory
from tracekit.writing.committing import Committer, OnError
from tracekit.writing.contents import Contents
from tracekit.writing.ending import Status, end
from tracekit.writing.following import follow, follow_on
from tracekit.writing.putting import RowPutter, Wait
from tracekit.writing.refusing import refusals
from tracekit.writing.starting import Beginning, begin, take_up
from tracekit.writing.teams import Jointly, Team, leads


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
        beginning: Beginning,
        plan: Plan,
        *,
        codec: CodecName = "lz4",
        on_error: OnError = "stop",
        queue_bytes: int = QUEUE_BYTES,
        team: Team | None = None,
    ) -> None:
        self.plan = plan
        self.team = team
        self._beginning = beginning
        self._on_error = on_error
        self._next = beginning.snapshots
        self._contents = Contents(beginning, plan, codec, 1 if team is None else team.size)
        self._state = Committer(
            beginning, self._contents, on_error=on_error, queue_bytes=queue_bytes, team=team
        )
        self._rows = RowPutter(beginning.store, self._contents, self._state.background, team)
        self.written = self._rows.written
        self._clock = beginning.timeline[CLOCK]
        self._started = time.monotonic() - beginning.seconds
        self._process = os.getpid()
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
        queue_bytes: int = QUEUE_BYTES,
        team: Team | None = None,
    ) -> Self:
        """Start a new trace.

        Parameters
        ----------
        path : str or path
            Where it will lie: a path, or a URL that `tracekit.store.open_store` knows.
        plan : Plan
            The schedule of the run; arrays are laid out for all of it.
        attributes : mapping, optional
            What the run is (configuration, order, …), plain values as JSON has them.
        overwrite : bool
            Delete what is there, if that is a trace.
        codec : {"lz4", "none"}
            Compression of tensors; `"none"` is faster to write and about an eighth larger.
        durability : {"fsync", "rename"}
            Whether a committed visit survives a power cut, or only a killed process, on a local disk.
        on_error : {"stop", "warn"}
            What happens when the store refuses a write. `"stop"` raises at whatever is called next, and from
            then on; `"warn"` says so in a `TraceWarning` and goes on: the rows that were lost are marked as
            gaps, and read as missing. Series are kept in memory until they can be written, so they have no
            gaps.
        force_claim : bool
            Take the place over from a writer that may still live.
        queue_bytes : int
            How many bytes of rows may be in memory on their way to the store. `buffer` and `put_row` wait
            while there are more; a row that is larger passes alone.
        team : Team, optional
            The processes that write it together; each of them calls all of this at the same time. One of them
            makes the trace and commits; each writes its own columns of the rows.

        Raises
        ------
        TraceExistsError
            If there is something at the path already, but for a trace in which nothing is committed.
        TraceInUseError
            If another process writes it.
        """
        _check_team(path, team, on_error)
        store = open_store(path, durability)
        beginning = None
        with Jointly(team), refusals(store):
            if leads(team):
                beginning = begin(store, plan, attributes or {}, overwrite=overwrite, force_claim=force_claim)
        with Jointly(team), refusals(store):  # once there is the leader's claim, which fences all
            beginning = beginning or follow(store)
        return cls(beginning, plan, codec=codec, on_error=on_error, queue_bytes=queue_bytes, team=team)

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
        queue_bytes: int = QUEUE_BYTES,
        team: Team | None = None,
    ) -> Self:
        """Go on writing a trace whose run was cut off. Everything must be declared once more, as before.

        What was committed stays; what was written after it is deleted. A run that goes on from fewer
        snapshots than were committed repeats the others: what it puts for them is compared, bit by bit, and
        not written. Where nothing was committed yet, the trace is made again from the start.

        Parameters
        ----------
        path : str or path
            The trace.
        plan, attributes
            As they were given to `create`; they must be the same.
        snapshots : int, optional
            Snapshots that the run has behind it; as many as were committed if None.
        codec, durability, on_error, force_claim, queue_bytes, team
            As for `create`; arrays that are there keep their codec, and their shards. There may be more or
            fewer processes than before.

        Raises
        ------
        TraceNotFoundError
            If there is nothing at the path.
        TraceWriteError
            If the trace is complete, is not one of this run (every difference is named), or another process
            writes it (`TraceInUseError`).
        """
        _check_team(path, team, on_error)
        store = open_store(path, durability)
        beginning = None
        with Jointly(team), refusals(store):
            if leads(team):
                beginning = take_up(
                    store, plan, attributes or {}, snapshots=snapshots, force_claim=force_claim
                )
        with Jointly(team), refusals(store):  # once the leader has cut off what was not committed
            beginning = beginning or follow_on(store, plan, snapshots=snapshots)
        return cls(beginning, plan, codec=codec, on_error=on_error, queue_bytes=queue_bytes, team=team)

    @property
    def committed(self) -> int:
        """Snapshots that are durable, and visible to readers."""
        return self._state.marker.committed

    @property
    def snapshots(self) -> int:
        """Snapshots that the run has behind it: those that were committed, or are repeated."""
        return self._next

    @property
    def url(self) -> str:
        """Where the trace lies."""
        return self._beginning.store.url

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of rows that were declared."""
        return tuple(self._contents.rows)

    def may_have(self, group: str) -> bool:
        """Say whether a group can be declared: any in a new trace, in a resumed one those that it has."""
        return self._beginning.declaring.may_have(group)

    def waited_seconds(self) -> float:
        """Give how long `buffer` and `put_row` have waited for the store in all."""
        return self._state.background.buffers.waited_seconds

    def __reduce__(self) -> NoReturn:
        raise TraceWriteError(
            f"{self.url}: is written by this process alone, so its writer cannot be pickled or copied; hand "
            "over the path, and open the trace there"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close("failed" if error is not None else "complete")

    def declare_rows(self, rows: Rows) -> None:
        """Announce a kind of tensors; one row will be put at each of its visits, or of its updates.

        Raises
        ------
        TraceWriteError
            If the group was declared before, or a name in it cannot be one.
        """
        self._contents.declare_rows(rows)

    def declare_series(
        self, series: Sequence[Series], *, labels: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Announce the series of one group, and the labels of the dims that they have.

        Raises
        ------
        TraceWriteError
            If they name several groups, the group was declared before, or a name cannot be one.
        """
        self._contents.declare_series(series, labels or {})

    def buffer(self, group: str, memory: Memory = plain_memory) -> npt.NDArray[Any]:
        """Give memory for one row of a kind, dims ([middle,] element), to be filled and then put.

        What is in it is arbitrary. It is used again once it has been written, so that recording takes no new
        memory for each visit; waits while `queue_bytes` are under way. `memory` makes so many bytes where
        there are none to be used again.

        Raises
        ------
        TraceWriteError
            If the kind was not declared, or the store has refused something before.
        """
        self.check()
        return self._rows.buffer(group, memory)

    def put_row(
        self, group: str, sample: int, values: npt.NDArray[Any], under_way: Sequence[Wait] = ()
    ) -> None:
        """Put the row of a kind, dims ([middle,] element); it is written in the background.

        Parameters
        ----------
        group : str
            The kind.
        sample : int
            The number of the visit, or of the update in the whole run where the kind has rows per update.
        values : array
            The row; the writer's from now on, and not copied. One that `buffer` gave must not be looked at
            again, any other must not be changed until its visit has been committed.
        under_way : sequence of callable
            What must be called before values are there to be read, in any thread.

        Raises
        ------
        TraceWriteError
            If the kind, the sample or the shape is not what was declared, or the store has refused something
            before.
        """
        self.check()
        self._rows.put(group, sample, values, under_way, snapshot=self._next, committed=self.committed)

    def stretches(self, group: str) -> list[range]:
        """Give the columns of a row that each process of the team writes; one alone writes all of them."""
        return self._rows.stretches(group)

    def put_checkpoint(self, number: int, objects: Iterable[tuple[str, bytes]]) -> None:
        """Put what a run needs to go on after a visit; it is durable before the visit is committed.

        Of those before it, the last one is kept: see `tracekit.format.checkpoints`. Of a team, that of the
        leader is written.
        """
        if leads(self.team):
            self._state.put_checkpoint(Checkpoint(number, list(objects)))

    def put(self, group: str, name: str, values: npt.ArrayLike) -> None:
        """Add one sample to a series.

        Raises
        ------
        TraceWriteError
            If the series was not declared, the sample has another shape, or the store has refused something
            before.
        """
        self.check()
        self._contents.column(f"{group}/{name}").append(np.asarray(values)[None])

    @property
    def n_updates(self) -> int:
        """Updates of all visits that the run has behind it."""
        return self._contents.axes.n_updates(max(0, self._next - 1))

    def commit(self, visit: Visit, n_updates: int | None = None, *, wait: bool = True) -> None:
        """Make everything put for a visit durable, then visible.

        Parameters
        ----------
        visit : Visit
            The visit that is over.
        n_updates : int, optional
            Updates of the whole run so far, where no plan says it; if None, all up to the last one that
            something was put for.
        wait : bool
            Return when it is visible. If False, that happens in the background, after the commits before it;
            what goes wrong is then raised by what is called next, and at the latest by `close`.

        Raises
        ------
        TraceWriteError
            If something declared for the visit was not put, visits come out of order, another writer has
            taken over (`TraceInUseError`), or the store refuses: then it says how far the trace is good.
        """
        self.check()
        if visit.number != self._next:
            raise TraceWriteError(
                f"{self.url}: visit {self._next} is the next to commit, found {visit.number}"
            )
        self._contents.end(visit, n_updates)
        self._next += 1
        if visit.number < self.committed:
            self._beginning.claim.check()
            self._state.repeated()
            return
        self._clock.append([time.monotonic() - self._started])
        if copies := self._beginning.declaring.copies():
            self._state.background.put(Cargo("copy of metadata", needed=False), copies)
        self._state.commit(self._next)
        if wait:
            self._state.drain(stop=self._on_error == "stop")

    def check(self) -> None:
        """Take note of what has happened in the background; everything that writes does so first.

        Raises
        ------
        TraceWriteError
            If the store has refused something, and that is to stop the run; says how far the trace is good.
            If this is not the process that began to write.
        """
        if not self._is_here():
            raise TraceWriteError(
                f"{self.url}: is written by process {self._process}, of which this one ({os.getpid()}) is a "
                "fork; record in the process that began, and hand over to it what others compute"
            )
        self._state.check()

    def close(self, status: Status = "complete") -> None:
        """Finish the commits under way, end the trace with a status, and let others write it.

        May be called twice, and does nothing in a fork of the process that writes. Whatever status is asked
        for, the visits that were committed are kept.

        Raises
        ------
        TraceWriteError
            If the trace was to be complete, and the store refuses.
        """
        if self._closed or not self._is_here():
            return
        self._closed = True
        stop = status == "complete" and self._on_error == "stop"
        try:
            self._state.finish(self._next, stop=stop)
        except TraceError:
            status = "failed"
            raise
        finally:
            end(self._beginning, self._state, status, snapshots=self._next, stop=stop)

    def _is_here(self) -> bool:
        """Say whether this is the process that has the threads which write."""
        return os.getpid() == self._process


def _check_team(path: str | os.PathLike[str], team: Team | None, on_error: OnError) -> None:
    if team is not None and on_error != "stop":
        raise TraceWriteError(f"{path}: on_error={on_error!r} is for one process; several stop together")
