"""Ways to train other than the plain one: frozen parameters, forgetful optimizers, documents that vary."""

import numpy as np
import pytest
import torch

from recorders import GradientRecorder, LossRecorder, PairwiseRecoveryRecorder, TaskGradientRecorder
from tracekit import Recording, open_trace
from tracekit.errors import ConfigurationError
from tracekit.training import train
from tracekit.training.tasks.documents import DocumentTasks
from tracekit.training.tasks.language import losses_per_token
from tracekit.training.tasks.variation import Variation

ADAM = "training.optimizer={kind: adam, learning_rate: 0.01}"
TOKENS = {"a": list(range(1, 10)), "b": [5, 4, 3, 2, 1, 6, 7, 8]}


def weights_of(run):
    return {name: parameter.detach().clone() for name, parameter in run.model.named_parameters()}


def test_frozen_parameters_stay_and_the_others_move(tiny):
    run = tiny('training.frozen=["*embed_in*", "re:layers[.]0[.]attention"]')
    before = weights_of(run)
    train(run)
    still = {name for name, weight in weights_of(run).items() if torch.equal(weight, before[name])}
    assert still == {name for name in before if "embed_in" in name or "layers.0.attention" in name}
    assert len(still) > 4


def test_what_is_trained_beside_frozen_parameters_is_as_by_hand(tiny):
    run, twin = tiny("training.frozen='*bias'"), tiny()
    train(run)
    trained = [weight for name, weight in twin.model.named_parameters() if not name.endswith("bias")]
    for task in twin.plan.order.ravel():
        for _ in range(twin.plan.updates_per_visit):
            gradients = torch.autograd.grad(twin.tasks.loss(twin.model, task), trained)
            with torch.no_grad():
                for weight, gradient in zip(trained, gradients, strict=True):
                    weight -= 0.1 * gradient
    for name, expected in weights_of(twin).items():
        torch.testing.assert_close(weights_of(run)[name], expected)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("'*layer.0*'", r"no parameter matches '\*layer\.0\*'.*such as"),
        ("'*'", "all parameters would be frozen"),
        ("[]", r"training\.frozen"),
    ],
)
def test_frozen_parameters_that_make_no_sense(tiny, patterns, message):
    with pytest.raises(ConfigurationError, match=message):
        tiny(f"training.frozen={patterns}")


def test_gradients_of_frozen_parameters(tiny, tmp_path):
    """The optimizer has none; a task has one, the same as in a run where nothing is frozen."""
    found = {}
    for frozen in ("null", "'*embed_in*'"):
        run = tiny(f"training.frozen={frozen}")
        path = tmp_path / f"{len(found)}.zarr"
        recorders = [GradientRecorder(), TaskGradientRecorder(when={"visits": [0]})]
        train(run, [Recording(path, recorders, durability="rename")])
        found[frozen] = open_trace(path)
    name = "gpt_neox.embed_in.weight"
    free, fixed = found.values()
    assert (fixed["gradients"][name].values == 0).all()
    assert (free["gradients"][name].values != 0).any()
    first = [trace["task_gradients"][name].sel(visit=0).values for trace in (free, fixed)]
    np.testing.assert_array_equal(*first)
    assert (first[0] != 0).any()
    assert not run.model.gpt_neox.embed_in.weight.requires_grad


def test_an_optimizer_that_is_reset_is_a_new_one_for_every_visit(tiny):
    run, twin = tiny(ADAM, "training.reset_optimizer=true"), tiny(ADAM)
    train(run)
    for task in twin.plan.order.ravel():
        optimizer = torch.optim.Adam(twin.model.parameters(), lr=0.01)
        for _ in range(twin.plan.updates_per_visit):
            optimizer.zero_grad()
            twin.tasks.loss(twin.model.train(), task).backward()
            optimizer.step()
    plain = tiny(ADAM)
    train(plain)
    for name, expected in weights_of(twin).items():
        assert torch.equal(weights_of(run)[name], expected)
    assert any(
        not torch.equal(weights_of(plain)[name], expected) for name, expected in weights_of(twin).items()
    )


@pytest.mark.parametrize("setting", ["training.reset_optimizer=true", "tasks.masked=0.3"])
def test_a_trial_visit_is_what_the_run_goes_on_to_do(tiny, tmp_path, setting):
    run = tiny(ADAM, setting)
    recorders = [LossRecorder(), PairwiseRecoveryRecorder()]
    train(run, [Recording(tmp_path / "run.zarr", recorders, durability="rename")])
    trace = open_trace(tmp_path / "run.zarr")
    loss, recovery = trace["losses"]["eval_loss"].values, trace["pairwise_recovery"]["recovery"].values
    for visit, task in enumerate(run.plan.order.ravel()):
        np.testing.assert_array_equal(recovery[visit, task], loss[visit] - loss[visit + 1])


def test_windows_lie_where_they_may_and_masks_hide_their_share():
    tokens = torch.arange(1, 1005)
    variation = Variation(masked=0.25, shift=2)
    torch.manual_seed(0)
    drawn = [variation.drawn(tokens) for _ in range(50)]
    assert {int(window[0]) for _, window in drawn} == {1, 2, 3, 4, 5}
    for given, window in drawn:
        torch.testing.assert_close(window, tokens[window[0] - 1 : window[0] + 999])
        assert torch.equal(given[given > 0], window[given > 0])
    hidden = np.mean([(given == 0).float().mean().item() for given, _ in drawn])
    assert abs(hidden - 0.25) < 5 * (0.25 * 0.75 / 50_000) ** 0.5
    assert variation.evaluated(tokens).tolist() == list(range(3, 1003))


@pytest.mark.parametrize("variation", [Variation(masked=0.5), Variation(shift=2), Variation(0.3, 1)])
def test_only_a_model_that_trains_sees_a_document_vary(tiny, variation):
    model = tiny().model
    tasks = DocumentTasks(TOKENS, vocabulary=260, variation=variation)
    shift = variation.shift
    plain = DocumentTasks(
        {name: row[shift : len(row) - shift] for name, row in TOKENS.items()}, vocabulary=260
    )
    np.testing.assert_array_equal(tasks.losses(model), plain.losses(model))
    torch.manual_seed(3)
    given, window = variation.drawn(torch.tensor(TOKENS["b"]))
    torch.manual_seed(3)
    found = tasks.loss(model.train(), 1)
    logits = model(input_ids=given[None]).logits[0, :-1]
    expected = torch.nn.functional.cross_entropy(logits, window[1:])
    torch.testing.assert_close(found, expected)
    assert torch.equal(tasks.loss(model.eval(), 1), losses_per_token(model, plain_tokens(plain, 1)).mean())


def plain_tokens(tasks, task):
    return torch.from_numpy(tasks.tokens(task))[None]


def test_varied_runs_repeat_and_differ_from_plain_ones(tiny, new_notes):
    losses = []
    for overrides in (["tasks.masked=0.2", "tasks.shift=3"], ["tasks.masked=0.2", "tasks.shift=3"], []):
        notes = new_notes()
        train(tiny(*overrides), [notes])
        losses.append(notes.train_loss)
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_a_document_too_short_to_shift(tiny):
    with pytest.raises(ConfigurationError, match="'a': expected 12 tokens or more, found 9"):
        DocumentTasks(TOKENS, vocabulary=260, variation=Variation(shift=5))
