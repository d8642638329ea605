"""One seed decides everything that is random, and nothing else does."""

import random

import numpy as np
import pytest
import torch

from tracekit.training import train

DROPOUT = (
    "model={kind: config, config: {model_type: gpt2, n_embd: 8, n_head: 2, n_layer: 1, n_positions: 32}}"
)


def weights_after(run, observers=()):
    train(run, observers)
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def weights_of(run):
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


@pytest.mark.parametrize("model", ["model.kind=gpt_neox", DROPOUT], ids=["gpt_neox", "dropout"])
def test_the_same_seed_gives_the_same_bits(tiny, model):
    torch.manual_seed(1)
    first = weights_after(tiny(model, "training.order=shuffled", "tasks.choice=random"))
    torch.manual_seed(2)
    random.seed(2)
    second = weights_after(tiny(model, "training.order=shuffled", "tasks.choice=random"))
    assert torch.equal(first, second)


def test_another_seed_gives_other_weights(tiny):
    first, second = (weights_after(tiny(f"seed={seed}")) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_dropout_depends_on_the_seed(tiny, new_notes):
    first, again, other = new_notes(), new_notes(), new_notes()
    train(tiny(DROPOUT), [first])
    train(tiny(DROPOUT), [again])
    off = DROPOUT.replace("n_embd", "resid_pdrop: 0.0, embd_pdrop: 0.0, attn_pdrop: 0.0, n_embd")
    train(tiny(off), [other])
    assert first.train_loss == again.train_loss
    assert first.train_loss != other.train_loss
    np.testing.assert_array_equal(first.eval_loss[0], other.eval_loss[0])


def test_orders_share_documents_and_initial_weights(tiny):
    cyclic, shuffled = (
        tiny(f"training.order={order}", "tasks.choice=random") for order in ("cyclic", "shuffled")
    )
    assert cyclic.tasks.fingerprints == shuffled.tasks.fingerprints
    assert torch.equal(weights_of(cyclic), weights_of(shuffled))


def test_the_random_choice_of_documents_depends_on_the_seed(tiny):
    first, second = (tiny(f"seed={seed}", "tasks.choice=random").tasks.names for seed in (0, 1))
    assert first != second


def test_an_observer_that_draws_changes_nothing(tiny, notes):
    notes.after_visit = lambda *_: torch.rand(3)
    notes.before_update = lambda _: torch.rand(3)
    assert torch.equal(weights_after(tiny(DROPOUT), [notes]), weights_after(tiny(DROPOUT)))


def test_preparing_leaves_global_streams_alone(tiny):
    torch.manual_seed(1)
    torch_state, state = torch.get_rng_state(), random.getstate()
    train(tiny("tasks.choice=random"))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == state


def test_run_carries_the_resolved_configuration(tiny):
    run = tiny("training.epochs=5")
    assert run.configuration["training"]["epochs"] == 5
    assert run.configuration["seed"] == 0
    assert run.plan.n_visits == 15
