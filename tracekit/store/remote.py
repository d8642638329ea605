"""A store at an object store over HTTP, through obstore."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, PreconditionError

from tracekit.errors import StoreError
from tracekit.store.base import Buffer
from tracekit.store.clients import client_of
from tracekit.store.explaining import explained, names_no_bucket
from tracekit.store.objects import Ranges, StoredObject
from tracekit.store.pieces import joined

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, PutResult, SuffixRange, UpdateVersion

    ByteRange = tuple[int, int] | SuffixRange

PARALLEL_REQUESTS = 16
PART_BYTES = 32 << 20
PARTS_AT_ONCE = 4


class RemoteStore:
    """A prefix in a bucket of S3, of anything that speaks its protocol, or of Google Cloud Storage.

    Credentials, region and endpoint come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`; `GOOGLE_APPLICATION_CREDENTIALS`,
    `GOOGLE_BASE_URL`, `STORAGE_EMULATOR_HOST`), then from a profile of `~/.aws` (`AWS_PROFILE`), and are
    never pickled. Plain HTTP is for endpoints on this machine, or where `AWS_ALLOW_HTTP=true` or
    `GOOGLE_ALLOW_HTTP=true`.

    A `put` is atomic and durable on return: one request up to 32 MiB, a multipart upload above, which appears
    when it is complete (one cut off leaves parts that a lifecycle rule of the bucket should clear). A `get`
    or listing that starts after a `put` has returned sees it. `delete` is not atomic: it takes the objects
    at the root, `zarr.json` among them, last, so that one cut off can be repeated; who reads meanwhile gets
    errors. Requests that fail for a passing reason are repeated.

    Parameters
    ----------
    url : str
        Such as `s3://bucket/runs/first.zarr`.

    Raises
    ------
    StoreError
        If the URL or the environment makes no sense; from every method, if the store cannot be reached or
        refuses.
    """

    parallel_requests = PARALLEL_REQUESTS

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        with self._explaining():
            self._client = client_of(self._url)

    @property
    def url(self) -> str:
        """The URL."""
        return self._url

    def __reduce__(self) -> tuple[type[RemoteStore], tuple[str]]:
        return RemoteStore, (self._url,)

    def get(self, key: str) -> bytes | None:
        """Give an object, or None where there is none."""
        with self._explaining(key):
            return self._get(key, None)

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Give `length` bytes from `start` (from the end if negative), or None where there is no object.

        It takes one request, from the end too.
        """
        # a range that is asked for must not be empty
        asked: ByteRange = {"suffix": -start} if start < 0 else (start, start + max(1, length))
        with self._explaining(key):
            data = self._get(key, asked)
        return None if data is None else data[:length]

    def open(self, key: str) -> AbstractContextManager[StoredObject]:
        """Open an object for several reads."""
        return contextlib.nullcontext(Ranges(self, key))

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place, and wait until the store has it."""
        self._put(key, data)

    def put_pieces(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Put an object, of which a few parts of 32 MiB are in memory at a time."""
        parts = joined(pieces, PART_BYTES)
        first, second = next(parts, b""), next(parts, None)
        # what is handed over as an iterator takes three requests or more, however small it is
        self._put(key, first if second is None else itertools.chain((first, second), parts))

    def exchange(self, key: str, old: Collection[bytes | None], new: bytes) -> bool:
        """Put an object if what is there is one of `old`; say whether it was.

        The put is conditional (`If-Match`, `If-None-Match: *`), which S3 and Google Cloud Storage know. A
        server that pays no attention to it may let two writers in at once.
        """
        with self._explaining(key):
            found, mode = self._get_for_exchange(key)
            if found not in old:
                return False
            try:
                obstore.put(self._client, key, new, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                # another writer, or this very put: repeated, because its first answer was lost
                return self._get(key, None) == new
        return True

    def version(self, key: str) -> str | None:
        """Give the ETag of an object and its generation, if it has any, or None where there is none."""
        with self._explaining(key):
            try:
                return _version(obstore.head(self._client, key))
            except FileNotFoundError as error:
                if names_no_bucket(error):
                    raise
                return None

    def put_unless_changed(self, key: str, pieces: Iterable[Buffer], seen: str | None) -> str | None:
        """Put an object if the one in its place is the one that was seen; give its version, else None.

        Up to 32 MiB the put is conditional. A multipart upload cannot be: what is there is looked at once
        more before the last part is sent.
        """
        parts = joined(pieces, PART_BYTES)
        first, second = next(parts, b""), next(parts, None)
        with self._explaining(key):
            try:
                if second is None:
                    mode: PutMode = "create" if seen is None else _seen(seen)
                    return _version(obstore.put(self._client, key, first, mode=mode, use_multipart=False))
                rest = itertools.chain((first, second), parts)
                return asyncio.run(self._put_parts_unless_changed(key, rest, seen))
            except (AlreadyExistsError, PreconditionError, _ChangedError) as error:
                if names_no_bucket(error):
                    raise
                return None

    def sync(self) -> None:
        """Do nothing: what was put is durable, and so is its name."""

    def children(self, prefix: str = "") -> Iterator[str]:
        """Give the names directly under a prefix, sorted."""
        folders, objects = self._list(prefix)
        return iter(sorted({path.rpartition("/")[2] for path in (*folders, *objects)}))

    def exists(self) -> bool:
        """Say whether there is any object."""
        return any(self.children())

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        self._removed([key])

    def remove_tree(self, prefix: str) -> None:
        """Remove every object under a prefix; up to a thousand with each request, where the server can."""
        while found := self._all_under(prefix):
            if self._removed(found):
                return

    def sweep(self) -> None:
        """Do nothing: a put that is cut off leaves nothing behind."""

    def delete(self) -> None:
        """Delete everything, what lies at the root last."""
        folders, objects = self._list("")
        for folder in folders:
            self.remove_tree(folder)
        for key in objects:
            self.remove(key)

    def _put(self, key: str, data: bytes | Iterator[bytes]) -> None:
        with self._explaining(key):
            obstore.put(self._client, key, data, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    async def _put_parts_unless_changed(self, key: str, parts: Iterator[bytes], seen: str | None) -> str:
        """Put an object in parts, and before the last one look whether it is still to be put.

        Only asynchronously can the client be asked something while it puts.
        """

        async def looking() -> AsyncIterator[bytes]:
            last = next(parts)
            for part in parts:
                yield last
                last = part
            if await self._e_tag(key) != (None if seen is None else _seen(seen)["e_tag"]):
                raise _ChangedError
            yield last

        put = obstore.put_async(
            self._client, key, looking(), chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )
        return _version(await put)

    async def _e_tag(self, key: str) -> str | None:
        try:
            return (await obstore.head_async(self._client, key))["e_tag"]
        except FileNotFoundError:
            return None

    def _removed(self, keys: list[str]) -> bool:
        """Remove objects; say whether it went through, or stopped at one that was gone (not on S3)."""
        with self._explaining(keys[0]):
            try:
                obstore.delete(self._client, keys)
            except FileNotFoundError as error:
                if names_no_bucket(error):
                    raise
                return False
        return True

    def _all_under(self, prefix: str) -> list[str]:
        with self._explaining(prefix):
            return [item["path"] for part in obstore.list(self._client, prefix) for item in part]

    def _get(self, key: str, asked: ByteRange | None) -> bytes | None:
        try:
            result = obstore.get(self._client, key, options={"range": asked} if asked else {})
            return bytes(result.bytes())
        except FileNotFoundError as error:
            if names_no_bucket(error):
                raise
            return None
        except GenericError as error:
            if "416 Range Not Satisfiable" in str(error):
                return b""
            if "non-partial response" in str(error):  # some servers' answer where the object is empty
                return _cut(self._get(key, None), asked)
            raise

    def _get_for_exchange(self, key: str) -> tuple[bytes | None, PutMode]:
        """Give an object, and what makes a put fail if another has come in its place."""
        try:
            found = obstore.get(self._client, key)
        except FileNotFoundError as error:
            if names_no_bucket(error):
                raise
            return None, "create"
        return bytes(found.bytes()), _seen(_version(found.meta))

    def _list(self, prefix: str) -> tuple[list[str], list[str]]:
        """Give the prefixes and the keys directly under a prefix."""
        with self._explaining(prefix):
            found = obstore.list_with_delimiter(self._client, prefix)
        return list(found["common_prefixes"]), [item["path"] for item in found["objects"]]

    @contextlib.contextmanager
    def _explaining(self, key: str = "") -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(explained(f"{self._url}/{key}".rstrip("/"), error)) from error


class _ChangedError(Exception):
    """Something else is there than was seen."""


def _version(meta: PutResult | ObjectMeta) -> str:
    """Write down what an object store tells objects by: an ETag on S3, a generation on Google's."""
    known = {name: value for name in ("e_tag", "version") if (value := meta[name]) is not None}
    return json.dumps(known)


def _seen(version: str) -> UpdateVersion:
    """Give what makes a put fail if another object has come in the place of the one that was seen."""
    known: UpdateVersion = json.loads(version)
    return known


def _cut(data: bytes | None, asked: ByteRange | None) -> bytes | None:
    """Cut a range out of a whole object."""
    if data is None or asked is None:
        return data
    return data[slice(*asked)] if isinstance(asked, tuple) else data[-asked["suffix"] :]
