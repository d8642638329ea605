"""Blosc frames are checked before they are decompressed: the C code trusts much of what they claim.

A frame is a header of 16 bytes (versions, flags, bytes per value, then three little-endian 32-bit integers:
bytes decompressed, bytes per block, bytes compressed), the offset of each block, and the blocks
(https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst).
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.errors import DamagedTraceError

HEADER_BYTES = 16
MOST_TIMES_SMALLER = 256
"""No lz4 frame is smaller than its content by more (one byte stands for at most 255)."""
_HEADER = struct.Struct("<4B3I")
_VERSION = 2
_LZ4 = 1
_COPIED = 2


def check_frame(frame: npt.NDArray[np.uint8], n_bytes: int, place: str) -> None:
    """Check that a frame holds `n_bytes` of values compressed by lz4, and that all it refers to is in it.

    Raises
    ------
    DamagedTraceError
        If not; `place` says where.
    """
    if len(frame) < HEADER_BYTES:
        raise DamagedTraceError(f"{place}: cut short, {len(frame)} bytes are no blosc frame")
    version, _, flags, typesize, content, block, compressed = _HEADER.unpack_from(frame.data)
    if content != n_bytes:
        raise DamagedTraceError(f"{place}: expected {n_bytes} bytes of values, found {content}")
    copied = bool(flags & _COPIED)
    good = version == _VERSION and typesize > 0 and compressed == len(frame) and 0 < block <= n_bytes
    if copied:
        good = good and compressed == n_bytes + HEADER_BYTES
    else:
        good = good and flags >> 5 == _LZ4 and _blocks_inside(frame, math.ceil(n_bytes / max(1, block)))
    if not good:
        raise DamagedTraceError(f"{place}: not a blosc frame of {n_bytes} bytes compressed by lz4")


def _blocks_inside(frame: npt.NDArray[Any], n_blocks: int) -> bool:
    first = HEADER_BYTES + 4 * n_blocks
    if first > len(frame):
        return False
    starts = frame[HEADER_BYTES:first].view("<u4")
    return bool((starts >= first).all() and (starts < len(frame)).all())
