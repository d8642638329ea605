"""The samples of a trace along visit and update: planned before the run, or appended as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from tracekit.format.layout import ArrayLayout, Shape, open_rows, open_series, series_layout
from tracekit.format.schema import SampleDim, Series
from tracekit.reading.counts import count_series
from tracekit.schedule import OpenPlan, Plan, Visit
from tracekit.writing.batches import DeclaredRows
from tracekit.writing.columns import Column
from tracekit.writing.declaring import Declaring
from tracekit.writing.starting import PLACE, Beginning

Columns = dict[str, Column]
COORDINATES: Mapping[str, tuple[str, ...]] = {"visit": ("visit",), "update": ("update", "update_visit")}


class Axes(Protocol):
    """What a writer asks about the samples of its arrays."""

    @property
    def n_planned(self) -> int | None:
        """Snapshots of the whole run, if that is known."""

    def rows_layout(self, layout: ArrayLayout) -> ArrayLayout:
        """Give rows the room that they need."""

    def series_layout(self, series: Series, sizes: Shape) -> ArrayLayout:
        """Lay out a series with the room that it needs."""

    def declare(self, group: str, dim: SampleDim, planned: Mapping[str, Iterable[int]]) -> None:
        """Declare the coordinates of a group along a dim, of which these values are planned."""

    def place(self, rows: DeclaredRows, sample: int, snapshot: int) -> None:
        """Find room for a row that is put for the snapshot to come."""

    def n_updates(self, visits: int) -> int:
        """Give how many updates so many visits have, as far as is known."""

    def end(self, visit: Visit, n_updates: int, series: Mapping[str, Column]) -> None:
        """Take note of everything that was put for a visit, after which there were so many updates."""


def axes_of(plan: Plan, beginning: Beginning) -> tuple[Axes, Columns]:
    """Give the axes of a trace that is begun, and its coordinates that grow, by key."""
    coordinates = {column.layout.key: column for column in beginning.timeline.values()}
    if isinstance(plan, OpenPlan):
        return OpenAxes(beginning.declaring, beginning.timeline, coordinates), coordinates
    return PlannedAxes(plan, beginning.declaring), coordinates


class PlannedAxes:
    """Everything is known: coordinates are written when they are declared."""

    def __init__(self, plan: Plan, declaring: Declaring) -> None:
        self._plan = plan
        self._declaring = declaring
        self.n_planned = plan.n_visits + 1

    def rows_layout(self, layout: ArrayLayout) -> ArrayLayout:
        """Leave it: it has a row for each planned sample."""
        return layout

    def series_layout(self, series: Series, sizes: Shape) -> ArrayLayout:
        """Lay out a sample for each visit or update of the plan."""
        n_samples = self._plan.n_visits + 1 if series.sample == "visit" else self._plan.n_updates
        return series_layout(series, n_samples, sizes)

    def declare(self, group: str, dim: SampleDim, planned: Mapping[str, Iterable[int]]) -> None:
        """Write the coordinates."""
        for name in COORDINATES[dim]:
            known = np.asarray(planned[name], np.int64)
            series = Series(group, name, dim, dtype="int64")
            self._declaring.known(series_layout(series, len(known), ()), known)

    def place(self, rows: DeclaredRows, sample: int, snapshot: int) -> None:
        """Do nothing: there is a place for it."""

    def n_updates(self, visits: int) -> int:
        """Count those planned."""
        return visits * self._plan.updates_per_visit

    def end(self, visit: Visit, n_updates: int, series: Mapping[str, Column]) -> None:
        """Do nothing: it was all planned."""


class OpenAxes:
    """Nothing is known: coordinates, and counts of what there is of them, grow with every visit.

    Parameters
    ----------
    declaring : Declaring
        How they come to be in the trace.
    timeline : dict
        The columns of the timeline, by name.
    coordinates : dict
        Everything that grows by itself and is written at each commit, by key; added to.
    """

    n_planned = None

    def __init__(self, declaring: Declaring, timeline: Columns, coordinates: Columns) -> None:
        self._declaring = declaring
        self._timeline = timeline
        self._coordinates = coordinates
        self._groups: dict[tuple[str, str], Column] = {}
        self._n_updates = timeline["updates"].last(0)

    def rows_layout(self, layout: ArrayLayout) -> ArrayLayout:
        """Give room for more rows than will come."""
        return open_rows(layout)

    def series_layout(self, series: Series, sizes: Shape) -> ArrayLayout:
        """Give room for more samples than will come."""
        return open_series(series, sizes)

    def declare(self, group: str, dim: SampleDim, planned: Mapping[str, Iterable[int]]) -> None:
        """Begin coordinates, and a count of their samples in the timeline."""
        for name in COORDINATES[dim]:
            self._grow(Series(group, name, dim, dtype="int64"))
        self._groups[group, dim] = self._grow(count_series(group, dim))

    def place(self, rows: DeclaredRows, sample: int, snapshot: int) -> None:
        """Append a row for the snapshot to come, if the sample is new."""
        group, dim = rows.rows.group, rows.rows.sample
        if sample <= next(reversed(rows.row_of), -1) or (dim == "visit" and sample != snapshot):
            return
        number = self._coordinates[f"{group}/{dim}"]
        rows.row_of[sample], rows.visit_of[sample] = number.n_samples, snapshot
        number.append([sample])
        if dim == "update":
            self._coordinates[f"{group}/update_visit"].append([snapshot])

    def n_updates(self, visits: int) -> int:
        """Give those of the last snapshot that lies behind: no more is known."""
        return self._n_updates

    def end(self, visit: Visit, n_updates: int, series: Mapping[str, Column]) -> None:
        """Append the place of the visit in time, and what its series have."""
        place = (visit.number, visit.epoch, visit.position, visit.task, n_updates)
        for name, value in zip(PLACE, place, strict=True):
            self._timeline[name].append([value])
        self._n_updates = n_updates
        for key, column in series.items():
            self._follow(key.split("/")[0], column, visit.number)
        for (group, dim), count in self._groups.items():
            count.append([self._coordinates[f"{group}/{dim}"].n_samples])

    def _follow(self, group: str, column: Column, visit: int) -> None:
        """Let coordinates go as far as a series that has grown."""
        dim = column.layout.dims[0]
        number = self._coordinates[f"{group}/{dim}"]
        new = np.arange(number.n_samples, column.n_samples)
        number.append(new)
        if dim == "update":
            self._coordinates[f"{group}/update_visit"].append(np.full(len(new), visit))

    def _grow(self, series: Series) -> Column:
        layout = open_series(series, ())
        self._coordinates[layout.key] = self._declaring.column(layout, {})
        return self._coordinates[layout.key]
