"""Any torch loop, recorded: what is in the trace is what happened, and the loop does not notice."""

import copy

import numpy as np
import pytest
import torch

from recorders import (
    BaseRecorder,
    GradientRecorder,
    LossRecorder,
    TaskGradientRecorder,
    WeightRecorder,
    record,
)
from tracekit import open_trace
from tracekit.errors import ConfigurationError, TracekitError, TraceWarning, TraceWriteError
from tracekit.schedule import Plan
from tracekit.training import Checkpoints

INPUTS = torch.linspace(-1, 1, 12).reshape(4, 3)


@pytest.mark.parametrize("planned", [True, False])
def test_it_records_what_our_own_trainer_records(tmp_path, own_run, planned):
    run = own_run.prepared()
    plan = run.plan if planned else None
    with record(
        run.model,
        run.optimizer,
        tmp_path / "run.zarr",
        recorders=own_run.recorders(),
        tasks=run.tasks,
        plan=plan,
        configuration=run.configuration,
    ) as trace:
        for visit in run.plan.visits():
            run.model.train()
            for _ in range(2):
                run.optimizer.zero_grad()
                loss = run.tasks.loss(run.model, visit.task)
                trace.loss(loss)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
                run.optimizer.step()
            trace.visit(task=visit.task, epoch=visit.epoch)
    own_run.assert_same(tmp_path / "run.zarr")


def make(optimizer=torch.optim.SGD, **settings):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, optimizer(model.parameters(), **{"lr": 0.1, **settings})


def loss_of(model):
    return (model(INPUTS) ** 2).mean()


def step(model, optimizer, trace=None):
    optimizer.zero_grad()
    loss = loss_of(model)
    loss.backward()
    if trace is not None:
        trace.loss(loss)
    optimizer.step()


def recorders():
    return [LossRecorder(), WeightRecorder(), GradientRecorder()]


def n_hooks(model, optimizer):
    return (
        len(optimizer._optimizer_step_pre_hooks)
        + len(optimizer._optimizer_step_post_hooks)
        + sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    )


def gradient(model, path, visit):
    trace = open_trace(path)["gradients"].sel(visit=visit)
    return {name: trace[name].values for name in dict(model.named_parameters())}


def test_accumulated_and_clipped_gradients_and_their_loss(tmp_path):
    model, optimizer = make()
    twin, twin_optimizer = make()
    with record(model, optimizer, tmp_path / "run.zarr", recorders=recorders()) as trace:
        for part in INPUTS:
            loss = (model(part) ** 2).mean() / len(INPUTS)
            trace.loss(loss)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        trace.visit()
    losses = [float((twin(part).detach() ** 2).mean()) for part in INPUTS]
    for part in INPUTS:
        ((twin(part) ** 2).mean() / len(INPUTS)).backward()
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
    found = gradient(model, tmp_path / "run.zarr", 1)
    for name, parameter in twin.named_parameters():
        np.testing.assert_array_equal(found[name], parameter.grad)
    np.testing.assert_allclose(
        open_trace(tmp_path / "run.zarr")["losses"].train_loss, [np.mean(losses)], 1e-6
    )
    twin_optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("fused", [False, True])
def test_scaled_gradients_are_recorded_unscaled_and_skipped_steps_are_none(tmp_path, fused):
    """With a fused optimizer, gradients are still scaled when its step begins."""
    model, optimizer = make(torch.optim.SGD, fused=fused)
    bare, bare_optimizer = make(torch.optim.SGD, fused=fused)
    scaler, bare_scaler = (torch.amp.GradScaler("cpu", init_scale=1000.0) for _ in range(2))
    expected = torch.autograd.grad(loss_of(model), list(model.parameters()))

    def scaled_step(model, optimizer, scaler, factor):
        optimizer.zero_grad()
        scaler.scale(loss_of(model) * factor).backward()
        scaler.step(optimizer)
        scaler.update()

    with record(model, optimizer, tmp_path / "run.zarr", recorders=recorders()) as trace:
        for factor in (float("inf"), 1.0, 1.0):
            scaled_step(model, optimizer, scaler, factor)
            scaled_step(bare, bare_optimizer, bare_scaler, factor)
        trace.visit()
    found = gradient(model, tmp_path / "run.zarr", 1)
    for (name, _), gradients in zip(model.named_parameters(), expected, strict=True):
        np.testing.assert_allclose(found[name], gradients, rtol=1e-6)
    assert open_trace(tmp_path / "run.zarr")["losses"].train_loss.shape == (2,)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), bare.parameters(), strict=True))


