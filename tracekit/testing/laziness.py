"""A dask scheduler that refuses to work, to show that something is lazy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import dask


class ComputedError(AssertionError):
    """Something was computed where nothing should be."""


def _refuse(graph: Any, keys: Any, **_: Any) -> NoReturn:
    raise ComputedError(f"computed {keys!r} where only building was expected; leave dask arrays lazy")


@contextmanager
def no_compute() -> Iterator[None]:
    """Raise `ComputedError` at any dask computation within the block.

    Raises
    ------
    ComputedError
        From whatever computes. It is an `AssertionError`, so that a test that meets it fails.

    Examples
    --------
    >>> import dask.array as da
    >>> with no_compute():
    ...     total = da.ones(3).sum()
    >>> float(total)
    3.0
    """
    with dask.config.set(scheduler=_refuse):
        yield
