"""Callables that users hand over in place of a setting: refused at once if they cannot be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tracekit.errors import ConfigurationError


def require_takes(function: Callable[..., Any], arguments: Sequence[str], *, what: str) -> None:
    """Refuse a callable that does not take these arguments, in this order.

    Raises
    ------
    ConfigurationError
        If it takes others; one whose signature nobody knows, as of some written in C, passes.

    Examples
    --------
    >>> require_takes(lambda visit: visit % 2 == 0, ["visit"], what="when")
    >>> require_takes(lambda: True, ["visit"], what="when")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    tracekit.errors.ConfigurationError: when: expected a callable of (visit), found <lambda>(): too many ...
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        name = getattr(function, "__name__", repr(function))
        raise ConfigurationError(
            f"{what}: expected a callable of ({', '.join(arguments)}), found {name}{signature}: {error}"
        ) from error
