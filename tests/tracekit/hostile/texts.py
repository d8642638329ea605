"""Texts in place of the metadata of a trace that are no document of ours, not even a sealed one."""

DEEP = 100_000


def texts():
    """Name texts that are no document of ours, not even sealed ones."""
    return {
        "empty": b"",
        "open brace": b"{",
        "null": b"null",
        "list": b"[]",
        "number": b"3",
        "not a number": b"NaN",
        "zeros": bytes(100),
        "deep lists": b"[" * DEEP,
        "deep objects": b'{"a":' * DEEP,
        "no utf-8": b'{"attributes": "\xff\xfe"}',
        "utf-16": '{"zarr_format": 3}'.encode("utf-16"),
        "same key twice": b'{"zarr_format": 3, "zarr_format": 3, "attributes": {}}',
        "huge number": b'{"attributes": ' + b"9" * 5000 + b"}",
        "attributes of another type": b'{"zarr_format": 3, "node_type": "group", "attributes": [1]}',
        "not sealed": b'{"zarr_format": 3, "node_type": "group", "attributes": {}}',
    }


def large_texts():
    """Name texts that take long to read."""
    return {
        "9 MiB of blanks": b" " * (9 << 20),
        "4 MiB of lists": b'{"attributes": {"a": [' + b"[]," * (1_350_000) + b"[]]}}",
    }
