"""Random traces, recorded, resumed and gone back in: after each, every value is what was handed over."""

import dataclasses
import uuid
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit import Field, Plan, Rows, Series, TraceWriter, flat, load, open_trace, rollback
from tracekit.checking.verify import verify
from tracekit.format import layout
from tracekit.format.precision import from_bfloat16, to_bfloat16
from tracekit.reading import stored, together
from tracekit.schedule import OpenPlan, Visit

N_VISITS, N_TASKS = 6, 3
N_SNAPSHOTS = N_VISITS + 1
COUNTS = st.integers(0, N_SNAPSHOTS)
SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
DTYPES = st.sampled_from(["float64", "float32", "float16", "bfloat16"])
CODECS = st.sampled_from(["lz4", "none"])
SELECTIONS = (slice(None), slice(None, None, -2), [], -1, [-1, 0, -1])


@dataclasses.dataclass(frozen=True)
class Kind:
    """Tensors at some visits, or at some updates of the run."""

    name: str
    fields: tuple[Field, ...]
    dtype: str
    samples: tuple[int, ...]
    per_update: bool
    middle: tuple[str, tuple[str, ...]] | None

    def row(self, sample):
        """What is handed over, and what must come back: numbers of all sizes, and those that are none."""
        rng = np.random.default_rng([sample, len(self.fields), self.per_update])
        shape = (*([len(self.middle[1])] if self.middle else []), sum(each.size for each in self.fields))
        values = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 3, shape)
        values[rng.random(shape) < 0.1] = rng.choice([np.inf, -np.inf, np.nan, -0.0, 1e-7])
        bits = to_bfloat16(values.astype("f4"))
        return (bits, from_bfloat16(bits)) if self.dtype == "bfloat16" else (values.astype(self.dtype),) * 2


@st.composite
def kinds(draw, n_updates):
    """Draw kinds of rows, at visits or updates that nothing orders."""
    found = []
    for number in range(draw(st.integers(1, 2))):
        dtype, per_update = draw(DTYPES), draw(st.booleans())
        shapes = draw(st.lists(SHAPES, min_size=1, max_size=4))
        fields = tuple(Field(f"part{place}", shape, dtype) for place, shape in enumerate(shapes))
        least, most = (0, sum(n_updates)) if per_update else (0, N_SNAPSHOTS)
        samples = draw(st.sets(st.integers(least, max(least, most - 1)), max_size=most))
        middle = ("probe", ("x", "y")) if draw(st.booleans()) else None
        found.append(Kind(f"kind{number}", fields, dtype, tuple(sorted(samples)), per_update, middle))
    return found


