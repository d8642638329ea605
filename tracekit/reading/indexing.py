"""From what numpy indexing asks for to the stretch that must be read, and from there to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def full_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """Give one slice, integer or list per dim.

    Examples
    --------
    >>> full_key((..., 3), 3)
    (slice(None, None, None), slice(None, None, None), 3)
    """
    parts = key if isinstance(key, tuple) else (key,)
    if any(part is Ellipsis for part in parts):
        at = next(place for place, part in enumerate(parts) if part is Ellipsis)
        parts = (*parts[:at], *(slice(None),) * (ndim - len(parts) + 1), *parts[at + 1 :])
    return (*parts, *(slice(None),) * (ndim - len(parts)))


def is_whole(parts: Sequence[Any]) -> bool:
    """Say whether parts of a key leave nothing out.

    Examples
    --------
    >>> is_whole((slice(None), slice(None))), is_whole((slice(1, None),)), is_whole((0,))
    (True, False, False)
    """
    return all(isinstance(part, slice) and part == slice(None) for part in parts)


def span(part: Any, size: int) -> range:
    """Give the shortest stretch that holds all that a slice, integer or list asks for.

    Examples
    --------
    >>> span(slice(8, 2, -3), 10), span(-1, 10), span([4, 2], 10)
    (range(5, 9), range(9, 10), range(2, 5))
    """
    if isinstance(part, slice):
        steps = range(size)[part]  # never as many numbers as the dim is long
        return range(min(steps[0], steps[-1]), max(steps[0], steps[-1]) + 1) if steps else range(0)
    asked = np.atleast_1d(np.asarray(part))
    asked = np.flatnonzero(asked) if asked.dtype == bool else np.where(asked < 0, asked + size, asked)
    if asked.size and not (asked.min() >= 0 and asked.max() < size):
        raise IndexError(f"{part} lies outside of a dim of size {size}")
    return range(int(asked.min()), int(asked.max()) + 1) if asked.size else range(0)


def within(part: Any, stretch: range) -> Any:
    """Give the same slice, integer or list, relative to the stretch that was read.

    Examples
    --------
    >>> within(slice(8, 2, -3), range(5, 9)), within(-1, range(9, 10)), within([4, 2], range(2, 5))
    (slice(None, None, -3), 0, array([2, 0]))
    """
    if isinstance(part, slice):
        return slice(None, None, part.step)
    if np.ndim(part) == 0:
        return 0
    return np.asarray(part) - stretch.start


def take(values: npt.NDArray[Any], parts: Sequence[Any]) -> Any:
    """Select along each dim alone: a list keeps its place among the dims, whatever stands beside it.

    Examples
    --------
    >>> values = np.arange(24).reshape(2, 3, 4)
    >>> take(values, (0, slice(None), [3, 1])).shape, values[0, :, [3, 1]].shape
    ((3, 2), (2, 3))
    """
    for axis in reversed(range(len(parts))):
        values = values[(*(slice(None),) * axis, parts[axis])]
    return values
