"""Killed at any moment: the trace opens, has lost nothing, and its run ends as if never stopped."""

import random
import shutil
import time

import pytest
from durability.killing import Tally, finish_and_compare, look


def kill_over_and_over(runs, reference, reference_values, checks, *, n_kills, n_resumed, seed):
    """Record runs, killing them at random moments and resuming them, until there were enough kills."""
    chance = random.Random(seed)
    tally = Tally()
    whole = min(timed(runs, number) for number in range(2))
    while tally.kills < n_kills or tally.resumed < n_resumed:
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
    tally = kill_over_and_over(runs, reference, reference_values, checks, n_kills=10, n_resumed=0, seed=1)
    assert max(tally.ended_at) > 3


@pytest.mark.slow
def test_two_hundred_kills_at_random_moments(runs, reference, reference_values, checks):
    tally = kill_over_and_over(runs, reference, reference_values, checks, n_kills=200, n_resumed=101, seed=2)
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
