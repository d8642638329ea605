"""Objects are replaced whole, or not at all."""

import fcntl
import os
import pickle
import threading
from pathlib import Path

import pytest

from tracekit.errors import StoreError, TraceError
from tracekit.store import LocalStore, local, open_store


def test_objects_come_back(tmp_path):
    store = LocalStore(tmp_path / "s")
    assert not store.exists()
    store.put("a/b", b"0123456789")

    assert store.exists()
    assert store.get("a/b") == b"0123456789"
    assert store.get_range("a/b", 2, 3) == b"234"
    assert store.get_range("a/b", -3, 3) == b"789"
    assert store.get_range("a/b", -30, 30) == b"0123456789"
    assert store.get("a/c") is store.get_range("a/c", 0, 1) is store.get("a/b/c") is None
    assert list(store.children()) == ["a"]
    assert list(store.children("nowhere")) == []
    store.sync()
    store.delete()
    assert not (tmp_path / "s").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_leaves_the_old_object(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.put("a", b"old")

    def refuse(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        store.put("a", b"new")

    assert store.get("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_readers_never_see_a_part(tmp_path):
    store = LocalStore(tmp_path, "rename")
    contents = [bytes([n]) * 100_000 for n in range(2)]
    store.put("a", contents[0])
    stop = threading.Event()

    def write():
        for n in range(300):
            store.put("a", contents[n % 2])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not stop.is_set():
        assert store.get("a") in contents
        reads += 1
    writer.join()
    assert reads > 10


@pytest.mark.parametrize("durability", ["fsync", "rename"])
def test_files_and_folders_are_flushed_if_asked(tmp_path, monkeypatch, durability):
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    store = LocalStore(tmp_path, durability)
    store.put("group/a", b"1")
    store.sync()

    folders = {path for path in flushed if not path.endswith(".partial")}
    assert bool(flushed) == (durability == "fsync")
    assert folders >= ({str(tmp_path), str(tmp_path / "group")} if durability == "fsync" else set())


def test_stores_travel_between_processes(tmp_path):
    store = pickle.loads(pickle.dumps(LocalStore(tmp_path, "rename")))
    store.put("a", b"1")
    assert LocalStore(tmp_path).get("a") == b"1"


def test_urls(tmp_path):
    assert open_store(f"file://{tmp_path}/run.zarr").url == f"{tmp_path}/run.zarr"
    assert open_store(tmp_path / "run.zarr").url == f"{tmp_path}/run.zarr"
    with pytest.raises(TraceError, match="gopher:// is not known"):
        open_store("gopher://run")


def test_a_writer_that_is_suspended_within_a_put_is_told_of_and_not_waited_for(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.put("a/b", b"1")
    monkeypatch.setattr(local, "LOCK_SECONDS", 0)
    suspended = os.open(tmp_path / "a", os.O_RDONLY)
    fcntl.flock(suspended, fcntl.LOCK_EX)
    for ask in (
        lambda: store.exchange("a/b", [b"1"], b"2"),
        lambda: store.put_unless_changed("a/b", [b"2"], store.version("a/b")),
    ):
        with pytest.raises(StoreError, match=r"/a: another process has locked this folder.*end it"):
            ask()
    assert store.get("a/b") == b"1"
    os.close(suspended)
    assert store.exchange("a/b", [b"1"], b"2")


def test_a_process_that_was_forked_within_a_put_locks_nobody_out(tmp_path, monkeypatch):
    """As the workers of a DataLoader are, which live longer than the put."""
    store = LocalStore(tmp_path)
    parent_end, child_end = os.pipe()
    children = []

    def put_pieces(self, key, pieces):
        if not children:
            children.append(os.fork())
            if children[-1] == 0:
                os.close(child_end)
                os.read(parent_end, 1)
                os._exit(0)
        (tmp_path / key).write_bytes(b"".join(pieces))

    monkeypatch.setattr(LocalStore, "put_pieces", put_pieces)
    monkeypatch.setattr(local, "LOCK_SECONDS", 2)
    try:
        seen = store.put_unless_changed("a", [b"one"], None)
        assert store.put_unless_changed("a", [b"two"], seen) is not None
    finally:
        os.close(child_end)
        os.waitpid(children[0], 0)
        os.close(parent_end)