@pytest.mark.parametrize("by_name", [False, True])
def test_a_closure_is_called_before_its_gradients_are_seen(tmp_path, by_name):
    model, optimizer = make()
    expected = torch.autograd.grad(loss_of(model), list(model.parameters()))
    loss = loss_of(model).item()

    def closure():
        optimizer.zero_grad()
        value = loss_of(model)
        value.backward()
        return value

    with record(model, optimizer, tmp_path / "run.zarr", recorders=recorders()) as trace:
        result = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
        trace.visit()
    assert result.item() == loss
    found = gradient(model, tmp_path / "run.zarr", 1)
    for (name, _), gradients in zip(model.named_parameters(), expected, strict=True):
        np.testing.assert_array_equal(found[name], gradients)
    assert open_trace(tmp_path / "run.zarr")["losses"].train_loss.values.tolist() == [loss]


def test_losses_come_by_name_or_in_order_or_are_missing(tmp_path):
    model, optimizer = make()
    with record(
        model,
        optimizer,
        tmp_path / "run.zarr",
        recorders=[LossRecorder()],
        tasks=["a", "b"],
        evaluation=[3, 4],
    ) as trace:
        step(model, optimizer, trace)
        step(model, optimizer)
        trace.visit(task="b", epoch=0, evaluation={"b": 1.5})
        trace.visit(task=0, epoch=0)
        trace.visit(task=0, epoch=1, evaluation=np.array([7, 8]))
        assert trace.visits == 3
    losses = open_trace(tmp_path / "run.zarr")["losses"]
    np.testing.assert_array_equal(losses.eval_loss, [[3, 4], [np.nan, 1.5], [np.nan, np.nan], [7, 8]])
    assert np.isnan(losses.train_loss.values).tolist() == [False, True]
    assert losses.trained_task.values.tolist() == [-1, 1, 0, 0]
    assert losses.position.values.tolist() == [-1, 0, 1, 0]


class Watcher(BaseRecorder):
    def __init__(self):
        self.seen = []

    def before_update(self, update):
        self.seen.append((update.number, update.index, update.visit.number, update.visit.task))


def test_what_is_said_beforehand_is_known_at_updates(tmp_path):
    model, optimizer = make()
    watcher = Watcher()
    with record(
        model, optimizer, tmp_path / "run.zarr", recorders=[watcher, LossRecorder()], tasks="ab"
    ) as trace:
        for task, n_steps in (("b", 2), ("a", 1)):
            trace.begin(task=task, epoch=0)
            for _ in range(n_steps):
                step(model, optimizer)
            trace.visit()
    assert watcher.seen == [(0, 0, 1, 1), (1, 1, 1, 1), (2, 0, 2, 0)]
    assert open_trace(tmp_path / "run.zarr")["losses"].trained_task.values.tolist() == [-1, 1, 0]


def test_hooks_go_and_visits_stay_when_a_loop_fails(tmp_path):
    model, optimizer = make()

    def loop():
        with record(model, optimizer, tmp_path / "run.zarr", recorders=recorders()) as trace:
            step(model, optimizer)
            trace.visit()
            assert n_hooks(model, optimizer) == 2
            step(model, optimizer)
            raise RuntimeError("out of coffee")

    with pytest.raises(RuntimeError, match="out of coffee"):
        loop()
    assert n_hooks(model, optimizer) == 0
    trace = open_trace(tmp_path / "run.zarr")
    assert trace.attrs["status"] == "failed"
    assert trace["weights"].visit.values.tolist() == [0, 1]
    assert trace["losses"].train_loss.shape == (1,)


def test_nothing_is_left_when_it_cannot_begin(tmp_path):
    model, optimizer = make()
    with (
        pytest.raises(ConfigurationError, match=r"no parameter matches 'wieght'.*weight"),
        record(model, optimizer, tmp_path / "a.zarr", recorders=[WeightRecorder(select="wieght")]),
    ):
        pass
    with (
        pytest.raises(ConfigurationError, match="only names of tasks are known"),
        record(model, optimizer, tmp_path / "b.zarr", recorders=[TaskGradientRecorder()], tasks=["a"]),
    ):
        pass
    assert n_hooks(model, optimizer) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        WeightRecorder(select="no_such"),
        GradientRecorder(keep={"kind": "sketch", "component": 8}),
        LossRecorder(),
    ],
    ids=["select", "keep", "a kind twice"],
)
def test_a_trace_is_replaced_only_by_recorders_that_can_record(tmp_path, wrong):
    path = tmp_path / "run.zarr"
    record_visits(path, n=2)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(TracekitError, match=r"no_such|component|'losses' is declared already"):
        record_visits(path, n=1, recorders=[LossRecorder(), wrong], overwrite=True)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    record_visits(path, n=1, overwrite=True)
    assert open_trace(path).attrs["snapshots_committed"] == 2


def record_visits(path, *, n, **settings):
    model, optimizer = make()
    with record(model, optimizer, path, **{"recorders": recorders(), **settings}) as trace:
        for _ in range(n):
            step(model, optimizer, trace)
            trace.visit()
    assert n_hooks(model, optimizer) == n_hooks(*make())


