"""What is found when a trace is read through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tracekit.format.marker import MARKER_KEY

FaultKind = Literal["values", "coordinates", "metadata", "copy", "checkpoint"]


@dataclass(frozen=True)
class Fault:
    """One thing that is damaged or missing.

    Parameters
    ----------
    kind : {"values", "coordinates", "metadata", "copy", "checkpoint"}
        Damaged values are lost alone; without its coordinates or metadata, a whole group cannot be opened.
        The second copy of these is missed by nobody until it is needed, nor is a checkpoint until a run is
        resumed, which then goes on from an older one.
    array, key : str
        The array (or group), and the object that holds what is damaged.
    chunk : tuple of int, optional
        Place of the chunk within the object; None if all of the object is hit.
    visits : tuple of (int, int)
        Committed visits whose data is hit, as stretches (first, last).
    problem : str
        What is wrong, and where.
    """

    kind: FaultKind
    array: str
    key: str
    chunk: tuple[int, ...] | None
    visits: tuple[tuple[int, int], ...]
    problem: str

    @property
    def is_severe(self) -> bool:
        """Whether all of a group is hit."""
        return self.kind in ("metadata", "coordinates")

    @property
    def is_copied(self) -> bool:
        """Whether it is one of the things that there are two copies of, or one of these."""
        return self.key != MARKER_KEY and self.kind in ("metadata", "coordinates", "copy")

    @property
    def group(self) -> str:
        """The kind of thing recorded that is hit; empty for the trace as a whole."""
        return self.array.split("/")[0]


@dataclass(frozen=True)
class Report:
    """What reading a trace through has found.

    Parameters
    ----------
    path : str
        The trace.
    committed : int or None
        Snapshots committed; None if the marker cannot be read, and then no values were checked.
    n_objects, n_chunks, n_bytes : int
        Objects read, sound chunks in them, and their bytes.
    cut_off : bool
        Whether reading stopped before the end, as there were too many faults to name them all.
    faults : tuple of Fault
        Everything wrong.
    sound_commit : int or None
        The most snapshots that are all sound: the trace could be rolled back to these. None if no roll back
        would help, since coordinates or metadata are damaged.
    readable, lost : tuple of str
        Groups that open, apart from damaged values in them, and those that do not.
    """

    path: str
    committed: int | None
    n_objects: int
    n_chunks: int
    n_bytes: int
    cut_off: bool
    faults: tuple[Fault, ...]
    sound_commit: int | None
    readable: tuple[str, ...]
    lost: tuple[str, ...]


def sound_commit(faults: Sequence[Fault], committed: int | None) -> int | None:
    """Give the most snapshots that no fault touches.

    Examples
    --------
    >>> fault = Fault("values", "weights/values", "weights/values/c/3/0", (0, 0), ((3, 4),), "checksum")
    >>> sound_commit([fault], 7), sound_commit([], 7)
    (3, 7)
    """
    if committed is None or any(fault.is_severe for fault in faults):
        return None
    return min([committed, *(first for fault in faults for first, _ in fault.visits)])


def stretches(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Join ascending numbers to stretches (first, last).

    Examples
    --------
    >>> stretches([0, 1, 2, 5, 7, 8])
    ((0, 2), (5, 5), (7, 8))
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def written(visits: Sequence[tuple[int, int]]) -> str:
    """Write stretches briefly.

    Examples
    --------
    >>> written([(0, 2), (5, 5)])
    '0-2, 5'
    """
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in visits)
