"""What is asked of a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from tracekit.store.objects import StoredObject

Durability = Literal["fsync", "rename"]
Buffer = bytes | memoryview


class Store(Protocol):
    """Objects by key. A `put` is atomic: a reader sees the old object or the new one, never a part.

    Keys are parts joined by `/`. Stores are safe to use from several threads.
    """

    @property
    def url(self) -> str:
        """Where the store is, as a person would type it."""

    @property
    def parallel_requests(self) -> int:
        """How many requests are worth having under way at once: 1 where waiting is not what takes time."""

    def get(self, key: str) -> bytes | None:
        """Give an object, or None where there is none."""

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object.

        What lies beyond the object's end is left out.
        """

    def open(self, key: str) -> AbstractContextManager[StoredObject]:
        """Open an object for several reads."""

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place, whole; its content is durable on return."""

    def exchange(self, key: str, old: Collection[bytes | None], new: bytes) -> bool:
        """Put an object if what is there is one of `old` (None: nothing is); say whether it was.

        Of two that exchange the same object at once, one is told that it was not; not at every file system
        behind fsspec, though.
        """

    def put_pieces(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Put an object that comes in pieces, as `put` does; large ones are not joined in memory first."""

    def version(self, key: str) -> str | None:
        """Give what tells an object from every other that was or will be put in its place; None: no object.

        Of an object store that knows nothing better, it is that of the content: the same if that is the same.
        """

    def put_unless_changed(self, key: str, pieces: Iterable[Buffer], seen: str | None) -> str | None:
        """Put an object, as `put_pieces` does, if the one in its place still has the version that was seen.

        Returns the version of what was put, or None if another object is there (or one, if `seen` is None;
        or none, if it is not), and nothing was put.
        """

    def sync(self) -> None:
        """Make the names of all objects put so far durable."""

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix, sorted."""

    def exists(self) -> bool:
        """Say whether there is anything at all at the URL."""

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""

    def remove_tree(self, prefix: str) -> None:
        """Remove every object under a prefix, if there are any."""

    def sweep(self) -> None:
        """Delete what puts that were cut off left behind. Only the one writer may ask for it."""

    def delete(self) -> None:
        """Delete everything."""


def remove_all(store: Store, key: str) -> None:
    """Remove the object of a key, or every object under it."""
    store.remove(key)
    store.remove_tree(key)
