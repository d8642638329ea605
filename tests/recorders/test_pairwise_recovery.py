"""The pairwise recovery matrix is what other runs would have been, and the run does not notice it."""

import copy
from types import MappingProxyType

import numpy as np
import pytest
import torch

from recorders import LossRecorder, PairwiseRecoveryRecorder, record
from tracekit import Recording, open_trace
from tracekit.errors import ConfigurationError
from tracekit.protocols import Run
from tracekit.schedule import Plan
from tracekit.training import train

N_TASKS, WIDTH = 3, 4
ORDER = [[0, 1, 2], [2, 0, 1]]


class Tasks:
    """Vectors that are to be turned round; the last has no loss that is a number, if so asked."""

    names, test_names, loss_units = ("a", "b", "c"), (), "nats"
    fingerprints = MappingProxyType({})

    def __init__(self, *, broken=False):
        self.inputs = torch.randn(N_TASKS, 2, WIDTH, generator=torch.Generator().manual_seed(0))
        self.broken = broken

    def loss(self, model, task, split="train"):
        inputs = self.inputs[task]
        loss = (model(inputs) - inputs.flip(-1)).square().mean()
        return loss * float("nan") if self.broken and task == 2 else loss

    def losses(self, model, split="train"):
        with torch.no_grad():
            return np.array([float(self.loss(model.eval(), task)) for task in range(N_TASKS)])


def make_run(order=ORDER, **settings):
    """A run with dropout, momentum and clipping, all of which a trial must repeat."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Dropout(0.3), torch.nn.Linear(WIDTH, WIDTH)
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    plan = Plan(np.array(order), n_tasks=N_TASKS, updates_per_visit=2)
    return Run(model, optimizer, Tasks(**settings), plan, {"seed": 1, "training": {"clip_grad_norm": 0.05}})


def recorded(path, run, *recorders):
    train(run, [Recording(path, [LossRecorder(), *recorders], durability="rename")])
    return open_trace(path)


def test_each_row_is_what_a_run_to_that_task_would_have_been(tmp_path):
    found = recorded(tmp_path / "run.zarr", make_run(), PairwiseRecoveryRecorder(when={"visits": [3]}))
    matrix = found["pairwise_recovery"]["recovery"]
    assert matrix.dims == ("visit", "trained", "evaluated")
    assert matrix["visit"].values.tolist() == [0, 3, 6]
    assert matrix["evaluated"].values.tolist() == ["a", "b", "c"]
    visited = np.ravel(ORDER).tolist()
    for visit in (0, 3, 6):
        before = found["losses"]["eval_loss"].sel(visit=visit).values
        for task in range(N_TASKS):
            other = make_run([[task] for task in [*visited[:visit], task]])
            train(other, [])
            after = other.tasks.losses(other.model)
            np.testing.assert_array_equal(matrix.sel(visit=visit)[task], before - after)


def test_training_is_the_same_to_the_last_bit(tmp_path):
    bare, watched = make_run(), make_run()
    train(bare, [])
    random_state = torch.random.get_rng_state()
    recorded(tmp_path / "run.zarr", watched, PairwiseRecoveryRecorder())
    assert torch.equal(random_state, torch.random.get_rng_state())
    for expected, found in zip(bare.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(expected, found)
        assert torch.equal(expected.grad, found.grad)
    for expected, found in zip(bare.optimizer.state.values(), watched.optimizer.state.values(), strict=True):
        assert torch.equal(expected["momentum_buffer"], found["momentum_buffer"])


def test_a_loop_of_ones_own_is_tried_from_copies(tmp_path):
    """Against copies trained by hand, with two updates of a trial and three of a visit."""
    run = make_run()
    run.model[1].p = 0.0  # such loops have no random streams of their own
    expected = []
    path, recorders = tmp_path / "run.zarr", [PairwiseRecoveryRecorder(updates=2)]
    with record(run.model, run.optimizer, path, recorders=recorders, tasks=run.tasks) as trace:
        expected.append(by_hand(run))
        for task in (1, 0):
            for _ in range(3):
                step(run.model, run.optimizer, run.tasks, task)
            trace.visit(task=task)
            expected.append(by_hand(run))
    found = open_trace(path)["pairwise_recovery"]["recovery"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def by_hand(run):
    rows = []
    for task in range(N_TASKS):
        model, optimizer = copy.deepcopy((run.model, run.optimizer))
        before = run.tasks.losses(model)
        for _ in range(2):
            step(model, optimizer, run.tasks, task)
        rows.append(before - run.tasks.losses(model))
    return rows


def step(model, optimizer, tasks, task):
    optimizer.zero_grad()
    tasks.loss(model, task).backward()
    optimizer.step()


def test_a_trial_without_a_number_does_not_stop_the_run(tmp_path):
    run = make_run([[0, 1], [1, 0]], broken=True)
    found = recorded(tmp_path / "run.zarr", run, PairwiseRecoveryRecorder(every=2))
    matrix = found["pairwise_recovery"]["recovery"]
    assert np.isnan(matrix.sel(trained="c")).all()
    assert np.isfinite(matrix.sel(trained=["a", "b"], evaluated=["a", "b"])).all()
    assert found.attrs["status"] == "complete"


def test_what_cannot_be_tried_is_named(tmp_path):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigurationError, match="updates: expected 1 or more updates of a trial, found 0"):
        PairwiseRecoveryRecorder(updates=0)
    loop = record(model, optimizer, tmp_path / "a.zarr", recorders=[PairwiseRecoveryRecorder(updates=1)])
    with pytest.raises(ConfigurationError, match="expected tasks to make trial visits to, found none"), loop:
        pass
    loop = record(
        model, optimizer, tmp_path / "b.zarr", recorders=[PairwiseRecoveryRecorder()], tasks=Tasks()
    )
    with pytest.raises(ConfigurationError, match="say how many a trial is to have"), loop:
        pass


def test_a_model_that_cannot_be_copied_is_named(tmp_path):
    run = make_run()
    run.model.handle = (line for line in ())  # generators have no copies
    with pytest.raises(ConfigurationError, match=r"cannot be copied .*generator.*; leave this recorder out"):
        recorded(tmp_path / "run.zarr", run, PairwiseRecoveryRecorder())
