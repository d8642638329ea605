"""What is wrong with a configuration, in words a person can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tracekit.training.overrides import overriding_key
from tracekit.training.sections import IN_FULL, KIND, Section, section_at

NOT_A_SECTION = frozenset({"model_type", "model_attributes_type"})


def describe(error: ValidationError, top: type[Section], origin: str, overrides: Sequence[str]) -> str:
    """List every fault: the file, the dotted key, what was expected and found, and the nearest valid name."""
    faults = [_fault(details, top) for details in error.errors()]
    lines = [f"{origin}: {key or '(top)'}: {text}{_set_by(key, overrides)}" for key, text in faults]
    return "\n".join(lines)


def nearest(name: object, valid: Sequence[str]) -> str:
    """Give ` (did you mean 'x'?)` where a valid name is near, and nothing where none is.

    Examples
    --------
    >>> nearest("epocs", ["epochs", "order"])
    " (did you mean 'epochs'?)"
    """
    matches = difflib.get_close_matches(str(name), valid, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _fault(details: ErrorDetails, top: type[Section]) -> tuple[str, str]:
    """Give the dotted key of a fault, and what is wrong there."""
    place = details["loc"]
    keys = [str(key) for key in place if not str(key).startswith(KIND)]
    if details["type"] == "extra_forbidden":
        valid = list(section_at(top, place[:-1]).model_fields)
        hint = nearest(keys[-1], valid)
        return ".".join(keys), f"unknown key{hint}; valid keys: {', '.join(valid)}"
    if details["type"] == "union_tag_invalid":
        return ".".join([*keys, "kind"]), _wrong_kind(details["ctx"])
    return ".".join(keys), _wrong_value(details)


def _wrong_kind(context: dict[str, Any]) -> str:
    valid = re.findall(rf"'{KIND}([^']*)'", context["expected_tags"])
    found = context["tag"].removeprefix(KIND)
    return f"expected one of {', '.join(valid)}, found {found!r}{nearest(found, valid)}"


def _wrong_value(details: ErrorDetails) -> str:
    if details["type"] == "missing":
        return "expected a value, found nothing: this key has no default"
    if details["type"] == IN_FULL:
        return details["msg"]
    if details["type"] in NOT_A_SECTION:
        return f"expected keys and values, found {details['input']!r}"
    expected = details["msg"].replace("Input should", "expected to").replace("expected to be", "expected")
    choices = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    return f"{expected}, found {details['input']!r}{nearest(details['input'], choices)}"


def _set_by(key: str, overrides: Sequence[str]) -> str:
    for override in reversed(overrides):
        if f"{key}.".startswith(f"{overriding_key(override)}."):
            return f" (set by the override {override!r})"
    return ""
