"""A store as the one writer of a trace sees it: what another writer has put since is never replaced.

A put may be long under way: its process is suspended, or its request is repeated until a network is back.
So a writer that was taken over can have puts that arrive late, among those of the one that took over. Each
put is therefore made on a condition: that nothing is there, or what this writer put last. Where something
else is found, the claim decides who is late. (On fencing, see Kleppmann, Designing Data-Intensive
Applications, 2017, chapter 8.)

Object stores tell objects by their content. Metadata can be the same again after it was another, and so each
writer lets its own end in blanks that nobody else's ends in. Series only grow: with the same content, what is
late has all that is committed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tracekit.errors import StoreError
from tracekit.format.layout import COMMIT_KEY, DERIVED, METADATA
from tracekit.store import Buffer, Store, open_store
from tracekit.store.objects import StoredObject
from tracekit.writing.claims import Claim, take_claim

ATTEMPTS = 8
BLANKS = " \t\r\n"
N_BLANKS = 32


class FencedStore:
    """A store under a claim. Reads are those of the store.

    Parameters
    ----------
    store : Store
        The store.
    claim : Claim
        The right to write it.

    Raises
    ------
    TraceInUseError
        From whatever changes something, if another writer has taken over.
    """

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._claim = claim
        self._seen: dict[str, str] = {}  # versions of the objects that may be put again
        self._signature = "".join(secrets.choice(BLANKS) for _ in range(N_BLANKS)).encode()

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._store.url

    @property
    def parallel_requests(self) -> int:
        """How many requests are worth having under way at once."""
        return self._store.parallel_requests

    def get(self, key: str) -> bytes | None:
        """Give an object."""
        return self._store.get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give a part of an object."""
        return self._store.get_range(key, start, length)

    def open(self, key: str) -> AbstractContextManager[StoredObject]:
        """Open an object for several reads."""
        return self._store.open(key)

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix."""
        return self._store.children(prefix)

    def exists(self) -> bool:
        """Say whether there is anything."""
        return self._store.exists()

    def version(self, key: str) -> str | None:
        """Give what tells an object from others."""
        return self._store.version(key)

    def sync(self) -> None:
        """Make names durable."""
        self._store.sync()

    def put(self, key: str, data: bytes) -> None:
        """Put an object that may be put again."""
        signed = key.endswith(METADATA)
        self._seen[key] = self._put(key, (data, self._signature) if signed else (data,))

    def put_pieces(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Put an object that is put once; its pieces must come again each time that they are asked for."""
        self._put(key, pieces)

    def put_unless_changed(self, key: str, pieces: Iterable[Buffer], seen: str | None) -> str | None:
        """Put an object on a condition of the caller's own."""
        return self._store.put_unless_changed(key, pieces, seen)

    def exchange(self, key: str, old: Collection[bytes | None], new: bytes) -> bool:
        """Put an object if what is there is one of `old`."""
        exchanged = self._store.exchange(key, old, new)
        if not exchanged:
            self._claim.check()
        return exchanged

    def remove(self, key: str) -> None:
        """Remove an object. No store can be told a condition: the claim is looked at just before."""
        self._claim.check()
        self._store.remove(key)

    def remove_tree(self, prefix: str) -> None:
        """Remove all under a prefix."""
        self._claim.check()
        self._store.remove_tree(prefix)

    def sweep(self) -> None:
        """Delete what puts that were cut off left behind."""
        self._claim.check()
        self._store.sweep()

    def delete(self) -> None:
        """Delete everything."""
        self._claim.check()
        self._store.delete()

    def _put(self, key: str, pieces: Iterable[Buffer]) -> str:
        seen = self._seen.get(key)
        for _ in range(ATTEMPTS):
            version = self._try(key, pieces, seen)
            if version is not None:
                return version
            seen = self._store.version(key)
            # after the look: who takes over from now on changes what was seen before relying on it
            self._claim.check()
        raise StoreError(f"{self.url}/{key}: was changed by others {ATTEMPTS} times while it was to be put")

    def _try(self, key: str, pieces: Iterable[Buffer], seen: str | None) -> str | None:
        try:
            return self._store.put_unless_changed(key, pieces, seen)
        except OSError:
            self._claim.check()
            raise


def shut_out(store: Store) -> None:
    """Put all metadata anew, so that no late put of a former writer finds there what it knows."""
    groups = [name for name in store.children() if name not in (METADATA, COMMIT_KEY, DERIVED)]
    folders = [
        *groups,
        *(f"{group}/{name}" for group in groups for name in store.children(group) if name != METADATA),
    ]
    for key in (METADATA, *(f"{folder}/{METADATA}" for folder in folders)):
        data = store.get(key)
        if data is not None:
            store.put(key, data.rstrip())


@contextmanager
def claimed(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[Store]:
    """Hold the claim of a trace while something in it is mended; all of that is durable in the end.

    Raises
    ------
    TraceInUseError
        If another process writes the trace.
    """
    store = open_store(path)
    claim = take_claim(store, force=force)
    try:
        yield FencedStore(store, claim)
    finally:
        store.sync()
        claim.release()
