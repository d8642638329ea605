"""Losses less what all tasks share: what is left, and the test of orders that rests on it."""

import numpy as np
import pytest
import xarray as xr

from analyses import less_shared, recovery, recovery_test
from analyses.commands.order import ORDER_TEST
from analyses.inference import order_test
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_losses, synthetic_trace

SHUFFLED = [[0, 1, 2, 3], [3, 1, 2, 0], [2, 1, 0, 3]]


def noisy(shared=0.0, seed=0, **settings):
    losses = synthetic_losses(n_tasks=8, n_epochs=3, **settings)
    rng = np.random.default_rng(seed)
    own = 0.1 * rng.standard_normal(losses["eval_loss"].shape)
    return losses.assign(eval_loss=losses["eval_loss"] + own + shared * np.sin(losses["visit"]))


def slow(losses):
    """Loops over snapshots and tasks."""
    loss, trained = losses["eval_loss"].values, losses["trained_task"].values
    counted = np.isfinite(loss)
    left = np.full_like(loss, np.nan)
    for v in range(len(loss)):
        shared = []
        for j in range(loss.shape[1]):
            if trained[v] != j and counted[v, j]:
                level = np.mean([loss[u, j] for u in range(len(loss)) if trained[u] != j and counted[u, j]])
                shared.append(loss[v, j] - level)
        for i in range(loss.shape[1]):
            if counted[v, i]:
                left[v, i] = loss[v, i] - (np.mean(shared) if shared else 0.0)
    return left


def test_it_is_the_definition_and_keeps_units_and_coordinates():
    losses = noisy(shared=0.5)
    found = less_shared(losses)
    np.testing.assert_allclose(found["eval_loss"], slow(losses))
    assert found["eval_loss"].attrs["units"] == "nats per token"
    assert {"visit", "trained_task", "task"} <= set(found.coords)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [(5, 2), (slice(13, None), slice(None)), (slice(None), 3)])
def test_losses_without_number_have_no_part_in_what_is_shared(bad, where):
    """One loss, a run from where it diverged on, and a task of which all losses are bad."""
    losses = noisy(shared=0.5).copy(deep=True)
    losses["eval_loss"].values[where] = bad
    np.testing.assert_allclose(less_shared(losses)["eval_loss"], slow(losses))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_that_diverged_is_tested_as_far_as_it_goes(bad):
    losses = noisy().copy(deep=True)
    losses["eval_loss"][17:] = bad
    tested = recovery_test(losses, n_resamples=19)
    np.testing.assert_array_equal(np.isnan(tested["p_value"]), [False, True])
    assert np.isnan(tested["pooled_p_value"])
    orders = order_test(*(recovery(less_shared(each)) for each in (losses, noisy())), n_resamples=19)
    np.testing.assert_array_equal(np.isnan(orders["p_value"]), [False, True])


def test_leading_dims_are_kept():
    both = xr.concat([noisy(seed=1), noisy(seed=2)], "run", coords="minimal", compat="override")
    found = less_shared(both)["eval_loss"].transpose("run", "visit", "task")
    np.testing.assert_allclose(found.isel(run=1), slow(noisy(seed=2)))


def test_what_is_shared_leaves_no_trace():
    quiet, loud = less_shared(noisy()), less_shared(noisy(shared=5.0))
    scores = [recovery(each)["recovery_score"] for each in (quiet, loud)]
    np.testing.assert_allclose(*scores, atol=0.2)
    assert abs(recovery(noisy(shared=5.0))["recovery_score"] - scores[0]).max() > 0.4


def test_a_held_out_loss_is_taken_by_name():
    losses = noisy()
    held_out = losses["eval_loss"].rename(task="test_task")
    found = less_shared(losses.assign(test_loss=held_out), loss="test_loss")
    np.testing.assert_allclose(found["test_loss"], slow(losses))
    with pytest.raises(AnalysisError, match="did you mean 'eval_loss'"):
        less_shared(losses, loss="evl_loss")


@pytest.mark.parametrize("shared", ["removed", "kept"])
def test_the_command_tests_the_scores_that_it_shows(shared):
    run, control = synthetic_trace(), synthetic_trace(order=SHUFFLED, order_name="shuffled")
    found = ORDER_TEST.report(ORDER_TEST.build(run, control, shared=shared, n_resamples=99).compute())
    losses = [trace["losses"].to_dataset().compute() for trace in (run, control)]
    plain = [recovery(each)["recovery_score"].values for each in losses]
    tested = [recovery(less_shared(each) if shared == "removed" else each) for each in losses]
    np.testing.assert_allclose(found.numbers["recovery_score"], plain[0])
    np.testing.assert_allclose([row[1] for row in found.rows[:-1]], tested[0]["recovery_score"])
    expected = order_test(*tested, n_resamples=99)
    np.testing.assert_allclose(found.numbers["difference"], expected["difference"])
    np.testing.assert_allclose(found.numbers["p_value"], expected["p_value"])
    assert ("less what tasks share" in found.title) == (shared == "removed")
    assert any("p is too small" in note for note in found.notes) == (shared == "kept")
