"""Checks of values that came out of a JSON document: nothing of it is used before it is what it must be."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from tracekit.errors import NotATraceError, TraceWriteError

MAX_INTEGER = (1 << 53) - 1
MAX_DIMS = 32
MAX_NAME = 1000


class MalformedError(ValueError):
    """A value is not what the format says; the message names the value."""


@contextlib.contextmanager
def checking(place: str) -> Iterator[None]:
    """Turn a `MalformedError` into an error that says where the value was found.

    Raises
    ------
    NotATraceError
        For each `MalformedError` raised inside.
    """
    try:
        yield
    except MalformedError as error:
        raise NotATraceError(
            f"{place}: not as this version of tracekit writes it: {error}; was it written or changed by "
            "another program?"
        ) from error


@contextlib.contextmanager
def declaring(place: str) -> Iterator[None]:
    """Turn a `MalformedError` into an error of the writer: what would not be read is not written.

    Raises
    ------
    TraceWriteError
        For each `MalformedError` raised inside.
    """
    try:
        yield
    except MalformedError as error:
        raise TraceWriteError(f"{place}: {error}; it could not be read again") from error


def integer(value: Any, what: str, least: int = 0, most: int = MAX_INTEGER) -> int:
    """Give a whole number; truth values and 3.0 are none.

    Examples
    --------
    >>> integer(3, "offset")
    3
    >>> integer(True, "offset", most=9)
    Traceback (most recent call last):
    ...
    tracekit.format.checks.MalformedError: offset: expected a whole number from 0 to 9, found True
    """
    if type(value) is not int or not least <= value <= most:
        raise MalformedError(
            f"{what}: expected a whole number from {least} to {most}, found {reprlib.repr(value)}"
        )
    return value


def text(value: Any, what: str) -> str:
    """Give a text."""
    if not isinstance(value, str):
        raise MalformedError(f"{what}: expected a text, found {reprlib.repr(value)}")
    return value


def name(value: Any, what: str) -> str:
    """Give a name: visible characters, none of which leads into another folder.

    Examples
    --------
    >>> name("layers.0.weight", "field")
    'layers.0.weight'
    """
    found = text(value, what)
    good = found.isprintable() and not {"/", "\\"} & set(found)
    if not good or not found.strip() or found in (".", "..") or len(found) > MAX_NAME:
        raise MalformedError(f"{what}: {reprlib.repr(found)} cannot be a name here")
    return found


def key_name(value: Any, what: str) -> str:
    """Give a name that is also a folder's; hidden names and those that Zarr keeps for itself are refused."""
    found = name(value, what)
    if found.startswith((".", "__")) or len(found.encode()) > 255:
        raise MalformedError(f"{what}: {reprlib.repr(found)} cannot be the name of a group or an array")
    return found


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Give a JSON object."""
    if not isinstance(value, dict):
        raise MalformedError(f"{what}: expected an object, found {reprlib.repr(value)}")
    return value


def sequence(value: Any, what: str) -> list[Any]:
    """Give a JSON list."""
    if not isinstance(value, list):
        raise MalformedError(f"{what}: expected a list, found {reprlib.repr(value)}")
    return value


def entry(values: Mapping[str, Any], key: str, what: str) -> Any:
    """Give an entry that must be there."""
    if key not in values:
        raise MalformedError(f"{what}: has no {key!r}")
    return values[key]


def sizes(value: Any, what: str, least: int = 0) -> tuple[int, ...]:
    """Give the sizes of some dims."""
    found = sequence(value, what)
    if len(found) > MAX_DIMS:
        raise MalformedError(f"{what}: {len(found)} dims are more than {MAX_DIMS}")
    return tuple(integer(size, what, least) for size in found)


def unique(values: list[str], what: str) -> list[str]:
    """Give names that differ from each other."""
    if len(set(values)) != len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise MalformedError(f"{what}: {reprlib.repr(twice)} comes twice")
    return values
