"""From a path or URL to its store."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tracekit.errors import StoreError
from tracekit.store.base import Durability, Store
from tracekit.store.local import LocalStore
from tracekit.store.memory import MemoryStore

OBJECT_STORES = ("s3", "s3a", "gs")
_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_FLATTENED_URL = re.compile(rf"({'|'.join((*OBJECT_STORES, 'memory', 'file'))}):/[^/]")


def open_store(path: str | os.PathLike[str], durability: Durability = "fsync") -> Store:
    """Give the store at a path or URL. Nothing is read or made.

    Parameters
    ----------
    path : str or path
        A path or `file://` URL; `memory://name`; `s3://bucket/…` or `gs://bucket/…` (needs the extra
        `remote`); or a URL that fsspec knows.
    durability : {"fsync", "rename"}
        For a local disk; the others have one kind only.

    Raises
    ------
    StoreError
        If the path is empty, or the URL names a kind of store that is not known, or no place in a bucket.
    """
    text = os.fspath(path)
    if not text:
        raise StoreError("the path is empty; give that of a trace, such as run.zarr")
    scheme, separator, rest = text.partition("://")
    if not separator:
        _refuse_flattened(text)
        return LocalStore(Path(text), durability)
    if scheme == "file":
        return LocalStore(Path(rest), durability)
    if scheme == "memory":
        return MemoryStore(rest)
    return _object_store(text, rest) if scheme in OBJECT_STORES else _filesystem(text)


def _object_store(url: str, place: str) -> Store:
    bucket, _, name = place.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise StoreError(f"{url}: no bucket is called {bucket!r}; names have a-z, 0-9, dots and dashes")
    if not name.strip("/"):
        raise StoreError(f"{url}: a trace needs a name in the bucket, such as {url.rstrip('/')}/run.zarr")
    try:
        from tracekit.store.remote import RemoteStore
    except ImportError as error:
        raise StoreError(
            f"{url}: object stores need obstore: install the `remote` extra of tracekit-ml ({error})"
        ) from error
    return RemoteStore(url)


def _filesystem(url: str) -> Store:
    from tracekit.store.filesystems import FilesystemStore

    return FilesystemStore(url)


def _refuse_flattened(text: str) -> None:
    """Refuse what pathlib makes of a URL, before a folder of that name is made."""
    if _FLATTENED_URL.match(text):
        raise StoreError(
            f"{text}: looks like a URL that was made a Path, which drops a slash; pass it as a str"
        )
