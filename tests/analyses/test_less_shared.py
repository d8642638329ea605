"""Losses less what all tasks share: what is left, and the test of orders that rests on it."""

import numpy as np
import pytest
import xarray as xr

from analyses import less_shared, recovery
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
    left = np.empty_like(loss)
    for v in range(len(loss)):
        others = [j for j in range(loss.shape[1]) if trained[v] != j]
        levels = [np.mean([loss[u, j] for u in range(len(loss)) if trained[u] != j]) for j in others]
        left[v] = loss[v] - np.mean([loss[v, j] - level for j, level in zip(others, levels, strict=True)])
    return left


def test_it_is_the_definition_and_keeps_units_and_coordinates():
    losses = noisy(shared=0.5)
    found = less_shared(losses)
    np.testing.assert_allclose(found["eval_loss"], slow(losses))
    assert found["eval_loss"].attrs["units"] == "nats per token"
    assert {"visit", "trained_task", "task"} <= set(found.coords)


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
