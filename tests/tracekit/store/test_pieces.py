"""Pieces come to lie in a file one after another, whatever a call of the system takes of them."""

import errno
import mmap
import os
import sys

import numpy as np
import pytest

from tracekit.store import LocalStore, SizedPieces, pieces, reserving

STAGE_BYTES = 2 * mmap.PAGESIZE
RANDOM = np.random.default_rng(0)
PIECES = {
    "none": [],
    "only empty ones": [b"", b""],
    "empty ones between": [b"", b"ab", b"", memoryview(b"cdef"), b""],
    "as much as fits": [b"x" * (STAGE_BYTES - 1), b"y"],
    "one byte more": [b"x" * STAGE_BYTES, b"y"],
    "many small ones": [bytes([n % 256]) * (n % 30) for n in range(2000)],
    "a large one": [b"a", RANDOM.bytes(3 * STAGE_BYTES + 1), b"b"],
    "chunks and checksums": [RANDOM.bytes(n) for _ in range(20) for n in (1900, 4)],
    "numbers": [np.arange(5.0).data, np.arange(6).reshape(2, 3).data],
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(pieces, "STAGE_BYTES", STAGE_BYTES)
    monkeypatch.setattr(pieces, "_stages", type(pieces._stages)())


def cut_short(monkeypatch, most):
    """Let a call write `most` bytes, and give where each call began and how much it was asked for."""
    write, asked = os.write, []

    def some(descriptor, data):
        asked.append((os.lseek(descriptor, 0, os.SEEK_CUR), len(data)))
        return write(descriptor, data[:most])

    monkeypatch.setattr(os, "write", some)
    return asked


@pytest.mark.parametrize("given", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("most", [None, 7, 999])
def test_pieces_lie_one_after_another(tmp_path, monkeypatch, given, most):
    if most is not None:
        cut_short(monkeypatch, most)
    store = LocalStore(tmp_path, "rename")
    store.put_pieces("a", iter(given))

    assert store.get("a") == b"".join(bytes(piece) for piece in given)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_few_calls_write_whole_pages(tmp_path, monkeypatch):
    asked = cut_short(monkeypatch, None)
    given = PIECES["chunks and checksums"]
    LocalStore(tmp_path, "rename").put_pieces("a", given)

    n_bytes = sum(map(len, given))
    assert asked == [(start, min(STAGE_BYTES, n_bytes - start)) for start in range(0, n_bytes, STAGE_BYTES)]


def test_memory_is_used_again_also_after_an_error(tmp_path):
    store = LocalStore(tmp_path, "rename")
    for given in ([b"a"], [None], [b"b"]):
        try:
            store.put_pieces("a", given)
        except TypeError:
            continue
        assert len(pieces._stages) == 1


def test_a_process_and_its_fork_write_what_is_their_own(tmp_path):
    """Each fills the same memory at the same time, as it were: one waits for the other amid its pieces."""
    LocalStore(tmp_path, "rename").put("warm", b"so that there is memory that both know")
    (ours, there), (back, theirs) = os.pipe(), os.pipe()

    child = os.fork()
    if child == 0:
        os.read(ours, 1)
        LocalStore(tmp_path, "rename").put("child", b"c" * 1000)
        os.write(theirs, b".")
        os._exit(0)

    def amid():
        yield b"p" * 500
        os.write(there, b".")
        os.read(back, 1)
        yield b"p" * 500

    store = LocalStore(tmp_path, "rename")
    store.put_pieces("parent", amid())
    os.waitpid(child, 0)
    assert store.get("parent") == b"p" * 1000
    assert store.get("child") == b"c" * 1000


def test_a_disk_that_fills_up_amid_the_pieces_leaves_the_old_object(tmp_path, monkeypatch):
    write, room = os.write, [700, 1, 0]

    def while_there_is_room(descriptor, data):
        if not (most := room.pop(0)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:most])

    store = LocalStore(tmp_path)
    store.put("a", b"old")
    monkeypatch.setattr(os, "write", while_there_is_room)
    with pytest.raises(OSError, match="No space left"):
        store.put_pieces("a", [b"x" * 500, b"y" * 500])

    assert room == []
    assert store.get("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_error_of_what_gives_the_pieces_leaves_nothing(tmp_path):
    def given():
        yield b"a" * (STAGE_BYTES + 1)
        yield b"b"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        LocalStore(tmp_path).put_pieces("a", given())

    assert list(tmp_path.iterdir()) == []


class OfSize(list, SizedPieces):
    """Pieces that say how many bytes they have."""

    n_bytes = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has fallocate")
def test_place_is_reserved_for_pieces_of_known_size(tmp_path):
    store = LocalStore(tmp_path, "rename")
    store.put_pieces("reserved", OfSize([b"ab"]))
    store.put_pieces("not", [b"ab"])

    assert store.get("reserved") == b"ab"  # no longer than what was written
    blocks = {name: (tmp_path / name).stat().st_blocks * 512 for name in ("reserved", "not")}
    assert blocks["reserved"] >= OfSize.n_bytes > blocks["not"]


@pytest.mark.parametrize("found", [None, lambda *_: -1], ids=["no such call", "a file system without it"])
def test_nothing_rests_on_reserving(tmp_path, monkeypatch, found):
    monkeypatch.setattr(reserving, "_fallocate", lambda: found)
    store = LocalStore(tmp_path, "rename")
    store.put_pieces("a", OfSize([b"a", b"b"]))
    assert store.get("a") == b"ab"
