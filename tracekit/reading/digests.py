"""What tells the stored values of rows from any others, without decoding them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

from tracekit.format.codecs import CHECKSUM_BYTES
from tracekit.format.marker import unchanged
from tracekit.format.shards import read_index
from tracekit.reading.parts import ShardPart, Wanted, parts_of_row
from tracekit.reading.stored import StoredRows
from tracekit.store.parallel import each

DIGEST_BYTES = 8
GAP = "gap"


def row_digests(view: StoredRows) -> list[str]:
    """Give a digest for each row: of the checksums of the chunks that hold what is seen of it.

    Four bytes of each chunk are read, and the index of each shard; on a store where each would be a request,
    the index and what the store tells the shard from others by, such as its ETag. A row that could not be
    written is "gap".

    Raises
    ------
    DamagedTraceError
        If a shard is missing, or its index is damaged.
    TraceRolledBackError
        If the trace has gone back since it was opened.
    """
    layout = view.layout
    middle = [range(size) for size in layout.shape[1:-1]]
    parts = parts_of_row(layout, middle, [Wanted(range(a, b), 0, 0) for a, b in view.stretches])
    with unchanged(view.store, view.generation):
        return each(view.store, partial(_digest, view, parts), view.rows.tolist())


def _digest(view: StoredRows, parts: Sequence[ShardPart], row: int) -> str:
    if row in view.gaps:
        return GAP
    digest = hashlib.blake2b(repr((view.layout.dtype.str, view.stretches)).encode(), digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(_facts(view, part, row))
    return digest.hexdigest()


def _facts(view: StoredRows, part: ShardPart, row: int) -> bytes:
    """Give the index entries of the wanted chunks of a shard, and their checksums or that of the store."""
    key = view.layout.object_key((row, *part.index))
    with view.store.open(key) as shard:
        entries = read_index(shard, view.layout, f"{view.store.url}/{key}")
        wanted = [entries[piece.place] for piece in part.pieces]
        facts = b"".join(entry.tobytes() for entry in wanted)
        if view.store.parallel_requests > 1:
            return facts + str(view.store.version(key)).encode()
        ends = (int(offset + length) for offset, length in wanted)
        checks = (shard.range(end - CHECKSUM_BYTES, CHECKSUM_BYTES) or b"" for end in ends)
        return facts + b"".join(checks)
