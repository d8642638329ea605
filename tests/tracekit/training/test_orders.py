import numpy as np
import pytest

from tracekit.errors import ConfigurationError
from tracekit.training import parse_configuration
from tracekit.training.experiment import make_plan
from tracekit.training.orders import ORDERS, cyclic, shuffled
from tracekit.training.training_settings import TrainingSettings


@pytest.mark.parametrize("order", ORDERS.values(), ids=list(ORDERS))
@pytest.mark.parametrize(("n_tasks", "epochs"), [(1, 1), (1, 4), (5, 1), (7, 3)])
def test_every_epoch_visits_every_task_once(order, n_tasks, epochs):
    planned = order(n_tasks, epochs, np.random.default_rng(0))
    assert planned.dtype == np.int64
    assert planned.shape == (epochs, n_tasks)
    assert [sorted(epoch) for epoch in planned.tolist()] == [list(range(n_tasks))] * epochs


def test_cyclic_repeats_itself():
    planned = cyclic(4, 3, np.random.default_rng(0))
    assert (planned == planned[0]).all()


def test_shuffled_shuffles_each_epoch_anew():
    planned = shuffled(20, 5, np.random.default_rng(0))
    assert len({tuple(epoch) for epoch in planned.tolist()}) == 5


@pytest.mark.parametrize("n_shuffled", [0, 1, 3, 8])
def test_partly_shuffled_keeps_the_first_and_the_last(n_shuffled):
    training = TrainingSettings(order="partly-shuffled", epochs=20, n_shuffled=n_shuffled)
    order = make_plan(training, n_tasks=9, seed=0).order
    kept = [0, *range(1 + n_shuffled, 9)]
    assert (order[:, kept] == kept).all()
    moved = order[:, 1 : 1 + n_shuffled]
    assert (np.sort(moved) == np.arange(1, 1 + n_shuffled)).all()
    assert (len({tuple(epoch) for epoch in moved.tolist()}) > 1) == (n_shuffled > 1)


def test_half_are_shuffled_unless_said_otherwise():
    order = make_plan(TrainingSettings(order="partly-shuffled", epochs=20), n_tasks=9, seed=0).order
    assert (order.std(axis=0) > 0).tolist() == [False, *[True] * 4, *[False] * 4]


def test_a_number_of_shuffled_tasks_that_makes_no_sense():
    training = TrainingSettings(order="partly-shuffled", n_shuffled=3)
    with pytest.raises(ConfigurationError, match="expected at most 2, all of 3 tasks but the first, found 3"):
        make_plan(training, n_tasks=3, seed=0)
    with pytest.raises(ConfigurationError, match="'partly-shuffled' alone, found the order 'shuffled'"):
        parse_configuration({"training": {"order": "shuffled", "n_shuffled": 2}})


def test_plan_depends_on_the_seed_alone():
    training = TrainingSettings(order="shuffled", epochs=4)
    first, again, other = (make_plan(training, n_tasks=9, seed=seed).order for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_order_of_ones_own(monkeypatch):
    def backwards(n_tasks, epochs, rng):
        return np.tile(np.arange(n_tasks)[::-1], (epochs, 1))

    monkeypatch.setitem(ORDERS, "backwards", backwards)
    plan = make_plan(TrainingSettings(order="backwards", epochs=1), n_tasks=3, seed=0)
    assert plan.order.tolist() == [[2, 1, 0]]
