"""From the values of one chunk to its bytes and back, as the Zarr v3 codecs of the same names do it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from tracekit.errors import DamagedTraceError
from tracekit.format.frames import HEADER_BYTES, check_frame
from tracekit.store import Buffer

CHECKSUM_BYTES = 4
LARGE_BYTES = 64 << 10
CodecName = Literal["lz4", "none"]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Codec:
    """How a chunk is compressed. Every chunk ends in its crc32c checksum.

    `"lz4"` shuffles bits and compresses with lz4 at level 5; `"none"` keeps the values as they are.
    """

    name: CodecName
    itemsize: int

    def zarr(self) -> list[Any]:
        """Give the same as zarr-python's codecs."""
        from zarr.codecs import BloscCodec, Crc32cCodec  # needed to write alone, and slow to import

        if self.name == "none":
            return [Crc32cCodec()]
        blosc_codec = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=self.itemsize)
        return [blosc_codec, Crc32cCodec()]

    def encode(self, values: npt.NDArray[Any]) -> bytes:
        """Turn the values of a chunk, C-contiguous and little-endian, into bytes."""
        data, check = self.encoded(values)
        return bytes(data) + check

    def encoded(self, values: npt.NDArray[Any]) -> tuple[Buffer, bytes]:
        """Give the same in two parts, data and checksum; data may be the values themselves, not copied."""
        if self.name == "none":
            data = as_bytes(values)
            return data.data, checksum(data)
        compressed = self._compress(values)
        return compressed, checksum(compressed)

    def decode_into(self, data: memoryview, out: npt.NDArray[Any], place: str) -> None:
        """Turn bytes into values in `out`, which is C-contiguous and as large as the chunk.

        Raises
        ------
        DamagedTraceError
            If the checksum or the length is not what it must be; `place` says where.
        """
        body = verified(data, place)
        if self.name == "none":
            check_length(len(body), out.nbytes, place)
            out.reshape(-1).view(np.uint8)[:] = body
        else:
            check_frame(body, out.nbytes, place)
            _decompress(body, out, place)

    def most_bytes(self, n_bytes: int) -> int:
        """Give how many bytes `n_bytes` of values take at most, the checksum included."""
        return n_bytes + (HEADER_BYTES if self.name == "lz4" else 0) + CHECKSUM_BYTES

    def exact_bytes(self, n_bytes: int) -> int | None:
        """Give how many bytes `n_bytes` of values take, the checksum included; None if that is not known."""
        return n_bytes + CHECKSUM_BYTES if self.name == "none" else None

    def _compress(self, values: npt.NDArray[Any]) -> bytes:
        compressed: bytes = blosc.compress(values, b"lz4", 5, blosc.BITSHUFFLE)
        return compressed


def as_bytes(values: npt.NDArray[Any]) -> Bytes:
    """See the memory of a C-contiguous array as bytes that cannot be changed; nothing is copied."""
    data = values.reshape(-1).view(np.uint8)
    data.flags.writeable = False  # google_crc32c takes nothing else
    return data


def checksum(data: bytes | Bytes) -> bytes:
    """Give the crc32c of `data` as four little-endian bytes (RFC 3720, appendix B.4)."""
    return _crc32c(data).to_bytes(CHECKSUM_BYTES, "little")


def _crc32c(data: bytes | Bytes) -> int:
    if len(data) < LARGE_BYTES:
        return int(google_crc32c.value(data))
    from awscrt.checksums import crc32c  # twice as fast (docs/performance.md); importing takes 50 ms

    return int(crc32c(data))


def checksum_of_parts(parts: Iterable[bytes]) -> bytes:
    """Give the crc32c of what comes in parts, of which one at a time is in memory.

    Examples
    --------
    >>> checksum_of_parts([b"ab", b"c"]) == checksum(b"abc")
    True
    """
    value = 0
    for part in parts:
        value = google_crc32c.extend(value, part)
    return int(value).to_bytes(CHECKSUM_BYTES, "little")


def verified(data: memoryview, place: str) -> Bytes:
    """Give `data` without the checksum at its end, once that has been found right; nothing is copied.

    Raises
    ------
    DamagedTraceError
        If it is not right; `place` says where.
    """
    body = np.frombuffer(data, np.uint8)[:-CHECKSUM_BYTES]
    check_bytes(body, data[-CHECKSUM_BYTES:], place)
    return body


def check_bytes(data: bytes | Bytes, check: Buffer, place: str) -> None:
    """Check that `check` is the checksum of `data`.

    Raises
    ------
    DamagedTraceError
        If it is not; `place` says where.
    """
    if check != checksum(data):
        raise DamagedTraceError(
            f"{place}: the checksum does not match, so these bytes are not those that were written; "
            "restore the file from a copy, or leave these visits out"
        )


def _decompress(body: Bytes, out: npt.NDArray[Any], place: str) -> None:
    try:
        blosc.decompress(body, out)
    except (RuntimeError, ValueError) as error:
        raise DamagedTraceError(f"{place}: cannot be decompressed ({error})") from error


def check_length(found: int, expected: int, place: str) -> None:
    """Check how many bytes of values there are.

    Raises
    ------
    DamagedTraceError
        If it is not what it must be; `place` says where.
    """
    if found != expected:
        raise DamagedTraceError(f"{place}: expected {expected} bytes of values, found {found}")