class Life:
    """A trace that is recorded by several runs, one after another, and what it must hold."""

    def __init__(self, path, data):
        self.path, self.committed = path, 0
        self.open_ended, self.codec = data.draw(st.booleans()), data.draw(CODECS)
        some = st.lists(st.integers(0, 3), min_size=N_VISITS, max_size=N_VISITS)
        self.n_updates = [
            0,
            *(data.draw(some) if self.open_ended else [data.draw(st.integers(1, 3))] * N_VISITS),
        ]
        self.first = np.cumsum([0, *self.n_updates])
        tasks = st.lists(st.integers(0, N_TASKS - 1), min_size=N_VISITS, max_size=N_VISITS)
        self.order = np.reshape(data.draw(tasks), (2, -1))
        self.kinds = data.draw(kinds(self.n_updates))

    def visit(self, number):
        """The place of a visit in time."""
        planned = Plan(self.order, N_TASKS, 1).visit(number)
        return Visit(number, planned.epoch, planned.position, planned.task)

    def visit_of(self, kind, sample):
        """The visit that a row was recorded in."""
        return int(np.searchsorted(self.first, sample, "right")) - 1 if kind.per_update else sample

    def record(self, first, last, *, half):
        """Record snapshots, in a run that has `first` of them behind it; `half` begins one more."""
        with self._begin(first) as trace:
            self._declare(trace)
            for number in range(first or 0, last):
                self._put(trace, number)
                trace.commit(self.visit(number), wait=number % 2 == 0)
            if half and last <= N_VISITS:
                self._put(trace, last)
            trace.close("complete" if last == N_SNAPSHOTS else "interrupted")
        self.committed = max(self.committed, last)

    def _begin(self, first):
        plan = OpenPlan(n_tasks=N_TASKS) if self.open_ended else Plan(self.order, N_TASKS, self.n_updates[-1])
        if first is None:
            return TraceWriter.create(self.path, plan, codec=self.codec, durability="rename")
        return TraceWriter.resume(self.path, plan, snapshots=first, codec=self.codec, durability="rename")

    def _declare(self, trace):
        series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
        trace.declare_series(series, labels={"task": list("abc")})
        for kind in self.kinds:
            samples = () if self.open_ended else kind.samples
            visits = tuple(self.visit_of(kind, sample) for sample in samples)
            updates = samples if kind.per_update else None
            trace.declare_rows(Rows(kind.name, kind.fields, visits, kind.middle, kind.dtype, updates=updates))

    def _put(self, trace, number):
        for update in range(self.first[number], self.first[number + 1]):
            trace.put("losses", "train_loss", update / 3)
        trace.put("losses", "eval_loss", [number, -number, np.nan])
        for kind in self.kinds:
            for sample in kind.samples:
                if self.visit_of(kind, sample) == number:
                    trace.put_row(kind.name, sample, kind.row(sample)[0])

    def check(self):
        """Hold everything that is opened against what was handed over."""
        assert verify(self.path).faults == ()
        for chunks in ("auto", None):
            trace = open_trace(self.path, chunks=chunks)
            assert trace.attrs["snapshots_committed"] == self.committed
            numbers, n_updates = np.arange(self.committed), self.first[self.committed]
            losses = load(trace["losses"].to_dataset())
            np.testing.assert_array_equal(losses.eval_loss[:, :2], np.stack([numbers, -numbers], 1))
            np.testing.assert_array_equal(losses.train_loss, np.arange(n_updates) / 3)
            for kind in self.kinds:
                self._check_kind(trace, kind)

    def _check_kind(self, trace, kind):
        found, dim = trace[kind.name].to_dataset(), "update" if kind.per_update else "visit"
        samples = [sample for sample in kind.samples if self.visit_of(kind, sample) < self.committed]
        places = [self.visit(self.visit_of(kind, sample)) for sample in samples]
        np.testing.assert_array_equal(found[dim], samples)
        np.testing.assert_array_equal(found.trained_task, [place.task for place in places])
        np.testing.assert_array_equal(found.epoch, [place.epoch for place in places])
        rows = flat(trace, kind.name)
        expected = np.array([kind.row(sample)[1] for sample in samples], rows.dtype).reshape(rows.shape)
        np.testing.assert_array_equal(rows, expected)
        ends = np.cumsum([0, *(each.size for each in kind.fields)])
        columns = {each.name: slice(*pair) for each, pair in zip(kind.fields, pairwise(ends), strict=True)}
        for name, part in columns.items():
            np.testing.assert_array_equal(flat(trace, kind.name, name), expected[..., part])
        values = {name: expected[..., part].reshape(found[name].shape) for name, part in columns.items()}
        known = found.copy(data=values)
        for selection in SELECTIONS if samples else ():
            chosen = found.isel({dim: selection})
            xr.testing.assert_identical(load(chosen), known.isel({dim: selection}))
            xr.testing.assert_identical(chosen.compute(), known.isel({dim: selection}))


def live(place, data):
    """Let a trace be recorded, gone back in and resumed, and look at all of it after each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_BYTES", data.draw(st.sampled_from([8, 28, 1000])))
        patch.setattr(layout, "SHARD_BYTES", 2 * layout.CHUNK_BYTES)
        patch.setattr(layout, "SERIES_CHUNK_BYTES", data.draw(st.sampled_from([8, 40])))
        patch.setattr(together, "JOB_BYTES", 28)
        patch.setattr(stored, "BLOCK_BYTES", data.draw(st.sampled_from([32, 200])))
        life = Life(f"{place}/{uuid.uuid4().hex}.zarr", data)
        life.record(None, data.draw(COUNTS), half=data.draw(st.booleans()))
        life.check()
        for kept, behind, more in data.draw(
            st.lists(st.tuples(COUNTS, COUNTS, COUNTS), min_size=1, max_size=2)
        ):
            rollback(life.path, min(kept, life.committed))
            life.committed = min(kept, life.committed)
            life.check()
            if life.open_ended or life.committed < N_SNAPSHOTS:
                behind = min(behind, life.committed)
                life.record(behind, max(behind, more), half=more % 2 == 0)
                life.check()


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.data())
def test_a_random_life(data):
    live("memory://lives", data)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_many_random_lives_on_a_disk(tmp_path_factory, data):
    live(tmp_path_factory.mktemp("lives"), data)
