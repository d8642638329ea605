"""Shards written directly must be what any Zarr v3 reader reads."""

import math

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit.errors import DamagedTraceError
from tracekit.format import codecs
from tracekit.format import layout as layouts
from tracekit.format.layout import METADATA, rows_layout, series_layout
from tracekit.format.schema import Field, Rows, Series
from tracekit.format.shards import encode_row, write_row
from tracekit.reading.parts import Wanted, parts_of_row
from tracekit.reading.pieces import read_pieces
from tracekit.store import LocalStore


def written(folder, rows, values, codec="lz4"):
    """Write a whole group of rows and give its store and layout."""
    store, layout = LocalStore(folder), rows_layout(rows, codec)
    store.put(f"{layout.key}/{METADATA}", layout.metadata({}))
    for row, row_values in enumerate(values):
        write_row(store, layout, row, row_values)
    return store, layout


def read_row(store, layout, columns, middle=(), n_outputs=1):
    """Read columns of the first row, which is one shard, as often as it says."""
    shape = (*map(len, middle), len(columns))
    outputs = [np.empty(shape, layout.dtype) for _ in range(n_outputs)]
    (part,) = parts_of_row(layout, middle, [Wanted(columns, number, 0) for number in range(n_outputs)])
    read_pieces(store, layout, layout.object_key((0, *part.index)), part.pieces, outputs)
    return outputs[0] if n_outputs == 1 else outputs


@pytest.fixture
def small_chunks(monkeypatch):
    """Cut rows into many chunks and shards though they are small."""
    monkeypatch.setattr(layouts, "CHUNK_BYTES", 64)
    monkeypatch.setattr(layouts, "SHARD_BYTES", 256)


