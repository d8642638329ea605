"""Single settings written as `key.key=value`, laid over those of a file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tracekit.errors import ConfigurationError
from tracekit.training.reading import parse_yaml


def with_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Give a copy of nested settings in which each override has been laid over.

    Raises
    ------
    ConfigurationError
        If an override is not `key=value`, or leads through something that has no keys.

    Examples
    --------
    >>> with_overrides({"training": {"epochs": 6}}, ["training.epochs=3", "seed=1"])
    {'training': {'epochs': 3}, 'seed': 1}
    """
    result = copy.deepcopy(dict(data))
    for override in overrides:
        key, value = _parse(override)
        _assign(result, key.split("."), value, override)
    return result


def overriding_key(override: str) -> str:
    """Give the dotted key that an override sets."""
    return override.partition("=")[0].strip()


def _parse(override: str) -> tuple[str, Any]:
    key, equals, text = overriding_key(override), "=" in override, override.partition("=")[2]
    if not equals or not all(key.split(".")):
        raise ConfigurationError(
            f"override {override!r}: expected a dotted key and a value, such as training.epochs=3"
        )
    try:
        return key, parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"override {override!r}: the value is not valid YAML: {error}") from error


def _assign(settings: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    place: Any = settings
    for depth, key in enumerate(keys[:-1]):
        if isinstance(place, dict):
            place.setdefault(key, {})
        place = place[_index(place, key, ".".join(keys[:depth]), override)]
    place[_index(place, keys[-1], ".".join(keys[:-1]), override)] = value


def _index(place: Any, key: str, where: str, override: str) -> Any:
    """Give what `place` is indexed by for one part of a key: a text for a dict, a number for a list."""
    if isinstance(place, dict):
        return key
    if not isinstance(place, list):
        raise ConfigurationError(f"override {override!r}: {where!r} is {place!r}, which has no keys inside")
    if not key.isdecimal() or int(key) >= len(place):
        raise ConfigurationError(
            f"override {override!r}: {where!r} is a list of {len(place)}; "
            f"expected a number from 0 to {len(place) - 1} after it, found {key!r}"
        )
    return int(key)
