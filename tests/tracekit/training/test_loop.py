"""The loop: the order of its events, what it does to weights, and how it ends."""

import copy

import numpy as np
import pytest
import torch

from tracekit.protocols import Run
from tracekit.schedule import Plan
from tracekit.training import TrainingError, train
from tracekit.training.tasks.toy import ToyModel, ToyTasks


@pytest.fixture
def toy():
    """Give a run of two toy tasks, visited twice each, with two updates per visit."""

    def make(learning_rate=0.1, **configuration):
        tasks = ToyTasks.draw(2, 3, 3, np.random.default_rng(0))
        model = ToyModel(*tasks.sizes)
        plan = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=2)
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        return Run(model, optimizer, tasks, plan, configuration=configuration)

    return make


def failing(notes, event, error):
    """Make an observer fail after it has noted an event."""
    original = getattr(notes, event)

    def fail(*arguments):
        original(*arguments)
        raise error

    setattr(notes, event, fail)
    return notes


def test_events_come_in_order(toy, notes):
    train(toy(), [notes])
    expected = ["start", "visit 0"]
    for visit in range(4):
        for number in (2 * visit, 2 * visit + 1):
            expected += [f"before {number}", f"after {number}"]
        expected.append(f"visit {visit + 1}")
    assert notes.events == [*expected, "finish"]
    assert notes.errors == [None]


def test_weights_and_losses_are_those_of_a_plain_loop(toy, notes):
    run = toy()
    twin = copy.deepcopy(run.model)
    train(run, [notes])

    train_loss, eval_loss = [], [[run.tasks.loss(twin, task).item() for task in range(2)]]
    for task in run.plan.order.ravel():
        for _ in range(2):
            loss = run.tasks.loss(twin, task)
            gradients = torch.autograd.grad(loss, list(twin.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(twin.parameters(), gradients, strict=True):
                    parameter -= 0.1 * gradient
            train_loss.append(loss.item())
        eval_loss.append([run.tasks.loss(twin, task).item() for task in range(2)])
    np.testing.assert_allclose(notes.train_loss, train_loss, rtol=1e-6)
    np.testing.assert_allclose(notes.eval_loss, eval_loss, rtol=1e-6)
    torch.testing.assert_close(run.model.state_dict(), twin.state_dict())


def test_observers_see_gradients_before_and_weights_after(toy, notes):
    run, seen = toy(), []

    def look(*_):
        seen.append((run.model.w.detach().clone(), run.model.w.grad.clone()))

    notes.before_update = look
    notes.after_update = look
    train(run, [notes])
    for (before, gradient), (after, _) in zip(seen[::2], seen[1::2], strict=True):
        torch.testing.assert_close(after, before - 0.1 * gradient)


def test_gradients_are_clipped_where_asked(toy, notes):
    run, norms = toy(training={"clip_grad_norm": 0.01}), []

    def measure(_):
        gradients = [parameter.grad.flatten() for parameter in run.model.parameters()]
        norms.append(torch.cat(gradients).norm().item())

    notes.before_update = measure
    train(run, [notes])
    assert norms == pytest.approx([0.01] * 8, rel=1e-3)


@pytest.mark.parametrize("event", ["start", "before_update", "after_update", "after_visit"])
@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_every_started_observer_is_finished_once(toy, new_notes, event, error):
    first, broken, last = new_notes(), failing(new_notes(), event, error), new_notes()
    with pytest.raises(type(error)):
        train(toy(), [first, broken, last])
    assert first.errors == [error]
    assert broken.errors == [error]
    # the last one was not started when the second failed to start
    assert last.errors == ([] if event == "start" else [error])
    assert ("start" in last.events) == (event != "start")


def test_one_that_fails_to_finish_does_not_keep_others_from_it(toy, new_notes):
    error = RuntimeError("cannot finish")
    first, broken, last = new_notes(), failing(new_notes(), "finish", error), new_notes()
    with pytest.raises(RuntimeError, match="cannot finish"):
        train(toy(), [first, broken, last])
    assert first.errors == [error]
    assert broken.errors == [None]
    assert last.errors == [None]


def test_a_loss_that_is_no_number_ends_the_run(toy, notes):
    with pytest.raises(TrainingError, match=r"expected a finite train loss, found (nan|inf)") as caught:
        train(toy(learning_rate=1e12), [notes])
    assert notes.errors == [caught.value]
    assert np.isfinite(notes.train_loss).all()
    # observers saw whole visits, and no part of the update that failed
    completed = sum(event.startswith("visit") for event in notes.events) - 1
    assert 0 < completed < 4
    assert f"the {completed} visits completed before are kept" in str(caught.value)
    assert f"update {len(notes.train_loss)} " in str(caught.value)


def test_a_loss_that_is_no_number_is_recorded_where_asked(toy, notes):
    train(toy(learning_rate=1e12, training={"stop_on_nan": False}), [notes])
    assert len(notes.train_loss) == 8
    assert np.isnan(notes.train_loss[-1])
    assert np.isnan(notes.eval_loss[-1]).all()
    assert notes.errors == [None]


@pytest.mark.parametrize("n_tasks", [1, 3])
def test_one_task_and_one_epoch_are_a_run(notes, n_tasks):
    tasks = ToyTasks.draw(n_tasks, 2, 2, np.random.default_rng(0))
    model = ToyModel(2, 2)
    plan = Plan(np.arange(n_tasks)[None], n_tasks=n_tasks, updates_per_visit=1)
    train(Run(model, torch.optim.SGD(model.parameters(), lr=0.1), tasks, plan), [notes])
    assert np.shape(notes.eval_loss) == (n_tasks + 1, n_tasks)


def test_model_is_in_training_mode_for_updates(tiny, notes):
    run, modes = tiny(), []
    run.model.eval()
    notes.before_update = lambda _: modes.append(run.model.training)
    train(run, [notes])
    assert modes == [True] * run.plan.n_updates


def test_torch_is_given_back_as_found(toy):
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(toy(training={"threads": threads + 1, "deterministic": True}))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_threads_and_determinism_hold_during_the_run(toy, notes):
    seen = []
    wanted = torch.get_num_threads() + 1
    notes.before_update = lambda _: seen.append(
        (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    )
    train(toy(training={"threads": wanted, "deterministic": True}), [notes])
    assert set(seen) == {(wanted, True)}
