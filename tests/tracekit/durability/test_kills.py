"""Killed at any moment: the trace opens, has lost nothing, and its run ends as if never stopped."""

import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field

import pytest

from tracekit import open_trace
from tracekit.errors import NotATraceError, TraceNotFoundError
from tracekit.store import LocalStore


@dataclass
class Tally:
    """What came of the kills."""

    kills: int = 0
    finished: int = 0
    nothing_yet: int = 0
    resumed: int = 0
    visits_checked: int = 0
    ended_at: list = field(default_factory=list)


def look(path, checks, tally, reference, before):
    """Open what a kill left behind, and check it; give the snapshots committed, never fewer than before."""
    if not before:
        try:
            open_trace(path)
        except TraceNotFoundError:
            tally.nothing_yet += 1
            return 0
        except NotATraceError as error:
            if "making was cut off" not in str(error) and "there is no zarr.json" not in str(error):
                raise
            tally.nothing_yet += 1
            return 0
    trace = open_trace(path)
    committed = checks.assert_begins_like(trace, reference)
    assert committed >= before, "a committed visit was lost"
    tally.visits_checked += committed
    return committed


def finish_and_compare(runs, path, checks, reference, reference_values):
    runs.finish(path)
    trace = open_trace(path)
    assert trace.attrs["status"] == "complete"
    assert checks.assert_begins_like(trace, reference_values) == trace.attrs["snapshots_planned"]
    assert checks.last_checkpoint(path) == checks.last_checkpoint(reference)
    assert not list(path.rglob("*.partial"))


def kill_over_and_over(runs, reference, reference_values, checks, n_kills, seed):
    """Record runs, killing them at random moments and resuming them, until there were enough kills."""
    chance = random.Random(seed)
    tally = Tally()
    whole = min(timed(runs, number) for number in range(2))
    while tally.kills < n_kills:
        path = runs.folder / f"killed-{tally.finished}-{seed}.zarr"
        committed = 0
        for _ in range(8):
            began, before = path.exists(), checks.marker_moment(path)
            process = runs.fork(path)
            if chance.random() < 0.7:  # else it may be killed before there is anything
                checks.await_marker(path, process, before)
            if not checks.killed_after(process, chance.uniform(0, 0.7) * whole):
                break
            tally.kills += 1
            tally.resumed += began
            committed = look(path, checks, tally, reference_values, committed)
            tally.ended_at.append(committed)
        finish_and_compare(runs, path, checks, reference, reference_values)
        tally.finished += 1
        shutil.rmtree(path)
    print(f"\n{tally}")
    return tally


def test_ten_kills_at_random_moments(runs, reference, reference_values, checks):
    tally = kill_over_and_over(runs, reference, reference_values, checks, 10, seed=1)
    assert max(tally.ended_at) > 3


@pytest.mark.slow
def test_two_hundred_kills_at_random_moments(runs, reference, reference_values, checks):
    tally = kill_over_and_over(runs, reference, reference_values, checks, 200, seed=2)
    assert tally.kills >= 200
    assert tally.resumed > 100
    assert len(set(tally.ended_at)) > 6, "the kills all came at the same moment"


def timed(runs, number):
    """Give the seconds that a whole run takes."""
    path = runs.folder / f"timing-{number}.zarr"
    started = time.monotonic()
    runs.finish(path)
    shutil.rmtree(path)
    return time.monotonic() - started


def dying_at(number, moment):
    """Give what makes a process kill itself at its n-th change to the store, before, within or after it."""

    def prepare():
        done = iter(range(1, 10**9))

        def wrap(original):
            def change(self, *arguments):
                if next(done) == number:
                    if moment == "within":
                        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
                    if moment == "before":
                        os.kill(os.getpid(), signal.SIGKILL)
                    original(self, *arguments)
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(self, *arguments)

            return change

        LocalStore.put = wrap(LocalStore.put)
        LocalStore.remove = wrap(LocalStore.remove)

    return prepare


def die_at(runs, path, number, moment):
    """Run until the n-th change; say whether there was one."""
    _, status = os.waitpid(runs.fork(path, dying_at(number, moment)), 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_kill_at_every_fifth_change_of_a_new_run(runs, reference, reference_values, checks, moment):
    tally, number = Tally(), 1
    while True:
        path = runs.folder / f"at-{number}.zarr"
        if not die_at(runs, path, number, moment):
            shutil.rmtree(path)
            break
        look(path, checks, tally, reference_values, 0)
        finish_and_compare(runs, path, checks, reference, reference_values)
        shutil.rmtree(path)
        tally.kills += 1
        number += 5
    print(f"\n{moment}: {tally}")
    assert tally.kills > 10


@pytest.mark.slow
def test_a_kill_at_every_second_change_of_a_resumed_run(runs, reference, reference_values, checks):
    """A run that is killed at its 70th change, and then once more at every second change of the resuming."""
    tally, number = Tally(), 1
    start = runs.folder / "start.zarr"
    assert die_at(runs, start, 70, "after")
    before = look(start, checks, tally, reference_values, 0)
    assert before > 3
    while True:
        path = runs.folder / f"again-{number}.zarr"
        shutil.copytree(start, path)
        died = die_at(runs, path, number, "after")
        look(path, checks, tally, reference_values, before)
        finish_and_compare(runs, path, checks, reference, reference_values)
        shutil.rmtree(path)
        if not died:
            break
        tally.kills += 1
        number += 2
    print(f"\n{tally}")
    assert tally.kills > 10
