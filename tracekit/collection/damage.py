"""Which of many runs are damaged, when reading them together has met damage."""

from __future__ import annotations

from collections.abc import Sequence

from tracekit.collection.opening import OpenedRun
from tracekit.errors import DamagedTraceError


def damage_in(runs: Sequence[OpenedRun], kind: str) -> dict[str, DamagedTraceError]:
    """Read one kind of each run by itself; gives the first damage in each, by path."""
    found = {run.path: _first_damage(run, kind) for run in runs if kind in run.nodes}
    return {path: damage for path, damage in found.items() if damage is not None}


def _first_damage(run: OpenedRun, kind: str) -> DamagedTraceError | None:
    try:
        run.nodes[kind].count().compute()  # reads all, and holds a block at a time
    except DamagedTraceError as error:
        return error
    return None
