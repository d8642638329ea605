"""The `zarr.json` of an array, checked entry by entry before anything is made from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tracekit.format.checks import (
    MalformedError,
    entry,
    integer,
    mapping,
    name,
    sequence,
    sizes,
    text,
    unique,
)

MAX_CHUNK_BYTES = 64 << 20
MAX_SHARD_BYTES = 16 << 30
MAX_ROW_BYTES = 1 << 40
MAX_OBJECTS_PER_ROW = 1 << 16
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
CRC32C = {"name": "crc32c"}
KNOWN = {
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
    "attributes",
    "dimension_names",
    "storage_transformers",
}


def check_node(document: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Check what all nodes have in common, and give the attributes."""
    if integer(entry(document, "zarr_format", "metadata"), "zarr_format") != 3:
        raise MalformedError(f"zarr_format {document['zarr_format']} is not read, only 3")
    if entry(document, "node_type", "metadata") != kind:
        raise MalformedError(f"expected a node of type {kind}, found {text(document['node_type'], 'type')!r}")
    return mapping(document.get("attributes", {}), "attributes")


def check_known(document: Mapping[str, Any]) -> None:
    """Refuse what might change the meaning of an array in a way that is not understood."""
    unknown = sorted(set(document) - KNOWN)
    if unknown:
        raise MalformedError(f"{', '.join(map(repr, unknown))} in the metadata of an array is not understood")
    if document.get("storage_transformers", []) != []:
        raise MalformedError("storage transformers are not read")
    encoding = mapping(document.get("chunk_key_encoding", {"name": "default"}), "chunk_key_encoding")
    separator = mapping(encoding.get("configuration", {}), "chunk_key_encoding").get("separator", "/")
    if encoding.get("name") != "default" or separator != "/":
        raise MalformedError("chunks are found under keys such as c/0/0 only (chunk_key_encoding 'default')")


def grid_shape(document: Mapping[str, Any]) -> tuple[int, ...]:
    """Give the shape of what one object holds."""
    grid = mapping(entry(document, "chunk_grid", "metadata"), "chunk_grid")
    if grid.get("name") != "regular":
        raise MalformedError("only a regular chunk_grid is read")
    settings = mapping(entry(grid, "configuration", "chunk_grid"), "chunk_grid")
    return sizes(entry(settings, "chunk_shape", "chunk_grid"), "chunk_shape", least=1)


def split_codecs(document: Mapping[str, Any]) -> tuple[list[Any], tuple[int, ...] | None]:
    """Give the codecs of a chunk, and the chunk's shape if it lies in a shard."""
    codecs = sequence(entry(document, "codecs", "metadata"), "codecs")
    if len(codecs) != 1 or mapping(codecs[0], "codec").get("name") != "sharding_indexed":
        return codecs, None
    settings = mapping(entry(codecs[0], "configuration", "sharding_indexed"), "sharding_indexed")
    if settings.get("index_codecs") != [LITTLE, CRC32C] or settings.get("index_location", "end") != "end":
        raise MalformedError("the index of a shard lies at its end, little-endian, with a crc32c")
    chunk = sizes(entry(settings, "chunk_shape", "sharding_indexed"), "chunk_shape", least=1)
    return sequence(entry(settings, "codecs", "sharding_indexed"), "codecs"), chunk


def codec_names(codecs: list[Any]) -> list[str]:
    """Give the names of the codecs of a chunk, once those at both ends are what they must be."""
    names = [text(mapping(item, "codec").get("name"), "name of a codec") for item in codecs]
    if names[:1] == ["bytes"] and codecs[0] != LITTLE:
        raise MalformedError("values are read in little-endian order only")
    if names[-1:] == ["crc32c"] and set(codecs[-1]) - {"name", "configuration"}:
        raise MalformedError("codec crc32c has settings that are not understood")
    return names


def check_blosc(codec: Mapping[str, Any], itemsize: int) -> None:
    """Check the settings of blosc. Only those that matter to a reader need be as they are written today."""
    settings = mapping(codec.get("configuration"), "settings of blosc")
    expected = {"cname": "lz4", "shuffle": "bitshuffle", "typesize": itemsize}
    for key, value in expected.items():
        if settings.get(key) != value or isinstance(settings.get(key), bool):
            raise MalformedError(f"{key} of blosc: expected {value!r}, found {settings.get(key)!r}")


def dim_names(document: Mapping[str, Any], n_dims: int) -> tuple[str, ...]:
    """Give the names of the dims, one for each."""
    found = sequence(entry(document, "dimension_names", "metadata"), "dimension_names")
    if len(found) != n_dims:
        raise MalformedError(f"dimension_names: expected {n_dims}, found {len(found)}")
    return tuple(unique([name(dim, "dimension_names") for dim in found], "dimension_names"))


def check_fill(document: Mapping[str, Any], fill: float | int) -> None:
    """Check the value that stands for "never written"; of whole numbers, any will do."""
    found = entry(document, "fill_value", "metadata")
    if isinstance(fill, float) and found != "NaN":
        raise MalformedError(f"fill_value: expected 'NaN', found {found!r}")
    if isinstance(fill, int):
        integer(found, "fill_value", least=-1)


def check_sizes(
    shape: tuple[int, ...], chunk: tuple[int, ...], outer: tuple[int, ...], itemsize: int
) -> None:
    """Check that sizes fit together, and that none is absurd: nothing is allocated for a mere claim."""
    if not shape or not len(shape) == len(chunk) == len(outer):
        raise MalformedError(
            f"shape {shape}, chunks {chunk} and shards {outer} differ in their number of dims"
        )
    if any(o % c for o, c in zip(outer, chunk, strict=True)):
        raise MalformedError(f"shards of {outer} cannot be cut into chunks of {chunk}")
    row = math.prod(max(1, n) for n in shape[1:])
    n_objects = math.prod(-(-n // o) for n, o in zip(shape[1:], outer[1:], strict=True))
    claims = (
        ("a chunk", math.prod(chunk) * itemsize, MAX_CHUNK_BYTES),
        ("a shard", math.prod(outer) * itemsize, MAX_SHARD_BYTES),
        ("a row", row * itemsize, MAX_ROW_BYTES),
    )
    for what, n_bytes, most in claims:
        if n_bytes > most:
            raise MalformedError(f"{what} of {n_bytes} bytes is larger than any that is read ({most})")
    if n_objects > MAX_OBJECTS_PER_ROW:
        raise MalformedError(
            f"{n_objects} objects for one row are more than are read ({MAX_OBJECTS_PER_ROW})"
        )
