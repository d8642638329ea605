"""Which parameters and modules are recorded: globs over their names."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch

from tracekit.errors import ConfigurationError

Selection = str | Sequence[str] | None
Thing = TypeVar("Thing")


def select(things: Mapping[str, Thing], selection: Selection, what: str) -> dict[str, Thing]:
    """Keep the things whose name matches one of the globs, in their own order; all of them if None.

    Raises
    ------
    ConfigurationError
        If a glob matches nothing, with the names that come near.

    Examples
    --------
    >>> select({"layer.0.bias": 1, "layer.0.weight": 2}, "*.bias", "parameter")
    {'layer.0.bias': 1}
    """
    if selection is None:
        return dict(things)
    globs = (selection,) if isinstance(selection, str) else tuple(selection)
    for glob in globs:
        if not fnmatch.filter(things, glob):
            near = difflib.get_close_matches(glob, things, n=3, cutoff=0.4) or list(things)[:3]
            raise ConfigurationError(
                f"no {what} matches {glob!r}; there are {len(things)}, such as {', '.join(near)}"
            )
    return {name: thing for name, thing in things.items() if any(fnmatch.fnmatchcase(name, g) for g in globs)}


def select_parameters(model: torch.nn.Module, selection: Selection) -> dict[str, torch.nn.Parameter]:
    """Give the model's parameters that match, by their `named_parameters` name; a tied weight comes once."""
    return select(dict(model.named_parameters()), selection, "parameter")


def select_modules(model: torch.nn.Module, selection: Selection) -> dict[str, torch.nn.Module]:
    """Give the model's modules that match, by their `named_modules` name."""
    return select({name: module for name, module in model.named_modules() if name}, selection, "module")
