"""Objects that hold no chunks, or chunks that are no values, with checksums that are right."""

import numpy as np
from hostile.editing import replace

from tracekit.format.codecs import checksum

MISSING = 2**64 - 1
SECOND, FIRST = "weights/values/c/2/0", "weights/values/c/2/1"


def with_checksum(data):
    """Give bytes with their checksum behind them."""
    return bytes(data) + checksum(bytes(data))


def int64(*numbers):
    """Give a chunk of whole numbers."""
    return with_checksum(np.array(numbers, "<i8").tobytes())


def shard(*parts, entries=None):
    """Give a shard of some chunks, with an index that may lie about them."""
    ends = np.cumsum([len(part) for part in parts])
    true = [(end - len(part), len(part)) for end, part in zip(ends, parts, strict=True)]
    return b"".join(parts) + with_checksum(np.array(true if entries is None else entries, "<u8").tobytes())


def frame(content=32, block=32, compressed=None, flags=0x24, body=b"", version=2, typesize=4):
    """Give a blosc frame whose header says what it is told to."""
    size = 16 + len(body) if compressed is None else compressed
    numbers = np.array([content, block, size], "<u4").tobytes()
    return with_checksum(bytes([version, 1, flags, typesize]) + numbers + body)


SOUND = frame(flags=0x36, body=bytes(range(32)))


def frames():
    """Name blosc frames that say of themselves what is not so."""
    return {
        "claims 4 GiB": frame(content=2**32 - 1),
        "claims 2 GiB blocks": frame(block=2**31),
        "no blocks": frame(block=0),
        "longer than it is": frame(compressed=10_000, body=bytes(20)),
        "shorter than it is": frame(compressed=17, body=bytes(40)),
        "block outside": frame(body=np.array([10_000], "<u4").tobytes() + bytes(8)),
        "block in the header": frame(body=np.array([2], "<u4").tobytes() + bytes(8)),
        "block of negative size": frame(body=np.array([20, 2**32 - 5], "<u4").tobytes() + bytes(8)),
        "another compressor": frame(flags=0x84, body=bytes(30)),
        "no type size": frame(typesize=0, body=bytes(30)),
        "version 9": frame(version=9, body=bytes(30)),
        "copied but short": frame(flags=0x36, body=bytes(8)),
        "tiny": with_checksum(b"\x02\x01"),
        "nothing": with_checksum(b""),
        "less than a checksum": b"\x01",
    }


def entries():
    """Name indexes of a shard of two sound chunks that lie about where these are."""
    size = len(SOUND)
    return {
        "missing chunk": [(MISSING, MISSING), (0, size)],
        "far offset": [(2**63, 10), (0, size)],
        "overlap": [(0, size), (0, size)],
        "long chunk": [(0, 2**40), (2**40, size)],
        "wraps around": [(0, MISSING), (MISSING, 52)],
        "not from the start": [(4, 48), (52, 52)],
        "one entry": [(0, size)],
        "a hundred entries": [(0, 1)] * 100,
    }


def whole_objects():
    """Name edits of whole shards and chunks of series."""
    return {
        "shard: empty": replace(SECOND, b""),
        "shard: zeros": replace(SECOND, bytes(500)),
        "shard: 20 MB of zeros": replace(SECOND, bytes(20_000_000)),
        "series: too long": replace("losses/eval_loss/c/0/0", with_checksum(bytes(1000))),
        "series: too short": replace("losses/eval_loss/c/0/0", with_checksum(bytes(8))),
        "series: 20 MB": replace("losses/eval_loss/c/0/0", with_checksum(bytes(20_000_000))),
    }


def timeline():
    """Name edits of the places in time, and of the commit marker."""
    markers = {
        "more than planned": (6, 0),
        "huge": (2**62, 0),
        "negative": (-1, 0),
        "negative generation": (5, -1),
        "one number": (5,),
        "three numbers": (5, 0, 0),
    }
    return {
        "epochs: too many": replace("visits/epoch/c/0", int64(-1, 0, 0, 1, 99)),
        "epochs: negative": replace("visits/epoch/c/0", int64(-1, 0, 0, -1, 1)),
        "tasks: too many": replace("visits/trained_task/c/0", int64(-1, 0, 1, 1, 2)),
        "tasks: at visit 0": replace("visits/trained_task/c/0", int64(0, 0, 1, 1, 0)),
        "positions: huge": replace("visits/position/c/0", int64(-1, 2**62, 1, 0, 1)),
        **{f"marker: {name}": replace("commit/c/0", int64(*numbers)) for name, numbers in markers.items()},
    }


def samples():
    """Name edits of which visit each sample belongs to."""
    visits = {
        "negative": (-1, 1, 2, 3, 4),
        "same twice": (0, 1, 1, 3, 4),
        "down": (4, 3, 2, 1, 0),
        "huge": (0, 1, 2, 3, 2**62),
        "beyond the plan": (0, 1, 2, 3, 5),
        "too few": (0, 1),
        "missing": (-1, -1, -1, -1, -1),
    }
    updates = {
        "negative": (-1, 1, 2, 2, 3, 3, 4, 4),
        "from 0": (0, 1, 2, 2, 3, 3, 4, 4),
        "down": (4, 4, 3, 3, 2, 2, 1, 1),
        "beyond": (1, 1, 2, 2, 3, 3, 4, 9),
    }
    keys = {
        "visits": ("weights/visit/c/0", visits),
        "visits of losses": ("losses/visit/c/0", visits),
        "visits of updates": ("losses/update_visit/c/0", updates),
    }
    return {
        f"{what}: {name}": replace(key, int64(*numbers))
        for what, (key, edits) in keys.items()
        for name, numbers in edits.items()
    }


def chunk_edits():
    """Name all of these edits."""
    return {
        **{f"frame: {name}": replace(SECOND, shard(data, SOUND)) for name, data in frames().items()},
        **{
            f"index: {name}": replace(FIRST, shard(SOUND, SOUND, entries=lies))
            for name, lies in entries().items()
        },
        **whole_objects(),
        **timeline(),
        **samples(),
    }
