"""Pieces come to lie in a file one after another, whatever a call of the system takes of them."""

import errno
import os

import numpy as np
import pytest

from tracekit.store import LocalStore
from tracekit.store.pieces import MOST_TOGETHER

TOGETHER_BYTES = 2000
RANDOM = np.random.default_rng(0)
PIECES = {
    "none": [],
    "only empty ones": [b"", b""],
    "empty ones between": [b"", b"ab", b"", memoryview(b"cdef"), b""],
    "more than a call takes": [bytes([n % 256]) * (n % 3) for n in range(3 * MOST_TOGETHER + 1)],
    "a large one": [b"a", RANDOM.bytes(2 * TOGETHER_BYTES + 1), b"b"],
    "chunks and checksums": [RANDOM.bytes(n) for _ in range(20) for n in (190, 4)],
    "numbers": [np.arange(5.0).data, np.arange(6).reshape(2, 3).data],
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr("tracekit.store.pieces.TOGETHER_BYTES", TOGETHER_BYTES)


def cut_short(monkeypatch, most):
    """Let a call write `most` bytes, and give how many each call was asked for."""
    write, asked = os.writev, []

    def some(descriptor, pieces):
        data = b"".join(pieces)
        asked.append(len(data))
        return write(descriptor, [data[:most]])

    monkeypatch.setattr(os, "writev", some)
    return asked


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("most", [None, 7, 999])
def test_pieces_lie_one_after_another(tmp_path, monkeypatch, pieces, most):
    if most is not None:
        cut_short(monkeypatch, most)
    store = LocalStore(tmp_path, "rename")
    store.put_pieces("a", iter(pieces))

    assert store.get("a") == b"".join(bytes(piece) for piece in pieces)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_few_calls_write_many_pieces(tmp_path, monkeypatch):
    asked = cut_short(monkeypatch, None)
    pieces = PIECES["chunks and checksums"]
    LocalStore(tmp_path, "rename").put_pieces("a", pieces)

    assert len(asked) == 2
    assert max(asked) <= TOGETHER_BYTES + max(map(len, pieces))
    assert sum(asked) == sum(map(len, pieces))


def test_a_disk_that_fills_up_amid_the_pieces_leaves_the_old_object(tmp_path, monkeypatch):
    write, room = os.writev, [700, 1, 0]

    def while_there_is_room(descriptor, pieces):
        if not (most := room.pop(0)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, [b"".join(pieces)[:most]])

    store = LocalStore(tmp_path)
    store.put("a", b"old")
    monkeypatch.setattr(os, "writev", while_there_is_room)
    with pytest.raises(OSError, match="No space left"):
        store.put_pieces("a", [b"x" * 500, b"y" * 500])

    assert room == []
    assert store.get("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_error_of_what_gives_the_pieces_leaves_nothing(tmp_path):
    def pieces():
        yield b"a" * (TOGETHER_BYTES + 1)
        yield b"b"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        LocalStore(tmp_path).put_pieces("a", pieces())

    assert list(tmp_path.iterdir()) == []
