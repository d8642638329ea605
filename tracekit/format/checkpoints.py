"""Where checkpoints lie: below the commit marker, where no Zarr reader looks; two objects each.

`commit/checkpoint/VISIT/state.safetensors` holds the tensors, and `state.json` beside it, written after it,
all else and the checksum of the first. A checkpoint without its JSON object does not exist. What is in them
is the business of `tracekit.training.checkpoints`; deleting them all costs a resumed run the time to repeat
what it had done, and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracekit.format.layout import COMMIT_KEY
from tracekit.store import Store

CHECKPOINT_KEY = f"{COMMIT_KEY}/checkpoint"
TENSORS = "state.safetensors"
DOCUMENT = "state.json"


def checkpoint_numbers(store: Store) -> list[int]:
    """Give the visits after which there is a checkpoint, finished or not, ascending."""
    return sorted(int(name) for name in store.children(CHECKPOINT_KEY) if name.isdigit())


def usable_checkpoints(store: Store, committed: int) -> list[int]:
    """Give the visits, ascending, after which there is a checkpoint that belongs to what is committed."""
    return [number for number in checkpoint_numbers(store) if number < committed]


def key_of(number: int, name: str) -> str:
    """Give the key of an object of the checkpoint of a visit."""
    return f"{CHECKPOINT_KEY}/{number}/{name}"


def put_checkpoint(store: Store, number: int, objects: Iterable[tuple[str, bytes]]) -> None:
    """Put the objects of a checkpoint, by name; first delete all but the last one before it."""
    _keep_one_before(store, number)
    for name, data in objects:
        store.put(key_of(number, name), data)


def _keep_one_before(store: Store, number: int) -> None:
    before = [other for other in checkpoint_numbers(store) if other < number]
    for other in checkpoint_numbers(store):
        if other not in before[-1:]:
            # first what makes it one, so that there never is one without its tensors
            store.remove(key_of(other, DOCUMENT))
            store.remove_tree(f"{CHECKPOINT_KEY}/{other}")
