"""The JSON documents of a trace: each sealed with a checksum of its content, each read within bounds.

Zarr protects chunks by checksums, and metadata by nothing: one flipped bit in the name of a task, or in the
offset of a tensor, would be a wrong answer. So every `zarr.json` of a trace has an attribute with the crc32c
of everything else in it, written in one canonical way. Zarr readers see an attribute more.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from typing import Any

from tracekit.errors import DamagedTraceError, NotATraceError, TraceWriteError
from tracekit.format.checks import MalformedError, checking, mapping
from tracekit.format.codecs import checksum
from tracekit.store import Store

SEAL = "metadata_crc32c"
MAX_BYTES = 4 << 20
SPARE_BYTES = 64  # for blanks at the end
MAX_DEPTH = 32
NOT_SEALED = "consolidated_metadata"  # a copy that zarr-python may add; never read here


def seal(document: Mapping[str, Any]) -> bytes:
    """Write a document with its checksum among its attributes.

    Raises
    ------
    TraceWriteError
        If it is larger, or nested deeper, than a reader would accept.
    """
    plain = json.loads(json.dumps(document))
    plain["attributes"] = {key: value for key, value in plain["attributes"].items() if key != SEAL}
    plain["attributes"][SEAL] = content_checksum(plain)
    data = json.dumps(plain, indent=2).encode()
    try:
        if len(data) > MAX_BYTES - SPARE_BYTES:
            raise MalformedError(f"{len(data)} bytes of metadata, and at most {MAX_BYTES} are read again")
        _check_depth(plain)
    except MalformedError as error:
        raise TraceWriteError(f"metadata cannot be written: {error}; record less in attributes") from error
    return data


def read_document(store: Store, key: str) -> dict[str, Any]:
    """Read a JSON document, without its seal.

    Raises
    ------
    NotATraceError
        If there is none, or it is no JSON object, or larger than any that this version writes.
    DamagedTraceError
        If its content is not what was sealed.
    """
    return unsealed(parse_document(store, key), f"{store.url}/{key}")


def parse_document(store: Store, key: str) -> dict[str, Any]:
    """Read a JSON document that may not be one of ours: its seal is left on, unbroken or not.

    Raises
    ------
    NotATraceError
        If there is none, or it is no JSON object, or larger than any that this version writes.
    """
    data = store.get_range(key, 0, MAX_BYTES + 1)
    if data is None:
        raise NotATraceError(f"{store.url}: {_why_missing(store, key)}")
    with checking(f"{store.url}/{key}"):
        document = _parse(data, f"{store.url}/{key}")
        return {**document, "attributes": dict(mapping(document.get("attributes", {}), "attributes"))}


def unsealed(document: dict[str, Any], place: str) -> dict[str, Any]:
    """Give a document without its seal, once that has been found right.

    Raises
    ------
    DamagedTraceError
        If its content is not what was sealed.
    """
    attributes = {key: value for key, value in document["attributes"].items() if key != SEAL}
    found, expected = (
        document["attributes"].get(SEAL),
        content_checksum({**document, "attributes": attributes}),
    )
    if found != expected:
        raise DamagedTraceError(
            f"{place}: its content does not match its checksum ({reprlib.repr(found)}, and {expected!r} was "
            "computed): it is damaged, or was changed after it was written; restore it from a copy"
        )
    return {**document, "attributes": attributes}


def _why_missing(store: Store, key: str) -> str:
    folder = key.rpartition("/")[0]
    for old in (".zgroup", ".zarray"):
        if store.get_range(f"{folder}/{old}".lstrip("/"), 0, 1) is not None:
            return f"not a trace: {folder or 'it'} is in the old Zarr format 2, which is never read"
    if not any(store.children()):
        return f"not a trace: it is a file, and a trace is a folder; there is no {key}"
    if not folder and any(name.endswith(".zarr") for name in store.children()):
        return f"not a trace, but a folder of some: name one of them, or all as '{store.url}/*.zarr'"
    return f"not a trace, or a part of it is gone: there is no {key}"


def _parse(data: bytes, place: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise NotATraceError(f"{place}: metadata of more than {MAX_BYTES} bytes is not read")
    try:
        document = json.loads(data.decode(), object_pairs_hook=_no_key_twice)
        if b"\\u" in data:
            json.dumps(document, ensure_ascii=False).encode()
    except MalformedError:
        raise
    except (ValueError, RecursionError) as error:
        raise NotATraceError(f"{place}: not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise NotATraceError(f"{place}: expected a JSON object, found a {type(document).__name__}")
    _check_depth(document)
    return document


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("an object has the same key twice")
    return found


def _check_depth(value: Any, left: int = MAX_DEPTH) -> None:
    if left == 0:
        raise MalformedError(f"nested deeper than {MAX_DEPTH} levels")
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            _check_depth(child, left - 1)


def content_checksum(document: Mapping[str, Any]) -> str:
    """Give the crc32c of what a document says, however it is written."""
    kept = {key: value for key, value in document.items() if key != NOT_SEALED}
    return checksum(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hex()
