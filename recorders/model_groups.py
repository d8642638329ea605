"""Groups of a model's modules by what they are for, recognised by type and by the names models give them.

Types come first: an embedding is one, whatever its name. Where models are made of their own classes, the
class names and module names of the common families decide (GPT-NeoX, GPT-2, Llama, OPT, BERT, ViT, and the
layers of torch itself).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Signs:
    """What tells that a module, or a parameter of its own, belongs to a group.

    Parameters
    ----------
    types : tuple of type
        Types of modules.
    classes, names : str
        Regular expressions, found in the class name of a module or in its whole name.
    parameters : str
        A regular expression, found in the names of parameters that lie in no module of the group.
    """

    types: tuple[type[torch.nn.Module], ...] = ()
    classes: str = "(?!)"  # found nowhere
    names: str = "(?!)"
    parameters: str = "(?!)"

    def fit(self, name: str, module: torch.nn.Module) -> bool:
        """Say whether a module has one of the signs."""
        return (
            isinstance(module, self.types)
            or re.search(self.classes, type(module).__name__) is not None
            or re.search(self.names, name) is not None
        )


SIGNS = {
    "attention": Signs(
        types=(torch.nn.MultiheadAttention,),
        classes=r"Attention$",
        names=r"(^|\.)(attention|self_attention|attn|self_attn|cross_attn)$",
    ),
    "mlp": Signs(
        classes=r"(MLP|MLPBlock|FeedForward)$",
        names=r"(^|\.)(mlp|ffn|feed_forward|fc1|fc2|linear1|linear2|intermediate)$|(?<!attention)\.output$",
    ),
    "embeddings": Signs(
        types=(torch.nn.Embedding, torch.nn.EmbeddingBag),
        names=r"(^|\.)(embeddings|patch_embed|patch_embeddings|conv_proj)$",
        parameters=r"(^|\.)(class_token|cls_token|pos_embed|pos_embedding|position_embeddings)$",
    ),
    "norms": Signs(classes=r"Norm(\d[dD])?$"),
    "head": Signs(names=r"(^|\.)(lm_head|embed_out|classifier|score|heads?)$"),
}
LAYERS = ("first_layer", "last_layer")
GROUPS = (*SIGNS, *LAYERS)
"""The names of all groups."""


def modules_of(model: torch.nn.Module, group: str) -> list[str]:
    """Give the names of the outermost modules of a group.

    `first_layer` and `last_layer` are ends of the stack of layers: of the list of modules that holds the most
    parameters, or of the model's own modules where there is no such list.

    Examples
    --------
    >>> modules_of(torch.nn.TransformerEncoderLayer(d_model=4, nhead=2), "mlp")
    ['linear1', 'linear2']
    """
    if group in LAYERS:
        layers = _stack(model)
        return layers[:1] if group == "first_layer" else layers[-1:]
    fitting = [name for name, module in model.named_modules() if name and SIGNS[group].fit(name, module)]
    return [name for name in fitting if not any(within(name, other) for other in fitting if other != name)]


def parameters_of(model: torch.nn.Module, group: str) -> list[str]:
    """Give the names of the parameters that lie in a group's modules, and of single ones that belong to it.

    Examples
    --------
    >>> parameters_of(torch.nn.TransformerEncoderLayer(d_model=4, nhead=2), "norms")
    ['norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias']
    """
    modules = modules_of(model, group)
    single = re.compile(SIGNS[group].parameters if group in SIGNS else "(?!)")
    return [
        name
        for name, _ in model.named_parameters()
        if any(within(name, module) for module in modules) or single.search(name)
    ]


def within(name: str, module: str) -> bool:
    """Say whether a name is that of a module, or of something in it."""
    return f"{name}.".startswith(f"{module}.")


def _stack(model: torch.nn.Module) -> list[str]:
    """Give the names of a model's layers, those without parameters left out."""
    stacks = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList | torch.nn.Sequential)
    ]
    name, stack = max(stacks, key=lambda found: n_parameters(found[1]), default=("", model))
    return list(_with_parameters(f"{name}." if name else "", stack))


def _with_parameters(prefix: str, stack: torch.nn.Module) -> Iterator[str]:
    return (f"{prefix}{name}" for name, child in stack.named_children() if n_parameters(child))


def n_parameters(module: torch.nn.Module) -> int:
    """Count the parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
