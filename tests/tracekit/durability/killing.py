"""What a kill leaves behind: opened and checked, gone on with, and compared with a run never stopped."""

from dataclasses import dataclass, field

from tracekit import open_trace
from tracekit.errors import NotATraceError, TraceNotFoundError


@dataclass
class Tally:
    """What came of the kills."""

    kills: int = 0
    finished: int = 0
    nothing_yet: int = 0
    resumed: int = 0
    visits_checked: int = 0
    ended_at: list = field(default_factory=list)


def look(path, checks, tally, reference, before):
    """Open what a kill left behind, and check it; give the snapshots committed, never fewer than before."""
    if not before:
        try:
            open_trace(path)
        except TraceNotFoundError:
            tally.nothing_yet += 1
            return 0
        except NotATraceError as error:
            if "making was cut off" not in str(error) and "there is no zarr.json" not in str(error):
                raise
            tally.nothing_yet += 1
            return 0
    trace = open_trace(path)
    committed = checks.assert_begins_like(trace, reference)
    assert committed >= before, "a committed visit was lost"
    tally.visits_checked += committed
    return committed


def finish_and_compare(runs, path, checks, reference, reference_values):
    """Resume a run until it is complete; it ends as if it had never been stopped, and leaves no litter."""
    runs.finish(path)
    trace = open_trace(path)
    assert trace.attrs["status"] == "complete"
    assert checks.assert_begins_like(trace, reference_values) == trace.attrs["snapshots_planned"]
    assert checks.last_checkpoint(path) == checks.last_checkpoint(reference)
    assert not list(path.rglob("*.partial"))
