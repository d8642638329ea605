"""Recovery without general learning: what is planted comes back, and a control recovers nothing."""

import numpy as np
import pytest
import xarray as xr

from analyses.commands.correction import CORRECTED_RECOVERY
from analyses.commands.order import ORDER_TEST
from analyses.correction import corrected_recovery, general_learning, less_shared
from analyses.recovery import recovery
from analyses.registry import RECOVERY
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_losses, synthetic_trace

SCORES = [0.25, 0.5, 0.75]


def order(n_tasks=8, n_epochs=4):
    rng = np.random.default_rng(0)
    return [rng.permutation(n_tasks) for _ in range(n_epochs)]


def learning(losses, height=6.0, share=0.95):
    """Losses that fall by a share with every visit, whatever the task."""
    return losses.assign(eval_loss=losses["eval_loss"] + _learned(losses, height, share))


def _learned(losses, height=6.0, share=0.95):
    return height * share ** losses["visit"].astype(float)


def runs():
    """A run that recovers and its control that does not; both learn in general."""
    cyclic = synthetic_losses(n_tasks=8, n_epochs=4, recovery_scores=SCORES)
    control = synthetic_losses(order=order(), recovery_scores=[0.0])
    return learning(cyclic), learning(control)


def test_general_learning_alone_makes_scores_exceed_one():
    run, _ = runs()
    assert (recovery(run)["recovery_score"][:1] > 1.0).all()


def test_planted_recovery_comes_back_when_general_learning_is_known():
    run, _ = runs()
    result = corrected_recovery(run, _learned(run))
    np.testing.assert_allclose(result["recovery_score"], SCORES)
    np.testing.assert_allclose(result["forgetting"], 1.0)


def test_a_control_takes_general_learning_out_of_run_and_control():
    run, control = runs()
    baseline = general_learning(control)
    np.testing.assert_allclose(corrected_recovery(run, baseline)["recovery_score"][1:], SCORES[1:], atol=0.2)
    plain = recovery(control)["recovery_score"][1:]
    corrected = corrected_recovery(control, baseline)["recovery_score"][1:]
    assert (corrected < plain).all()


def test_less_what_tasks_share_any_baseline_gives_the_same_scores():
    """Why the correction has no option to take shared noise off: it would take the baseline off with it."""
    rng = np.random.default_rng(0)
    losses = synthetic_losses(n_tasks=12, n_epochs=4, recovery_scores=SCORES)
    losses["eval_loss"] += 0.05 * rng.standard_normal(losses["eval_loss"].shape)
    corrected = losses.assign(eval_loss=losses["eval_loss"] - _learned(losses))
    scores = [recovery(less_shared(each))["recovery_score"] for each in (losses, corrected)]
    np.testing.assert_allclose(*scores, atol=0.002)
    assert abs(recovery(corrected)["recovery_score"] - recovery(losses)["recovery_score"]).max() > 0.05


def test_general_learning_is_the_mean_over_tasks_of_either_loss():
    losses = synthetic_losses(n_tasks=4)
    held_out = xr.DataArray(np.ones((13, 2)) * [1.0, 3.0], dims=("visit", "test_task"))
    both = losses.assign(test_loss=held_out)
    expected = [sum(row) / 4 for row in losses["eval_loss"].values]
    np.testing.assert_allclose(general_learning(both), expected)
    np.testing.assert_array_equal(general_learning(both, loss="test_loss"), 2.0)
    with pytest.raises(AnalysisError, match="expected dim 'visit'"):
        general_learning(both, loss="train_loss")


def test_a_shorter_baseline_shortens_the_run_and_one_with_gaps_is_an_error():
    run, control = runs()
    baseline = general_learning(control)
    short = corrected_recovery(run, baseline.isel(visit=slice(17)))
    assert short.sizes["interval"] == 1
    with pytest.raises(AnalysisError, match="found none at visit 3"):
        corrected_recovery(run, baseline.isel(visit=[0, 1, 2, 4, 5]))
    with pytest.raises(AnalysisError, match="expected a coordinate 'visit'"):
        corrected_recovery(run, baseline.drop_vars("visit"))


def traces():
    """The two runs as traces, each with two held-out tasks that show what is learned in general."""
    run, control = runs()
    both = (
        synthetic_trace(n_tasks=8, n_epochs=4),
        synthetic_trace(order=order(), order_name="shuffled"),
    )
    for trace, losses in zip(both, (run, control), strict=True):
        held_out = xr.concat([_learned(losses), _learned(losses) + 2], "test_task")
        trace["losses"] = xr.DataTree(losses.assign(test_loss=held_out.transpose("visit", "test_task")))
    return both


def report(analysis, *runs, **options):
    return analysis.report(analysis.build(*runs, **options).compute())


def test_held_out_tasks_as_the_baseline_give_what_was_planted():
    found = report(CORRECTED_RECOVERY, *traces(), baseline="held-out", n_resamples=300)
    np.testing.assert_allclose(found.numbers["corrected_score"], SCORES)
    np.testing.assert_allclose(found.numbers["corrected_score_control"], 0.0, atol=1e-9)
    assert "held-out" in found.notes[0]


@pytest.mark.parametrize("baseline", ["control", "held-out"])
def test_run_and_control_are_compared_as_order_test_does(baseline):
    """By what holds where all tasks share noise (docs/calibration.md), whatever the baseline."""
    options = {"n_resamples": 300, "alternative": "greater"}
    found = report(CORRECTED_RECOVERY, *traces(), baseline=baseline, **options).numbers
    other = report(ORDER_TEST, *traces(), **options).numbers
    for name in ("difference", "interval_low", "interval_high", "p_value", "pooled_p_value", "paired"):
        np.testing.assert_array_equal(found[name], other[name])
    assert found["pooled_p_value"] == 1 / 2**8


def test_a_score_above_one_comes_with_a_warning_that_says_why():
    run, control = traces()
    for found in (report(RECOVERY, run), report(ORDER_TEST, run, control)):
        warning = next(note for note in found.notes if note.startswith("Warning") and "interval 1" in note)
        assert "General learning" in warning
        assert "corrected-recovery" in warning
        assert warning in found.numbers["warnings"]
    assert report(RECOVERY, synthetic_trace()).numbers["warnings"] == []


def test_a_control_with_another_budget_is_refused():
    run, control = traces()
    control.attrs["updates_per_visit"] = 7
    with pytest.raises(AnalysisError, match="expected 1 updates per visit, as in memory, found 7"):
        CORRECTED_RECOVERY.build(run, control)
