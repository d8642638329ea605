"""What recorders keep is what was there, and the run does not notice them."""

import gc
import time
import weakref
from types import MappingProxyType

import numpy as np
import pytest
import torch

from recorders import (
    ActivationRecorder,
    BaseRecorder,
    GradientRecorder,
    LossRecorder,
    TaskGradientRecorder,
    WeightRecorder,
)
from tracekit import Recording, open_trace
from tracekit.errors import ConfigurationError, TraceWriteError
from tracekit.protocols import Run
from tracekit.schedule import Plan
from tracekit.store import LocalStore
from tracekit.training import parse_configuration, prepare, train

N_TASKS, WIDTH, TOKENS = 3, 6, 5


class Tasks:
    """Regression tasks with everything that makes recording delicate."""

    names = ("a", "b", "c")
    test_names = ("held out",)
    loss_units = "nats"
    fingerprints = MappingProxyType({"a": "1", "b": "2", "c": "3"})

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(N_TASKS + 1, 1, TOKENS, WIDTH, generator=generator)

    def loss(self, model, task, split="train"):
        inputs = self.inputs[task if split == "train" else N_TASKS]
        return ((model(inputs) - inputs.flip(-1)) ** 2).mean()

    def losses(self, model, split="train"):
        model.eval()
        tasks = range(N_TASKS) if split == "train" else range(1)
        with torch.no_grad():
            return np.array([float(self.loss(model, task, split)) for task in tasks])


class Model(torch.nn.Module):
    """Dropout, an in-place ReLU after a hooked layer, tied weights, and a parameter nothing depends on."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(WIDTH, WIDTH)
        self.relu = torch.nn.ReLU(inplace=True)
        self.dropout = torch.nn.Dropout(0.2)
        self.last = torch.nn.Linear(WIDTH, WIDTH)
        self.last.weight = self.first.weight
        self.idle = torch.nn.Parameter(torch.ones(2))

    def forward(self, inputs):
        return self.last(self.dropout(self.relu(self.first(inputs))))


def make_run():
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    plan = Plan(np.array([[0, 1, 2], [2, 0, 1]]), n_tasks=N_TASKS, updates_per_visit=2)
    return Run(model, optimizer, Tasks(), plan, {"seed": 1, "training": {"clip_grad_norm": 0.05}})


class Spy(BaseRecorder):
    """Keeps slow, obvious copies of everything."""

    def start(self, run, trace):
        self.run, self.weights, self.gradients, self.outputs, self.task_gradients = run, [], [], [], []

    def before_update(self, update):
        if update.index == 0:
            self.gradients.append(
                {n: p.grad.clone() for n, p in self.run.model.named_parameters() if p.grad is not None}
            )

    def after_visit(self, visit, evaluation):
        import copy

        model = copy.deepcopy(self.run.model).eval()
        self.weights.append({n: p.detach().clone() for n, p in model.named_parameters()})
        with torch.no_grad():
            self.outputs.append([model.first(self.run.tasks.inputs[task])[0].clone() for task in (2, 0)])
        rows = []
        for task in range(N_TASKS):
            model.zero_grad()
            self.run.tasks.loss(model, task).backward()
            rows.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        self.task_gradients.append(rows)


def everything():
    return [
        LossRecorder(),
        WeightRecorder(),
        GradientRecorder(),
        TaskGradientRecorder(every=2),
        ActivationRecorder("first", probes=[2, 0]),
    ]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A trace with everything, and what a spy saw of the same run."""
    path = tmp_path_factory.mktemp("recorded") / "run.zarr"
    spy = Spy()
    run = make_run()
    train(run, [Recording(path, [*everything(), spy])])
    return open_trace(path), spy


def test_weights_at_every_snapshot(recorded):
    trace, spy = recorded
    for visit, expected in enumerate(spy.weights):
        for name, values in expected.items():
            np.testing.assert_array_equal(trace["weights"][name].sel(visit=visit), values.numpy())


