"""Kept Gram matrices are taken, extended or computed again: digests of what was read decide."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from analyses.kernels import similarity as kernels
from analyses.traces import gram_of
from tracekit import Field, Plan, Rows, TraceWriter, open_trace, rollback
from tracekit.cli.main import cli
from tracekit.derived import keep_measures, list_derived
from tracekit.reading.digests import row_digests

PLAN = Plan(np.tile(np.arange(3), (4, 1)), n_tasks=3, updates_per_visit=1)
N_ELEMENTS = 3000
ROWS = Rows("weights", (Field("a.weight", (N_ELEMENTS - 5,)), Field("b.bias", (5,))), tuple(range(13)))


def row(number, seed=0):
    """Weights that walk at random, far from zero."""
    steps = np.random.default_rng(seed).standard_normal((number + 1, N_ELEMENTS))
    return (5 + 0.01 * steps.sum(axis=0)).astype(np.float32)


def write(path, first, last, open_writer, *, seed=0):
    with open_writer(path, PLAN) as trace:
        trace.declare_rows(ROWS)
        for number in range(first, last):
            trace.put_row("weights", number, row(number, seed))
            trace.commit(PLAN.visit(number))
    return str(path)


@pytest.fixture
def run(tmp_path):
    return write(tmp_path / "run.zarr", 0, 8, TraceWriter.create)


@pytest.fixture
def taken(monkeypatch):
    """From which place on products are taken, each time that they are."""
    anchored, places = kernels.anchored, []

    def noting(values, *, first=0):
        places.append(first)
        return anchored(values, first=first)

    monkeypatch.setattr(kernels, "anchored", noting)
    return places


def kept(run, **options):
    with keep_measures():
        return gram_of(open_trace(run), "weights", **options).compute()


def assert_as_computed_anew(run, **options):
    """The twin: all products at once, nothing kept; to 1e-12 of the largest."""
    found, anew = kept(run, **options), gram_of(open_trace(run), "weights", **options).compute()
    xr.testing.assert_allclose(found, anew, rtol=1e-12, atol=1e-12 * float(abs(anew).max()))
    assert list(found.coords) == list(anew.coords)


def test_added_visits_extend_what_is_kept(run, taken):
    first = kept(run)
    write(run, 8, 13, TraceWriter.resume)
    extended = kept(run)
    assert taken == [0, 9]
    assert extended.sizes["visit"] == 13
    np.testing.assert_array_equal(kept(run), extended)
    assert taken == [0, 9]
    assert first.sizes["visit"] == 8
    assert_as_computed_anew(run)
    assert [(each.name, each.stale) for each in list_derived(run)] == [("gram", ())]


def test_raw_and_centered_come_from_the_same(run, taken):
    for center in (True, False):
        assert_as_computed_anew(run, center=center)
    assert taken == [0, 0, 0]  # once to be kept, and once for each twin


def test_parts_are_kept_and_extended_by_themselves(run, taken):
    kept(run, by="parameter")
    write(run, 8, 13, TraceWriter.resume)
    assert_as_computed_anew(run, by="parameter")
    assert_as_computed_anew(run)
    assert len(list_derived(run)) == 2


def test_dropped_visits_are_dropped_and_those_written_anew_are_computed(run, taken):
    kept(run)
    rollback(run, 5)
    assert kept(run).sizes["visit"] == 5
    assert taken == [0]
    write(run, 5, 9, TraceWriter.resume, seed=1)
    kept(run)
    assert taken == [0, 6]
    assert_as_computed_anew(run)


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_so_it_is_in_every_store(place, taken, codec):
    run = write(f"{place}/run.zarr", 0, 8, partial(TraceWriter.create, codec=codec))
    kept(run)
    rollback(run, 5)
    write(run, 5, 9, TraceWriter.resume, seed=1)
    kept(run)
    assert taken == [0, 6]
    assert_as_computed_anew(run)


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_from_a_changed_visit_on_all_is_computed_again(tmp_path, taken, codec):
    """Visit 3 is replaced behind tracekit's back by one of the same size, and nothing else says so."""
    paths = [tmp_path / "run.zarr", tmp_path / "other.zarr"]
    for seed, path in enumerate(paths):
        write(path, 0, 8, partial(TraceWriter.create, codec=codec), seed=seed)
    kept(paths[0])
    objects = [path / "weights" / "values" / "c" / "3" for path in paths]
    shutil.rmtree(objects[0])
    shutil.copytree(objects[1], objects[0])
    taken.clear()
    kept(paths[0])
    assert taken == [4]
    assert_as_computed_anew(paths[0])


def test_a_changed_first_visit_moves_the_anchor(run, tmp_path, taken):
    kept(run)
    other = write(tmp_path / "other.zarr", 0, 8, TraceWriter.create, seed=1)
    shutil.rmtree(Path(run) / "weights" / "values" / "c" / "0")
    shutil.copytree(Path(other) / "weights/values/c/0", Path(run) / "weights/values/c/0")
    kept(run)
    assert taken == [0, 0]
    assert_as_computed_anew(run)


def test_other_code_and_fresh_compute_all(run, taken, monkeypatch):
    kept(run)
    with keep_measures(fresh=True):
        gram_of(open_trace(run), "weights").compute()
    assert taken == [0, 0]
    monkeypatch.setattr("tracekit.derived.identity.code_version", lambda package: f"{package} 9.9 other")
    kept(run)
    assert taken == [0, 0, 0]


def test_commands_share_what_is_kept(run, taken):
    def call(*arguments):
        done = CliRunner().invoke(cli, ["analyze", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    for metric in ("cosine", "centered-cosine", "residual-cosine", "distance"):
        call("similarity", run, "--metric", metric)
    call("trajectory", run)
    call("period", run)
    call("mantel", run, run)
    assert taken == [0]
    assert [each.name for each in list_derived(run)] == ["gram"]
    without = call("similarity", run, "--no-cache")
    assert call("similarity", run) == without


def test_nothing_is_kept_outside_and_the_result_is_lazy(run):
    assert gram_of(open_trace(run), "weights").chunks is not None
    assert list_derived(run) == []


def test_digests_are_of_what_is_seen(run):
    weights = open_trace(run)["weights/flat"].to_dataset()["values"]
    digests = row_digests(weights.data.stored)
    assert len(set(digests)) == 8
    assert row_digests(weights[2:].data.stored) == digests[2:]
    assert row_digests(weights[:, :10].data.stored) != digests
    assert row_digests(weights.data.stored) == digests
