"""How a trace comes under the hands of its writer: made new, or taken up where its run was cut off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracekit.errors import TraceExistsError, TraceNotFoundError
from tracekit.format import checks
from tracekit.format.layout import (
    CLOCK,
    COMMIT_KEY,
    FORMAT,
    METADATA,
    TIMELINE,
    group_metadata,
    open_series,
    series_layout,
)
from tracekit.format.marker import MARKER_LAYOUT, Marker, read_marker, write_marker
from tracekit.format.schema import Series
from tracekit.format.validation import check_facts
from tracekit.reading.extent import read_known
from tracekit.schedule import OpenPlan, Plan, Visit
from tracekit.store import Store, remove_all
from tracekit.writing.claims import Claim, take_claim
from tracekit.writing.columns import Column
from tracekit.writing.declaring import Declaring, NewDeclaring, ResumedDeclaring
from tracekit.writing.facts import new_facts, recorded_facts
from tracekit.writing.fencing import FencedStore
from tracekit.writing.truncation import go_back

PLACE = ("visit", "epoch", "position", "trained_task", "updates")
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Beginning:
    """A trace under a claim, ready for its recorders to declare what they write.

    Parameters
    ----------
    store, claim, facts
        Where it is, the right to write it, and the attributes of its root.
    marker : Marker
        What is committed.
    snapshots : int
        Snapshots that the run has behind it; if fewer than are committed, the run repeats the others.
    declaring : Declaring
        Makes what is declared, or holds it against what is there.
    timeline : dict
        The columns of the timeline that grow, by name: the clock (seconds since the run began) and,
        if nothing was planned, the place of every visit.
    seconds : float
        Those of the last committed snapshot.
    """

    store: Store
    claim: Claim
    facts: dict[str, Any]
    marker: Marker
    snapshots: int
    declaring: Declaring
    timeline: dict[str, Column]
    seconds: float = 0.0


def begin(
    store: Store, plan: Plan, attributes: Attributes, *, overwrite: bool, force_claim: bool
) -> Beginning:
    """Make a new trace; see `TraceWriter.create`."""
    generation = _clear(store, overwrite, force_claim)
    claim = take_claim(store, force=force_claim)
    with _released_on_error(claim):
        store = FencedStore(store, claim)
        store.sweep()
        if store.get(METADATA) is not None:
            raise TraceExistsError(f"{store.url}: another writer has just made a trace here")
        return _make(store, plan, attributes, claim, generation)


def take_up(
    store: Store, plan: Plan, attributes: Attributes, *, snapshots: int | None, force_claim: bool
) -> Beginning:
    """Go on with a trace; see `TraceWriter.resume`."""
    if not store.exists():
        raise TraceNotFoundError(f"{store.url}: there is nothing here to resume; check the path")
    claim = take_claim(store, force=force_claim)
    with _released_on_error(claim):
        store = FencedStore(store, claim)
        marker = read_marker(store)
        if marker is None or marker.committed == 0:
            return _make_again(store, plan, attributes, claim, marker)
        facts = recorded_facts(store, plan, attributes)
        marker = go_back(store, marker.committed, anew=claim.by_force)
        facts["status"] = "running"
        store.put(METADATA, group_metadata(facts))
        return go_on(store, plan, claim, marker, facts, snapshots=snapshots)


def go_on(
    store: Store,
    plan: Plan,
    claim: Claim,
    marker: Marker,
    facts: dict[str, Any],
    *,
    snapshots: int | None,
    leads: bool = True,
) -> Beginning:
    """Begin after what is committed of a trace that this process, or the leader of its team, took up."""
    behind = marker.committed if snapshots is None else min(snapshots, marker.committed)
    declaring = ResumedDeclaring(store, committed=marker.committed, snapshots=behind, leads=leads)
    timeline = _declare_timeline(declaring, plan)
    if isinstance(plan, OpenPlan):
        plan.places.update(_recorded_places(store, behind))
    seconds = float(read_known(store, f"{TIMELINE}/{CLOCK}", marker.committed)[-1])
    return Beginning(store, claim, facts, marker, behind, declaring, timeline, seconds)


def _make(store: Store, plan: Plan, attributes: Attributes, claim: Claim, generation: int) -> Beginning:
    facts, declaring, marker = new_facts(plan, attributes), NewDeclaring(store), Marker(0, generation)
    with checks.declaring(store.url):
        check_facts(facts)
    declaring.put(METADATA, group_metadata(facts))
    timeline = _declare_timeline(declaring, plan)
    store.put(f"{COMMIT_KEY}/{METADATA}", MARKER_LAYOUT.metadata({}))
    write_marker(store, marker, before=[read_marker(store)])
    return Beginning(store, claim, facts, marker, 0, declaring, timeline)


def _make_again(
    store: Store, plan: Plan, attributes: Attributes, claim: Claim, marker: Marker | None
) -> Beginning:
    """Make a trace anew in which nothing was committed."""
    generation = marker.generation + 1 if marker else 0
    if marker:
        write_marker(store, Marker(0, generation), before=[marker])
    for name in list(store.children()):
        if name not in (METADATA, TIMELINE, COMMIT_KEY):  # if this is cut off too, it still opens
            store.remove(f"{name}/{METADATA}")  # and does not show half a group
            remove_all(store, name)
    store.sweep()
    return _make(store, plan, attributes, claim, generation)


def _declare_timeline(declaring: Declaring, plan: Plan) -> dict[str, Column]:
    """Declare the place in time of every snapshot, and the clock; gives the columns that grow."""
    declaring.group(TIMELINE, {})
    clock = Series(TIMELINE, CLOCK, units="s", long_name="wall time seconds")
    attributes = {"units": clock.units, "long_name": clock.long_name}
    if isinstance(plan, OpenPlan):
        timeline = {
            name: declaring.column(open_series(Series(TIMELINE, name, dtype="int64"), ()), {})
            for name in PLACE
        }
        timeline[CLOCK] = declaring.column(open_series(clock, ()), attributes)
    else:
        _declare_places(declaring, plan)
        timeline = {CLOCK: declaring.column(series_layout(clock, plan.n_visits + 1, ()), attributes)}
    declaring.check()
    return timeline


def _recorded_places(store: Store, snapshots: int) -> dict[int, Visit]:
    """Give the place in time of the first snapshots of a trace."""
    columns = [read_known(store, f"{TIMELINE}/{name}", snapshots).tolist() for name in PLACE[:4]]
    return {place[0]: Visit(*place) for place in zip(*columns, strict=True)}


def _declare_places(declaring: Declaring, plan: Plan) -> None:
    """Write the place in time of every planned visit."""
    visits = [plan.visit(number) for number in range(plan.n_visits + 1)]
    columns = {
        "visit": [visit.number for visit in visits],
        "epoch": [visit.epoch for visit in visits],
        "position": [visit.position for visit in visits],
        "trained_task": [visit.task for visit in visits],
    }
    for name, values in columns.items():
        layout = series_layout(Series(TIMELINE, name, dtype="int64"), len(visits), ())
        declaring.known(layout, np.array(values, np.int64))


@contextlib.contextmanager
def _released_on_error(claim: Claim) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            claim.release()
        raise


def _clear(store: Store, overwrite: bool, force_claim: bool) -> int:
    """Make room for a new trace; gives its generation, which no reader of an older one there has seen."""
    if not store.exists() or (list(store.children()) == [COMMIT_KEY] and read_marker(store) is None):
        return 0  # nothing, or the claim of a writer that was killed before it made anything
    document = store.get(METADATA) or b""
    if f'"format": "{FORMAT}"'.encode() in document and (overwrite or _is_empty(store)):
        take_claim(store, force=force_claim)
        marker = read_marker(store)
        store.delete()
        return marker.generation + 1 if marker else 0
    if FORMAT.encode() in document:
        raise TraceExistsError(
            f"{store.url}: there is a trace here already; choose another path, or replace it "
            "(overwrite=True, --overwrite)"
        )
    raise TraceExistsError(
        f"{store.url}: there is something here already, which is no trace; choose another path, or delete it"
    )


def _is_empty(store: Store) -> bool:
    """Say whether a trace holds nothing, as one does whose run failed before its first commit."""
    marker = read_marker(store)
    return marker is not None and marker.committed == 0
