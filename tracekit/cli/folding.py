"""Long lists of tensors and of visits, folded so that people can read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tracekit.format.schema import Field

MOST_STRETCHES = 8
LEAST_IN_STRETCH = 3
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.)")


def fold(fields: Iterable[Field]) -> list[tuple[str, int, tuple[int, ...], int]]:
    """Join tensors of one shape whose names differ by numbers of layers alone: name, count, shape, elements.

    Examples
    --------
    >>> layers = [Field(f"layers.{layer}.weight", (4, 2)) for layer in range(12)]
    >>> fold([*layers, Field("head.weight", (3,))])
    [('layers.*.weight', 12, (4, 2), 96), ('head.weight', 1, (3,), 3)]
    """
    groups: dict[tuple[str, tuple[int, ...]], list[Field]] = {}
    for field in fields:
        groups.setdefault((_NUMBER.sub("*", field.name), field.shape), []).append(field)
    return [
        (
            pattern if len(members) > 1 else members[0].name,
            len(members),
            shape,
            sum(member.size for member in members),
        )
        for (pattern, shape), members in groups.items()
    ]


def stretches(numbers: Sequence[int]) -> str:
    """Write ascending numbers as stretches of even steps.

    Examples
    --------
    >>> stretches([0, 4, 8, 12, 13])
    '0 to 12 by 4, 13'
    >>> stretches([0, 1, 2, 3, 7, 50])
    '0 to 3, 7, 50'
    """
    parts: list[str] = []
    left = list(numbers)
    while left:
        n = _even(left)
        if n < LEAST_IN_STRETCH:
            parts.append(str(left.pop(0)))
            continue
        step = left[1] - left[0]
        parts.append(f"{left[0]} to {left[n - 1]}" + (f" by {step}" if step > 1 else ""))
        left = left[n:]
    shown = parts if len(parts) <= MOST_STRETCHES else [*parts[: MOST_STRETCHES - 1], "…", parts[-1]]
    return ", ".join(shown)


def _even(numbers: Sequence[int]) -> int:
    """Count how many numbers, from the first on, go up by the same step."""
    n = min(2, len(numbers))
    while n < len(numbers) and numbers[n] - numbers[n - 1] == numbers[1] - numbers[0]:
        n += 1
    return n
