"""What a store says when it refuses, and what it means before anything can be committed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracekit.errors import TraceError, TraceWriteError
from tracekit.store import Store


@contextmanager
def refusals(store: Store) -> Iterator[None]:
    """Turn what a store refuses before anything can be committed into a `TraceWriteError`."""
    try:
        yield
    except TraceError:
        raise
    except OSError as error:
        raise TraceWriteError(f"{store.url}: {words(error)}; the recording could not be set up") from error


def words(error: OSError) -> str:
    """Give what the system or the store says, without its number."""
    return error.strerror or str(error)
