"""Which documents of a source are trained, and which are held out."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tracekit.errors import ConfigurationError
from tracekit.training.task_settings import DocumentSettings


def choose(settings: DocumentSettings, n_available: int, seed: int) -> tuple[list[int], list[int]]:
    """Choose the places of trained and of held-out documents.

    `random` is `random.Random(seed).sample(range(n_available), n_documents)`, so that a choice made by the
    paper's code can be repeated; held-out documents are then drawn from the rest by the same generator.

    Raises
    ------
    ConfigurationError
        If more documents are asked for than there are, or one twice.

    Examples
    --------
    >>> choose(DocumentSettings(n_documents=2, n_held_out=1), n_available=5, seed=0)
    ([0, 1], [2])
    """
    wanted = settings.n_documents + settings.n_held_out
    if wanted > n_available:
        raise ConfigurationError(
            f"tasks.n_documents: expected at most {n_available} documents, as many as the source has, "
            f"found {wanted} (n_documents and n_held_out)"
        )
    generator = random.Random(seed)
    trained = _trained(settings, n_available, generator)
    rest = sorted(set(range(n_available)) - set(trained))
    if settings.choice == "random":
        return trained, generator.sample(rest, settings.n_held_out)
    return trained, rest[: settings.n_held_out]


def _trained(settings: DocumentSettings, n_available: int, generator: random.Random) -> list[int]:
    if settings.choice == "first":
        return list(range(settings.n_documents))
    if settings.choice == "random":
        return generator.sample(range(n_available), settings.n_documents)
    return _listed(settings.choice, settings.n_documents, n_available)


def _listed(places: Sequence[int], n_documents: int, n_available: int) -> list[int]:
    if len(places) != n_documents:
        raise ConfigurationError(
            f"tasks.n_documents: expected {len(places)}, as many as tasks.choice lists, found {n_documents}"
        )
    if len(set(places)) != len(places) or max(places) >= n_available:
        raise ConfigurationError(
            f"tasks.choice: expected different numbers from 0 to {n_available - 1}, found {list(places)}"
        )
    return list(places)
