"""A run killed at each of its changes to the store, one after another: no moment is left to chance.

The changes of a run are listed once. Several threads make them, so that a change is known by its object and
by how often that was changed before, not by its place in the list; a run that is killed at one which never
comes ends by itself, and fails the test. The run has rows, of which one is refused and leaves a gap, series,
checkpoints (old ones are deleted), the copy of metadata, a claim, and the marker.
"""

import os
import re
import shutil
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from functools import partial

import pytest
from durability.killing import Tally, finish_and_compare, look

from tracekit import open_trace
from tracekit.checking.verify import verify
from tracekit.store import LocalStore

EPOCHS = ("epochs: 6", "epochs: 2")
EVERY = ("checkpoint_every: 3", "checkpoint_every: 2")
LOST = "weights/values/c/2/0"
CLAIM = re.compile(r"claims/\w+\.json")
CHANGES = ("put_pieces", "remove", "remove_tree")
MOMENTS = ("before", "half", "whole", "after")


@dataclass(frozen=True)
class Change:
    """The so many-th time that an object is put or removed."""

    what: str
    key: str
    number: int


def instead_of_changes(act):
    """Let a function be called with each change, and with what makes it; the disk refuses one row."""
    counts, lock = Counter(), threading.Lock()

    def wrap(name, original):
        def change(self, key, *pieces):
            if key == LOST:
                raise OSError(28, "No space left on device")
            known = CLAIM.sub("claims/*.json", key)
            with lock:
                counts[name, known] += 1
                found = Change(name, known, counts[name, known])
            return act(found, partial(original, self, key), *pieces)

        return change

    for name in CHANGES:
        setattr(LocalStore, name, wrap(name, getattr(LocalStore, name)))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def cut_off(pieces, n_bytes):
    """Give so many bytes of what is to be written; then the process is gone."""
    yield b"".join(pieces)[:n_bytes]
    die()


def dying_at(wanted, moment):
    """Give what makes a process kill itself before, within or after one change."""

    def act(change, do, *pieces):
        if change != wanted or moment not in MOMENTS:
            return do(*pieces)
        if moment == "before":
            die()
        if moment in ("half", "whole") and pieces:
            data = b"".join(pieces[0])
            do(cut_off([data], len(data) // (2 if moment == "half" else 1)))
        do(*pieces)
        return die()

    return partial(instead_of_changes, act)


def listing(path):
    """Give what makes a process write down its changes."""

    def act(change, do, *pieces):
        with path.open("a") as file:
            file.write(f"{change.what} {change.key} {change.number}\n")
        return do(*pieces)

    return partial(instead_of_changes, act)


@pytest.fixture(scope="module")
def small(runs):
    """A run of seven snapshots, which goes on where the disk refuses a row."""

    class Small(type(runs)):
        options = ("--on-error", "warn")

        def finish(self, path):
            self.ended(path, partial(instead_of_changes, lambda change, do, *pieces: do(*pieces)))

    folder = runs.folder / "small"
    folder.mkdir()
    return Small(folder, runs.configuration.read_text().replace(*EPOCHS).replace(*EVERY))


@pytest.fixture(scope="module")
def never_stopped(small):
    path = small.folder / "reference.zarr"
    small.finish(path)
    assert open_trace(path).attrs["gaps"] == {"weights": [2]}
    assert verify(path).faults == ()
    return path


def changes_of(small, path):
    """Run or resume to the end, and give every change."""
    file = small.folder / "changes.txt"
    file.unlink(missing_ok=True)
    small.ended(path, listing(file))
    shutil.rmtree(path)
    lines = (line.split() for line in file.read_text().splitlines())
    return [Change(what, key, int(number)) for what, key, number in lines]


def kill_at(small, never_stopped, checks, moments, *, start=None, before=0):
    """Kill copies of a run at given changes, look at each, and resume it to its end."""
    tally, reference = Tally(), checks.values(open_trace(never_stopped))
    for number, (change, moment) in enumerate(moments):
        path = small.folder / f"{number}.zarr"
        if start is not None:
            shutil.copytree(start, path)
        _, status = os.waitpid(small.fork(path, dying_at(change, moment)), 0)
        assert os.WIFSIGNALED(status), f"{change} never came"
        tally.ended_at.append(look(path, checks, tally, reference, before))
        if tally.ended_at[-1]:
            assert verify(path).faults == (), change
        finish_and_compare(small, path, checks, never_stopped, reference)
        assert open_trace(path).attrs["gaps"] == {"weights": [2]}
        shutil.rmtree(path)
        tally.kills += 1
    print(f"\n{tally}")
    return tally


def assert_all_kinds(changes):
    """Everything that a trace is made of is among the changes, at the visits that it belongs to."""
    counts = Counter((change.what, change.key) for change in changes)
    puts = {key: number for (what, key), number in counts.items() if what == "put_pieces"}
    assert puts["commit/c/0"] == 8  # of an empty trace, and of seven snapshots
    assert {f"weights/values/c/{n}/0" for n in (0, 1, 3, 4, 5, 6)} <= set(puts)
    assert {f"gradients/values/c/{n}/0" for n in range(3)} <= set(puts)
    assert puts["losses/eval_loss/c/0/0"] == puts["visits/wall_time_seconds/c/0"] == 7
    assert puts["recording/capture_milliseconds/c/0/0"] == 7
    assert {f"commit/checkpoint/{n}/state.json" for n in (2, 4, 6)} <= set(puts)
    assert ("remove_tree", "commit/checkpoint/2") in counts
    assert puts["commit/copies"] == puts["commit/claims/*.json"] == 1
    assert puts["weights/zarr.json"] == puts["zarr.json"] == 2  # with its gap; with its status


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_every_change_of_a_new_run(small, never_stopped, checks, moment):
    changes = changes_of(small, small.folder / "listed.zarr")
    assert_all_kinds(changes)
    tally = kill_at(small, never_stopped, checks, [(change, moment) for change in changes])
    assert tally.kills == len(changes) > 100
    assert set(tally.ended_at) == set(range(8))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["half", "after"])
def test_a_kill_at_every_change_of_a_resumed_run(small, never_stopped, checks, moment):
    """A run that is killed as its fifth snapshot has become visible, and once more while it is resumed."""
    start = small.folder / "start.zarr"
    _, status = os.waitpid(small.fork(start, dying_at(Change("put_pieces", "commit/c/0", 6), "after")), 0)
    assert os.WIFSIGNALED(status)
    shutil.copytree(start, small.folder / "listed.zarr")
    changes = changes_of(small, small.folder / "listed.zarr")
    tally = kill_at(
        small, never_stopped, checks, [(change, moment) for change in changes], start=start, before=5
    )
    shutil.rmtree(start)
    assert tally.kills == len(changes) > 30
    assert set(tally.ended_at) == {5, 6, 7}


def test_kills_at_a_few_changes(small, never_stopped, checks):
    """One of every sort that the slow tests go through."""
    wanted = [
        (Change("put_pieces", "commit/c/0", 3), "half"),
        (Change("put_pieces", "commit/checkpoint/4/state.json", 1), "half"),
        (Change("put_pieces", "weights/zarr.json", 2), "after"),
    ]
    tally = kill_at(small, never_stopped, checks, wanted)
    assert tally.ended_at == [1, 4, 2]
