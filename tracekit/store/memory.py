"""A store in the memory of this process."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NoReturn

from tracekit.errors import TraceError
from tracekit.store.base import Buffer
from tracekit.store.objects import Ranges, StoredObject

_SHARED: defaultdict[str, dict[str, tuple[bytes, str]]] = defaultdict(dict)  # with their versions
_VERSIONS = itertools.count()
_LOCK = threading.Lock()


class MemoryStore:
    """Objects in memory, shared by all stores of the same name in this process, until they are deleted.

    A `put` is atomic and seen at once by every thread; nothing outlives the process. Other processes cannot
    see it: pickling it raises an error rather than giving an empty store there.

    Parameters
    ----------
    name : str
        What follows `memory://`.
    """

    parallel_requests = 1

    def __init__(self, name: str) -> None:
        self._name = name.strip("/")

    @property
    def url(self) -> str:
        """The name, as a URL."""
        return f"memory://{self._name}"

    def __reduce__(self) -> NoReturn:
        raise TraceError(
            f"{self.url}: lives in the memory of one process, and another was to read it; use dask's threads "
            "(scheduler='threads'), or record to a path or an object store"
        )

    def get(self, key: str) -> bytes | None:
        """Give an object, or None where there is none."""
        found = self._find(key)
        return None if found is None else found[0]

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object."""
        data = self.get(key)
        if data is None:
            return None
        first = start if start >= 0 else max(0, len(data) + start)
        return data[first : first + length]

    def open(self, key: str) -> AbstractContextManager[StoredObject]:
        """Open an object for several reads."""
        return contextlib.nullcontext(Ranges(self, key))

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place."""
        with _LOCK:
            self._keep(key, data)

    def exchange(self, key: str, old: Collection[bytes | None], new: bytes) -> bool:
        """Put an object if what is there is one of `old`; say whether it was."""
        with _LOCK:
            found = _SHARED[self._name].get(key, (None,))[0]
            if found in old:
                self._keep(key, new)
        return found in old

    def put_pieces(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Put an object in place."""
        self.put(key, b"".join(pieces))

    def version(self, key: str) -> str | None:
        """Give what tells an object from every other, or None where there is none."""
        found = self._find(key)
        return None if found is None else found[1]

    def put_unless_changed(self, key: str, pieces: Iterable[Buffer], seen: str | None) -> str | None:
        """Put an object if the one in its place is the one that was seen; give its version, else None."""
        data = b"".join(pieces)
        with _LOCK:
            if _SHARED[self._name].get(key, (b"", None))[1] != seen:
                return None
            return self._keep(key, data)

    def sync(self) -> None:
        """Do nothing: there is nothing more durable than this memory."""

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix, sorted."""
        start = f"{prefix}/" if prefix else ""
        return iter(sorted({key[len(start) :].split("/")[0] for key in self._keys(start)}))

    def exists(self) -> bool:
        """Say whether there is any object."""
        return bool(self._keys(""))

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        with _LOCK:
            _SHARED[self._name].pop(key, None)

    def remove_tree(self, prefix: str) -> None:
        """Remove every object under a prefix."""
        for key in self._keys(f"{prefix}/"):
            self.remove(key)

    def sweep(self) -> None:
        """Do nothing: a put that is cut off leaves nothing behind."""

    def delete(self) -> None:
        """Delete everything, at once."""
        with _LOCK:
            _SHARED.pop(self._name, None)

    def _find(self, key: str) -> tuple[bytes, str] | None:
        with _LOCK:
            return _SHARED[self._name].get(key)

    def _keep(self, key: str, data: bytes) -> str:
        version = str(next(_VERSIONS))
        _SHARED[self._name][key] = bytes(data), version
        return version

    def _keys(self, start: str) -> list[str]:
        with _LOCK:
            return [key for key in _SHARED[self._name] if key.startswith(start)]
