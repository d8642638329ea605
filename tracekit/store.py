"""Where the bytes of a trace live: objects by key, replaced whole and atomically."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from tracekit.errors import TraceError
from tracekit.guard import Guard

Durability = Literal["fsync", "rename"]


class Store(Protocol):
    """Objects by key. A `put` is atomic: a reader sees the old object or the new one, never a part."""

    @property
    def url(self) -> str:
        """Where the store is, as a person would type it."""

    def get(self, key: str) -> bytes | None:
        """Give an object, or None where there is none."""

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object.

        Fewer bytes come back where the object ends before; no memory is taken for bytes that are not there.
        """

    def remove(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place, whole; its content is durable on return."""

    def sync(self) -> None:
        """Make the names of all objects put so far durable."""

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix, sorted."""

    def exists(self) -> bool:
        """Say whether there is anything at all at the URL."""

    def delete(self) -> None:
        """Delete everything."""


class LocalStore:
    """A folder on a local disk.

    Parameters
    ----------
    root : Path
        The folder; it need not exist yet.
    durability : {"fsync", "rename"}
        `"fsync"` survives a power cut; `"rename"` survives a killed process, and is faster.
    """

    def __init__(self, root: Path, durability: Durability = "fsync") -> None:
        self.root = root
        self.durability = durability
        self._unsynced: set[Path] = set()
        self._lock = threading.Lock()
        self._guard = Guard(root)

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.root)

    def __getstate__(self) -> dict[str, object]:
        return {"root": self.root, "durability": self.durability}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def get(self, key: str) -> bytes | None:
        """Give an object, or None where there is none."""
        descriptor = self._guard.open(key)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return bytes(file.read())

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object."""
        descriptor = self._guard.open(key)
        if descriptor is None:
            return None
        try:
            size = os.fstat(descriptor).st_size
            first = min(start, size) if start >= 0 else max(0, size + start)
            return os.pread(descriptor, min(length, size - first), first)
        finally:
            os.close(descriptor)

    def remove(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._guard.check_folders(key)
            (self.root / key).unlink()
        with self._lock:
            self._unsynced.add((self.root / key).parent)

    def put(self, key: str, data: bytes) -> None:
        """Write beside, flush to disk, rename into place."""
        path = self.root / key
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        self._make_folder(path.parent)
        try:
            with temporary.open("wb", buffering=0) as file:
                _write_all(file.fileno(), data)
                if self.durability == "fsync":
                    os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        with self._lock:
            self._unsynced.add(path.parent)

    def sync(self) -> None:
        """Flush the folders that got new names."""
        with self._lock:
            folders, self._unsynced = self._unsynced, set()
        if self.durability == "fsync":
            for folder in folders:
                _fsync_folder(folder)

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix, sorted; files being written do not count."""
        yield from sorted(name for name in self._guard.names(prefix) if not name.startswith("."))

    def exists(self) -> bool:
        """Say whether the folder holds anything."""
        return self.root.is_file() or any(self.children())

    def delete(self) -> None:
        """Move the folder aside in one step, so that half a trace is never seen, then delete it."""
        aside = self.root.with_name(f".{self.root.name}.{uuid.uuid4().hex}.deleted")
        self.root.rename(aside)
        shutil.rmtree(aside)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                self._unsynced.update(parent for parent in (folder, *folder.parents) if parent != Path("/"))


def open_store(path: str | os.PathLike[str], durability: Durability = "fsync") -> Store:
    """Give the store at a path or `file://` URL.

    Raises
    ------
    TraceError
        If the URL names a kind of store that this version does not know.
    """
    text = os.fspath(path)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return LocalStore(Path(text), durability)
    if scheme == "file":
        return LocalStore(Path(rest), durability)
    raise TraceError(
        f"{text}: traces live on a local disk, as a path or file:// URL; {scheme}:// is not known"
    )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
