"""Groups of parameters and modules are found in models of every family, and patterns mean what they say."""

from collections import OrderedDict

import pytest
import torch
import transformers

from recorders.model_groups import GROUPS, modules_of, parameters_of
from recorders.selection import select_modules, select_parameters
from tracekit.errors import ConfigurationError

SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
IMAGES = {"image_size": 8, "patch_size": 4}


def gpt_neox():
    return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**SMALL, vocab_size=20))


def gpt2():
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=20))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, vocab_size=20))


def opt():
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 16}
    return transformers.OPTForCausalLM(transformers.OPTConfig(**sizes, vocab_size=20, word_embed_proj_dim=8))


def vit():
    return transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL, **IMAGES))


class Block(torch.nn.Module):
    """A block with the names of torchvision's vision transformer."""

    def __init__(self):
        super().__init__()
        self.ln_1 = torch.nn.LayerNorm(8)
        self.self_attention = torch.nn.MultiheadAttention(8, 2)
        self.ln_2 = torch.nn.LayerNorm(8)
        self.mlp = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 8))


class VisionTransformer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_proj = torch.nn.Conv2d(3, 8, 4)
        self.class_token = torch.nn.Parameter(torch.zeros(1, 1, 8))
        self.encoder = torch.nn.Module()
        self.encoder.pos_embedding = torch.nn.Parameter(torch.zeros(1, 5, 8))
        layers = OrderedDict((f"encoder_layer_{layer}", Block()) for layer in range(2))
        self.encoder.layers = torch.nn.Sequential(layers)
        self.encoder.ln = torch.nn.LayerNorm(8)
        self.heads = torch.nn.Sequential(OrderedDict(head=torch.nn.Linear(8, 3)))


# family: (modules of every group in the first layer or the whole model, parameters beyond modules)
FAMILIES = {
    gpt_neox: {
        "attention": "gpt_neox.layers.{}.attention",
        "mlp": "gpt_neox.layers.{}.mlp",
        "norms": [
            "gpt_neox.layers.{}.input_layernorm",
            "gpt_neox.layers.{}.post_attention_layernorm",
            "gpt_neox.final_layer_norm",
        ],
        "embeddings": "gpt_neox.embed_in",
        "head": "lm_head",
        "first_layer": "gpt_neox.layers.0",
        "last_layer": "gpt_neox.layers.1",
    },
    gpt2: {
        "attention": "transformer.h.{}.attn",
        "mlp": "transformer.h.{}.mlp",
        "norms": ["transformer.h.{}.ln_1", "transformer.h.{}.ln_2", "transformer.ln_f"],
        "embeddings": ["transformer.wte", "transformer.wpe"],
        "head": "lm_head",
        "first_layer": "transformer.h.0",
        "last_layer": "transformer.h.1",
    },
    llama: {
        "attention": "model.layers.{}.self_attn",
        "mlp": "model.layers.{}.mlp",
        "norms": [
            "model.layers.{}.input_layernorm",
            "model.layers.{}.post_attention_layernorm",
            "model.norm",
        ],
        "embeddings": "model.embed_tokens",
        "head": "lm_head",
        "first_layer": "model.layers.0",
        "last_layer": "model.layers.1",
    },
    opt: {
        "attention": "model.decoder.layers.{}.self_attn",
        "mlp": ["model.decoder.layers.{}.fc1", "model.decoder.layers.{}.fc2"],
        "norms": [
            "model.decoder.layers.{}.self_attn_layer_norm",
            "model.decoder.layers.{}.final_layer_norm",
            "model.decoder.final_layer_norm",
        ],
        "embeddings": ["model.decoder.embed_tokens", "model.decoder.embed_positions"],
        "head": "lm_head",
        "first_layer": "model.decoder.layers.0",
        "last_layer": "model.decoder.layers.1",
    },
    VisionTransformer: {
        "attention": "encoder.layers.encoder_layer_{}.self_attention",
        "mlp": "encoder.layers.encoder_layer_{}.mlp",
        "norms": [
            "encoder.layers.encoder_layer_{}.ln_1",
            "encoder.layers.encoder_layer_{}.ln_2",
            "encoder.ln",
        ],
        "embeddings": "conv_proj",
        "head": "heads",
        "first_layer": "encoder.layers.encoder_layer_0",
        "last_layer": "encoder.layers.encoder_layer_1",
    },
}
SINGLE = {VisionTransformer: ["class_token", "encoder.pos_embedding"]}


