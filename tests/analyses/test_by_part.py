"""Similarity, paths and periods of each layer, group or parameter: rows, numbers, and which name is what."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2Model,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from analyses.commands.period import PERIOD
from analyses.commands.representation import REPRESENTATION
from analyses.commands.seeds import SEEDS
from analyses.groups import group_of, grouped, layer_of
from analyses.registry import SIMILARITY, TRAJECTORY
from recorders.model_groups import parameters_of
from tracekit.testing import check_analysis, synthetic_trace

SMALL = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 11}
MODELS = {
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL, intermediate_size=16)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, intermediate_size=16)),
    "gpt2": lambda: GPT2Model(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=11, n_positions=6)),
    "torch": lambda: torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False
    ),
}
SHARED = {"contrast", "mean_similarity", "path_length", "prominence", "step_length"}

every_analysis = pytest.mark.parametrize(
    "analysis", [SIMILARITY, TRAJECTORY, PERIOD], ids=lambda each: each.name
)


@pytest.fixture(scope="module")
def trace():
    return synthetic_trace(n_tasks=4, n_epochs=4)


def report(analysis, *traces, **options):
    return analysis.report(analysis.build(*traces, **options).compute())


@every_analysis
def test_each_part_has_a_row_and_its_own_numbers(analysis, trace):
    found = report(analysis, trace, by="parameter")
    assert found.columns[0] == "parameter"
    assert [row[0] for row in found.rows] == ["block.weight", "block.bias"]
    assert found.numbers["parameter"] == ["block.weight", "block.bias"]
    for place, name in enumerate(found.numbers["parameter"]):
        alone = report(analysis, trace, select=name).numbers
        assert SHARED & set(alone)
        for key in SHARED & set(alone):
            np.testing.assert_allclose(found.numbers[key][place], alone[key], atol=1e-9)
    json.dumps(found.numbers)


@every_analysis
def test_analyses_of_parts_keep_the_rules(analysis):
    check_analysis(analysis, options={"by": "layer"}, large_elements=200_000)


def test_what_is_not_defined_of_a_part_is_said(trace):
    start = trace.isel(visit=slice(1))
    found = report(SIMILARITY, start, by="parameter")
    assert all(np.isnan(row[1]) for row in found.rows)
    assert "A dash: not defined" in found.notes[-1]
    assert report(TRAJECTORY, start, by="parameter").rows


def test_lags_that_no_recorded_visits_are_apart_are_not_shown():
    sparse = synthetic_trace(n_tasks=6, n_epochs=4).isel(visit=slice(None, None, 2))
    assert [row[0] for row in report(SIMILARITY, sparse).rows] == [0, 2, 4, 6, 8, 10, 12]
    assert report(SIMILARITY, sparse, by="parameter").columns[2:] == ("residual cosine, lag 6", "lag 2")


def test_runs_of_several_orders_are_told_of_as_such():
    runs = [synthetic_trace(order_name=order) for order in ("a", "b")]
    for analysis in (SEEDS, REPRESENTATION):
        assert report(analysis, *runs).title.endswith(", a and b order")
        assert report(analysis, runs[0], runs[0]).title.endswith(", a order")


@pytest.mark.parametrize("family", MODELS)
def test_names_tell_the_groups_that_recorders_tell_by_types(family):
    model = MODELS[family]()
    names = [name for name, _ in model.named_parameters()]
    found = grouped(names, "group")
    told = {group: {names[place] for place in places} for group, places in found.items()}
    norms = set(parameters_of(model, "norms"))
    assert told.pop("norms") == norms
    for group in ("attention", "mlp", "embeddings", "head"):
        assert told.pop(group, set()) == set(parameters_of(model, group)) - norms
    assert not told


@pytest.mark.parametrize(
    ("name", "layer", "group"),
    [
        ("transformer.h.11.mlp.c_fc.weight", "transformer.h.11", "mlp"),
        ("encoder.layer.3.attention.output.dense.weight", "encoder.layer.3", "attention"),
        ("encoder.layer.3.attention.output.LayerNorm.bias", "encoder.layer.3", "norms"),
        ("encoder.layer.3.output.dense.weight", "encoder.layer.3", "mlp"),
        ("model.decoder.embed_positions.weight", "model.decoder.embed_positions", "embeddings"),
        ("cls_token", "cls_token", "embeddings"),
        ("0.weight", "0", "other"),
        ("layer1.0.conv1.weight", "layer1.0", "other"),
        ("head", "head", "head"),
    ],
)
def test_names_tell_layer_and_group(name, layer, group):
    assert (layer_of(name), group_of(name)) == (layer, group)
