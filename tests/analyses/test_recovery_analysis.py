"""Recovery, shift-averaged loss and online loss of labelled losses."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analyses.recovery import online_loss, recovery, shift_averaged_loss
from tracekit.errors import AnalysisError
from tracekit.schedule import Plan
from tracekit.testing import synthetic_losses
from tracekit.testing.losses import cyclic_order, visit_coordinates

PAPER_RUN = Path(__file__).parents[1] / "data" / "paper_run_micro" / "results.npz"
UNEVEN = [[0, 1, 2, 3, 1, 2, 3, 0, 2, 3, 1]]


def test_recovery_of_the_paper_run():
    with np.load(PAPER_RUN) as results:
        loss = results["eval_losses_ckpt"].astype(np.float64)
    plan = Plan(cyclic_order(8, 4), n_tasks=8, updates_per_visit=5)
    losses = xr.Dataset({"eval_loss": (("visit", "task"), loss)}, coords=visit_coordinates(plan))
    scores = recovery(losses)["recovery_score"]
    np.testing.assert_allclose(scores, [0.1306, 0.0929, 0.1408], atol=1e-4)


def test_known_scores_come_back_whatever_the_tasks_lose():
    losses = synthetic_losses(
        n_tasks=5,
        n_epochs=5,
        recovery_scores=[-0.1, 0.0, 0.4, 1.0],
        after=[1, 2, 3, 4, 5],
        forgetting=[1, 0.5, 3, 2, 4],
    )
    result = recovery(losses)
    np.testing.assert_allclose(result["recovery_score"], [0.0, 0.0, 0.4, 1.0], atol=1e-12)
    np.testing.assert_allclose(result["forgetting"].sel(interval=3), [1, 0.5, 3, 2, 4])
    np.testing.assert_array_equal(result["peak_position"].sel(interval=3), 2 / 5)
    np.testing.assert_array_equal(result["n_tasks"], [5, 5, 5, 5])
    assert result["task"].values.tolist() == [f"task-{task}" for task in range(5)]


def test_orders_with_intervals_of_any_length():
    result = recovery(synthetic_losses(order=UNEVEN, recovery_scores=[0.25, 0.5]))
    np.testing.assert_allclose(result["recovery_score"], [0.25, 0.5])
    np.testing.assert_array_equal(result["n_tasks"], [4, 3])
    np.testing.assert_array_equal(result["start_visit"], [[1, -1], [2, 5], [3, 6], [4, 7]])
    np.testing.assert_array_equal(result["end_visit"], [[8, -1], [5, 11], [6, 9], [7, 10]])
    assert np.isnan(result["peak"].sel(interval=2)[0])


def test_a_task_that_comes_twice_running_counts_with_nothing_forgotten():
    losses = synthetic_losses(order=[[0, 1, 2, 2, 1, 0]], recovery_scores=[0.5])
    np.testing.assert_array_equal(recovery(losses)["forgetting"].sel(interval=1)[2], 0.0)


@pytest.mark.parametrize("n_visits", range(1, 14))
def test_a_running_trace_has_the_intervals_completed_so_far(n_visits):
    losses = synthetic_losses(n_tasks=4, n_epochs=3, recovery_scores=[0.25, 0.5])
    whole = recovery(losses)
    part = recovery(losses.isel(visit=slice(n_visits)))
    completed = [(whole["end_visit"] < n_visits).isel(interval=n).sum().item() for n in range(2)]
    np.testing.assert_array_equal(part["n_tasks"], [n for n in completed if n])
    np.testing.assert_allclose(part["recovery_score"], [0.25, 0.5][: part.sizes["interval"]])


def test_a_slice_that_starts_late_keeps_visit_numbers():
    losses = synthetic_losses(n_tasks=4, n_epochs=4, recovery_scores=[0.1, 0.2, 0.3])
    late = recovery(losses.isel(visit=slice(5, None)))
    np.testing.assert_allclose(late["recovery_score"], [0.2, 0.3])
    np.testing.assert_array_equal(late["start_visit"].sel(interval=1), [5, 6, 7, 8])


def test_one_task_has_no_score_and_one_epoch_no_interval():
    assert np.isnan(recovery(synthetic_losses(n_tasks=1, n_epochs=3))["recovery_score"]).all()
    assert recovery(synthetic_losses(n_tasks=3, n_epochs=1)).sizes["interval"] == 0


def test_nan_losses_reach_the_scores_they_touch_alone():
    losses = synthetic_losses(n_tasks=4, n_epochs=3, recovery_scores=[0.25])
    losses["eval_loss"][9, 1] = np.nan
    np.testing.assert_array_equal(recovery(losses)["recovery_score"].round(6), [0.25, np.nan])


def test_held_out_losses_by_the_same_door():
    losses = synthetic_losses(n_tasks=4)
    held_out = losses["eval_loss"].rename(task="test_task").assign_coords(test_task=list("abcd"))
    result = recovery(losses.assign(test_loss=held_out + 1), loss="test_loss")
    np.testing.assert_allclose(result["recovery_score"], [0.25, 0.5])
    assert result["task"].values.tolist() == list("abcd")


def test_losses_missing_at_visits_are_an_error_that_names_them():
    losses = synthetic_losses(n_tasks=4)
    with pytest.raises(AnalysisError, match=r"eval_loss: .* every visit, found visit 4 followed by 6"):
        recovery(losses.isel(visit=[0, 1, 2, 3, 4, 6, 7, 8]))


@pytest.mark.parametrize("analysis", [recovery, shift_averaged_loss, online_loss])
def test_errors_name_what_was_found(analysis):
    losses = synthetic_losses(n_tasks=4)
    with pytest.raises(AnalysisError, match="did you mean 'eval_loss'"):
        analysis(losses, loss="eval_los")
    with pytest.raises(AnalysisError, match=r"expected dims \(visit, task\), found \('update',\)"):
        analysis(losses, loss="train_loss")
    with pytest.raises(AnalysisError, match="expected a coordinate 'trained_task'"):
        analysis(losses.drop_vars("trained_task"))
    with pytest.raises(AnalysisError, match="trained_task names task 3, found 2 tasks"):
        analysis(losses.isel(task=slice(2)))
    with pytest.raises(AnalysisError, match="is lazy; load it first"):
        analysis(losses.chunk(visit=2))


def test_shift_averaged_loss_takes_every_mean_over_the_same_tasks():
    losses = synthetic_losses(order=UNEVEN)
    result = shift_averaged_loss(losses)
    loss, visits = losses["eval_loss"].values, [[1, 8], [2, 5, 11], [3, 6, 9], [4, 7, 10]]
    for n in range(3):
        tasks = [task for task in range(4) if len(visits[task]) > n]
        assert result["n_tasks"].sel(occurrence=n + 1) == len(tasks)
        for offset in range(-4, 5):
            rows = [visits[task][n] + offset for task in tasks]
            there = all(0 <= row < len(loss) for row in rows)
            expected = (
                np.mean([loss[row, task] for row, task in zip(rows, tasks, strict=True)]) if there else np.nan
            )
            found = result["shift_averaged_loss"].sel(occurrence=n + 1, offset=offset)
            np.testing.assert_allclose(found, expected)


def test_online_loss_by_visit_epoch_and_sum():
    losses = synthetic_losses(n_tasks=4, n_epochs=3, recovery_scores=[0.25, 0.5]).isel(visit=slice(11))
    result = online_loss(losses)
    np.testing.assert_allclose(result["online_loss"], [2.0] * 4 + [1.75] * 4 + [1.5] * 2)
    np.testing.assert_allclose(result["online_loss_per_epoch"], [2.0, 1.75, 1.5])
    np.testing.assert_array_equal(result["n_visits"], [4, 4, 2])
    np.testing.assert_allclose(result["cumulative_online_loss"], np.cumsum(result["online_loss"]))
    np.testing.assert_array_equal(result["visit"], np.arange(1, 11))


def test_before_any_training_there_is_no_online_loss():
    result = online_loss(synthetic_losses(n_tasks=4).isel(visit=slice(1)))
    assert dict(result.sizes) == {"visit": 0, "epoch": 0}


def test_units_follow_the_loss():
    losses = synthetic_losses(n_tasks=4)
    for dataset, name in (
        (recovery(losses), "forgetting"),
        (shift_averaged_loss(losses), "shift_averaged_loss"),
        (online_loss(losses), "online_loss_per_epoch"),
    ):
        assert dataset[name].attrs["units"] == "nats per token"


def test_arguments_are_left_as_they_were():
    losses = synthetic_losses(n_tasks=4)
    before = losses.copy(deep=True)
    for analysis in (recovery, shift_averaged_loss, online_loss):
        analysis(losses)
    xr.testing.assert_identical(losses, before)
