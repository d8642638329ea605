"""Where checkpoints lie: below the commit marker, where no Zarr reader looks; two objects each.

`commit/checkpoint/VISIT/state.safetensors` holds the tensors, and `state.json` beside it, written after it,
all else, the checksum of the first and (from version 2 on) its own. A checkpoint without its JSON object does
not exist. What is in them is the business of `tracekit.training.checkpoints`; deleting them all costs a
resumed run the time to repeat what it had done, and nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tracekit.errors import DamagedTraceError
from tracekit.format.codecs import checksum, checksum_of_parts
from tracekit.format.documents import SEAL, content_checksum
from tracekit.format.layout import COMMIT_KEY
from tracekit.store import Store
from tracekit.store.objects import StoredObject

CHECKPOINT_KEY = f"{COMMIT_KEY}/checkpoint"
TENSORS = "state.safetensors"
DOCUMENT = "state.json"
FORMAT = "tracekit checkpoint"
FORMAT_VERSION = 2
_SEALED_SINCE = 2
_PART_BYTES = 8 << 20


def checkpoint_numbers(store: Store) -> list[int]:
    """Give the visits after which there is a checkpoint, finished or not, ascending."""
    return sorted(int(name) for name in store.children(CHECKPOINT_KEY) if name.isdigit())


def usable_checkpoints(store: Store, committed: int) -> list[int]:
    """Give the visits, ascending, after which there is a checkpoint that belongs to what is committed."""
    return [number for number in checkpoint_numbers(store) if number < committed]


def key_of(number: int, name: str) -> str:
    """Give the key of an object of the checkpoint of a visit."""
    return f"{CHECKPOINT_KEY}/{number}/{name}"


def checkpoint_document(facts: Mapping[str, Any], tensors: bytes) -> bytes:
    """Write the JSON object that makes a checkpoint of tensors."""
    about = {"format": FORMAT, "format_version": FORMAT_VERSION}
    tensors_are = {"bytes": len(tensors), "crc32c": checksum(tensors).hex()}
    document = json.loads(json.dumps({**about, **facts, **tensors_are}))
    return json.dumps({**document, SEAL: content_checksum(document)}, indent=1).encode()


def read_checkpoint_document(store: Store, number: int) -> dict[str, Any]:
    """Read the JSON object of a checkpoint.

    Raises
    ------
    DamagedTraceError
        If there is none, or it is not what was written.
    """
    key = key_of(number, DOCUMENT)
    text = store.get(key)
    if text is None:
        raise DamagedTraceError(f"{store.url}/{key}: missing; not a whole checkpoint")
    try:
        document = dict(json.loads(text))
        sealed = document.pop(SEAL, None)
        expected = content_checksum(document) if document["format_version"] >= _SEALED_SINCE else sealed
        if sealed != expected or {"bytes", "crc32c"} - set(document):
            raise DamagedTraceError(f"{store.url}/{key}: its content does not match its checksum")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedTraceError(
            f"{store.url}/{key}: not the JSON object of a checkpoint ({type(error).__name__}: {error})"
        ) from error
    return document


def check_checkpoint(store: Store, number: int) -> int:
    """Read a checkpoint through, a few MiB at a time; gives the bytes of its tensors.

    Raises
    ------
    DamagedTraceError
        If anything of it is missing or damaged; names the object.
    """
    document, key = read_checkpoint_document(store, number), key_of(number, TENSORS)
    with store.open(key) as tensors:
        if tensors.range(0, 1) is None:
            raise DamagedTraceError(f"{store.url}/{key}: missing; not a whole checkpoint")
        if checksum_of_parts(_parts(tensors)).hex() != document["crc32c"]:
            raise DamagedTraceError(f"{store.url}/{key}: the checksum does not match")
    return int(document["bytes"])


def remove_checkpoint(store: Store, number: int) -> None:
    """Remove a checkpoint: first what makes it one, so that there never is one without its tensors."""
    store.remove(key_of(number, DOCUMENT))
    store.remove_tree(f"{CHECKPOINT_KEY}/{number}")


def put_checkpoint(store: Store, number: int, objects: Iterable[tuple[str, bytes]]) -> None:
    """Put the objects of a checkpoint, by name; first delete all but the last one before it."""
    _keep_one_before(store, number)
    for name, data in objects:
        store.put(key_of(number, name), data)


def _keep_one_before(store: Store, number: int) -> None:
    before = [other for other in checkpoint_numbers(store) if other < number]
    for other in checkpoint_numbers(store):
        if other not in before[-1:]:
            remove_checkpoint(store, other)


def _parts(stored: StoredObject) -> Iterator[bytes]:
    start = 0
    while part := stored.range(start, _PART_BYTES):
        yield part
        start += len(part)
