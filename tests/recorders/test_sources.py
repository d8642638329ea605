"""Every source records what a slow, obvious twin computes, and the run does not notice any of them."""

import copy
import gc
import importlib
import tomllib
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from recorders import (
    ActivationGradientRecorder,
    ActivationRecorder,
    BaseRecorder,
    GradientNormRecorder,
    GradientRecorder,
    LearningRateRecorder,
    LogitRecorder,
    LossRecorder,
    OptimizerStateRecorder,
    TokenLossRecorder,
    record,
)
from recorders.optimizer_state import states_of
from tracekit import Recording, flat, open_trace
from tracekit.errors import ConfigurationError
from tracekit.training import parse_configuration, prepare, train

PROJECT = Path(__file__).parents[2]
EPOCHS, TASKS, UPDATES = 2, 3, 2
ADAM = {"kind": "adam", "learning_rate": 0.01}
OPTIONS = {"activations": {"modules": "mlp"}, "activation_gradients": {"modules": "mlp"}}
SGD = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9}


def make_run(optimizer=ADAM, **training):
    settings = {
        "model": {"width": 8, "layers": 1, "heads": 2},
        "tasks": {"n_documents": TASKS, "n_held_out": 1, "max_tokens": 9, "tokenizer": {"vocabulary": 260}},
        "training": {
            "epochs": EPOCHS,
            "updates_per_visit": UPDATES,
            "threads": 1,
            "optimizer": optimizer,
            "clip_grad_norm": 0.5,
            **training,
        },
    }
    return prepare(parse_configuration(settings))


def entry_points():
    """Give every recorder that the project names; of activations, some."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    places = project["entry-points"]["tracekit.recorders"]
    made = {}
    for name, place in places.items():
        module, attribute = place.split(":")
        made[name] = getattr(importlib.import_module(module), attribute)(**OPTIONS.get(name, {}))
    return made


class Spy(BaseRecorder):
    """Keeps copies of the model and of the optimizer's state at every snapshot."""

    def start(self, run, trace):
        self.run, self.models, self.states = run, [], []

    def after_visit(self, visit, evaluation):
        self.models.append(copy.deepcopy(self.run.model).eval())
        self.states.append(
            [copy.deepcopy(self.run.optimizer.state.get(p, {})) for p in self.run.model.parameters()]
        )


def recorded(path, *recorders, **settings):
    run, spy = make_run(**settings), Spy()
    train(run, [Recording(path, [*recorders, spy])])
    return run, open_trace(path), spy