def test_tied_weights_come_once_under_their_first_name(recorded):
    trace, _ = recorded
    assert sorted(trace["weights"].data_vars) == ["first.bias", "first.weight", "idle", "last.bias"]


def test_gradients_are_those_the_optimizer_used(recorded):
    """Clipped, and not what clipping or the next backward pass made of them later."""
    trace, spy = recorded
    gradients = trace["gradients"]
    assert gradients.attrs["phase"] == "before update"
    assert gradients.visit.values.tolist() == [1, 2, 3, 4, 5, 6]
    for visit, expected in enumerate(spy.gradients, 1):
        norm = torch.sqrt(sum((g**2).sum() for g in expected.values()))
        assert norm <= 0.0501
        for name, values in expected.items():
            np.testing.assert_array_equal(gradients[name].sel(visit=visit), values.numpy())


def test_a_parameter_nothing_depends_on_has_gradient_zero(recorded):
    trace, _ = recorded
    assert (trace["gradients"]["idle"].values == 0).all()
    assert (trace["task_gradients"]["idle"].values == 0).all()


def test_task_gradients_at_snapshots(recorded):
    trace, spy = recorded
    found = trace["task_gradients"]
    assert found.visit.values.tolist() == [0, 2, 4, 6]
    for visit in (0, 2, 4, 6):
        for task, expected in enumerate(spy.task_gradients[visit]):
            for name, values in expected.items():
                np.testing.assert_allclose(
                    found[name].sel(visit=visit)[task], values.numpy(), rtol=1e-6, atol=1e-9
                )


def test_activations_are_from_before_the_inplace_relu(recorded):
    trace, spy = recorded
    found = trace["activations"]["first"]
    assert found.probe.values.tolist() == ["c", "a"]
    assert found.dims[2:] == ("axis0_5", "axis1_6")
    assert float(found.min()) < 0
    for visit, expected in enumerate(spy.outputs):
        for probe, values in enumerate(expected):
            np.testing.assert_allclose(found.sel(visit=visit)[probe], values.numpy(), rtol=1e-6, atol=1e-7)


def test_losses(recorded):
    trace, spy = recorded
    losses = trace["losses"].to_dataset()
    assert losses.eval_loss.attrs["units"] == "nats"
    assert losses.test_loss.dims == ("visit", "test_task")
    assert losses.train_loss.shape == (12,)
    final = make_run()
    final.model.load_state_dict({**final.model.state_dict(), **spy.weights[-1]}, strict=False)
    np.testing.assert_allclose(losses.eval_loss[-1], final.tasks.losses(final.model), rtol=1e-6)


