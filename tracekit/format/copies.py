"""A second copy of what all visits need: the metadata of every array, and the coordinates that are planned.

These objects are small and are written once, and without one of them nothing of a kind can be read. Before
the first visit is committed, the writer puts all of them together in one object below the commit marker, a
zip file followed by its checksum, and the names of the arrays in the attributes of the marker's own array.
So what has gone altogether is missed, and `tracekit verify --repair` can put back what is damaged or gone.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from tracekit.errors import DamagedTraceError
from tracekit.format.checks import MalformedError, key_name, sequence, text, unique
from tracekit.format.codecs import CHECKSUM_BYTES, checksum
from tracekit.format.layout import COMMIT_KEY, METADATA
from tracekit.store import Store

COPIES_KEY = f"{COMMIT_KEY}/copies"
DECLARED = "declared"  # attribute of the marker's array: the keys of all arrays
MAX_BYTES = 128 << 20


def arrays_among(keys: Mapping[str, Any]) -> list[str]:
    """Give the keys of the arrays whose metadata is among some objects.

    Examples
    --------
    >>> arrays_among({"zarr.json": b"", "losses/zarr.json": b"", "losses/eval_loss/zarr.json": b""})
    ['losses/eval_loss']
    """
    folders = (key.removesuffix(f"/{METADATA}") for key in keys if key.endswith(f"/{METADATA}"))
    return sorted(folder for folder in folders if folder.count("/") == 1)


def check_declared_keys(value: Any) -> tuple[str, ...]:
    """Give the keys of the arrays that a trace says it has; none where it does not say.

    Raises
    ------
    MalformedError
        If they cannot be such keys.
    """
    keys = unique([text(key, DECLARED) for key in sequence(value, DECLARED)], DECLARED)
    for key in keys:
        parts = key.split("/")
        if len(parts) != 2:
            raise MalformedError(f"{DECLARED}: {key!r} is not a group and an array in it")
        for part in parts:
            key_name(part, DECLARED)
    return tuple(keys)


def pack(objects: Mapping[str, bytes]) -> bytes:
    """Put objects into one; of very many, metadata alone."""
    small = sum(map(len, objects.values())) <= MAX_BYTES
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        for key, data in objects.items():
            if small or key.endswith(METADATA):
                file.writestr(key, data)
    return held.getvalue() + checksum(held.getvalue())


def read_packed(store: Store) -> bytes:
    """Read the copies of a trace, as they are packed.

    Raises
    ------
    DamagedTraceError
        If there are none, or they are damaged.
    """
    place = f"{store.url}/{COPIES_KEY}"
    data = store.get_range(COPIES_KEY, 0, MAX_BYTES)
    if data is None:
        raise DamagedTraceError(f"{place}: missing; nothing but the second copy of metadata is lost with it")
    packed = data[:-CHECKSUM_BYTES]
    if data[-CHECKSUM_BYTES:] != checksum(packed):
        raise DamagedTraceError(f"{place}: the checksum of the second copy of metadata does not match")
    return packed


def read_copies(store: Store) -> dict[str, bytes]:
    """Read the copies of a trace, by key.

    Raises
    ------
    DamagedTraceError
        If there are none, or they are damaged.
    """
    packed = read_packed(store)
    try:
        return dict(_unpack(packed))
    # RuntimeError: a password, or another compression; ValueError: ours, or of an offset
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError) as error:
        place = f"{store.url}/{COPIES_KEY}"
        raise DamagedTraceError(f"{place}: is not a zip file as this version writes it ({error})") from error


def _unpack(packed: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        if sum(item.file_size for item in file.infolist()) > MAX_BYTES:
            raise ValueError(f"its content would take more than {MAX_BYTES} bytes")
        for item in file.infolist():
            yield item.filename, file.read(item)
