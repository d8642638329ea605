"""The toy model of the paper, through the same trainer as any other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tracekit.training import load_configuration, prepare, train
from tracekit.training.tasks.toy import ToyModel, ToyTasks

EXAMPLE = Path(__file__).parents[3] / "examples" / "toy.yaml"


def scores_of_example(recovery_by_loop, notes, *overrides):
    run = prepare(load_configuration(EXAMPLE, ["training.device=cpu", *overrides]))
    train(run, [notes])
    return recovery_by_loop(notes.eval_loss, run.plan.order)


def test_recovery_grows_as_in_the_paper(recovery_by_loop, notes):
    scores = scores_of_example(recovery_by_loop, notes)
    assert scores == pytest.approx([0.32, 0.48, 0.61, 0.70, 0.77], abs=0.04)


def test_recovery_does_not_grow_without_the_cycle(recovery_by_loop, notes):
    scores = scores_of_example(recovery_by_loop, notes, "training.order=shuffled")
    assert max(scores) < 0.35


def test_loss_is_half_the_squared_distance():
    rng = np.random.default_rng(0)
    tasks = ToyTasks.draw(3, 4, 5, rng)
    rng = np.random.default_rng(0)
    x, y = rng.normal(scale=0.5, size=(3, 4)), rng.normal(size=(3, 5))
    model = ToyModel(4, 5)
    with torch.no_grad():
        model.P.normal_()
        model.w.normal_()
    P, w = model.P.detach().numpy(), model.w.detach().numpy()
    expected = [0.5 * np.sum((P @ x[task] - (y[task] - w)) ** 2) for task in range(3)]
    np.testing.assert_allclose(tasks.losses(model), expected, rtol=1e-5)
    np.testing.assert_allclose([tasks.loss(model, task).item() for task in range(3)], expected, rtol=1e-5)


def test_model_starts_from_identity_and_zero():
    model = ToyModel(3, 2)
    assert model.P.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert model.w.tolist() == [0, 0]


def test_toy_has_no_held_out_tasks():
    tasks = ToyTasks(np.zeros((2, 3)), np.zeros((2, 3)))
    assert tasks.test_names == ()
    assert tasks.losses(ToyModel(3, 3), "test").shape == (0,)


def test_fingerprints_tell_tasks_apart():
    first, second = (ToyTasks.draw(2, 3, 3, np.random.default_rng(seed)) for seed in (0, 1))
    prints = [*first.fingerprints.values(), *second.fingerprints.values()]
    assert len(set(prints)) == 4
    assert list(first.fingerprints) == ["task-0", "task-1"]
