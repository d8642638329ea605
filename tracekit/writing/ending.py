"""Ending a trace: its last extent, its status, and the claim that is given back."""

from __future__ import annotations

import contextlib
from typing import Literal

from tracekit.format.layout import METADATA, group_metadata
from tracekit.reading.counts import trim
from tracekit.writing.committing import Committer
from tracekit.writing.starting import Beginning

Status = Literal["running", "complete", "interrupted", "failed"]


def end(beginning: Beginning, committer: Committer, status: Status, *, snapshots: int, stop: bool) -> None:
    """End a trace with a status and let others write it.

    Parameters
    ----------
    beginning : Beginning
        The trace, under the claim that is released.
    committer : Committer
        What commits it; nothing is under way any more.
    status : str
        How the run ended. One that is complete and has not committed all is interrupted.
    snapshots : int
        Snapshots that the run has behind it.
    stop : bool
        Whether what the store refuses is raised, or only said.

    Raises
    ------
    TraceWriteError
        If `stop` is set and the store refuses, or another writer has taken over (`TraceInUseError`).
    """
    try:
        committer.close()
        if stop and beginning.claim.own:
            beginning.claim.check()
        committed = committer.marker.committed
        if committer.n_planned is None and beginning.claim.is_held():
            trim(beginning.store, committed)
        behind = status == "complete" and committed < snapshots
        _set_status(beginning, "interrupted" if behind else status)
    except OSError as error:
        committer.refused(error, stop=stop)
    finally:
        with contextlib.suppress(OSError):
            beginning.claim.release()


def _set_status(beginning: Beginning, status: Status) -> None:
    store, facts = beginning.store, beginning.facts
    if facts["status"] == "running" and beginning.claim.is_held():
        facts["status"] = status
        store.put(METADATA, group_metadata(facts))
        store.sync()