def test_an_optimizer_must_train_the_model(tmp_path):
    model, optimizer = make()
    with pytest.raises(ConfigurationError, match="holds none of the model's parameters"):
        record(copy.deepcopy(model), optimizer, tmp_path / "run.zarr", recorders=[])
    with pytest.raises(ConfigurationError, match="expected a torch optimizer, found Linear"):
        record(model, model, tmp_path / "run.zarr", recorders=[])


def test_a_recording_is_entered_once_and_visited_inside(tmp_path):
    model, optimizer = make()
    recording = record(model, optimizer, tmp_path / "run.zarr", recorders=recorders())
    with pytest.raises(TraceWriteError, match="is not being recorded"):
        recording.visit()
    with recording as trace, pytest.raises(TraceWriteError, match="begun before"), recording:
        pass
    with pytest.raises(TraceWriteError, match="is not being recorded"):
        trace.visit()
    assert open_trace(tmp_path / "run.zarr").attrs["snapshots_committed"] == 1


def test_a_loss_after_its_step_is_refused(tmp_path):
    model, optimizer = make()
    with record(model, optimizer, tmp_path / "run.zarr", recorders=recorders()) as trace:
        step(model, optimizer)
        trace.loss(1.0)
        with pytest.raises(TraceWriteError, match=r"before optimizer\.step"):
            trace.visit()
        step(model, optimizer)
        trace.visit()


def test_updates_that_no_visit_ends_are_spoken_of(tmp_path):
    model, optimizer = make()
    with (
        pytest.warns(TraceWarning, match="1 updates after visit 0 are not in the trace"),
        record(model, optimizer, tmp_path / "run.zarr", recorders=recorders()),
    ):
        step(model, optimizer)
    assert open_trace(tmp_path / "run.zarr")["losses"].train_loss.shape == (0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "c"}, "no task 'c'"),
        ({"task": 2}, "expected a number from 0 to 1, found 2"),
        ({"evaluation": {"aa": 1.0}}, "no task 'aa'"),
        ({"evaluation": [1.0]}, r"expected 2 losses, one for each task, found an array of shape \(1,\)"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, settings, message):
    model, optimizer = make()
    with record(
        model, optimizer, tmp_path / "run.zarr", recorders=[LossRecorder()], tasks=["a", "b"]
    ) as trace:
        with pytest.raises(ConfigurationError, match=message):
            trace.visit(**settings)
        trace.visit()


def test_a_plan_is_kept(tmp_path):
    model, optimizer = make()
    plan = Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1)

    def loop():
        settings = {"recorders": recorders(), "tasks": "ab", "plan": plan}
        with record(model, optimizer, tmp_path / "run.zarr", **settings) as trace:
            step(model, optimizer)
            with pytest.raises(ConfigurationError, match=r"visit 1: the plan says .*task=0.*task=1"):
                trace.visit(task="b")
            trace.visit(task="a")
            trace.visit()

    with pytest.raises(TraceWriteError, match=r"train_loss \(1 of 2 samples\)"):
        loop()


def train_until(path, last, **settings):
    model, optimizer = make(torch.optim.Adam)
    kinds = [*recorders(), Checkpoints(every=2)]
    with record(model, optimizer, path, recorders=kinds, **settings) as trace:
        for number in range(trace.visits, last):
            for _ in range(1 + number % 2):
                step(model, optimizer, trace)
            trace.visit(epoch=number // 2)
    return model


def test_a_loop_resumes_from_its_checkpoint(tmp_path):
    whole = train_until(tmp_path / "whole.zarr", 7)
    for last in (3, 7):
        resumed = train_until(tmp_path / "run.zarr", last, resume=last == 7)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    expected, found = open_trace(tmp_path / "whole.zarr"), open_trace(tmp_path / "run.zarr")
    for group in ("weights", "gradients", "losses"):
        for name, values in expected[group].data_vars.items():
            np.testing.assert_array_equal(values, found[group][name])
    assert found["weights"].position.values.tolist() == [-1, 0, 1, 0, 1, 0, 1, 0]
    np.testing.assert_array_equal(found["losses"].update_visit, expected["losses"].update_visit)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightRecorder, r"found <class .*WeightRecorder'>; write WeightRecorder\(…\)"),
        (lambda: "weights", "expected objects that record, found 'weights'"),
        (
            lambda: WeightRecorder(select=lambda name: True),
            r"a callable of \(name, parameter\)",
        ),
        (lambda: WeightRecorder(keep=dict), "keep: expected the name of a form, .* found <class 'dict'>"),
        (lambda: GradientRecorder(updates=lambda update: True), "updates: expected 'first', 'all' or a list"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words(tmp_path, make, message):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters())
    with (
        pytest.raises(ConfigurationError, match=message),
        record(model, optimizer, tmp_path / "run.zarr", recorders=[make()]),
    ):
        pass
