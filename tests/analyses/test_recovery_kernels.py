"""The kernels of recovery against the definitions, written out with loops over plain numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analyses.kernels import recovery as kernels


def slow_visits(trained_task, task):
    return [row for row, trained in enumerate(trained_task) if trained == task]


def slow_recovery(loss, trained_task, n_intervals):
    """One dict of lists over tasks, for every interval, from the definition."""
    intervals = []
    for n in range(n_intervals):
        parts = {"after": [], "before": [], "peak": [], "peak_position": []}
        for task in range(loss.shape[1]):
            visits = slow_visits(trained_task, task)
            if len(visits) < n + 2:
                continue
            a, b = visits[n], visits[n + 1]
            curve = [float(loss[v, task]) for v in range(a, b)]
            parts["after"].append(curve[0])
            parts["before"].append(curve[-1])
            parts["peak"].append(max(curve))
            parts["peak_position"].append(curve.index(max(curve)) / (b - a))
        intervals.append(parts)
    return intervals


def slow_score(parts):
    after, before, peak = (sum(parts[name]) / len(parts[name]) for name in ("after", "before", "peak"))
    return (peak - before) / (peak - after) if peak - after > 1e-12 * peak else float("nan")


@st.composite
def runs(draw):
    """A loss matrix and any order, in which tasks may come twice running, or never."""
    n_tasks = draw(st.integers(1, 4))
    order = draw(st.lists(st.integers(0, n_tasks - 1), min_size=1, max_size=14))
    values = st.floats(0.0, 10.0, width=32)
    loss = draw(hnp.arrays(np.float64, (len(order) + 1, n_tasks), elements=values))
    return loss, np.array([-1, *order])


def table(loss, trained_task):
    return kernels.intervals(kernels.visits_of_tasks(trained_task, loss.shape[1]))


def fast_score(loss, trained_task):
    starts, ends = table(loss, trained_task)
    after, before, peak, _ = kernels.interval_losses(loss, starts, ends)
    return kernels.recovery_score(after.T, before.T, peak.T, (starts != kernels.MISSING).T)


@given(runs())
def test_interval_losses_and_scores_are_those_of_the_definition(run):
    loss, trained_task = run
    starts, ends = table(loss, trained_task)
    parts = kernels.interval_losses(loss, starts, ends)
    scores = fast_score(loss, trained_task)
    expected = slow_recovery(loss, trained_task, starts.shape[1])
    for n, slow in enumerate(expected):
        has = starts[:, n] != kernels.MISSING
        for part, name in zip(parts, ("after", "before", "peak", "peak_position"), strict=True):
            np.testing.assert_array_equal(part[has, n], slow[name])
            assert np.isnan(part[~has, n]).all()
        np.testing.assert_allclose(scores[n], slow_score(slow), rtol=1e-9, atol=1e-9)


@given(runs())
def test_visits_of_tasks_lists_the_rows_of_each_task(run):
    loss, trained_task = run
    visits = kernels.visits_of_tasks(trained_task, loss.shape[1])
    for task, row in enumerate(visits):
        assert [v for v in row if v != kernels.MISSING] == slow_visits(trained_task, task)


@given(runs(), st.floats(0.125, 8.0), st.floats(0.0, 5.0))
def test_scaling_leaves_scores_and_a_constant_leaves_forgetting(run, factor, constant):
    loss, trained_task = run
    starts, ends = table(loss, trained_task)
    scores, scaled = fast_score(loss, trained_task), fast_score(loss * factor, trained_task)
    clear = np.array(
        [_forgetting(slow) > 1e-6 for slow in slow_recovery(loss, trained_task, starts.shape[1])]
    )
    np.testing.assert_allclose(scaled[clear.astype(bool)], scores[clear.astype(bool)], rtol=1e-6, atol=1e-9)
    after, _, peak, _ = kernels.interval_losses(loss, starts, ends)
    after_raised, _, peak_raised, _ = kernels.interval_losses(loss + constant, starts, ends)
    np.testing.assert_allclose(peak_raised - after_raised, peak - after, atol=1e-12)


def _forgetting(parts):
    return sum(parts["peak"]) - sum(parts["after"])


@given(runs(), st.randoms(use_true_random=False))
def test_naming_tasks_otherwise_leaves_scores(run, random):
    loss, trained_task = run
    names = list(range(loss.shape[1]))
    random.shuffle(names)
    new = np.array([-1 if task == -1 else names.index(task) for task in trained_task])
    np.testing.assert_allclose(fast_score(loss[:, names], new), fast_score(loss, trained_task), atol=1e-9)


def test_leading_axes_are_kept():
    rng = np.random.default_rng(0)
    loss, trained_task = rng.random((3, 9, 4)), np.array([-1, *np.tile(np.arange(4), 2)])
    starts, ends = table(loss[0], trained_task)
    together = kernels.interval_losses(loss, starts, ends)
    for seed in range(3):
        alone = kernels.interval_losses(loss[seed], starts, ends)
        for part, part_alone in zip(together, alone, strict=True):
            np.testing.assert_array_equal(part[seed], part_alone)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_without_number_gives_nan_without_warning(bad):
    loss, trained_task = np.ones((9, 4)), np.array([-1, *np.tile(np.arange(4), 2)])
    loss[2:4] = 2.0
    loss[3, 0] = bad
    assert np.isnan(fast_score(loss, trained_task)).all()
    after, before, peak = np.array([1.0, 1.0]), np.array([1.5, 1.5]), np.array([2.0, bad])
    np.testing.assert_array_equal(kernels.share_recovered(after, before, peak), [0.5, np.nan])
    endless = np.array([bad])
    assert np.isnan(kernels.share_recovered(endless, endless, endless)).all()


def test_forgetting_below_one_part_in_a_million_million_counts_as_none():
    peak = np.array([1.0, 1.0, -1.0, -1.0])  # the log of a density has losses below zero
    after = peak - np.array([5e-13, 5e-12, 5e-13, 5e-12])
    np.testing.assert_array_equal(np.isnan(kernels.share_recovered(after, peak, peak)), [True, False] * 2)


@given(runs())
def test_shifted_loss_is_that_of_the_definition(run):
    loss, trained_task = run
    offsets = np.arange(-loss.shape[1], loss.shape[1] + 1)
    visits = kernels.visits_of_tasks(trained_task, loss.shape[1])
    shifted = kernels.shifted_loss(loss, visits, offsets)
    for (task, n), place in np.ndenumerate(visits):
        for column, offset in enumerate(offsets):
            row = place + offset
            there = place != kernels.MISSING and 0 <= row < len(loss)
            expected = loss[row, task] if there else np.nan
            np.testing.assert_array_equal(shifted[task, n, column], expected)


@given(runs())
def test_online_loss_is_that_of_the_definition(run):
    loss, trained_task = run
    expected = [loss[v - 1, trained_task[v]] for v in range(1, len(loss))]
    np.testing.assert_array_equal(kernels.online_loss(loss, trained_task), expected)


def test_grouped_mean_is_the_mean_of_each_group():
    means = kernels.grouped_mean(np.array([1.0, 3.0, 10.0]), np.array([0, 0, 2]), np.array([0, 2]))
    np.testing.assert_array_equal(means, [2.0, 10.0])
    assert kernels.grouped_mean(np.ones((4, 3)), np.zeros(3), np.array([])).shape == (4, 0)
