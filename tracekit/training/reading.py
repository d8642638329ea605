"""Configuration files, YAML or TOML, as plain dicts and lists."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import yaml

from tracekit.errors import ConfigurationError


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key written twice, of which the last would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


# YAML 1.1, which PyYAML reads, takes 1e-3 for a text
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """Parse YAML into dicts, lists and scalars.

    Raises
    ------
    yaml.YAMLError
        If it is not YAML, or a key is written twice.
    """
    # the loader is a safe one: it builds plain values only
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


PARSERS: dict[str, Callable[[str], Any]] = {".yaml": parse_yaml, ".yml": parse_yaml, ".toml": tomllib.loads}


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a configuration file; an empty one gives an empty dict.

    Raises
    ------
    ConfigurationError
        If there is no such file, or it is not YAML or TOML, or not a mapping.
    """
    parse = PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ConfigurationError(f"{path}: expected a file that ends in .yaml, .yml or .toml")
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read this configuration: {error.strerror}") from error
    except (yaml.YAMLError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not a valid {path.suffix[1:].upper()} file: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{path}: expected keys such as 'training:', found {type(content).__name__} at the top"
        )
    return content