def tokens_of(run, task):
    return torch.from_numpy(run.tasks.tokens(task))


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A trace by every recorder that there is."""
    path = tmp_path_factory.mktemp("everything") / "run.zarr"
    return recorded(path, *entry_points().values())


def test_the_run_does_not_notice_any_recorder(everything):
    watched, *_ = everything
    bare = make_run()
    before = torch.random.get_rng_state()
    train(bare, [])
    assert torch.equal(before, torch.random.get_rng_state())
    for expected, found in zip(bare.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(expected, found)
        assert torch.equal(expected.grad, found.grad)
        for name, value in bare.optimizer.state[expected].items():
            assert torch.equal(value, watched.optimizer.state[found][name])
    assert all(
        m.training == w.training for m, w in zip(bare.model.modules(), watched.model.modules(), strict=True)
    )
    hooks = [h for m in watched.model.modules() for h in (*m._forward_hooks, *m._backward_hooks)]
    assert not hooks


def test_every_sample_says_where_it_is_in_time_and_when_it_was_taken(everything):
    _, trace, _ = everything
    assert len(trace.children) >= len(entry_points())
    for kind, node in trace.children.items():
        dataset = node.to_dataset()
        for name, variable in dataset.data_vars.items():
            sample = variable.dims[0]
            assert sample in ("visit", "update"), (kind, name)
            prefix = "update_" if sample == "update" and "visit" in dataset.dims else ""
            for place in ("epoch", "position", "trained_task", "wall_time_seconds"):
                assert variable.coords[prefix + place].dims == (sample,), (kind, name, place)
            if sample == "update":
                assert {"update", "update_visit", "update_index"} <= set(variable.coords)
            assert variable.attrs["phase"] in ("snapshot", "before update"), (kind, name)
            assert "units" in variable.attrs


def test_recorders_let_go_of_the_run(tmp_path):
    made = list(entry_points().values())
    run, trace, spy = recorded(tmp_path / "run.zarr", *made)
    parameter = weakref.ref(next(run.model.parameters()))
    del run, trace, spy
    gc.collect()
    assert parameter() is None
    for recorder in made:
        recorder.stop()


def test_losses_of_tokens(everything):
    run, trace, spy = everything
    losses = trace["token_losses"]["loss"]
    assert losses.dims == ("visit", "task", "token")
    assert losses.token.values.tolist() == [str(place) for place in range(1, 9)]
    for visit, model in enumerate(spy.models):
        for task in range(TASKS):
            tokens = tokens_of(run, task)
            with torch.no_grad():
                logits = model(input_ids=tokens[None]).logits[0].double()
            chosen = torch.log_softmax(logits, -1)[torch.arange(len(tokens) - 1), tokens[1:]]
            found = losses[visit, task].values
            np.testing.assert_allclose(found[: len(chosen)], -chosen.numpy(), rtol=1e-5)
            assert np.isnan(found[len(chosen) :]).all()
    np.testing.assert_allclose(losses.mean("token"), trace["losses"]["eval_loss"], rtol=1e-5)


def test_sequences_of_several_lengths_are_padded():
    from tracekit.training.tasks.documents import DocumentTasks

    run = make_run()
    tasks = DocumentTasks({"long": [1, 2, 3, 4], "short": [5, 6]}, vocabulary=run.tasks.vocabulary)
    losses = tasks.token_losses(run.model).numpy()
    assert np.isnan(losses).tolist() == [[False] * 3, [False, True, True]]
    np.testing.assert_allclose(np.nanmean(losses, axis=1), tasks.losses(run.model), rtol=1e-6)


def test_logits_of_probes(tmp_path):
    run, trace, spy = recorded(tmp_path / "run.zarr", LogitRecorder(probes=[2, 0], every=3))
    found = trace["logits"]["logits"]
    assert found.dims == ("visit", "probe", "token", "vocabulary_260")
    assert found.probe.values.tolist() == [run.tasks.names[2], run.tasks.names[0]]
    for visit in (0, 3, 6):
        for place, task in enumerate((2, 0)):
            with torch.no_grad():
                logits = spy.models[visit](input_ids=tokens_of(run, task)[None]).logits[0]
            np.testing.assert_allclose(found.sel(visit=visit)[place], logits.numpy(), rtol=1e-5, atol=1e-6)


class Inplace(torch.nn.Module):
    """An in-place operation behind a watched layer, one used twice, and one that nothing depends on."""

    def __init__(self):
        super().__init__()
        self.first, self.twice, self.idle = (torch.nn.Linear(3, 3) for _ in range(3))
        self.relu = torch.nn.ReLU(inplace=True)

    def forward(self, x):
        self.idle(x)
        return self.twice(self.twice(self.relu(self.first(x))))


class Vectors:
    """Two tasks: a vector each."""

    names, test_names, loss_units, fingerprints = ("a", "b"), (), "nats", {}
    inputs = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.1, -1.0]])

    def loss(self, model, task, split="train"):
        return model(self.inputs[task : task + 1]).square().sum()

    def losses(self, model, split="train"):
        n_tasks = 2 if split == "train" else 0
        return np.array([float(self.loss(model, task).detach()) for task in range(n_tasks)])


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_by_activations(tmp_path, frozen):
    torch.manual_seed(0)
    model = Inplace()
    model.first.requires_grad_(not frozen)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = ActivationGradientRecorder(["first", "twice", "idle"])
    with record(model, optimizer, tmp_path / "run.zarr", recorders=[recorder], tasks=Vectors()) as trace:
        trace.visit()
    found = open_trace(tmp_path / "run.zarr")["activation_gradients"]

    for task, x in enumerate(Vectors.inputs):
        first = model.first(x).detach().requires_grad_()
        middle = model.twice(torch.relu(first))
        last = model.twice(middle)
        middle.retain_grad()
        last.retain_grad()
        last.square().sum().backward()
        np.testing.assert_allclose(found["first"][1, task], first.grad, rtol=1e-6)
        np.testing.assert_allclose(found["twice"][1, task], torch.stack([middle.grad, last.grad]), rtol=1e-6)
        assert (found["idle"][1, task] == 0).all()
    assert found["twice"].dims == ("visit", "probe", "call_2", "axis1_3")
    assert found["first"].attrs["units"] == "nats per unit of the output"


def test_gradients_by_activations_lie_as_activations_do(everything):
    _, trace, _ = everything
    gradients, activations = trace["activation_gradients"], trace["activations"]
    assert {n: v.dims for n, v in gradients.data_vars.items()} == {
        n: v.dims for n, v in activations.data_vars.items()
    }
    assert np.isfinite(flat(trace, "activation_gradients")).all()


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        (SGD, ["momentum_buffer"]),
        (ADAM, ["exp_avg", "exp_avg_sq"]),
        ({"kind": "adamw", "learning_rate": 0.01}, ["exp_avg", "exp_avg_sq"]),
    ],
)
def test_the_state_of_optimizers(tmp_path, optimizer, states):
    recorders = [OptimizerStateRecorder(), GradientRecorder(updates="all")]
    run, trace, spy = recorded(tmp_path / "run.zarr", *recorders, optimizer=optimizer)
    gradients = flat(trace, "gradients").values.astype("f8")
    for state in states:
        kind = trace[f"optimizer_{state}"]
        assert list(kind.data_vars) == [name for name, _ in run.model.named_parameters()]
        assert (flat(trace, f"optimizer_{state}")[0] == 0).all()
        for visit in range(1, 7):
            for number, (name, _) in enumerate(run.model.named_parameters()):
                np.testing.assert_array_equal(kind[name].sel(visit=visit), spy.states[visit][number][state])
        np.testing.assert_allclose(
            flat(trace, f"optimizer_{state}")[-1], twin(state, gradients), rtol=1e-4, atol=1e-9
        )
    assert set(trace.children) - {"recording"} == {"gradients", *(f"optimizer_{state}" for state in states)}


def twin(state, gradients):
    """Run an optimizer's memory through all gradients in float64."""
    memory = np.zeros_like(gradients[0])
    for gradient in gradients:
        if state == "momentum_buffer":
            memory = 0.9 * memory + gradient
        elif state == "exp_avg":
            memory = 0.9 * memory + 0.1 * gradient
        else:
            memory = 0.999 * memory + 0.001 * gradient**2
    return memory


