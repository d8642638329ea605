"""Many traces as one: lined up along `run`, lazily, with their configurations; what is missing is named."""

import shutil

import numpy as np
import pytest
import xarray as xr

from tracekit import TracekitError, open_trace, open_traces
from tracekit.collection.finding import find_traces, run_names
from tracekit.errors import TraceError, TraceNotFoundError
from tracekit.testing import no_compute
from tracekit.testing.written import write_example_trace

SIGNATURE = {"layer.weight": "float32[2, 3]", "layer.bias": "float32[3]"}


def settings(optimizer, seed, rate=0.1):
    return {
        "configuration": {
            "seed": seed,
            "training": {"optimizer": {"kind": optimizer, "learning_rate": rate}},
        },
        "model_signature": SIGNATURE,
    }


def write(path, optimizer="sgd", seed=0, rate=0.1, **options):
    attributes = settings(optimizer, seed, rate)
    return write_example_trace(path, attributes=attributes, durability="rename", **options)


@pytest.fixture
def folder(tmp_path):
    """Four runs of two optimizers and two seeds, one of them shorter."""
    for optimizer in ("adam", "sgd"):
        for seed in (0, 1):
            n_epochs = 2 if (optimizer, seed) == ("sgd", 1) else 3
            rate = 0.1 if optimizer == "sgd" else 0.001
            write(tmp_path / f"{optimizer}-{seed}.zarr", optimizer, seed, rate, n_epochs=n_epochs)
    return tmp_path


def test_every_value_is_that_of_its_own_trace(folder):
    traces = open_traces(f"{folder}/*.zarr")
    assert traces["losses"]["run"].values.tolist() == ["adam-0", "adam-1", "sgd-0", "sgd-1"]
    for kind in ("losses", "weights", "weights/flat"):
        for run, path in zip(traces["run"].values, traces["path"].values, strict=True):
            alone = open_trace(path)[kind].to_dataset()
            among = traces[kind].to_dataset().sel(run=run)
            for name, values in alone.data_vars.items():
                n_samples = values.shape[0]
                np.testing.assert_array_equal(among[name].values[:n_samples], values.values)
                assert np.isnan(among[name].values[n_samples:]).all()


def test_opening_reads_no_values(folder):
    with no_compute():
        traces = open_traces(f"{folder}/*.zarr")
    assert all(values.chunks for node in traces.subtree for values in node.to_dataset().data_vars.values())


def test_configurations_are_coordinates_to_select_and_group_by(folder):
    losses = open_traces(f"{folder}/*.zarr")["losses"].to_dataset()
    assert losses["optimizer"].values.tolist() == ["adam", "adam", "sgd", "sgd"]
    assert losses["seed"].values.tolist() == [0, 1, 0, 1]
    assert losses["training.optimizer.learning_rate"].values.tolist() == [0.001, 0.001, 0.1, 0.1]
    assert losses["model_size"].values.tolist() == [9] * 4
    assert losses["order"].values.tolist() == ["cyclic"] * 4
    by_optimizer = losses["eval_loss"].groupby("optimizer").mean("run")
    np.testing.assert_allclose(
        by_optimizer.sel(optimizer="adam"), losses["eval_loss"].isel(run=slice(0, 2)).mean("run")
    )
    assert losses.where(losses["seed"] == 1, drop=True).sizes["run"] == 2


def test_a_shorter_run_is_missing_beyond_its_end_and_never_made_up(folder):
    losses = open_traces(f"{folder}/*.zarr", kinds=["losses"])["losses"].to_dataset()
    short = losses.sel(run="sgd-1")
    assert losses.sizes["visit"] == 10
    assert np.isnan(short["eval_loss"].values[7:]).all()
    assert short["trained_task"].values.tolist() == [-1, 0, 1, 2, 0, 1, 2, -1, -1, -1]
    assert losses["snapshots_committed"].values.tolist() == [10, 10, 10, 7]


def test_runs_that_agree_share_their_coordinates(tmp_path):
    paths = [write(tmp_path / f"{seed}.zarr", seed=seed) for seed in range(2)]
    losses = open_traces(paths)["losses"].to_dataset()
    assert losses["trained_task"].dims == ("visit",)
    assert losses["task"].values.tolist() == ["document 0", "document 1", "document 2"]
    assert "training.optimizer.kind" not in losses.coords


def test_tasks_of_other_names_are_matched_by_place(tmp_path):
    paths = [write(tmp_path / f"{n}.zarr", n_tasks=n) for n in (3, 4)]
    losses = open_traces(paths)["losses"].to_dataset()
    assert losses["task"].values.tolist() == [0, 1, 2, 3]
    assert losses["task_name"].sel(run="3").values.tolist() == ["document 0", "document 1", "document 2", ""]
    assert losses["n_tasks"].values.tolist() == [3, 4]
    alone = open_trace(paths[0])["losses"]["eval_loss"].values
    np.testing.assert_array_equal(losses["eval_loss"].sel(run="3").values[:7, :3], alone)
    assert np.isnan(losses["eval_loss"].sel(run="3", task=3).values).all()


