"""Every random stream of a run, each derived from the one seed and independent of the others.

Streams are told apart by name and not by the order in which they are asked for, so that a cyclic and a
shuffled run with the same seed share documents, initial weights and dropout, and differ in the order alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What is drawn from a stream. Numbers are part of every seed: never change or reuse one."""

    ORDER = 0
    DOCUMENTS = 1
    MODEL = 2
    UPDATES = 3
    TOY = 4


def sequence(seed: int, stream: Stream, *index: int) -> np.random.SeedSequence:
    """Give the seed sequence of one stream, or of the `index`-th part of it."""
    return np.random.SeedSequence(seed, spawn_key=(int(stream), *index))


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """Give a numpy generator of one stream.

    Examples
    --------
    >>> first, second = (int(generator(0, Stream.ORDER).integers(10**9)) for _ in range(2))
    >>> first == second
    True
    """
    return np.random.default_rng(sequence(seed, stream))


def integer_seed(seed: int, stream: Stream, *index: int) -> int:
    """Give a 64-bit seed of one stream, for generators that are not numpy's."""
    return int(sequence(seed, stream, *index).generate_state(1, np.uint64)[0])


@contextmanager
def own_torch_streams(device: torch.device) -> Iterator[None]:
    """Give torch's global generators back as they were found."""
    cuda_devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda_devices):
        yield


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the generators that layers such as dropout draw from; other devices' are not touched."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
