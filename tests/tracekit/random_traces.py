"""Random traces: what is declared in them, and a plain memory of what was committed of it."""

import dataclasses
from itertools import pairwise

import numpy as np
import xarray as xr
from hypothesis import strategies as st

from tracekit import Field, Plan, Rows, Series
from tracekit.format.precision import array_dtype
from tracekit.schedule import OpenPlan, Visit

N_VISITS, N_TASKS = 6, 3
N_SNAPSHOTS = N_VISITS + 1
TASKS = ("a", "b", "c")
SERIES = (
    Series("losses", "eval_loss", dims=("task",)),
    Series("losses", "train_loss", "update", dtype="float32"),
    Series("losses", "n_tokens", dtype="int64"),
)
SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
DTYPES = st.sampled_from(["float64", "float32", "float16", "bfloat16"])


@dataclasses.dataclass(frozen=True)
class Kind:
    """Tensors at some visits, or at some updates of the run."""

    name: str
    fields: tuple[Field, ...]
    dtype: str
    samples: tuple[int, ...]
    per_update: bool
    middle: tuple[str, tuple[str, ...]] | None

    @property
    def dim(self):
        return "update" if self.per_update else "visit"

    @property
    def row_shape(self):
        middle = [len(self.middle[1])] if self.middle else []
        return (*middle, sum(each.size for each in self.fields))

    def row(self, rng):
        """What is handed over: any bits at all, many of them 0, or numbers that could be taken for none."""
        dtype = array_dtype(self.dtype)
        n_bytes = int(np.prod(self.row_shape)) * dtype.itemsize
        some = (rng.integers(0, 256, n_bytes, "u1") * (rng.random(n_bytes) < 0.7)).view(dtype)
        return rng.choice([some, some, np.zeros_like(some), self.missing(some)]).reshape(self.row_shape)

    def missing(self, like):
        """What stands where nothing could be written."""
        return np.full_like(like, 0x7FC0 if self.dtype == "bfloat16" else np.nan)

    def seen(self, row):
        """What must come back."""
        return (row.astype("u4") << 16).view("f4") if self.dtype == "bfloat16" else row


