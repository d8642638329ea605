"""Random traces live: recorded, cut off, resumed, taken back, damaged and repaired; every bit is looked at.

Beside the trace there is a plain list of what was committed to it. After each event, random ways to read the
trace give what is in that list. Who opened it earlier sees what there was then, or is told that it went back.
"""

import tempfile
import uuid
import warnings
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from random_readings import check_opened
from random_traces import N_SNAPSHOTS, expected, shapes

from tracekit import TraceWriter, open_trace, rollback
from tracekit.checking.verify import verify
from tracekit.cli.verify import verify as verify_command
from tracekit.errors import TraceInUseError, TraceRolledBackError, TraceWarning
from tracekit.format import layout
from tracekit.reading import stored, together
from tracekit.store import LocalStore, open_store
from tracekit.store.memory import MemoryStore
from tracekit.store.remote import RemoteStore

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(0, N_SNAPSHOTS)


class Life(RuleBasedStateMachine):
    """One trace, and beside it all that was committed."""

    place = "memory://lives"

    def __init__(self):
        super().__init__()
        self.patch, self.refused = pytest.MonkeyPatch(), ()
        for kind in (LocalStore, MemoryStore, RemoteStore):
            self.patch.setattr(kind, "put_unless_changed", self._unless_refused(kind.put_unless_changed))
        self.history, self.writer, self.abandoned, self.reader = [], None, None, None

    def _unless_refused(self, put):
        def put_or_refuse(store, key, *rest):
            if key.startswith(self.refused):
                raise OSError(28, "No space left on device")
            return put(store, key, *rest)

        return put_or_refuse

    @initialize(
        shape=shapes(),
        seed=SEEDS,
        n_visits=COUNTS,
        lost=st.booleans(),
        codec=st.sampled_from(["lz4", "none"]),
        sizes=st.tuples(*map(st.sampled_from, ([8, 28, 1000], [1, 2], [8, 40], [32, 200]))),
    )
    def begin(self, shape, seed, n_visits, lost, codec, sizes):
        chunk, n_chunks, series, block = sizes
        self.patch.setattr(layout, "CHUNK_BYTES", chunk)
        self.patch.setattr(layout, "SHARD_BYTES", n_chunks * chunk)
        self.patch.setattr(layout, "SERIES_CHUNK_BYTES", series)
        self.patch.setattr(stored, "BLOCK_BYTES", block)
        self.patch.setattr(together, "JOB_BYTES", 28)
        self.shape, self.rng = shape, np.random.default_rng(seed)
        self.path = f"{self.place}/{uuid.uuid4().hex}.zarr"
        self.settings = {"codec": codec, "durability": "rename", "on_error": "warn"}
        self._take(TraceWriter.create(self.path, shape.plan, **self.settings))
        self._record(n_visits, wait=False, lost=lost)

    def _take(self, writer):
        self.writer, self.next, self.pending = writer, writer.snapshots, None
        self.shape.declare(writer)

    @precondition(lambda self: self.writer and self.next < N_SNAPSHOTS)
    @rule(n_visits=st.integers(1, 4), wait=st.booleans(), lost=st.booleans())
    def record(self, n_visits, wait, lost):
        """Record some visits; of the last, the store may take no tensors of a kind."""
        self._record(n_visits, wait=wait, lost=lost)

    def _record(self, n_visits, *, wait, lost):
        last = min(self.next + n_visits, N_SNAPSHOTS) - 1
        for number in range(self.next, last + 1):
            if lost and number == last >= len(self.history) and self.pending is None:
                self.refused = (f"{self.rng.choice(self.shape.kinds).name}/values/c/",)
            self._put(number)
            if number >= len(self.history):
                kinds = tuple(key.split("/")[0] for key in self.refused)
                self.history.append(replace(self.pending, lost=kinds))
            with warnings.catch_warnings(action="ignore", category=TraceWarning):
                self.writer.commit(self.shape.visit(number), wait=wait or lost or number == last)
            self.next, self.pending, self.refused = number + 1, None, ()

    def _put(self, number):
        """Put a visit, the same as before if the run repeats it."""
        if self.pending is None:
            repeated = number < len(self.history)
            self.pending = self.history[number] if repeated else self.shape.recorded(number, self.rng)
            self.pending.put(self.writer)

    @precondition(lambda self: self.writer and self.pending is None and self.next < N_SNAPSHOTS)
    @rule()
    def put(self):
        """Put a visit and do not commit it."""
        self._put(self.next)

    @precondition(lambda self: self.writer)
    @rule()
    def close(self):
        self.writer.close("complete" if self.next == N_SNAPSHOTS else "interrupted")
        self.writer = None

    @precondition(lambda self: self.writer and self.next < N_SNAPSHOTS)
    @rule()
    def vanish(self):
        """Leave the trace amid a visit, as a process does that is killed; it may yet turn out to live."""
        self._put(self.next)
        self.abandoned, self.writer = self.writer, None

    def _may_go_on(self):
        return self.shape.open_ended or len(self.history) < N_SNAPSHOTS

    @precondition(lambda self: not self.writer and self._may_go_on())
    @rule(behind=st.none() | COUNTS, n_visits=COUNTS, lost=st.booleans())
    def resume(self, behind, n_visits, lost):
        """Go on after all that was committed, or after less, and then repeat the rest."""
        force = self.abandoned is not None
        settings = {**self.settings, "snapshots": behind, "force_claim": force}
        self._take(TraceWriter.resume(self.path, self.shape.plan, **settings))
        self._went_back(went=force or not self.history)
        self._record(n_visits, wait=True, lost=lost)

    @rule(kept=COUNTS)
    def go_back(self, kept):
        """Drop the last visits, once nobody writes."""
        if self.writer:
            self.close()
        kept, force = min(kept, len(self.history)), self.abandoned is not None
        rollback(self.path, kept, force_claim=force)
        went = force or kept < len(self.history)
        del self.history[kept:]
        self._went_back(went=went)

    def _went_back(self, *, went):
        """Nothing is left of what was not committed, and who was taken for dead can do nothing more."""
        if went and self.reader:
            with pytest.raises(TraceRolledBackError):
                check_opened(*self.reader, self.rng)
            self.reader = None
        store = open_store(self.path)
        for kind in self.shape.kinds if self.history or not self.writer else ():
            samples = [key for one in self.history for key in one.rows if key[0] == kind.name]
            rows = {int(row) for row in store.children(f"{kind.name}/values/c")}
            assert rows <= {*range(len(samples))}
        if self.abandoned:
            visit = self.shape.visit(self.abandoned.snapshots)
            with pytest.raises(TraceInUseError):
                self.abandoned.commit(visit)
            self.abandoned.close("failed")
            self.abandoned = None

    @precondition(lambda self: self.history and not self.writer and not self.abandoned)
    @rule(seed=SEEDS)
    def damage_and_repair(self, seed):
        """Damage an object: it is named, and what can be repaired is."""
        store, rng = open_store(self.path), np.random.default_rng(seed)
        keys = [key for kind in self.shape.kinds for key in _objects(store, f"{kind.name}/values")]
        keys += [key for name in ("eval_loss", "n_tokens") for key in _objects(store, f"losses/{name}")]
        key = str(rng.choice([*keys, f"{self.shape.kinds[0].name}/zarr.json", "losses/zarr.json"]))
        whole = store.get(key)
        store.put(key, _damaged(whole, rng))
        assert key in {fault.key for fault in verify(self.path).faults}
        kept = self._visit_of(store, key)
        result = CliRunner().invoke(verify_command, [self.path, "--repair"])
        if kept == 0:
            assert result.exit_code == 1
            store.put(key, whole)
            return
        assert result.exit_code == 0, result.output
        self._went_back(went=kept < len(self.history))
        del self.history[kept:]

    def _visit_of(self, store, key):
        """The first visit that needs an object; all are kept without metadata, which has a copy."""
        if key.endswith("zarr.json"):
            return len(self.history)
        array, _, place = key.partition("/c/")
        number = int(place.split("/")[0]) * layout.read_layout(store, array).object_shape[0]
        rows = [sample for one in self.history for group, sample in one.rows if group == array.split("/")[0]]
        dim = next((kind.dim for kind in self.shape.kinds if array == f"{kind.name}/values"), None)
        return self.shape.visit_of(dim, rows[number]) if dim else number

    @invariant()
    def is_read_as_recorded(self):
        known = expected(self.shape, self.history)
        trace = open_trace(self.path, chunks=self.rng.choice(["auto", None]))
        check_opened(trace, known, self.rng)
        if not self.writer and self.rng.random() < 0.3:
            assert verify(self.path).faults == ()
        if self.reader and self.rng.random() < 0.5:
            check_opened(*self.reader, self.rng)
        if self.reader is None or self.rng.random() < 0.3:
            self.reader = trace, known

    def teardown(self):
        for writer in filter(None, (self.writer, self.abandoned)):
            with warnings.catch_warnings(action="ignore", category=TraceWarning):
                writer.close("failed")
        self.patch.undo()


