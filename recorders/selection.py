"""Which parameters and modules are recorded: globs, regular expressions, groups, callables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from recorders.model_groups import GROUPS, modules_of, parameters_of
from tracekit.callables import require_takes
from tracekit.errors import ConfigurationError
from tracekit.patterns import Expand, choose, expand_pattern

Predicate = Callable[[str, Any], bool]
Selection = str | Sequence[str] | Predicate | None
"""What is chosen. From Python it may be a callable that says of a name, and of the parameter or module that
has it, whether it is meant. Otherwise a pattern, or a list of patterns of which any may mean a name:

- `"*.mlp.*"`: a glob over the whole name
- `"re:layers[.][02][.]"`: a regular expression found anywhere in the name
- `"attention"`, `"mlp"`, `"embeddings"`, `"norms"`, `"head"`, `"first_layer"`, `"last_layer"`: a group of
  `recorders.model_groups`, unless something has just this name
- `"!…"`: any of these, left out of what the others mean

None means everything.
"""
Thing = TypeVar("Thing", torch.nn.Parameter, torch.nn.Module)


def select_parameters(model: torch.nn.Module, selection: Selection) -> dict[str, torch.nn.Parameter]:
    """Give the model's parameters that are meant, by their `named_parameters` name; tied weights come once.

    Raises
    ------
    ConfigurationError
        If a pattern means nothing, with the names that come near.

    Examples
    --------
    >>> layer = torch.nn.TransformerEncoderLayer(d_model=4, nhead=2)
    >>> list(select_parameters(layer, ["mlp", "!*bias"]))
    ['linear1.weight', 'linear2.weight']
    >>> list(select_parameters(layer, lambda name, parameter: parameter.numel() == 12))
    ['self_attn.in_proj_bias']
    """
    return _select(dict(model.named_parameters()), selection, "parameter", _grouped(model, parameters_of))


def select_modules(model: torch.nn.Module, selection: Selection) -> dict[str, torch.nn.Module]:
    """Give the model's modules that are meant, by their `named_modules` name.

    A group means its outermost modules, such as whole attention modules and not the layers within them.

    Raises
    ------
    ConfigurationError
        If a pattern means nothing, with the names that come near.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    return _select(modules, selection, "module", _grouped(model, modules_of))


def _select(things: Mapping[str, Thing], selection: Selection, what: str, expand: Expand) -> dict[str, Thing]:
    if selection is None:
        return dict(things)
    if not callable(selection):
        names = choose(tuple(things), selection, what=what, error=ConfigurationError, expand=expand)
        return {name: things[name] for name in names}
    require_takes(selection, ("name", what), what=f"the callable that chooses {what}s")
    chosen = {name: thing for name, thing in things.items() if selection(name, thing)}
    if not chosen:
        raise ConfigurationError(
            f"the callable means no {what} of {len(things)}, such as {next(iter(things))}"
        )
    return chosen


def _grouped(model: torch.nn.Module, members: Callable[[torch.nn.Module, str], list[str]]) -> Expand:
    """Let patterns name groups, unless something has just this name."""

    def expand(pattern: str, names: Sequence[str]) -> Sequence[str]:
        is_group = pattern in GROUPS and pattern not in names
        return members(model, pattern) if is_group else expand_pattern(pattern, names)

    return expand
