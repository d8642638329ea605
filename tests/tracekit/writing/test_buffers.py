"""Rows on their way to the store: their memory is used again, and there is never more of it than allowed."""

import random
import threading
import time

import numpy as np
import pytest

from tracekit.writing.buffers import RowBuffers

FLOAT = np.dtype("<f4")


def test_memory_is_used_again():
    buffers = RowBuffers()
    first = buffers.lend((3, 100), FLOAT)
    buffers.take_over(first)
    buffers.done(first)

    again, other = buffers.lend((300,), FLOAT), buffers.lend((300,), FLOAT)

    assert np.shares_memory(first, again)
    assert not np.shares_memory(first, other)
    assert (again.shape, again.dtype) == ((300,), FLOAT)


def test_what_is_kept_makes_room_for_what_is_needed():
    buffers = RowBuffers(most_bytes=800)
    small = [buffers.lend((25,), FLOAT) for _ in range(8)]
    for values in small:
        buffers.take_over(values)
        buffers.done(values)
    assert sum(map(len, buffers._free.values())) == 8

    buffers.lend((150,), FLOAT)

    assert sum(map(len, buffers._free.values())) == 2


def in_thread(action):
    """Start a thread; gives it, and a list that is no longer empty when it is over."""
    over = []
    thread = threading.Thread(target=lambda: over.append(action()))
    thread.start()
    return thread, over


@pytest.mark.parametrize("lend", [True, False])
def test_who_asks_for_too_much_waits_until_something_is_written(lend):
    buffers = RowBuffers(most_bytes=1000)
    foreign = np.zeros(200, FLOAT)
    buffers.take_over(foreign)

    more = np.zeros(100, FLOAT)
    thread, over = in_thread(lambda: buffers.lend((100,), FLOAT) if lend else buffers.take_over(more))
    time.sleep(0.05)
    assert not over
    buffers.done(foreign)
    thread.join(5)

    assert over
    assert 0.04 < buffers.waited_seconds < 5


def test_what_is_larger_than_the_queue_passes_alone():
    buffers = RowBuffers(most_bytes=10)
    large = buffers.lend((100,), FLOAT)
    buffers.take_over(large)
    thread, over = in_thread(lambda: buffers.lend((1,), FLOAT))
    time.sleep(0.05)
    assert not over
    buffers.done(large)
    thread.join(5)
    assert over


def test_nobody_waits_for_what_he_holds_himself():
    buffers = RowBuffers(most_bytes=1000)
    assert all(buffers.lend((200,), FLOAT).nbytes == 800 for _ in range(4))
    assert buffers.waited_seconds == 0


def test_many_threads_never_have_more_under_way_than_allowed():
    buffers, most, seen = RowBuffers(most_bytes=5000), 5000, []

    def writer(rows):
        for values in rows:
            buffers.take_over(values)
            seen.append(buffers._under_way)
            time.sleep(random.random() / 1e4)
            assert (values == values.flat[0]).all()
            buffers.done(values)

    def rows(number):
        for size in np.random.default_rng(number).integers(1, 300, 100):
            values = buffers.lend((size,), FLOAT)
            values[:] = number
            yield values

    threads = [threading.Thread(target=writer, args=(rows(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(seen) == 400
    assert max(seen) <= most
    assert buffers._under_way == buffers._waiting == 0
    assert not buffers._lent
    assert not buffers._taken
