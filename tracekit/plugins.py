"""Plug-ins: found through entry points without being loaded, loaded once by name.

Built-in recorders, analyses, figures and commands come in through the same groups as anyone else's.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from tracekit.errors import ConfigurationError, PluginError

Group = Literal[
    "tracekit.commands", "tracekit.recorders", "tracekit.analyses", "tracekit.metrics", "tracekit.figures"
]


@functools.cache
def names(group: Group) -> tuple[str, ...]:
    """Give the names of a group's plug-ins, sorted; none of them is loaded."""
    return tuple(sorted({entry.name for entry in _entries(group)}))


@functools.cache
def load(group: Group, name: str) -> Any:
    """Load a plug-in.

    Raises
    ------
    PluginError
        If there is none of that name, or it cannot be imported.
    """
    found = {entry.name: entry for entry in _entries(group)}
    if name not in found:
        raise PluginError(f"there is no {name!r} in {group}{suggestion(name, found)}")
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        missing = getattr(error, "name", None)
        hint = (
            "; install the `train` extra of tracekit-ml to get it"
            if missing in ("torch", "transformers", "pydantic", "tokenizers", "datasets")
            else ""
        )
        raise PluginError(
            f"{group}: {name!r} ({found[name].value}) cannot be loaded: {error}{hint}"
        ) from error


def make(group: Group, name: str, options: Mapping[str, Any]) -> Any:
    """Load a plug-in and call it with options.

    Raises
    ------
    ConfigurationError
        If it does not take one of the options, or refuses its value.
    """
    factory = load(group, name)
    require_options(factory, options, what=name)
    try:
        return factory(**options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}: {error}") from error


def require_options(factory: Callable[..., Any], options: Iterable[str], *, what: str) -> None:
    """Refuse options that a factory does not take by name.

    Raises
    ------
    ConfigurationError
        If there is one; says what was perhaps meant.

    Examples
    --------
    >>> require_options(lambda width: width, ["widht"], what="window")
    Traceback (most recent call last):
        ...
    tracekit.errors.ConfigurationError: window: no option 'widht': did you mean 'width'?
    """
    accepted = list(inspect.signature(factory).parameters)
    for option in options:
        if option not in accepted:
            raise ConfigurationError(f"{what}: no option {option!r}{suggestion(option, accepted)}")


def suggestion(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Say what was perhaps meant, or what there is.

    Examples
    --------
    >>> suggestion("wieghts", ["weights", "losses"])
    ": did you mean 'weights'?"
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": there are {', '.join(sorted(known))}" if known else ": there are none"


def _entries(group: Group) -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=group)
