"""Several processes that write one trace together: one leads, each writes its own part of every row."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from tracekit.format.layout import ArrayLayout


class Team(Protocol):
    """The processes of a job; each calls every method at the same point of its work."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0; process 0 leads."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def agree(self, problem: str | None) -> None:
        """Wait for all processes.

        Raises
        ------
        TraceWriteError
            In every process, if one of them has a problem or is gone.
        """


def leads(team: Team | None) -> bool:
    """Say whether this process writes what belongs to nobody: metadata, series and the marker."""
    return team is None or team.rank == 0


class Jointly:
    """A context in which every process of a team does something: if it fails in one, it fails in all.

    Parameters
    ----------
    team : Team or None
        The team; a process that is alone waits for nobody.
    """

    def __init__(self, team: Team | None) -> None:
        self._team = team

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._team is not None:
            self._team.agree(None if error is None else f"{type(error).__name__}: {error}")


def stretches(team: Team | None, layout: ArrayLayout) -> list[range]:
    """Give the columns of a row that each process writes: whole objects, about as many for each.

    The only object of a small row is the leader's.
    """
    n_objects, width, n_columns = layout.objects[-1], layout.object_shape[-1], layout.shape[-1]
    size = 1 if team is None else team.size
    ends = [min(-(-n_objects * place // size) * width, n_columns) for place in range(size + 1)]
    return [range(first, last) for first, last in pairwise(ends)]
