"""Measures over many runs are those of each run alone, whatever their orders and lengths."""

import numpy as np
import pytest
import xarray as xr

from analyses import online_loss, recovery, shift_averaged_loss
from analyses.metrics import LATER_ONLINE_LOSS
from analyses.runs import over_runs
from tracekit import open_trace, open_traces
from tracekit.errors import AnalysisError
from tracekit.testing import no_compute, synthetic_losses
from tracekit.testing.written import write_example_trace

SCHEDULES = {
    "a": [[0, 1, 2], [0, 1, 2], [0, 1, 2]],
    "b": [[0, 1, 2], [2, 0, 1], [1, 0, 2]],
    "c": [[0, 1, 2], [0, 1, 2]],
    "d": [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3]],
    "e": [[0, 1, 2], [0, 1, 2], [0, 1, 2]],
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: write_example_trace(
            folder / f"{name}.zarr", n_tasks=max(map(max, table)) + 1, schedule=table, durability="rename"
        )
        for name, table in SCHEDULES.items()
    }


@pytest.mark.parametrize("measure", [recovery, online_loss, shift_averaged_loss])
def test_each_run_is_measured_as_if_alone(paths, measure):
    together = over_runs(measure, open_traces(list(paths.values()))["losses"].to_dataset()).compute()
    assert together["run"].values.tolist() == list(SCHEDULES)
    for name, path in paths.items():
        alone = measure(open_trace(path)["losses"].to_dataset()).compute()
        for variable, values in alone.data_vars.items():
            found = together[variable].sel(run=name)
            if "offset" in values.dims:
                found = found.sel(offset=alone["offset"])
            among = found[tuple(slice(size) for size in values.shape)]
            np.testing.assert_array_equal(among.values, values.values)
            assert found.notnull().sum() == values.notnull().sum()


def test_the_later_online_loss_leaves_out_the_first_epoch(paths):
    losses = open_traces(list(paths.values()))["losses"].to_dataset()
    found = LATER_ONLINE_LOSS.number(LATER_ONLINE_LOSS.measure(losses).compute())
    for name, table in SCHEDULES.items():
        loss = open_trace(paths[name])["losses"]["eval_loss"].values
        tasks = [task for epoch in table for task in epoch]
        online = [loss[before, task] for before, task in enumerate(tasks)]
        np.testing.assert_allclose(found.sel(run=name), np.mean(online[len(table[0]) :]))


def test_the_later_online_loss_of_one_epoch_is_not_defined():
    losses = synthetic_losses(n_epochs=1, recovery_scores=[0.5]).expand_dims(run=["short"])
    assert LATER_ONLINE_LOSS.number(LATER_ONLINE_LOSS.measure(losses)).isnull().all()


def test_building_computes_nothing(paths):
    losses = open_traces(list(paths.values()))["losses"].to_dataset()
    with no_compute():
        assert over_runs(recovery, losses)["recovery_score"].chunks


def test_a_run_that_cannot_be_measured_is_named(paths):
    losses = open_traces(list(paths.values()))["losses"].to_dataset()
    with pytest.raises(AnalysisError, match="run a, e: no variable"):
        over_runs(lambda one: recovery(one, loss="evall_loss"), losses)
    with pytest.raises(AnalysisError, match="dim 'run'"):
        over_runs(recovery, synthetic_losses())


def test_configuration_stays_with_its_run():
    runs = [synthetic_losses(recovery_scores=[score]) for score in (0.25, 0.5, 0.75)]
    coords = {"run": ["x", "y", "z"], "seed": ("run", [3, 1, 2])}
    both = xr.concat(runs, "run").assign_coords(coords)
    found = over_runs(recovery, both)
    assert found["recovery_score"].swap_dims(run="seed").sel(seed=1).values.round(6).tolist() == [0.5, 0.5]
