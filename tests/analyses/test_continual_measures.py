"""Forgetting and transfer against their definitions, written out with loops over plain numbers."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analyses.continual import average_forgetting, backward_transfer, forward_transfer
from analyses.kernels import continual as kernels
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_losses


def slow_learned_earlier(order, visit, n_tasks):
    return [task for task in range(n_tasks) if task in order[: visit - 1] and task != order[visit - 1]]


def slow_forgetting(loss, visit, task):
    return loss[visit, task] - min(loss[earlier, task] for earlier in range(1, visit))


def slow_transfer(loss, order, visit, task, *, since_last):
    visits = [v for v in range(1, visit) if order[v - 1] == task]
    return loss[visits[-1 if since_last else 0], task] - loss[visit, task]


@st.composite
def runs(draw):
    """A loss matrix and any order, in which tasks may come twice running, or never."""
    n_tasks = draw(st.integers(1, 4))
    order = draw(st.lists(st.integers(0, n_tasks - 1), min_size=1, max_size=12))
    shape = (len(order) + 1, n_tasks)
    return draw(hnp.arrays(np.float64, shape, elements=st.floats(0.0, 10.0, width=32))), order


def labelled(loss, order):
    coords = {"visit": np.arange(len(loss)), "trained_task": ("visit", [-1, *order])}
    return xr.Dataset({"eval_loss": (("visit", "task"), loss)}, coords=coords)


def mean(values):
    return sum(values) / len(values) if values else np.nan


@given(runs())
@settings(deadline=None)
def test_average_forgetting_is_that_of_the_definition(run):
    loss, order = run
    result = average_forgetting(labelled(loss, order))
    for visit in range(1, len(loss)):
        tasks = slow_learned_earlier(order, visit, loss.shape[1])
        each = [slow_forgetting(loss, visit, task) for task in tasks]
        np.testing.assert_allclose(result["forgetting"][visit, tasks], each)
        np.testing.assert_allclose(result["average_forgetting"][visit], mean(each))
        assert result["n_tasks"][visit] == len(tasks)
    assert np.isnan(result["average_forgetting"][0])


@given(runs(), st.booleans())
@settings(deadline=None)
def test_backward_transfer_is_that_of_the_definition(run, since_last):
    loss, order = run
    name = "backward_transfer" + ("_since_last" if since_last else "")
    result = backward_transfer(labelled(loss, order))
    for visit in range(1, len(loss)):
        tasks = slow_learned_earlier(order, visit, loss.shape[1])
        each = [slow_transfer(loss, order, visit, task, since_last=since_last) for task in tasks]
        np.testing.assert_allclose(result[f"task_{name}"][visit, tasks], each)
        np.testing.assert_allclose(result[name][visit], mean(each))


@given(runs())
@settings(deadline=None)
def test_forward_transfer_is_that_of_the_definition(run):
    loss, order = run
    result = forward_transfer(labelled(loss, order))
    tasks = [task for task in sorted(set(order)) if task != order[0]]
    each = [loss[0, task] - loss[order.index(task), task] for task in tasks]
    np.testing.assert_allclose(result["task_forward_transfer"][tasks], each)
    np.testing.assert_allclose(result["forward_transfer"], mean(each))


def test_one_pass_gives_the_sums_of_the_sources():
    """Losses as accuracies turned round: the published formulas over R[i, j], after task i on task j."""
    rng = np.random.default_rng(0)
    n = 5
    accuracy, before = rng.random((n, n)), rng.random(n)
    losses = labelled(1 - np.vstack([before, accuracy]), range(n))
    forgetting = mean([accuracy[: n - 1, j].max() - accuracy[n - 1, j] for j in range(n - 1)])
    backward = mean([accuracy[n - 1, j] - accuracy[j, j] for j in range(n - 1)])
    forward = mean([accuracy[j - 1, j] - before[j] for j in range(1, n)])
    np.testing.assert_allclose(average_forgetting(losses)["average_forgetting"][-1], forgetting)
    np.testing.assert_allclose(backward_transfer(losses)["backward_transfer"][-1], backward)
    np.testing.assert_allclose(backward_transfer(losses)["backward_transfer_since_last"][-1], backward)
    np.testing.assert_allclose(forward_transfer(losses)["forward_transfer"], forward)


def test_leading_axes_are_kept():
    rng = np.random.default_rng(0)
    loss, trained_task = rng.random((3, 9, 4)), np.array([-1, *np.tile(np.arange(4), 2)])
    for kernel in (kernels.forgetting, kernels.forward_transfer):
        each = [kernel(one, trained_task) for one in loss]
        np.testing.assert_array_equal(kernel(loss, trained_task), each)
    each = [kernels.backward_transfer(one, trained_task) for one in loss]
    np.testing.assert_array_equal(np.stack(kernels.backward_transfer(loss, trained_task), axis=1), each)


@pytest.mark.parametrize("n_visits", [0, 1])
@pytest.mark.parametrize("measure", [average_forgetting, backward_transfer, forward_transfer])
def test_before_any_training_nothing_is_defined(measure, n_visits):
    found = measure(synthetic_losses(n_tasks=3).isel(visit=slice(n_visits)))
    for name, values in found.items():
        expected = np.zeros(n_visits, int) if name == "n_tasks" else np.full(values.shape, np.nan)
        np.testing.assert_array_equal(values, expected, strict=True)


def test_a_missing_loss_is_not_left_out_in_silence():
    losses = synthetic_losses(n_tasks=4, n_epochs=2)
    losses["eval_loss"][1, 2] = np.nan
    assert np.isnan(forward_transfer(losses.isel(visit=slice(9)))["task_forward_transfer"]).sum() == 1
    losses["eval_loss"][2, 2] = np.nan  # just before the first visit of task 2
    assert np.isnan(forward_transfer(losses)["forward_transfer"])
    assert np.isnan(average_forgetting(losses)["average_forgetting"][4])


def test_two_infinite_losses_differ_by_no_number():
    losses = synthetic_losses(n_tasks=4, n_epochs=2)
    found = {}
    for name, level in (("good", 1.0), ("bad", np.inf)):
        losses["eval_loss"][:, 2] = level
        loss, trained_task = losses["eval_loss"].values, losses["trained_task"].values
        found[name] = [
            kernels.forgetting(loss, trained_task),
            *kernels.backward_transfer(loss, trained_task),
            kernels.forward_transfer(loss, trained_task),
        ]
    for good, bad in zip(found["good"], found["bad"], strict=True):
        assert np.isnan(bad[..., 2]).all()
        np.testing.assert_array_equal(np.delete(bad, 2, axis=-1), np.delete(good, 2, axis=-1))


def test_a_slice_that_starts_late_has_no_forward_transfer():
    losses = synthetic_losses(n_tasks=4, n_epochs=3).isel(visit=slice(3, None))
    assert np.isnan(forward_transfer(losses)["forward_transfer"])
    assert average_forgetting(losses)["n_tasks"].values.tolist()[:3] == [0, 1, 2]


def test_held_out_losses_by_the_same_door():
    losses = synthetic_losses(n_tasks=4)
    held_out = losses["eval_loss"].rename(task="test_task").assign_coords(test_task=list("abcd"))
    both = losses.assign(test_loss=held_out)
    for measure in (average_forgetting, backward_transfer, forward_transfer):
        found, expected = measure(both, loss="test_loss"), measure(losses)
        assert found.attrs["loss"] == "test_loss"
        for name in expected.data_vars:
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("measure", [average_forgetting, backward_transfer, forward_transfer])
def test_errors_and_units(measure):
    losses = synthetic_losses(n_tasks=4)
    with pytest.raises(AnalysisError, match="did you mean 'eval_loss'"):
        measure(losses, loss="eval_los")
    with pytest.raises(AnalysisError, match="every visit, found visit 1 followed by 3"):
        measure(losses.isel(visit=[0, 1, 3]))
    result = measure(losses)
    units = {values.attrs.get("units") for name, values in result.data_vars.items() if name != "n_tasks"}
    assert units == {"nats per token"}