def test_optimizers_without_a_known_state_are_named():
    parameters = [torch.zeros(2, requires_grad=True)]
    with pytest.raises(ConfigurationError, match="SGD without momentum keeps none"):
        states_of(torch.optim.SGD(parameters, lr=0.1))
    with pytest.raises(ConfigurationError, match="what Adagrad keeps is not known; name it"):
        states_of(torch.optim.Adagrad(parameters))
    assert states_of(torch.optim.AdamW(parameters, amsgrad=True))[2] == "max_exp_avg_sq"


def small_loop(path, recorders, optimizer_of, n_steps=4):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = optimizer_of(model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with record(model, optimizer, path, recorders=recorders) as trace:
        for _ in range(n_steps):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
            schedule.step()
            trace.visit()
    return open_trace(path)


def test_states_of_other_optimizers_by_name(tmp_path):
    recorder = OptimizerStateRecorder(states=["sum"], select="bias")
    trace = small_loop(
        tmp_path / "run.zarr", [recorder], lambda model: torch.optim.Adagrad(model.parameters())
    )
    assert list(trace["optimizer_sum"].data_vars) == ["bias"]
    assert (np.diff(trace["optimizer_sum"]["bias"], axis=0) > 0).all()
    with pytest.raises(ConfigurationError, match=r"'step' has shape \(\) for a parameter of shape"):
        small_loop(
            tmp_path / "other.zarr",
            [OptimizerStateRecorder(states=["step"])],
            lambda model: torch.optim.Adagrad(model.parameters()),
        )


def test_learning_rates_of_every_group(tmp_path):
    def optimizer(model):
        return torch.optim.SGD([{"params": [model.weight], "lr": 1e-3}, {"params": [model.bias]}], lr=1e-2)

    rates = small_loop(tmp_path / "run.zarr", [LearningRateRecorder()], optimizer)["learning_rates"][
        "learning_rate"
    ]
    assert rates.dims == ("update", "param_group")
    np.testing.assert_allclose(rates, np.outer(0.5 ** np.arange(4), [1e-3, 1e-2]))


def test_norms_before_and_after_clipping(everything, tmp_path):
    _, trace, _ = everything
    norms = trace["gradient_norms"].to_dataset()
    _, all_of_them, _ = recorded(tmp_path / "all.zarr", GradientRecorder(updates="all"))
    expected = np.linalg.norm(flat(all_of_them, "gradients").values.astype("f8"), axis=1)
    np.testing.assert_allclose(norms.gradient_norm, expected, rtol=1e-6)
    assert (norms.unclipped_gradient_norm > 0.5).any()
    clipped = np.minimum(norms.unclipped_gradient_norm, 0.5)
    np.testing.assert_allclose(norms.gradient_norm, clipped, rtol=1e-5)


def test_norms_where_nothing_is_clipped(tmp_path):
    _, trace, _ = recorded(tmp_path / "run.zarr", GradientNormRecorder(), clip_grad_norm=None)
    norms = trace["gradient_norms"]
    np.testing.assert_array_equal(norms["gradient_norm"], norms["unclipped_gradient_norm"])


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (OptimizerStateRecorder, {}),
        (TokenLossRecorder, {}),
        (LogitRecorder, {}),
        (ActivationRecorder, {"modules": "mlp"}),
        (ActivationGradientRecorder, {"modules": "mlp"}),
        (GradientRecorder, {"updates": "all"}),
    ],
)
def test_every_source_in_every_form(tmp_path, source, options):
    forms = ["full", "reductions", {"kind": "sketch", "components": 64}]
    _, trace, _ = recorded(tmp_path / "run.zarr", source(keep=forms, every=2, **options))
    kinds = set(trace.children) - {"recording"}
    full = {kind for kind in kinds if not kind.endswith(("_reductions", "_sketch"))}
    assert full
    assert kinds == full | {f"{k}_reductions" for k in full} | {f"{k}_sketch" for k in full}


@pytest.mark.parametrize("source", [TokenLossRecorder, LogitRecorder])
def test_tasks_without_tokens_are_named(tmp_path, source):
    run = prepare(parse_configuration({"tasks": {"kind": "toy"}, "training": {"epochs": 1}}))
    with pytest.raises(ConfigurationError, match="tasks of type ToyTasks have no method"):
        train(run, [Recording(tmp_path / "run.zarr", [source()])])


@pytest.mark.parametrize("source", [LogitRecorder, ActivationGradientRecorder])
def test_probes_that_are_none_are_named(tmp_path, source):
    with pytest.raises(ConfigurationError, match="probe 3 is none of the tasks 0 to 2"):
        recorded(tmp_path / "run.zarr", source(probes=[3]))


def test_losses_say_their_phase(everything):
    _, trace, _ = everything
    phases = {name: variable.attrs["phase"] for name, variable in trace["losses"].data_vars.items()}
    assert phases == {"eval_loss": "snapshot", "test_loss": "snapshot", "train_loss": "before update"}
    assert LossRecorder()
