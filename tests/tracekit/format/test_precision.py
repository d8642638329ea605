"""Half precision takes half the room on the disk, and every value of it comes back."""

import json

import numpy as np
import pytest
import torch
import zarr

from tracekit import Field, Plan, Rows, TraceWriter, flat, open_trace
from tracekit.checking.verify import verify
from tracekit.errors import NotATraceError, TraceError, TraceWriteError
from tracekit.format.documents import seal
from tracekit.format.layout import read_layout
from tracekit.format.precision import MISSING_BFLOAT16, from_bfloat16, to_bfloat16
from tracekit.store import LocalStore
from tracekit.writing.estimate import CountingWriter
from tracekit.writing.truncation import rollback

PLAN = Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1)
EVERY = np.arange(1 << 16, dtype=np.uint16)
ROWS = np.stack([np.roll(EVERY, shift) for shift in range(3)])


def write(
    path, *, codec="lz4", n_visits=3, dtype="bfloat16", rows=ROWS, start=TraceWriter.create, **settings
):
    trace = start(path, PLAN, codec=codec, **settings)
    trace.declare_rows(
        Rows(
            "weights", (Field("w", (256, 128), dtype), Field("b", (1 << 15,), dtype)), (0, 1, 2), dtype=dtype
        )
    )
    for number in range(trace._next, n_visits):
        trace.put_row("weights", number, rows[number])
        trace.commit(PLAN.visit(number))
    return trace


def as_torch(bits):
    return torch.from_numpy(bits.copy()).view(torch.bfloat16)


def assert_same(found, expected):
    """The same to the last bit, NaN included."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def test_every_bit_pattern_widens_as_torch_widens_it():
    assert_same(from_bfloat16(EVERY), as_torch(EVERY).float().numpy())


def test_values_are_rounded_as_torch_rounds_them():
    patterns = np.random.default_rng(0).integers(0, 1 << 32, 100_000, dtype=np.uint32)
    ties = (np.arange(1 << 16, dtype=np.uint32) << 16) + 0x8000
    values = np.concatenate([patterns, ties]).view(np.float32)
    values = values[~np.isnan(values)]
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(to_bfloat16(values), expected)
    assert to_bfloat16(np.nan) == MISSING_BFLOAT16
    assert to_bfloat16([[1.0]]).shape == (1, 1)


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_every_bit_pattern_comes_back(tmp_path, codec):
    write(tmp_path / "run.zarr", codec=codec).close()
    trace = open_trace(tmp_path / "run.zarr")
    weight = trace["weights"]["w"]

    assert weight.dtype == np.float32
    assert weight.data.blocks[0].compute().dtype == np.float32
    assert_same(weight.values, from_bfloat16(ROWS[:, : 1 << 15]).reshape(3, 256, 128))
    assert_same(flat(trace, "weights").values, from_bfloat16(ROWS))
    assert_same(
        weight.isel(visit=1, axis0_256=slice(3, 5)).values, from_bfloat16(ROWS)[1, 384:640].reshape(2, 128)
    )
    assert weight.attrs["recorded_dtype"] == "bfloat16"
    assert verify(tmp_path / "run.zarr").faults == ()


def test_it_takes_half_of_what_float32_takes(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 1 << 16)).astype("f4")
    write(tmp_path / "half.zarr", codec="none", rows=to_bfloat16(values)).close()
    write(tmp_path / "single.zarr", codec="none", dtype="float32", rows=values).close()
    half, single = (
        (tmp_path / name / "weights/values/c/0/0").stat().st_size for name in ("half.zarr", "single.zarr")
    )
    assert half < 0.51 * single


def test_other_readers_see_bits_and_what_they_are_of(tmp_path):
    write(tmp_path / "run.zarr", n_visits=2).close("failed")
    array = zarr.open_array(tmp_path / "run.zarr/weights/values", mode="r")
    assert array.dtype == np.uint16
    assert array.attrs["bits_of"] == "bfloat16"
    np.testing.assert_array_equal(array[:2], ROWS[:2])
    assert np.isnan(from_bfloat16(array[2])).all(), "what was never written is missing"


def test_float16_is_stored_as_it_is(tmp_path):
    rows = ROWS.view(np.float16)
    write(tmp_path / "run.zarr", dtype="float16", rows=rows).close()
    found = flat(open_trace(tmp_path / "run.zarr"), "weights").values
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found.view(np.uint16), ROWS)


def test_gaps_are_missing(tmp_path, monkeypatch):
    put = LocalStore.put_pieces

    def refuse(self, key, pieces):
        if key.startswith("weights/values/c/1/"):
            raise OSError(28, "No space left on device")
        put(self, key, pieces)

    monkeypatch.setattr(LocalStore, "put_pieces", refuse)
    with pytest.warns(UserWarning, match="weights, visit 1 could not be recorded"):
        write(tmp_path / "run.zarr", on_error="warn").close()
    found = flat(open_trace(tmp_path / "run.zarr"), "weights").values
    assert np.isnan(found[1]).all()
    assert_same(found[2], from_bfloat16(ROWS[2]))


def test_resuming_repeats_bits(tmp_path):
    path = tmp_path / "run.zarr"
    write(path, n_visits=2).close("interrupted")
    write(path, start=TraceWriter.resume, snapshots=0).close()
    assert_same(flat(open_trace(path), "weights").values, from_bfloat16(ROWS))
    rollback(path, 1)
    with pytest.raises(TraceWriteError, match="this run gives other values"):
        write(path, start=TraceWriter.resume, snapshots=0, rows=ROWS ^ 1)
    with pytest.raises(TraceWriteError, match=r"bfloat16.*float32"):
        write(path, start=TraceWriter.resume, dtype="float32", force_claim=True)


def test_values_that_are_no_bits_are_refused(tmp_path):
    with pytest.raises(TraceWriteError, match=r"bits of bfloat16 as uint16, found float32.*to_bfloat16"):
        write(tmp_path / "run.zarr", rows=ROWS.astype("f4"))


def test_bytes_are_planned(tmp_path):
    counting = CountingWriter(PLAN)
    for dtype, group in (("bfloat16", "a"), ("float32", "b")):
        counting.declare_rows(Rows(group, (Field("w", (1 << 20,)),), (0, 1), dtype=dtype))
    half, single = counting.kinds
    assert (half.dtype, single.dtype) == ("bfloat16", "float32")
    assert half.total_bytes == pytest.approx(single.total_bytes / 2, rel=0.01)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("bits_of", "float8"),
        ("bits_of", None),
        ("bits_of", 3),
        ("data_type", "float32"),
        ("data_type", "int32"),
        ("fill_value", "NaN"),
        ("fill_value", None),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path, entry, value):
    path = tmp_path / "run.zarr"
    write(path).close()
    file = path / "weights/values/zarr.json"
    document = json.loads(file.read_text())
    if entry == "bits_of":
        document["attributes"] = {} if value is None else {"bits_of": value}
    else:
        document[entry] = value
    file.write_bytes(seal(document))
    with pytest.raises(NotATraceError, match="weights/values"):
        open_trace(path)
    assert verify(path).faults


def test_bits_of_a_series_are_refused(tmp_path):
    path = tmp_path / "run.zarr"
    write(path).close()
    file = path / "visits/epoch/zarr.json"
    document = json.loads(file.read_text())
    document |= {"data_type": "uint16", "fill_value": 0, "attributes": {"bits_of": "bfloat16"}}
    file.write_bytes(seal(document))
    assert read_layout(LocalStore(path), "visits/epoch").bits_of
    with pytest.raises(TraceError, match="a series of bfloat16 is not read"):
        open_trace(path)
