"""Models of every kind, and the initialisation of the paper."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from tracekit.errors import ConfigurationError
from tracekit.training import parse_configuration, prepare, train
from tracekit.training.initialization import rescale_like_paper
from tracekit.training.models import build_model
from tracekit.training.tasks.documents import DocumentTasks

EMBED_IN = "gpt_neox.embed_in.weight"
TOKENS = DocumentTasks({"a": list(range(1, 20)), "b": [3] * 10}, vocabulary=270)


def model_of(**settings):
    return build_model(parse_configuration({"model": settings}).model, TOKENS)


def test_paper_initialisation_has_the_stated_deviations():
    torch.manual_seed(0)
    width, layers = 128, 3
    inside, outside = math.sqrt(2 / (5 * width)), 2 / (layers * math.sqrt(width))
    deviations = {
        "query_key_value": inside,
        "dense_h_to_4h": inside,
        "embed_in": inside,
        "embed_out": inside,
        "lm_head": inside,
        "attention.dense": outside,
        "dense_4h_to_h": outside,
    }
    found = set()
    for name, parameter in model_of(width=width, layers=layers).named_parameters():
        module, _, kind = name.rpartition(".")
        expected = next((value for key, value in deviations.items() if module.endswith(key)), None)
        if kind == "bias":
            assert parameter.eq(0).all(), name
        elif expected is None:
            assert parameter.eq(1).all(), name
        else:
            found.add(module.rpartition("layers.")[2])
            assert parameter.std().item() == pytest.approx(expected, rel=0.03), name
    assert len(found) == 2 + 4 * layers


def test_the_models_own_initialisation_is_kept_where_asked():
    weights = dict(model_of(initialization="model").named_parameters())
    assert weights["gpt_neox.layers.0.mlp.dense_h_to_4h.weight"].std().item() == pytest.approx(0.02, rel=0.03)


def test_paper_initialisation_scales_the_models_own():
    torch.manual_seed(3)
    scaled = dict(model_of(width=32, heads=2).named_parameters())
    torch.manual_seed(3)
    own = dict(model_of(width=32, heads=2, initialization="model").named_parameters())
    factor = math.sqrt(2 / (5 * 32)) / 0.02
    torch.testing.assert_close(scaled[EMBED_IN], own[EMBED_IN] * factor)


def test_paper_initialisation_is_for_gpt_neox(gpt2_folder):
    with pytest.raises(ConfigurationError, match="GPT2LMHeadModel has no weights called query_key_value"):
        rescale_like_paper(AutoModelForCausalLM.from_pretrained(gpt2_folder))


def test_gpt_neox_has_the_size_asked_for():
    config = model_of(layers=2, width=24, heads=3).config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 24, 3)
    assert (config.intermediate_size, config.vocab_size) == (96, 270)


def test_any_architecture_written_out():
    config = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    model = model_of(kind="config", config={**config, "num_attention_heads": 2, "num_key_value_heads": 2})
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.vocab_size == 270


def test_any_architecture_by_path_has_new_weights(gpt2_folder):
    torch.manual_seed(1)
    stored = model_of(kind="pretrained", path=str(gpt2_folder))
    drawn = model_of(kind="config", config=str(gpt2_folder))
    assert type(drawn) is type(stored)
    assert not torch.equal(drawn.transformer.wte.weight, stored.transformer.wte.weight)


def test_pretrained_weights_are_those_on_disk(gpt2_folder):
    stored = AutoModelForCausalLM.from_pretrained(gpt2_folder).state_dict()
    for name, weight in model_of(kind="pretrained", path=str(gpt2_folder)).state_dict().items():
        assert torch.equal(weight, stored[name]), name


def test_pretrained_architecture_with_the_papers_weights(tmp_path):
    torch.manual_seed(0)
    model_of(width=64, heads=2, initialization="model").save_pretrained(tmp_path / "neox")
    model = model_of(kind="pretrained", path=str(tmp_path / "neox"), initialization="paper")
    assert model.get_output_embeddings().weight.std().item() == pytest.approx(
        math.sqrt(2 / (5 * 64)), rel=0.03
    )


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_precision(precision):
    model = model_of(layers=1, width=8, heads=2, precision=precision)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, precision)}
    assert TOKENS.loss(model, 0).dtype == (torch.float64 if precision == "float64" else torch.float32)


def test_any_causal_language_model_trains(gpt2_folder, tokenizer_folder, notes):
    settings = {
        "tasks": {
            "max_tokens": 16,
            "n_documents": 2,
            "tokenizer": {"kind": "pretrained", "path": str(tokenizer_folder)},
        },
        "model": {"kind": "pretrained", "path": str(gpt2_folder)},
        "training": {"epochs": 2, "optimizer": {"kind": "adamw", "learning_rate": 0.01}, "device": "cpu"},
    }
    train(prepare(parse_configuration(settings)), [notes])
    assert notes.eval_loss[-1].mean() < notes.eval_loss[0].mean() - 0.5


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"kind": "pretrained", "path": "/nowhere"},
            "model.path: no causal language model could be loaded from",
        ),
        ({"kind": "config", "config": {"model_type": "gtp2"}}, "a 'model_type' that transformers knows"),
        ({"kind": "config", "config": {"hidden_size": 3}}, "expected a configuration with a 'model_type'"),
        ({"kind": "config", "config": "/nowhere"}, "model.config: "),
        (
            {"kind": "config", "config": {"model_type": "gpt2", "vocab_size": 5, "n_embd": 8, "n_head": 2}},
            "expected a vocabulary of 270 tokens or more, as many as the tasks have, found 5",
        ),
        (
            {"kind": "config", "config": {"model_type": "gpt2", "n_positions": 5, "n_embd": 8, "n_head": 2}},
            "tasks.max_tokens: expected at most 5, the most that the model takes, found a document of 19",
        ),
    ],
)
def test_models_that_cannot_be(settings, expected):
    with pytest.raises(ConfigurationError) as caught:
        model_of(**settings)
    assert expected in str(caught.value)