def written_out(names):
    names = [names] if isinstance(names, str) else names
    return {name.format(layer) for name in names for layer in range(2)}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_groups_of_modules(family):
    model = family()
    for group in GROUPS:
        assert set(modules_of(model, group)) == written_out(FAMILIES[family][group]), group


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_parameters_of_a_group_are_all_those_in_its_modules(family):
    model = family()
    for group in GROUPS:
        modules = written_out(FAMILIES[family][group])
        inside = {
            name
            for module in modules
            for name, _ in model.get_submodule(module).named_parameters(prefix=module, remove_duplicate=False)
        }
        tied = set(dict(model.named_parameters()))  # under its first name, which the embedding has
        expected = (inside & tied) | set(SINGLE.get(family, []) if group == "embeddings" else [])
        assert set(parameters_of(model, group)) == expected, group


def test_groups_of_hugging_faces_vision_transformer():
    """Its modules have had other names in other versions of transformers, so parameters are counted."""
    model = vit()
    n_elements = {
        group: sum(p.numel() for p in select_parameters(model, group).values())
        for group in ("attention", "mlp", "embeddings", "norms", "head")
    }
    patches, tokens = 8 * 3 * 4 * 4 + 8, 8 + 5 * 8
    assert n_elements == {
        "attention": 2 * 4 * (8 * 8 + 8),
        "mlp": 2 * (8 * 16 + 16 + 16 * 8 + 8),
        "embeddings": patches + tokens,
        "norms": 5 * 16,
        "head": 2 * 8 + 2,
    }
    assert sum(n_elements.values()) == sum(p.numel() for p in model.parameters())


def test_a_model_without_layers_in_a_list_has_layers_all_the_same():
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1), torch.nn.Tanh()
    )
    assert modules_of(model, "last_layer") == ["2"]
    plain = torch.nn.Module()
    plain.first, plain.second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert parameters_of(plain, "first_layer") == ["first.weight", "first.bias"]


MODEL = gpt2()


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("*.ln_f.*", ["transformer.ln_f.weight", "transformer.ln_f.bias"]),
        (r"re:h\.0\.attn.*bias$", ["transformer.h.0.attn.c_attn.bias", "transformer.h.0.attn.c_proj.bias"]),
        (["*ln_f*", "!*bias"], ["transformer.ln_f.weight"]),
        (["norms", "!*.h.*", "!re:weight$"], ["transformer.ln_f.bias"]),
        (lambda name, parameter: parameter.shape == (20, 8), ["transformer.wte.weight"]),
        (["!*.h.*", "!embeddings"], ["transformer.ln_f.weight", "transformer.ln_f.bias"]),
        (["embeddings", "*wte*"], ["transformer.wte.weight", "transformer.wpe.weight"]),
    ],
)
def test_patterns(selection, expected):
    found = select_parameters(MODEL, selection)
    assert list(found) == expected
    assert all(parameter is dict(MODEL.named_parameters())[name] for name, parameter in found.items())


def test_tied_weights_come_once():
    assert MODEL.lm_head.weight is MODEL.transformer.wte.weight
    assert "lm_head.weight" not in select_parameters(MODEL, None)


def test_a_thing_of_just_the_name_of_a_group_goes_before_the_group():
    model = torch.nn.Sequential(OrderedDict(mlp=torch.nn.Linear(2, 2), fc1=torch.nn.Linear(2, 2)))
    assert list(select_modules(model, "mlp")) == ["mlp"]


def test_modules_by_group_and_by_callable():
    assert list(select_modules(MODEL, "attention")) == ["transformer.h.0.attn", "transformer.h.1.attn"]
    chosen = select_modules(
        MODEL, lambda name, module: isinstance(module, torch.nn.LayerNorm) and ".h." in name
    )
    assert len(chosen) == 4


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (
            "transformer.wtf.weight",
            r"no parameter matches 'transformer.wtf.weight'; .*transformer.wte.weight",
        ),
        (["*bias", "!*.ln_g.*"], r"no parameter matches '\*.ln_g.\*'"),
        (["*", "!*"], r"\*, !\* leaves out every parameter"),
        ("re:(", r"'re:\(' is no regular expression"),
        (lambda name, parameter: False, "the callable means no parameter of 28"),
    ],
)
def test_what_means_nothing_is_named(selection, message):
    with pytest.raises(ConfigurationError, match=message):
        select_parameters(MODEL, selection)