def test_tensors_of_other_shapes_are_left_out_and_named(tmp_path, monkeypatch):
    small = write(tmp_path / "small.zarr")
    monkeypatch.setattr("tracekit.testing.written.Field", wider)
    monkeypatch.setattr("tracekit.testing.written._on_a_circle", lambda turns: np.zeros(10, np.float32))
    large = write(tmp_path / "large.zarr")
    weights = open_traces([small, large])["weights"]
    assert list(weights.data_vars) == ["layer.weight"]
    assert list(weights.attrs["not_aligned"]) == ["layer.bias"]
    assert list(weights["flat"].attrs["not_aligned"]) == ["values"]


def wider(name, shape):
    from tracekit.format.schema import Field

    return Field(name, (4,) if name == "layer.bias" else shape)


def test_a_kind_that_some_runs_lack_is_missing_in_them(folder):
    write(folder / "with-activations.zarr", "adam", 2, 0.001, n_probes=3)
    layer = open_traces(f"{folder}/*.zarr")["activations"]["layer"]
    assert np.isnan(layer.sel(run="adam-0").values).all()
    assert np.isfinite(layer.sel(run="with-activations").values).all()


def test_runs_that_cannot_be_opened_are_each_named(folder):
    (folder / "adam-1.zarr" / "zarr.json").write_text("{")
    shutil.rmtree(folder / "sgd-0.zarr" / "commit")
    with pytest.raises(TraceError, match=r"2 of 4 runs cannot be opened \(skip_damaged=True") as caught:
        open_traces(f"{folder}/*.zarr")
    assert "adam-1.zarr" in str(caught.value)
    assert "sgd-0.zarr" in str(caught.value)
    rest = open_traces(f"{folder}/*.zarr", skip_damaged=True)
    assert rest["run"].values.tolist() == ["adam-0", "sgd-1"]
    assert [path[-11:] for path in rest.attrs["left_out"]] == ["adam-1.zarr", "/sgd-0.zarr"]


def test_runs_that_are_not_whole_are_named(folder):
    from tracekit import rollback

    rollback(folder / "sgd-1.zarr", 3)
    traces = open_traces(f"{folder}/*.zarr")
    assert traces.attrs["incomplete"] == {"sgd-1": "interrupted: 3 of 7 snapshots"}
    assert traces["losses"]["status"].sel(run="sgd-1") == "interrupted"


def test_globs_reach_into_folders(folder):
    found = find_traces(f"{folder.parent}/{folder.name[:-1]}?/sgd-*.zarr")
    assert [path[-11:] for path in found] == ["/sgd-0.zarr", "/sgd-1.zarr"]


def test_globs_and_many_runs_reach_into_object_stores(s3):
    for run in ("b", "a"):
        write_example_trace(f"{s3}/{run}/run.zarr")
    traces = open_traces(f"{s3}/*/run.zarr")
    assert traces["path"].values.tolist() == [f"{s3}/a/run.zarr", f"{s3}/b/run.zarr"]
    assert traces["losses"]["eval_loss"].values.shape == (2, 7, 3)


@pytest.mark.parametrize("pattern", ["{}/*.nothing", "memory://nowhere/*.zarr"])
def test_a_pattern_that_finds_nothing_is_an_error(tmp_path, pattern):
    with pytest.raises(TraceNotFoundError, match="nothing is there that matches"):
        open_traces(pattern.format(tmp_path))


def test_names_that_make_no_sense_are_errors(folder):
    with pytest.raises(TracekitError, match="did you mean 'losses'"):
        open_traces(f"{folder}/*.zarr", kinds=["loses"])
    with pytest.raises(TraceNotFoundError, match="no path"):
        open_traces([])
    with pytest.raises(TraceNotFoundError, match="1 of 1 runs cannot be opened"):
        open_traces(folder / "other.zarr")


def test_runs_are_called_by_what_tells_them_apart():
    assert run_names(["s3://b/x/1/run.zarr", "s3://b/x/2/run.zarr"]) == ["1/run", "2/run"]


def test_a_setting_that_is_called_as_a_dim_keeps_apart(tmp_path):
    paths = [
        write_example_trace(tmp_path / f"{n}.zarr", attributes={"task": n}, durability="rename") for n in "ab"
    ]
    losses = open_traces(paths)["losses"].to_dataset()
    assert losses["configuration.task"].values.tolist() == ["a", "b"]
    assert losses["task"].size == 3


def test_what_xarray_would_stack_is_what_is_stacked(folder):
    paths = sorted(folder.glob("*.zarr"))
    alone = [open_trace(path)["losses"].to_dataset().reset_coords(drop=True) for path in paths]
    expected = xr.concat(alone, "run", join="outer")
    found = open_traces(paths)["losses"].to_dataset().reset_coords(drop=True).drop_vars("run")
    xr.testing.assert_equal(found.compute(), expected.compute())
