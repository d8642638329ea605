"""A store at any file system that fsspec knows."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from fsspec.core import url_to_fs

from tracekit.errors import StoreError
from tracekit.store.base import Buffer
from tracekit.store.objects import Ranges, StoredObject

VERSION_FIELDS = ("size", "ETag", "etag", "generation", "last_modified", "LastModified", "mtime", "created")


class FilesystemStore:
    """A place that fsspec reaches, such as `abfs://…`, with the package that fsspec needs for it.

    Listings are not cached. Whether a `put` is atomic and durable on return is up to the file system: it is
    where one request stores an object, and is not over `sftp://` or `ftp://`, where a run that is killed may
    leave its last file cut off (which reading finds out by its checksum). Nothing keeps two writers apart.

    Parameters
    ----------
    url : str
        Where; settings come from fsspec's configuration.

    Raises
    ------
    StoreError
        If fsspec does not know the URL, or needs a package that is not there; from every method, if the file
        system cannot be reached or refuses.
    """

    parallel_requests = 4

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        try:
            filesystem, root = url_to_fs(self._url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"{self._url}: {self._url.partition('://')[0]}:// is not known ({error})"
            ) from error
        except OSError as error:
            raise StoreError(f"{self._url}: cannot be reached ({error}); check the URL") from error
        self._filesystem: Any = filesystem
        self._root = str(root).rstrip("/")

    @property
    def url(self) -> str:
        """The URL."""
        return self._url

    def __reduce__(self) -> tuple[type[FilesystemStore], tuple[str]]:
        return FilesystemStore, (self._url,)

    def get(self, key: str) -> bytes | None:
        """Give an object, or None where there is none."""
        return self._get(key, None, None)

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object."""
        data = self._get(key, start, start + length if start >= 0 else None)
        return None if data is None else data[:length]

    def open(self, key: str) -> AbstractContextManager[StoredObject]:
        """Open an object for several reads."""
        return contextlib.nullcontext(Ranges(self, key))

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place."""
        path = self._path(key)
        with self._explaining(key):
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._filesystem.pipe_file(path, data)

    def exchange(self, key: str, old: Collection[bytes | None], new: bytes) -> bool:
        """Look, then put an object if what is there is one of `old`; another writer may come in between."""
        if self.get(key) not in old:
            return False
        self.put(key, new)
        return True

    def put_pieces(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Put an object in place; only as a whole can it be atomic."""
        self.put(key, b"".join(pieces))

    def version(self, key: str) -> str | None:
        """Give what the file system says of an object, or None where there is none."""
        with self._explaining(key):
            try:
                found = self._filesystem.info(self._path(key))
            except (FileNotFoundError, NotADirectoryError):
                return None
        return None if found["type"] == "directory" else repr([found.get(name) for name in VERSION_FIELDS])

    def put_unless_changed(self, key: str, pieces: Iterable[Buffer], seen: str | None) -> str | None:
        """Look, then put an object if the one in its place is the one that was seen; give its version.

        Another writer may come in between.
        """
        if self.version(key) != seen:
            return None
        self.put_pieces(key, pieces)
        return self.version(key)

    def sync(self) -> None:
        """Do nothing: fsspec knows nothing of it."""

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix, sorted."""
        path = self._path(prefix)
        with self._explaining(prefix), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = (str(name).rstrip("/") for name in self._filesystem.ls(path, detail=False))
            yield from sorted({name.rpartition("/")[2] for name in found if name != path})

    def exists(self) -> bool:
        """Say whether there is any object."""
        return any(self.children())

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._explaining(key), contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(self._path(key))

    def remove_tree(self, prefix: str) -> None:
        """Remove every object under a prefix."""
        with self._explaining(prefix), contextlib.suppress(FileNotFoundError):
            self._filesystem.rm(self._path(prefix), recursive=True)

    def sweep(self) -> None:
        """Do nothing: a put that is cut off leaves nothing behind."""

    def delete(self) -> None:
        """Delete everything."""
        self.remove_tree("")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _get(self, key: str, start: int | None, end: int | None) -> bytes | None:
        with self._explaining(key):
            try:
                return bytes(self._filesystem.cat_file(self._path(key), start=start, end=end))
            except (FileNotFoundError, IsADirectoryError):
                return None

    @contextlib.contextmanager
    def _explaining(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self._url}/{key}: the file system refused, or cannot be reached ({error}); "
                "check the URL and the credentials"
            ) from error
