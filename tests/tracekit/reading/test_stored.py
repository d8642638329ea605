"""Lazy arrays answer any numpy index with what numpy would, and read no more than they must."""

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

from tracekit import Field, Plan, Rows, TraceWriter, open_trace
from tracekit.format import layout
from tracekit.format.codecs import Codec
from tracekit.format.layout import ArrayLayout
from tracekit.reading.lazy import StoredArray
from tracekit.reading.stored import StoredRows
from tracekit.store import LocalStore

SHAPE = (5, 2, 6, 7)
VALUES = np.arange(np.prod(SHAPE), dtype="f4").reshape(SHAPE)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """A trace of five visits whose rows lie in many small chunks."""
    path = tmp_path_factory.mktemp("stored") / "run.zarr"
    plan = Plan(np.zeros((1, 4), np.int64), n_tasks=1, updates_per_visit=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_BYTES", 40)
        patch.setattr(layout, "SHARD_BYTES", 160)
        with TraceWriter.create(path, plan) as writer:
            fields = (Field("other", (3,)), Field("w", SHAPE[2:]))
            writer.declare_rows(Rows("g", fields, tuple(range(5)), ("task", ("a", "b"))))
            for visit in range(5):
                row = np.concatenate([np.zeros((2, 3), "f4"), VALUES[visit].reshape(2, -1)], axis=1)
                writer.put_row("g", visit, row)
                writer.commit(plan.visit(visit))
    return open_trace(path)


@settings(max_examples=200, deadline=None)
@given(basic_indices(SHAPE, allow_newaxis=False))
def test_any_basic_index(trace, index):
    np.testing.assert_array_equal(trace["g"]["w"].data[index].compute(), VALUES[index])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_any_list(trace, axis, chosen):
    chosen = [min(place, SHAPE[axis] - 1) for place in chosen]
    found = trace["g"]["w"].isel({trace["g"]["w"].dims[axis]: chosen})
    np.testing.assert_array_equal(found.values, np.take(VALUES, chosen, axis))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_every_scheduler(trace, scheduler):
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(trace["g"]["w"].mean("visit").values, VALUES.mean(0))


def test_opening_and_slicing_read_no_values(trace, monkeypatch):
    keys = []
    for name in ("get", "open"):
        real = getattr(LocalStore, name)
        monkeypatch.setattr(
            LocalStore, name, lambda self, key, real=real: keys.append(key) or real(self, key)
        )

    lazy = open_trace(trace.attrs["path"])["g"]["w"].isel(visit=2).sum()

    assert keys
    assert not [key for key in keys if "/values/c/" in key]
    keys.clear()
    assert lazy.values == VALUES[2].sum()
    assert {key.split("/")[3] for key in keys if key != "commit/c/0"} == {"2"}, (
        "one visit was asked for, others were read"
    )


def blocks(n_visits, columns=1 << 16, n_chunks=40):
    layout = ArrayLayout(
        "w/values",
        (n_visits, n_chunks * columns),
        np.dtype("<f4"),
        ("visit", "element"),
        (1, columns),
        None,
        Codec("lz4", 4),
    )
    width = n_chunks * columns
    return StoredArray(
        StoredRows(LocalStore("nowhere"), layout, np.arange(n_visits), ((0, width),), (width,)), "name"
    )


def test_blocks_hold_many_visits_each():
    """A task per visit, or per stored chunk, costs more than the reading itself."""
    lazy = blocks(1000)

    assert lazy.chunks[0][0] == 256
    assert lazy.npartitions == 4 * 40
    assert lazy.chunksize[0] * lazy.chunksize[1] * 4 <= 64 << 20


@pytest.mark.parametrize("n_visits", [1024, 5000, 10_000, 300_000])
def test_blocks_of_all_visits_fit_into_memory_however_many_they_are(n_visits):
    lazy = blocks(n_visits)
    n_parts = -(-(1 << 16) // ((1 << 28) // (4 * n_visits)))

    assert n_visits * lazy.chunksize[1] * 4 <= 1 << 28
    assert 2 << 20 < lazy.chunksize[0] * lazy.chunksize[1] * 4 <= 64 << 20
    # a chunk that is decoded again and again is cut as seldom as can be
    assert lazy.chunksize[1] == -(-(1 << 16) // n_parts)
