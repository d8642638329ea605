"""A store on a local disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tracekit.errors import StoreError
from tracekit.store.base import Buffer, Durability
from tracekit.store.guard import Guard
from tracekit.store.objects import OpenFile, open_file
from tracekit.store.pieces import write_pieces

PARTIAL = ".{}.{}.partial"
LOCK_SECONDS = 30
LOCK_PAUSE_SECONDS = 0.002


class LocalStore:
    """A folder on a local disk.

    A `put` writes a file beside, flushes it and renames it into place: atomic, and seen at once by every
    process of the machine. With `"fsync"` its content is durable on return, and its name after `sync`.
    `delete` takes the whole folder away in one step.

    Parameters
    ----------
    root : Path
        The folder; it need not exist yet.
    durability : {"fsync", "rename"}
        `"fsync"` survives a power cut; `"rename"` survives a killed process, and is faster.
    """

    parallel_requests = 1

    def __init__(self, root: Path, durability: Durability = "fsync") -> None:
        self.root = root
        self._root = str(root)
        self.durability = durability
        self._unsynced: set[str] = set()
        self._lock = threading.Lock()
        self._guard = Guard(root)

    @property
    def url(self) -> str:
        """The folder."""
        return self._root

    def __reduce__(self) -> tuple[type[LocalStore], tuple[Path, Durability]]:
        # absolute, as another process may have another working directory
        return LocalStore, (self.root.absolute(), self.durability)

    def get(self, key: str) -> bytes | None:
        """Give an object, or None where there is none."""
        with self.open(key) as file:
            return file.read()

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object."""
        with self.open(key) as file:
            return file.range(start, length)

    def open(self, key: str) -> AbstractContextManager[OpenFile]:
        """Open an object for several reads: a file, and no other that takes its place meanwhile."""
        return open_file(self._guard.open(key), self._path(key))

    def put(self, key: str, data: bytes) -> None:
        """Write beside, flush to disk, rename into place."""
        self.put_pieces(key, (data,))

    def put_pieces(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Write beside, some pieces at a time, flush to disk, rename into place."""
        folder, name = os.path.split(self._path(key))
        temporary = f"{folder}/{PARTIAL.format(name, uuid.uuid4().hex)}"
        self._make_folder(folder)
        try:
            with _new_file(temporary) as descriptor:
                write_pieces(descriptor, pieces)
                if self.durability == "fsync":
                    os.fsync(descriptor)
            os.replace(temporary, f"{folder}/{name}")
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        self._changed(folder)

    def exchange(self, key: str, old: Collection[bytes | None], new: bytes) -> bool:
        """Put an object if what is there is one of `old`; say whether it was.

        The folder is locked meanwhile; the kernel unlocks it if the process ends. Where a file system has no
        locks, another writer may come between the look and the put.

        Raises
        ------
        StoreError
            If another process does not unlock it.
        """
        folder = os.path.dirname(self._path(key))
        self._make_folder(folder)
        with _locked(folder):
            if self.get(key) not in old:
                return False
            self.put(key, new)
        return True

    def version(self, key: str) -> str | None:
        """Give what tells a file from every other, or None where there is none."""
        try:
            found = os.lstat(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(found.st_mode):
            return None
        return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}"

    def put_unless_changed(self, key: str, pieces: Iterable[Buffer], seen: str | None) -> str | None:
        """Put an object if the file in its place is the one that was seen; give its version, else None.

        The folder is locked meanwhile, as by `exchange`.
        """
        folder = os.path.dirname(self._path(key))
        self._make_folder(folder)
        with _locked(folder):
            if self.version(key) != seen:
                return None
            self.put_pieces(key, pieces)
            return self.version(key)

    def sync(self) -> None:
        """Flush the folders that got new names."""
        with self._lock:
            folders, self._unsynced = self._unsynced, set()
        if self.durability == "rename":
            return
        try:
            for folder in folders:
                _fsync_folder(folder)
        except OSError:
            with self._lock:
                self._unsynced |= folders
            raise

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix, sorted; files being written do not count."""
        yield from sorted(name for name in self._guard.names(prefix) if not name.startswith("."))

    def exists(self) -> bool:
        """Say whether the folder holds anything."""
        return self.root.is_file() or any(self.children())

    def remove(self, key: str) -> None:
        """Remove an object, if it is there; durable after `sync`."""
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._guard.check_folders(key)
            os.unlink(path)
            self._changed(os.path.dirname(path))

    def remove_tree(self, prefix: str) -> None:
        """Remove a folder in it, if it is there; durable after `sync`."""
        folder = self.root / prefix
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
            self._changed(str(folder.parent))
            with self._lock:
                self._unsynced = {path for path in self._unsynced if not Path(path).is_relative_to(folder)}

    def sweep(self) -> None:
        """Delete the files that were being written when their process was killed."""
        for path in self.root.rglob(PARTIAL.format("*", "*")):
            path.unlink(missing_ok=True)

    def delete(self) -> None:
        """Move the folder aside in one step, so that half a trace is never seen, then delete it."""
        aside = self.root.with_name(f".{self.root.name}.{uuid.uuid4().hex}.deleted")
        self.root.rename(aside)
        shutil.rmtree(aside)

    def _path(self, key: str) -> str:
        # a string: making a Path takes as long as the system takes to write a small file
        return f"{self._root}/{key}"

    def _changed(self, folder: str) -> None:
        with self._lock:
            self._unsynced.add(folder)

    def _make_folder(self, folder: str) -> None:
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
            with self._lock:
                self._unsynced.update(str(path) for path in (Path(folder), *Path(folder).parents))
                self._unsynced.discard("/")


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[int]:
    """Open a file that is not there yet for writing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Lock a folder against other writers."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{folder}: another process has locked this folder for over {LOCK_SECONDS} s, as does a "
                    "writer that was suspended within a put; end it, or let it go on"
                )
            time.sleep(LOCK_PAUSE_SECONDS)
        yield
    finally:
        _unlock(descriptor)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Say whether a folder is locked now, or is on a file system that has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _unlock(descriptor: int) -> None:
    """Unlock a folder also where a process that was forked meanwhile has a copy of the descriptor."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _fsync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