def test_training_is_the_same_to_the_last_bit(tmp_path):
    bare, watched = make_run(), make_run()
    train(bare, [])
    random_state = torch.random.get_rng_state()
    train(watched, [Recording(tmp_path / "run.zarr", everything())])

    for expected, found in zip(bare.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(expected, found)
        if expected.grad is not None:
            assert torch.equal(expected.grad, found.grad)
    assert torch.equal(random_state, torch.random.get_rng_state())
    assert watched.model.training == bare.model.training


def test_a_language_model_trains_the_same_to_the_last_bit(tmp_path):
    settings = {
        "model": {"width": 16, "layers": 2, "heads": 2},
        "tasks": {"n_documents": 3, "max_tokens": 12, "tokenizer": {"vocabulary": 300}},
        "training": {"epochs": 1, "updates_per_visit": 2},
    }
    bare, watched = (prepare(parse_configuration(settings)) for _ in range(2))
    recorders = [LossRecorder(), WeightRecorder(), GradientRecorder(), TaskGradientRecorder()]
    recorders.append(ActivationRecorder("gpt_neox.layers.*.mlp"))
    train(bare, [])
    train(watched, [Recording(tmp_path / "run.zarr", recorders)])

    for expected, found in zip(bare.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(expected, found)
    last = open_trace(tmp_path / "run.zarr")["weights"].isel(visit=-1)
    for name, parameter in bare.model.named_parameters():
        np.testing.assert_array_equal(last[name].values, parameter.detach().numpy())


def n_hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    )


class Failing(BaseRecorder):
    def after_visit(self, visit, evaluation):
        if visit.number == 3:
            raise RuntimeError("lost the network")


def test_hooks_go_and_visits_stay_when_a_run_fails(tmp_path):
    run = make_run()
    with pytest.raises(RuntimeError, match="lost the network"):
        train(run, [Recording(tmp_path / "run.zarr", [*everything(), Failing()])])

    assert n_hooks(run.model) == 0
    trace = open_trace(tmp_path / "run.zarr")
    assert trace.attrs["status"] == "failed"
    assert trace["losses"].visit.values.tolist() == [0, 1, 2]
    assert np.isfinite(trace["weights/flat"]["values"]).all()


def test_recorders_do_not_keep_the_model_alive(tmp_path):
    recorders = [WeightRecorder(), GradientRecorder(), ActivationRecorder("first")]
    run = make_run()
    train(run, [Recording(tmp_path / "run.zarr", recorders)])
    parameter = weakref.ref(run.model.first.weight)
    del run
    gc.collect()  # the optimizer refers to itself
    assert parameter() is None
    assert recorders


def test_a_finished_recording_keeps_neither_model_nor_writer_alive(tmp_path):
    run, recorders = make_run(), everything()
    recording = Recording(tmp_path / "run.zarr", recorders)
    train(run, [recording])
    parameter, recorder = weakref.ref(run.model.first.weight), weakref.ref(recorders[1])
    del run, recorders
    gc.collect()
    assert parameter() is None
    recording.finish(None)  # once more: nothing happens
    del recording
    gc.collect()
    assert recorder() is None


def test_a_recording_that_runs_is_not_started_again(tmp_path):
    run, recording = make_run(), Recording(tmp_path / "run.zarr", everything())
    recording.start(run)
    with pytest.raises(TraceWriteError, match="is being recorded already; finish first"):
        recording.start(run)
    recording.finish(KeyboardInterrupt())
    assert n_hooks(run.model) == 0
    assert open_trace(tmp_path / "run.zarr").attrs["status"] == "interrupted"


def test_a_recording_measures_itself(recorded):
    trace, _ = recorded
    measures = trace["recording"].to_dataset().compute()
    names = ["LossRecorder", "WeightRecorder", "GradientRecorder", "TaskGradientRecorder"]
    assert measures.recorder.values.tolist() == [*names, "ActivationRecorder", "Spy", "commit"]
    assert measures.capture_milliseconds.dims == ("visit", "recorder")
    assert measures.capture_milliseconds.attrs["units"] == "ms"
    assert (measures.capture_milliseconds.isel(recorder=slice(-1)) > 0).all()
    commit = measures.capture_milliseconds.sel(recorder="commit")
    assert commit[0] == 0
    assert (commit[1:] > 0).all()
    assert (measures.wait_milliseconds == 0).all()
    row_bytes = trace["weights/flat"]["values"].nbytes // 7
    told = measures.written_bytes.sel(kind="weights").values
    assert set(told) <= {n * row_bytes for n in range(8)}
    assert row_bytes <= told.sum() <= 7 * row_bytes
    assert measures.write_milliseconds.sel(kind="weights").sum() > 0


def test_waiting_for_the_store_is_told_apart(tmp_path, monkeypatch):
    put_pieces = LocalStore.put_pieces

    def slowly(self, key, pieces):
        time.sleep(0.5 if key.startswith("weights/values/c/2/0") else 0)
        put_pieces(self, key, pieces)

    monkeypatch.setattr(LocalStore, "put_pieces", slowly)
    recorders = [WeightRecorder(), GradientRecorder()]
    train(make_run(), [Recording(tmp_path / "run.zarr", recorders, queue_bytes=1, durability="rename")])
    waited = open_trace(tmp_path / "run.zarr")["recording"].wait_milliseconds
    assert float(waited.max()) > 100
    assert (waited[0] == 0).all()


def test_stop_may_be_called_at_any_time():
    for recorder in everything():
        recorder.stop()
        recorder.stop()


def test_a_mean_over_tokens(tmp_path):
    train(make_run(), [Recording(tmp_path / "a.zarr", [ActivationRecorder("first", probes=[1])])])
    train(
        make_run(), [Recording(tmp_path / "b.zarr", [ActivationRecorder("first", probes=[1], pool="mean")])]
    )
    full = open_trace(tmp_path / "a.zarr")["activations"]["first"]
    pooled = open_trace(tmp_path / "b.zarr")["activations"]["first"]
    np.testing.assert_allclose(pooled, full.mean("axis0_5"), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("recorder", "message"),
    [
        (WeightRecorder(select="frist.*"), "no parameter matches 'frist.\\*'.*first"),
        (GradientRecorder(select=["first.*", "attention"]), "no parameter matches 'attention'"),
        (ActivationRecorder("lsat"), "no module matches 'lsat'; .*last"),
        (ActivationRecorder("first", probes=[3]), "probe 3 is none of the tasks 0 to 2"),
    ],
)
def test_what_cannot_be_found_is_named(tmp_path, recorder, message):
    with pytest.raises(ConfigurationError, match=message):
        train(make_run(), [Recording(tmp_path / "run.zarr", [recorder])])


def test_a_module_called_twice_has_an_axis_of_calls(tmp_path):
    run = make_run()
    run.model.forward = lambda inputs: run.model.last(run.model.first(run.model.first(inputs)))
    recorder = ActivationRecorder(["first", "last"], probes=[2, 0], when={"visits": [6]})
    train(run, [Recording(tmp_path / "run.zarr", [recorder])])

    found = open_trace(tmp_path / "run.zarr")["activations"].sel(visit=6)
    assert found["first"].dims == ("probe", "call_2", "axis1_5", "axis2_6")
    assert found["last"].dims == ("probe", "axis0_5", "axis1_6")
    with torch.no_grad():
        once = run.model.first(run.tasks.inputs[2])
        twice = run.model.first(once)
    np.testing.assert_allclose(found["first"].sel(probe="c"), torch.cat([once, twice]), rtol=1e-6, atol=1e-7)


def test_a_module_called_with_different_shapes_is_refused(tmp_path):
    run = make_run()
    run.model.forward = lambda inputs: run.model.first(inputs) + run.model.first(inputs[:, :2]).sum()
    with pytest.raises(
        ConfigurationError, match="first is called 2 times in one pass, with different shapes"
    ):
        train(run, [Recording(tmp_path / "run.zarr", [ActivationRecorder("first")])])


def test_only_chosen_modules_carry_hooks_and_only_while_probes_run(tmp_path):
    run, seen = make_run(), set()
    whole = run.model.forward

    def forward(inputs):
        seen.add(tuple(name for name, module in run.model.named_modules() if module._forward_hooks))
        return whole(inputs)

    run.model.forward = forward
    train(run, [Recording(tmp_path / "run.zarr", [ActivationRecorder("first")])])
    assert seen == {(), ("first",)}


def test_of_all_modules_those_that_give_no_tensor_are_left_out(tmp_path):
    run = make_run()
    run.model.container = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    train(run, [Recording(tmp_path / "run.zarr", [ActivationRecorder()])])
    found = set(open_trace(tmp_path / "run.zarr")["activations"].data_vars)
    assert found == {name for name, _ in run.model.named_modules() if name} - {"container", "container.0"}


def test_a_model_without_modules_that_give_tensors_is_refused(tmp_path):
    run = prepare(parse_configuration({"tasks": {"kind": "toy", "n_tasks": 2, "inputs": 3, "outputs": 2}}))
    with pytest.raises(ConfigurationError, match="none gave a tensor when the probes ran"):
        train(run, [Recording(tmp_path / "run.zarr", [ActivationRecorder()])])


def test_a_module_that_stays_silent_is_refused(tmp_path):
    run = make_run()
    run.model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigurationError, match="extra gave no tensor"):
        train(run, [Recording(tmp_path / "run.zarr", [ActivationRecorder("extra")])])
