"""What the package tests: the rules of a plug-in, and its numbers on a trace with known answers."""

from loss_spread import LOSS_SPREAD

from tracekit.testing import check_analysis, synthetic_trace


def test_it_keeps_the_rules():
    check_analysis(LOSS_SPREAD)


def test_the_spread_of_a_planted_run():
    # after a visit the losses of 4 tasks lie at 1, 1.75, 2 and 1.5, from the third cycle on
    trace = synthetic_trace(n_tasks=4, n_epochs=4, recovery_scores=[0.25])
    spread = LOSS_SPREAD.build(trace, quantile=1.0)["spread"].compute()
    assert float(spread.sel(visit=12)) == 1.0
