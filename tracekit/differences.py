"""What differs between two descriptions, named one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ABSENT = "nothing"
MOST = 20


def differences(recorded: Any, now: Any, place: str = "") -> Iterator[str]:
    """Name every place at which two descriptions, as JSON has them, differ.

    Examples
    --------
    >>> list(differences({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1, 2], "d": "x"}))
    ['a.b: 1 in the trace, now 2', "d: nothing in the trace, now 'x'"]
    """
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*recorded, *now)):
            inner = f"{place}.{key}" if place else str(key)
            yield from differences(recorded.get(key, ...), now.get(key, ...), inner)
    elif _is_list(recorded) and _is_list(now) and len(recorded) == len(now):
        for index, (first, second) in enumerate(zip(recorded, now, strict=True)):
            yield from differences(first, second, f"{place}.{index}")
    elif not _same(recorded, now):
        yield f"{place}: {_shown(recorded)} in the trace, now {_shown(now)}"


def listed(found: Sequence[str]) -> str:
    """Write differences below one another, the first twenty of them."""
    more = [f"… and {len(found) - MOST} more"] if len(found) > MOST else []
    return "\n".join(f"  {line}" for line in (*found[:MOST], *more))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(recorded: Any, now: Any) -> bool:
    if _is_list(recorded) and _is_list(now):
        return list(recorded) == list(now)
    return bool(recorded == now)


def _shown(value: Any) -> str:
    text = ABSENT if value is ... else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
