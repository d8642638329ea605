"""Several writers of one trace, here threads: what one makes, the others take up, also after a cut."""

import numpy as np
import pytest
from team_of_threads import together

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace
from tracekit.checking.verify import verify
from tracekit.errors import TraceInUseError, TraceWriteError
from tracekit.format.marker import read_marker
from tracekit.schedule import OpenPlan
from tracekit.store import open_store

N_COLUMNS = 200_000  # four chunks
PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=1)
WEIGHTS = np.random.default_rng(0).standard_normal((5, N_COLUMNS)).astype("f4")


def own_part(trace, number, weights):
    """A row of which a member knows its own columns alone."""
    row = np.full(N_COLUMNS, np.nan, "f4")
    own = trace.stretches("weights")[trace.team.rank]
    row[own.start : own.stop] = weights[number, own.start : own.stop]
    return row


def declared(trace, plan):
    planned = () if isinstance(plan, OpenPlan) else range(5)
    trace.declare_rows(Rows("weights", (Field("w", (N_COLUMNS,)),), tuple(planned)))
    trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a", "b"]})
    return trace


def record(trace, plan, until, weights):
    """Record the visits to come; the loss that a member is given is its own."""
    declared(trace, plan)
    for number in range(trace.snapshots, until):
        trace.put_row("weights", number, own_part(trace, number, weights))
        trace.put("losses", "eval_loss", [number, trace.team.rank])
        trace.commit(PLAN.visit(number))
    trace.close("interrupted" if until < 5 else "complete")


def start(path, size, *, open_ended=False, until=3):
    """Record the first visits."""

    def work(team):
        plan = OpenPlan(n_tasks=2) if open_ended else PLAN
        record(TraceWriter.create(path, plan, team=team), plan, until, WEIGHTS)

    together(size, work)


def resume(path, size, *, open_ended=False, snapshots=None, weights=WEIGHTS):
    """Record the rest."""

    def work(team):
        plan = OpenPlan(n_tasks=2) if open_ended else PLAN
        trace = TraceWriter.resume(path, plan, snapshots=snapshots, team=team)
        record(trace, plan, 5, weights)

    together(size, work)


def assert_whole(path):
    trace = open_trace(path)
    assert trace.attrs["snapshots_committed"] == 5
    np.testing.assert_array_equal(trace["weights"].w, WEIGHTS)
    np.testing.assert_array_equal(trace["losses"].eval_loss, [[number, 0] for number in range(5)])
    assert verify(path).faults == ()


@pytest.mark.parametrize("snapshots", [None, 1, 0])
@pytest.mark.parametrize("open_ended", [False, True])
def test_several_go_on_after_what_was_committed_and_repeat_what_they_must(tmp_path, open_ended, snapshots):
    path = tmp_path / "run.zarr"
    start(path, 2, open_ended=open_ended)
    resume(path, 2, open_ended=open_ended, snapshots=snapshots)
    assert_whole(path)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (1, 2)])
def test_there_may_be_more_or_fewer_than_before(tmp_path, before, after):
    path = tmp_path / "run.zarr"
    start(path, before)
    resume(path, after, snapshots=2)
    assert_whole(path)


def test_where_nothing_was_committed_they_begin_anew(tmp_path):
    path = tmp_path / "run.zarr"
    start(path, 2, until=0)
    assert read_marker(open_store(path)).committed == 0
    resume(path, 2)
    assert_whole(path)


def test_each_compares_the_columns_that_it_writes(tmp_path):
    path = tmp_path / "run.zarr"
    start(path, 2)
    other = WEIGHTS.copy()
    other[2, -1] += 1  # the last column is not the leader's
    with pytest.raises(TraceWriteError, match=r"another could not go on: .*weights, visit 2: this run gives"):
        resume(path, 2, snapshots=1, weights=other)
    assert open_trace(path).attrs["snapshots_committed"] == 3


def test_all_are_told_why_one_cannot_resume(tmp_path):
    path = tmp_path / "run.zarr"
    start(path, 2, until=5)
    with pytest.raises(TraceWriteError, match="is complete, all 5 snapshots"):
        resume(path, 2)


def put_next(member):
    member.put_row("weights", member.snapshots, own_part(member, member.snapshots, WEIGHTS))


def taken_over(path, *, resumed=False, first=lambda member: None):
    """Two writers that two others have taken over from, who recorded the opposite values."""

    def begin(team):
        member = (TraceWriter.resume if resumed else TraceWriter.create)(path, PLAN, team=team)
        first(declared(member, PLAN))
        return member

    def take_over(team):
        record(TraceWriter.resume(path, PLAN, team=team, force_claim=True), PLAN, 5, -WEIGHTS)

    if resumed:
        start(path, 2, until=1)
    members = together(2, begin)
    together(2, take_over)
    return members


@pytest.mark.parametrize("resumed", [False, True])
def test_a_member_of_a_team_that_was_taken_over_replaces_nothing(tmp_path, resumed):
    path = tmp_path / "run.zarr"
    for member in taken_over(path, resumed=resumed):
        put_next(member)
        with pytest.raises(TraceInUseError, match="another writer has taken this trace over"):
            member._state.background.wait()
        member.close("failed")
    np.testing.assert_array_equal(open_trace(path)["weights"].w[resumed:], -WEIGHTS[resumed:])
    assert verify(path).faults == ()


def test_all_members_are_told_at_the_next_commit_that_they_were_taken_over(tmp_path):
    def put_first(member):
        put_next(member)
        member._state.background.wait()

    members = taken_over(tmp_path / "run.zarr", first=put_first)

    def commit(team):
        member = members[team.rank]
        member.put("losses", "eval_loss", [0, 0])
        with pytest.raises(TraceInUseError):
            member.commit(PLAN.visit(0))
        member.close("failed")

    together(2, commit)