@st.composite
def kinds(draw, n_updates):
    """Draw kinds of rows, at visits or updates that nothing orders."""
    found = []
    for number in range(draw(st.integers(1, 2))):
        dtype, per_update = draw(DTYPES), draw(st.booleans())
        shapes = draw(st.lists(SHAPES, min_size=1, max_size=4))
        fields = tuple(Field(f"part{place}", shape, dtype) for place, shape in enumerate(shapes))
        most = sum(n_updates) if per_update else N_SNAPSHOTS
        often = draw(st.lists(st.booleans(), min_size=most, max_size=most))
        samples = tuple(sample for sample in range(most) if often[sample])
        middle = ("probe", ("x", "y")) if draw(st.booleans()) else None
        found.append(Kind(f"kind{number}", fields, dtype, samples, per_update, middle))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a run records, and when."""

    open_ended: bool
    order: np.ndarray
    n_updates: tuple[int, ...]
    kinds: tuple[Kind, ...]

    @property
    def plan(self):
        if self.open_ended:
            return OpenPlan(n_tasks=N_TASKS)
        return Plan(self.order, N_TASKS, self.n_updates[-1])

    def visit(self, number):
        """The place of a visit in time."""
        planned = Plan(self.order, N_TASKS, 1).visit(number)
        return Visit(number, planned.epoch, planned.position, planned.task)

    def first_update(self, visit):
        return sum(self.n_updates[:visit])

    def updates(self, visit):
        """The updates of one visit."""
        return range(self.first_update(visit), self.first_update(visit + 1))

    def visit_of(self, dim, sample):
        """The visit that a sample was recorded in."""
        ends = np.cumsum(self.n_updates)
        return int(np.searchsorted(ends, sample, "right")) if dim == "update" else sample

    def declare(self, trace):
        """Announce everything to a writer."""
        trace.declare_series(SERIES, labels={"task": TASKS})
        for kind in self.kinds:
            samples = () if self.open_ended else kind.samples
            visits = tuple(self.visit_of(kind.dim, sample) for sample in samples)
            updates = samples if kind.per_update else None
            trace.declare_rows(Rows(kind.name, kind.fields, visits, kind.middle, kind.dtype, updates=updates))

    def recorded(self, number, rng):
        """Make up all that is recorded at a visit."""
        samples = {"visit": (number,), "update": self.updates(number)}
        rows = {
            (kind.name, sample): kind.row(rng)
            for kind in self.kinds
            for sample in samples[kind.dim]
            if sample in kind.samples
        }
        values = {
            "eval_loss": [rng.standard_normal(N_TASKS)],
            "train_loss": [rng.standard_normal() for _ in samples["update"]],
            "n_tokens": [rng.integers(-(1 << 40), 1 << 40)],
        }
        return Recorded(number, rows, values)


@st.composite
def shapes(draw):
    """Draw what a run records."""
    open_ended = draw(st.booleans())
    some = st.lists(st.integers(0, 3), min_size=N_VISITS, max_size=N_VISITS)
    n_updates = (0, *(draw(some) if open_ended else [draw(st.integers(1, 3))] * N_VISITS))
    order = draw(st.lists(st.integers(0, N_TASKS - 1), min_size=N_VISITS, max_size=N_VISITS))
    return Shape(open_ended, np.reshape(order, (2, -1)), n_updates, draw(kinds(n_updates)))


@dataclasses.dataclass(frozen=True)
class Recorded:
    """All that was handed over at one visit, and the kinds of which the store would take nothing."""

    number: int
    rows: dict[tuple[str, int], np.ndarray]
    values: dict[str, list]
    lost: tuple[str, ...] = ()

    def put(self, trace):
        for name, samples in self.values.items():
            for sample in samples:
                trace.put("losses", name, sample)
        for (group, sample), row in self.rows.items():
            trace.put_row(group, sample, row)


def expected(shape, history):
    """Give what must be opened where this was committed: a Dataset for every node, all in memory."""
    nodes = {"losses": _losses(shape, history)}
    for kind in shape.kinds:
        nodes[kind.name], nodes[f"{kind.name}/flat"] = _tensors(shape, kind, history)
    return nodes


def _losses(shape, history):
    coords = _places(shape, "visit", range(len(history))) | {"task": ("task", np.array(TASKS, object))}
    updates = _places(shape, "update", range(shape.first_update(len(history))))
    coords |= {name if name.startswith("update") else f"update_{name}": of for name, of in updates.items()}
    values = {}
    for each in SERIES:
        samples = [sample for one in history for sample in one.values[each.name]]
        sizes = (len(samples), *(len(TASKS) for _ in each.dims))
        values[each.name] = ((each.sample, *each.dims), np.array(samples, each.dtype).reshape(sizes))
    return xr.Dataset(values, coords)


def _tensors(shape, kind, history):
    rows = {}
    for one in history:
        for (group, sample), row in one.rows.items():
            if group == kind.name:
                rows[sample] = kind.seen(kind.missing(row) if group in one.lost else row)
    empty = np.empty((0, *kind.row_shape), "f4" if kind.dtype == "bfloat16" else kind.dtype)
    flat = np.stack([*rows.values()]) if rows else empty
    middle = (kind.middle[0],) if kind.middle else ()
    coords = _places(shape, kind.dim, [*rows])
    whole = xr.Dataset({"values": ((kind.dim, *middle, "element"), flat)}, coords)
    labels = {kind.middle[0]: np.array(kind.middle[1], object)} if kind.middle else {}
    ends = np.cumsum([0, *(each.size for each in kind.fields)])
    parts = {
        field.name: (
            (kind.dim, *middle, *(f"axis{axis}_{size}" for axis, size in enumerate(field.shape))),
            flat[..., first:last].reshape(*flat.shape[:-1], *field.shape),
        )
        for field, (first, last) in zip(kind.fields, pairwise(ends), strict=True)
    }
    return xr.Dataset(parts, {**coords, **labels}), whole.assign_coords(labels)


def _places(shape, dim, samples):
    """Give the coordinates of samples along a dim."""
    visits = [shape.visit_of(dim, sample) for sample in samples]
    places = [shape.visit(number) for number in visits]
    columns = {
        dim: [*samples],
        "epoch": [place.epoch for place in places],
        "position": [place.position for place in places],
        "trained_task": [place.task for place in places],
    }
    if dim == "update":
        columns["update_visit"] = visits
        columns["update_index"] = [
            sample - shape.first_update(visit) for sample, visit in zip(samples, visits, strict=True)
        ]
    return {name: (dim, np.array(column, np.int64)) for name, column in columns.items()}
