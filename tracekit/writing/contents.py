"""What a trace is made of, as declared: kinds of rows, series, and what of them each visit must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tracekit.errors import TraceWriteError
from tracekit.format.checks import declaring
from tracekit.format.codecs import CodecName
from tracekit.format.layout import rows_layout
from tracekit.format.schema import Rows, Series, field_records
from tracekit.format.validation import check_declared
from tracekit.schedule import Plan, Visit
from tracekit.writing.axes import axes_of
from tracekit.writing.batches import DeclaredRows
from tracekit.writing.columns import Column
from tracekit.writing.starting import Beginning

Labels = Mapping[str, Sequence[str]]


class Contents:
    """The groups of a trace that is being written.

    Parameters
    ----------
    beginning : Beginning
        The trace.
    plan : Plan
        The schedule of the run.
    codec : {"lz4", "none"}
        Compression of new tensors.
    n_processes : int
        Processes that write each row together.
    """

    def __init__(self, beginning: Beginning, plan: Plan, codec: CodecName, n_processes: int = 1) -> None:
        self.axes, self.coordinates = axes_of(plan, beginning)
        self.rows: dict[str, DeclaredRows] = {}
        self.columns: dict[str, Column] = {}
        self._url = beginning.store.url
        self._declaring = beginning.declaring
        self._plan = plan
        self._codec = codec
        self._n_processes = n_processes

    def declare_rows(self, rows: Rows) -> None:
        """Announce a kind of tensors; see `TraceWriter.declare_rows`."""
        self._refuse_twice(rows.group)
        attributes = {
            **rows.attributes,
            "phase": rows.phase,
            "labels": {dim: list(names) for dim, names in rows.all_labels.items()},
            "fields": field_records(rows.fields),
        }
        with declaring(f"{self._url}/{rows.group}"):
            check_declared(rows.group, attributes)
        found = self._declaring.group(rows.group, attributes)
        layout = self.axes.rows_layout(rows_layout(rows, self._codec, self._n_processes))
        layout = self._declaring.array(layout, {})
        planned = {rows.sample: rows.samples, "update_visit": rows.visits}
        self.axes.declare(rows.group, rows.sample, planned)
        self._declaring.check()
        self.rows[rows.group] = DeclaredRows(rows, layout, found)

    def declare_series(self, series: Sequence[Series], labels: Labels) -> None:
        """Announce the series of one group; see `TraceWriter.declare_series`."""
        group = series[0].group
        if any(item.group != group for item in series):
            raise TraceWriteError(f"series of one group at a time; found {sorted({s.group for s in series})}")
        self._refuse_twice(group)
        names = {dim: list(values) for dim, values in labels.items()}
        with declaring(f"{self._url}/{group}"):
            check_declared(group, {"labels": names}, [item.name for item in series])
        self._declaring.group(group, {"labels": names})
        self._declare_samples(group, {item.sample for item in series})
        for item in series:
            self._declare_column(item, tuple(len(names[dim]) for dim in item.dims))
        self._declaring.check()

    def kind(self, group: str) -> DeclaredRows:
        """Give a kind of rows by its name.

        Raises
        ------
        TraceWriteError
            If it was not declared.
        """
        if group not in self.rows:
            raise TraceWriteError(
                f"{self._url}: no rows {group!r} were declared; there are {sorted(self.rows)}"
            )
        return self.rows[group]

    def column(self, key: str) -> Column:
        """Give a series by its group and name.

        Raises
        ------
        TraceWriteError
            If it was not declared.
        """
        if key not in self.columns:
            raise TraceWriteError(
                f"{self._url}: no series {key!r} was declared; there are {sorted(self.columns)}"
            )
        return self.columns[key]

    def end(self, visit: Visit, n_updates: int | None) -> None:
        """Take note that everything of a visit was put, after so many updates of the run if that is told.

        Raises
        ------
        TraceWriteError
            If something is missing; all of it is named.
        """
        n_updates = self._updates_at(visit.number, n_updates)
        missing = [*self._missing(visit.number, n_updates), *self._declaring.undeclared()]
        if missing:
            raise TraceWriteError(
                f"{self._url}: visit {visit.number} cannot be committed without {', '.join(missing)}"
            )
        self.axes.end(visit, n_updates, self.columns)

    def _declare_samples(self, group: str, samples: set[str]) -> None:
        if "visit" in samples:
            self.axes.declare(group, "visit", {"visit": range(self._plan.n_visits + 1)})
        if "update" in samples:
            numbers = np.arange(self._plan.n_updates)
            visits = numbers // max(1, self._plan.updates_per_visit) + 1
            self.axes.declare(group, "update", {"update": numbers, "update_visit": visits})

    def _declare_column(self, series: Series, sizes: tuple[int, ...]) -> None:
        layout = self.axes.series_layout(series, sizes)
        self.columns[layout.key] = self._declaring.column(layout, series.attributes)

    def _updates_at(self, visit: int, told: int | None) -> int:
        """Give the updates that there must be at a snapshot: planned, told, or those that something is of."""
        if self.axes.n_planned is not None:
            return self.axes.n_updates(visit)
        if told is not None:
            return told
        series = (c.n_samples for c in self.columns.values() if c.layout.dims[0] == "update")
        rows = (next(reversed(k.row_of), -1) + 1 for k in self.rows.values() if k.rows.sample == "update")
        return max(self.axes.n_updates(visit), *series, *rows, 0)

    def _missing(self, visit: int, n_updates: int) -> Iterator[str]:
        """Name what was declared for a visit and is not there: rows, and samples of series."""
        yield from (group for group, kind in self.rows.items() if kind.missing(visit))
        expected = {"visit": visit + 1, "update": n_updates}
        for key, column in self.columns.items():
            n_expected = expected[column.layout.dims[0]]
            if column.n_samples != n_expected:
                yield f"{key} ({column.n_samples} of {n_expected} samples)"

    def _refuse_twice(self, group: str) -> None:
        taken = {key.split("/")[0] for key in self.columns} | set(self.rows)
        if group in taken:
            raise declared_twice(group, f"{self._url}: ")


def declared_twice(group: str, place: str = "") -> TraceWriteError:
    """Give the error for a second recorder of a kind."""
    return TraceWriteError(f"{place}{group!r} is declared already; record each kind once")