@pytest.mark.parametrize("codec", ["lz4", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("middle", [None, ("task", ("a", "b", "c"))])
@pytest.mark.parametrize("n_elements", [1, 16, 17, 100, 333])
def test_zarr_reads_what_was_written(tmp_path, small_chunks, codec, dtype, middle, n_elements):
    rows = Rows("weights", (Field("w", (n_elements,)),), (0, 1), middle, dtype=dtype)
    values = np.random.default_rng(0).standard_normal((2, *rows.row_shape)).astype(dtype)
    written(tmp_path, rows, values, codec)

    found = zarr.open_array(tmp_path / "weights/values", mode="r")

    np.testing.assert_array_equal(found[:], values)
    assert found.metadata.dimension_names == rows.dims


def test_shard_bytes_are_those_of_zarr_python(tmp_path):
    """One chunk per shard leaves zarr-python no choice in how to lay it out."""
    rows = Rows("weights", (Field("w", (300,)),), (0,))
    values = np.random.default_rng(0).standard_normal((1, 300)).astype("f4")
    store, layout = written(tmp_path / "direct", rows, values)
    other = LocalStore(tmp_path / "zarr")
    other.put(f"{layout.key}/{METADATA}", layout.metadata({}))
    zarr.open_array(tmp_path / "zarr/weights/values", mode="r+")[:] = values

    key = layout.object_key((0, 0))

    assert store.get(key) == other.get(key)


@pytest.mark.parametrize("middle", [None, ("task", ("a", "b", "c"))])
@pytest.mark.parametrize("n_elements", [1, 16, 17, 333])
def test_how_long_a_shard_will_be_is_known_unless_it_is_compressed(small_chunks, middle, n_elements):
    rows = Rows("weights", (Field("w", (n_elements,)),), (0,), middle)
    for codec in ("none", "lz4"):
        for _, shard in encode_row(rows_layout(rows, codec), 0, np.ones(rows.row_shape, "f4")):
            assert shard.n_bytes == (sum(map(len, shard)) if codec == "none" else None)


def test_large_and_small_data_have_checksums_of_one_kind():
    """crc32c bit by bit: the reflected polynomial 0x82f63b78 (RFC 3720, appendix B.4)."""
    data = np.random.default_rng(0).bytes(codecs.LARGE_BYTES + 5)
    for part in (b"", data[:3], data[: codecs.LARGE_BYTES - 1], data[: codecs.LARGE_BYTES], data):
        register = 0xFFFFFFFF
        for byte in part:
            register ^= byte
            for _ in range(8):
                register = (register >> 1) ^ (0x82F63B78 * (register & 1))
        expected = (register ^ 0xFFFFFFFF).to_bytes(4, "little")
        assert codecs.checksum(part) == expected
        assert codecs.checksum(codecs.as_bytes(np.frombuffer(part, "u1").copy())) == expected


def test_unwritten_rows_read_as_nan_and_zeros_as_zeros(tmp_path):
    rows = Rows("weights", (Field("w", (4,)),), (0, 1))
    written(tmp_path, rows, np.zeros((1, 4), "f4"))

    found = zarr.open_array(tmp_path / "weights/values", mode="r")[:]

    np.testing.assert_array_equal(found, [[0, 0, 0, 0], [math.nan] * 4])


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 99),
    length=st.integers(1, 100),
    tasks=st.tuples(st.integers(0, 2), st.integers(1, 3)),
)
def test_any_part_of_a_shard_is_what_numpy_cuts_out(tmp_path_factory, start, length, tasks):
    rows = Rows("g", (Field("w", (100,)),), (0,), ("task", ("a", "b", "c")))
    values = np.arange(300, dtype="f4").reshape(1, 3, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "CHUNK_BYTES", 64)
        store, layout = written(tmp_path_factory.mktemp("part"), rows, values)
    task = range(tasks[0], min(3, tasks[0] + tasks[1]))
    columns = range(start, min(100, start + length))
    expected = values[0][np.ix_(task, columns)]

    np.testing.assert_array_equal(read_row(store, layout, columns, [task]), expected)
    for found in read_row(store, layout, columns, [task], n_outputs=3):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_every_flipped_byte_is_found(tmp_path, codec):
    """Whatever single byte of a shard changes, reading all of it must raise, never give other numbers."""
    rows = Rows("weights", (Field("w", (40,)),), (0,))
    values = np.linspace(0, 1, 40, dtype="f4")[None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "CHUNK_BYTES", 64)
        store, layout = written(tmp_path, rows, values, codec)
    key = layout.object_key((0, 0))
    good = store.get(key)

    for place in range(len(good)):
        store.put(key, good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        with pytest.raises(DamagedTraceError, match="weights/values/c/0/0"):
            read_row(store, layout, range(40))


def test_truncated_and_missing_shards_are_found(tmp_path):
    rows = Rows("weights", (Field("w", (40,)),), (0,))
    store, layout = written(tmp_path, rows, np.ones((1, 40), "f4"))
    key = layout.object_key((0, 0))
    good = store.get(key)
    for length in range(len(good)):
        store.put(key, good[:length])
        with pytest.raises(DamagedTraceError):
            read_row(store, layout, range(40))
    (tmp_path / key).unlink()
    with pytest.raises(DamagedTraceError, match="missing"):
        read_row(store, layout, range(40))


SIZES = [1, 262_144, 262_145, 1_300_000, 70_426_624, 162_322_944, 10**9]


@pytest.mark.parametrize("n_writers", [1, 2, 7])
@pytest.mark.parametrize("n_elements", SIZES)
def test_a_row_is_cut_evenly_into_chunks_of_a_quarter_mebibyte(n_elements, n_writers):
    layout = rows_layout(Rows("w", (Field("w", (n_elements,)),), (0,)), "lz4", n_writers)
    n_chunks = math.prod(layout.objects) * math.prod(layout.chunks_per_shard)

    assert layout.chunk[-1] * 4 <= 256 << 10
    assert n_chunks * layout.chunk[-1] - n_elements < n_chunks  # shards too are filled, whatever their number
    assert math.prod(layout.shard) * 4 <= 256 << 20
    n_least = math.ceil(n_elements * 4 / (256 << 20))
    assert math.prod(layout.objects) <= n_writers * math.ceil(n_least / n_writers)
    assert n_elements < 10**6 or math.prod(layout.objects) % n_writers == 0


def test_a_wide_series_has_a_sample_per_chunk_and_a_narrow_one_many():
    wide = series_layout(Series("l", "loss", dims=("task",)), 100, (100_000,))
    narrow = series_layout(Series("l", "loss", dims=("task",)), 100_000, (16,))

    assert wide.chunk == (1, 100_000)
    assert narrow.chunk == (512, 16)