def _objects(store, array):
    """Give the keys of all objects of an array."""
    found, folders = [], [f"{array}/c"]
    while folders:
        folder = folders.pop()
        below = [f"{folder}/{name}" for name in store.children(folder)]
        found += [key for key in below if store.get(key) is not None]
        folders += [key for key in below if store.get(key) is None]
    return sorted(found)


def _damaged(data, rng):
    """Change one bit, or cut the end off."""
    place = int(rng.integers(len(data)))
    if rng.random() < 0.3:
        return data[:place]
    return data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]


class LifeOnDisk(Life):
    """The same on a disk."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place = self.folder.name

    def teardown(self):
        super().teardown()
        self.folder.cleanup()


class LifeInBucket(Life):
    """The same in an object store."""

    place = "s3://traces/lives"


def many(life, n_lives):
    """Give the long test of a kind of life."""
    life.TestCase.settings = settings(max_examples=n_lives, stateful_step_count=20, **COMMON)
    return pytest.mark.slow(life.TestCase)


COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
TestLives = Life.TestCase
TestLives.settings = settings(max_examples=6, stateful_step_count=6, derandomize=True, **COMMON)
TestManyLivesOnDisk = many(LifeOnDisk, 30)
TestManyLivesInBucket = pytest.mark.usefixtures("object_server")(many(LifeInBucket, 3))
