"""Numbers of runs are measured once, and measured again when code or data change."""

import re
import shutil

import numpy as np
import pytest

from tracekit import open_traces, plugins, rollback
from tracekit.collection import numbers
from tracekit.collection.numbers import numbers_of_runs
from tracekit.collection.tables import run_numbers
from tracekit.derived import list_derived
from tracekit.errors import TraceError
from tracekit.protocols import Metric
from tracekit.testing.written import write_example_trace

METRICS = [plugins.load("tracekit.metrics", name) for name in plugins.names("tracekit.metrics")]


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        write_example_trace(
            tmp_path / f"{number}.zarr",
            n_tasks=3 + number % 2,
            n_epochs=2 + number,
            order="shuffled" if number else "cyclic",
            durability="rename",
        )
    return tmp_path


@pytest.fixture
def measured(monkeypatch):
    """The names of the runs that are measured, call by call."""
    calls = []

    def watched(traces, metrics):
        calls.append(traces["run"].values.tolist())
        return run_numbers(traces, metrics)

    monkeypatch.setattr(numbers, "run_numbers", watched)
    return calls


def same(found, expected):
    for metric in METRICS:
        np.testing.assert_array_equal(found[metric.name], expected[metric.name])


def test_kept_numbers_are_those_of_all_runs_measured_together(folder, measured):
    together = run_numbers(open_traces(f"{folder}/*.zarr", kinds=["losses"]), METRICS)
    for _ in range(2):
        found = numbers_of_runs(f"{folder}/*.zarr", METRICS)
        same(found, together)
        assert set(together.coords) == set(found.coords)
    assert measured == [["0", "1", "2", "3"]]


def test_only_what_is_new_or_changed_is_measured(folder, measured):
    numbers_of_runs(f"{folder}/[012].zarr", METRICS)
    numbers_of_runs(f"{folder}/*.zarr", METRICS)
    rollback(folder / "1.zarr", 5)
    after = numbers_of_runs(f"{folder}/*.zarr", METRICS)
    assert measured == [["0", "1", "2"], ["3"], ["1"]]
    assert after.attrs["incomplete"] == {"1": "interrupted: 5 of 13 snapshots"}
    same(after, numbers_of_runs(f"{folder}/*.zarr", METRICS, kept=False))
    numbers_of_runs(f"{folder}/*.zarr", METRICS, fresh=True)
    assert measured[3:] == [["0", "1", "2", "3"]] * 2


def test_what_is_not_defined_is_kept_as_such(tmp_path, measured):
    write_example_trace(tmp_path / "short.zarr", n_epochs=1)
    for _ in range(2):
        assert np.isnan(numbers_of_runs(str(tmp_path / "short.zarr"), METRICS)["recovery"].item())
    assert measured == [["short"]]


def test_they_are_listed_with_the_trace_and_fresh(folder):
    numbers_of_runs(f"{folder}/0.zarr", METRICS[:2])
    found = {result.name: result.stale for result in list_derived(folder / "0.zarr")}
    assert found == {f"metric-{metric.name}": () for metric in METRICS[:2]}


def test_the_numbers_themselves_are_listed(folder):
    write_example_trace(folder / "short.zarr", n_epochs=1)
    for name in ("0", "short"):
        run = folder / f"{name}.zarr"
        expected = numbers_of_runs(str(run), METRICS)
        listed = {result.name: result.number for result in list_derived(run)}
        assert len(listed) == len(METRICS)
        for metric in METRICS:
            np.testing.assert_equal(listed[f"metric-{metric.name}"], expected[metric.name].item())


def test_a_kind_that_has_gone_is_not_taken_for_one_that_was_never_recorded(folder):
    shutil.rmtree(folder / "2.zarr" / "losses")
    with pytest.raises(TraceError, match=r"there is no losses/zarr\.json"):
        numbers_of_runs(f"{folder}/*.zarr", METRICS)
    for _ in range(2):
        found = numbers_of_runs(f"{folder}/*.zarr", METRICS, skip_damaged=True)
        assert np.isnan(found["recovery"].values).tolist() == [False, False, True, False]
        assert list(found.attrs["damaged"]) == ["2"]


def damage(run):
    (run / "losses" / "eval_loss" / "c" / "0" / "0").write_bytes(b"not what was written")


def test_damaged_values_are_refused_with_the_name_of_every_run_that_holds_some(folder):
    damage(folder / "1.zarr")
    damage(folder / "3.zarr")
    with pytest.raises(TraceError, match=r"2 of 4 runs cannot be read .*--skip-damaged") as caught:
        numbers_of_runs(f"{folder}/*.zarr", METRICS)
    assert re.findall(r"(\d)\.zarr/losses/eval_loss", str(caught.value)) == ["1", "3"]


def test_damaged_values_are_skipped_and_named_and_never_kept(folder):
    whole = numbers_of_runs(f"{folder}/*.zarr", METRICS, kept=False)
    damage(folder / "2.zarr")
    for _ in range(2):  # of the second time, only the damaged one is measured
        found = numbers_of_runs(f"{folder}/*.zarr", METRICS, skip_damaged=True)
        same(found.drop_sel(run="2"), whole.drop_sel(run="2"))
        assert all(np.isnan(found[metric.name].sel(run="2")) for metric in METRICS)
        assert "2.zarr/losses/eval_loss" in found.attrs["damaged"]["2"]["losses"]
    assert [result.name for result in list_derived(folder / "2.zarr")] == []


def test_a_kind_that_no_run_holds_is_named(folder):
    other = Metric("other", "of another kind", lambda node: node, lambda node: node["x"], kind="logits")
    with pytest.raises(TraceError, match="no run holds 'logits': there are losses, weights"):
        numbers_of_runs(f"{folder}/*.zarr", [other])


def test_runs_in_which_nothing_is_committed_have_no_numbers(folder):
    rollback(folder / "0.zarr", 0)
    found = numbers_of_runs(f"{folder}/*.zarr", METRICS)
    assert np.isnan(found["final-loss"].values).tolist() == [True, False, False, False]


def test_what_is_no_trace_is_named(folder):
    (folder / "file.zarr").write_text("")
    with pytest.raises(TraceError, match=r"file\.zarr: not a trace"):
        numbers_of_runs(f"{folder}/*.zarr", METRICS)
